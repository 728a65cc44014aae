"""A base model under one of its adapters: the `types.LanguageModel` that evaluation hooks see."""

import hashlib
import json
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from thumbwheel.config import EvaluationConfig
from thumbwheel.language_model.encoding import encode, encode_prompts
from thumbwheel.language_model.loading import LoadedBase
from thumbwheel.types import LogProb, Prompt

if TYPE_CHECKING:
    import torch

__all__ = ["AdaptedModel"]

Progress = Callable[[int, int], None]
"""Called with how many are done and how many there are."""

_MAX_LOGITS = 2**27
"""Logits held at once when scoring: half a GiB in float32."""


class AdaptedModel:
    """The base, or the base with one LoRA adapter; implements `types.LanguageModel`.

    Scores and samples are kept for the life of the object, so that several metrics that ask for
    the same texts share one pass over the model.

    Args:
        base: The base model in memory. Several models may share it, one call at a time.
        name: `base`, `champion` or `candidate`.
        adapter: A LoRA adapter directory, or None for the base itself.
        settings: Batch size, sampling and seed.
        max_length: Longest sequence scored, in tokens; the same as in training.
        progress: Told after each batch how many texts of the call are done, and their number.

    Raises:
        ModelError: The adapter cannot be loaded onto the base.
    """

    def __init__(
        self,
        base: LoadedBase,
        name: str,
        adapter: Path | None = None,
        *,
        settings: EvaluationConfig,
        max_length: int,
        progress: Progress | None = None,
    ) -> None:
        self._base = base
        self._name = name
        self._adapter = base.add_adapter(adapter) if adapter is not None else None
        self._settings = settings
        self._max_length = min(max_length, base.context_length)
        self._progress = progress or (lambda done, total: None)
        self._scores: dict[tuple[str, str], LogProb] = {}
        self._samples: dict[tuple[str, int], str] = {}
        self._n_truncated = 0

    @property
    def name(self) -> str:
        """`base`, `champion` or `candidate`."""
        return self._name

    @property
    def n_truncated(self) -> int:
        """How many of the texts scored so far were longer than `max_length` and were cut."""
        return self._n_truncated

    def log_probs(self, prompts: Sequence[Prompt], completions: Sequence[str]) -> Sequence[LogProb]:
        """Score each completion behind its prompt, end-of-turn included.

        The tokens are those that TRL's `DPOTrainer` scores: see `encoding`. A text longer than
        `max_length` loses the end of its completion, as in training. When the prompt alone fills
        `max_length` (training drops such a pair), it loses its beginning instead, so that the
        completion can be scored.

        Args:
            prompts: n prompts.
            completions: n completions, one for each prompt.

        Returns:
            n sums of log-probabilities in nats, with the number of tokens.

        Raises:
            DataError: The chat template refuses a prompt.
        """
        keys = [
            (_key(prompt), completion)
            for prompt, completion in zip(prompts, completions, strict=True)
        ]
        new = {key: row for row, key in enumerate(keys) if key not in self._scores}
        encoded = encode(
            self._base,
            [prompts[row] for row in new.values()],
            [completions[row] for row in new.values()],
        )
        rows = [(key, *self._fit(*tokens)) for key, tokens in zip(new, encoded, strict=True)]
        done = 0
        for batch in self._batches(rows):
            scores = self._score([(prompt, completion) for _, prompt, completion in batch])
            self._scores.update(zip((key for key, _, _ in batch), scores, strict=True))
            done += len(batch)
            self._progress(done, len(rows))
        return [self._scores[key] for key in keys]

    def generate(self, prompts: Sequence[Prompt]) -> Sequence[str]:
        """Sample one completion per prompt, with the configured sampling and seed.

        Each text is drawn from random numbers of its own, seeded by the configured seed and the
        prompt: it does not depend on torch's generator, which is left alone, nor on the other
        prompts, and two models asked the same draw from the same numbers, which narrows their
        difference. A prompt that is listed again gets another sample.

        Args:
            prompts: n prompts. Of one that leaves no room in the model's context, the end is kept.

        Returns:
            n texts without special tokens.

        Raises:
            DataError: The chat template refuses a prompt.
        """
        seen: Counter[str] = Counter()
        keys = []
        for prompt in prompts:
            key = _key(prompt)
            keys.append((key, seen[key]))
            seen[key] += 1
        new = {key: row for row, key in enumerate(keys) if key not in self._samples}
        room = max(1, self._base.context_length - self._settings.max_new_tokens)
        encoded = encode_prompts(self._base, [prompts[row] for row in new.values()])
        rows = sorted(
            ((key, ids[-room:]) for key, ids in zip(new, encoded, strict=True)),
            key=lambda row: len(row[1]),
        )
        for start in range(0, len(rows), self._settings.batch_size):
            batch = rows[start : start + self._settings.batch_size]
            texts = self._sample([ids for _, ids in batch], [self._seed(key) for key, _ in batch])
            self._samples.update(zip((key for key, _ in batch), texts, strict=True))
            self._progress(start + len(batch), len(rows))
        return [self._samples[key] for key in keys]

    def _fit(self, prompt: list[int], completion: list[int]) -> tuple[list[int], list[int]]:
        excess = len(prompt) + len(completion) - self._max_length
        if excess <= 0:
            return prompt, completion
        self._n_truncated += 1
        if len(prompt) < self._max_length:
            return prompt, completion[: self._max_length - len(prompt)]
        completion = completion[: self._max_length // 2]
        return prompt[len(completion) - self._max_length :], completion

    def _batches(
        self, rows: list[tuple[tuple[str, str], list[int], list[int]]]
    ) -> Iterator[list[tuple[tuple[str, str], list[int], list[int]]]]:
        # Longest first: a batch that does not fit into memory fails at once. Neighbours are of
        # about one length, so that little is padding.
        rows = sorted(rows, key=lambda row: len(row[1]) + len(row[2]), reverse=True)
        vocabulary: int = self._base.model.config.get_text_config().vocab_size
        batch: list[tuple[tuple[str, str], list[int], list[int]]] = []
        for row in rows:
            larger = [*batch, row]
            if batch and (
                len(larger) > self._settings.batch_size
                or len(larger) * _n_logits(larger) * vocabulary > _MAX_LOGITS
            ):
                yield batch
                larger = [row]
            batch = larger
        if batch:
            yield batch

    def _score(self, rows: list[tuple[list[int], list[int]]]) -> list[LogProb]:
        import torch

        input_ids, attention_mask = self._pad([p + c for p, c in rows], side="right")
        width = input_ids.shape[1]
        # The model's own forward applies its scaling or soft-capping of logits; `logits_to_keep`
        # spares it the positions of the prompts.
        n_kept = width - min(len(prompt) for prompt, _ in rows) + 1
        with torch.inference_mode(), self._base.using(self._adapter) as model:
            logits = model(
                input_ids=input_ids,
                attention_mask=attention_mask,
                logits_to_keep=n_kept,
                use_cache=False,
            ).logits
            totals = []
            for row, (prompt, completion) in enumerate(rows):
                # The token at position t is predicted by the logits at t - 1.
                start = len(prompt) - 1 - (width - n_kept)
                predictions = logits[row, start : start + len(completion)].float()
                targets = input_ids[row, len(prompt) : len(prompt) + len(completion)]
                chosen = predictions.gather(-1, targets[:, None])[:, 0]
                # Sums of hundreds of terms keep their digits in float64.
                per_token = chosen.double() - predictions.logsumexp(-1).double()
                totals.append(per_token.sum().item())
        return [
            LogProb(total, len(completion))
            for total, (_, completion) in zip(totals, rows, strict=True)
        ]

    def _sample(self, prompts: list[list[int]], seeds: list[int]) -> list[str]:
        import torch
        from transformers import GenerationConfig, LogitsProcessorList

        from thumbwheel.language_model.sampling import GumbelSampler

        input_ids, attention_mask = self._pad(prompts, side="left")
        with torch.inference_mode(), self._base.using(self._adapter) as model:
            tokens = model.generate(
                input_ids=input_ids,
                attention_mask=attention_mask,
                generation_config=GenerationConfig(
                    max_new_tokens=self._settings.max_new_tokens,
                    # The most likely token after the sampler's noise is a sample.
                    do_sample=False,
                    eos_token_id=self._base.stop_ids,
                    pad_token_id=self._base.tokenizer.pad_token_id,
                ),
                logits_processor=LogitsProcessorList(
                    [GumbelSampler(seeds, self._settings.temperature, self._settings.top_p)]
                ),
            )
        texts: list[str] = self._base.tokenizer.batch_decode(
            tokens[:, input_ids.shape[1] :], skip_special_tokens=True
        )
        return texts

    def _pad(self, rows: list[list[int]], side: str) -> tuple["torch.Tensor", "torch.Tensor"]:
        import torch

        width = max(map(len, rows))
        ids = torch.full((len(rows), width), self._base.tokenizer.pad_token_id)
        mask = torch.zeros((len(rows), width), dtype=torch.long)
        for row, tokens in enumerate(rows):
            where = slice(len(tokens)) if side == "right" else slice(width - len(tokens), width)
            ids[row, where] = torch.tensor(tokens)
            mask[row, where] = 1
        return ids.to(self._base.device), mask.to(self._base.device)

    def _seed(self, key: tuple[str, int]) -> int:
        text = f"{self._settings.seed} {key[1]} {key[0]}"
        return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=7).digest())


def _n_logits(rows: Sequence[tuple[object, list[int], list[int]]]) -> int:
    """Return at how many positions each row of a batch needs logits, the padding included."""
    width = max(len(prompt) + len(completion) for _, prompt, completion in rows)
    return width - min(len(prompt) for _, prompt, _ in rows) + 1


def _key(prompt: Prompt) -> str:
    return json.dumps(
        [[m["role"], m["content"], *([m["extra"]] if m.get("extra") else [])] for m in prompt]
    )
