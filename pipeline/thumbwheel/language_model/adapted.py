"""A base model under one of its adapters: the `types.LanguageModel` that evaluation hooks see."""

import hashlib
import json
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from thumbwheel.config import EvaluationConfig
from thumbwheel.language_model.cache import ModelCache
from thumbwheel.language_model.encoding import encode, encode_prompts
from thumbwheel.language_model.forward import Batches, Ids, read, sample
from thumbwheel.language_model.kept import (
    Asked,
    kept_answers,
    kept_embeddings,
    kept_scores,
    model_identity,
)
from thumbwheel.language_model.loading import LoadedBase
from thumbwheel.types import Answer, LogProb, Prompt

__all__ = ["AdaptedModel"]

Progress = Callable[[int, int], None]
"""Called with how many are done and how many there are."""


class AdaptedModel:
    """The base, or the base with one LoRA adapter; implements `types.LanguageModel`.

    Scores, embeddings and samples are kept for the life of the object, so that several metrics
    that ask for the same texts share one pass over the model; with a cache, they are also kept for
    later cycles and other processes, batch by batch. What is kept equals what would be computed up
    to the rounding of floats, which depends on what else is in a batch.

    Args:
        base: The base model in memory. Several models may share it, one call at a time.
        name: `base`, `champion` or `candidate`.
        adapter: A LoRA adapter directory, or None for the base itself.
        settings: Batch size, sampling and seed.
        max_length: Longest sequence scored, in tokens; the same as in training.
        cache: Asked before the model is.
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
        cache: ModelCache | None = None,
        progress: Progress | None = None,
    ) -> None:
        self._base = base
        self._name = name
        self._adapter = base.add_adapter(adapter) if adapter is not None else None
        self._settings = settings
        self._max_length = min(max_length, base.context_length)
        self._progress = progress or (lambda done, total: None)
        identity = model_identity(base, adapter) if cache is not None else ""
        self._scores = kept_scores(cache, identity)
        self._embeddings = kept_embeddings(cache, identity)
        self._answers = kept_answers(cache, identity)
        self._n_computed = self._n_kept = 0
        self._truncated: set[tuple[str, str]] = set()

    @property
    def name(self) -> str:
        """`base`, `champion` or `candidate`."""
        return self._name

    @property
    def n_truncated(self) -> int:
        """How many of the texts read so far were longer than `max_length` and were cut."""
        return len(self._truncated)

    @property
    def n_computed(self) -> int:
        """How many texts the model itself has read or written."""
        return self._n_computed

    @property
    def n_kept(self) -> int:
        """How many texts were found in the cache instead."""
        return self._n_kept

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
        return [self._scores[name] for name in self._read(prompts, completions)]

    def embed(
        self, prompts: Sequence[Prompt], completions: Sequence[str]
    ) -> npt.NDArray[np.float32]:
        """Return what the model makes of each completion behind its prompt, for a linear judge.

        With h(l, t) the hidden state of layer l at token t, L the last layer (behind the final
        norm) and C the completion's tokens, those that `log_probs` scores: the embedding is
        [mean over C of h(L - 1, t); mean over C of h(L, t); h(L, last token of C)].

        The same pass scores the completions: `log_probs` of the same texts costs nothing later.

        Args:
            prompts: n prompts.
            completions: n completions, one for each prompt; cut as in `log_probs`.

        Returns:
            Float32, shape (n, 3 * hidden size).

        Raises:
            DataError: The chat template refuses a prompt.
        """
        names = self._read(prompts, completions, with_embeddings=True)
        hidden: int = self._base.model.config.get_text_config().hidden_size
        embeddings = np.empty((len(names), 3 * hidden), np.float32)
        for row, name in enumerate(names):
            embeddings[row] = self._embeddings[name]
        return embeddings

    def generate(self, prompts: Sequence[Prompt]) -> Sequence[str]:
        """Sample one completion per prompt: the texts of `answers`.

        A prompt that is listed again gets its next draw.

        Args:
            prompts: n prompts. Of one that leaves no room in the model's context, the end is kept.

        Returns:
            n texts without special tokens.

        Raises:
            DataError: The chat template refuses a prompt.
        """
        seen: Counter[str] = Counter()
        draws = []
        for prompt in prompts:
            key = _key(prompt)
            draws.append(seen[key])
            seen[key] += 1
        return [answer.text for answer in self._draw(prompts, draws)]

    def answers(
        self, prompts: Sequence[Prompt], n: int, *, first: int = 0
    ) -> Sequence[Sequence[Answer]]:
        """Sample `n` completions per prompt: the draws `first` to `first + n - 1` of each.

        Each draw has random numbers of its own, seeded by the configured seed, the prompt and the
        draw's number: it does not depend on torch's generator, which is left alone, nor on the
        other prompts and draws, and two models asked the same draw from the same numbers, which
        narrows their difference. A prompt that is listed again gets the same answers again.

        Args:
            prompts: Prompts. Of one that leaves no room in the model's context, the end is kept.
            n: Draws of each prompt.
            first: The number of the first of them, counted from 0.

        Returns:
            For each prompt its draws in order, as texts without special tokens; `finished` where
            a token that ends the turn came within `max_new_tokens`.

        Raises:
            DataError: The chat template refuses a prompt.
        """
        draws = range(first, first + n)
        answers = self._draw([p for p in prompts for _ in draws], [*draws] * len(prompts))
        return [answers[start * n : (start + 1) * n] for start in range(len(prompts))]

    def _read(
        self,
        prompts: Sequence[Prompt],
        completions: Sequence[str],
        *,
        with_embeddings: bool = False,
    ) -> list[tuple[str, str]]:
        """Have each text scored, and embedded where asked for; return their names."""
        known = self._embeddings if with_embeddings else self._scores
        names = [
            (_key(prompt), completion)
            for prompt, completion in zip(prompts, completions, strict=True)
        ]
        new = {name: row for row, name in enumerate(names) if name not in known}
        texts = [(prompts[row], completions[row]) for row in new.values()]
        encoded = encode(self._base, *zip(*texts, strict=True)) if texts else []
        asked = [
            Asked(name, *text, self._fit(name, *ids))
            for name, text, ids in zip(new, texts, encoded, strict=True)
        ]
        left = known.look_up(asked)
        batches = Batches(self._base, self._settings.batch_size, with_embeddings=with_embeddings)
        for batch in self._counted(batches.of(left, lambda it: it.ids), len(left), len(asked)):
            scores, embeddings = read(
                self._base,
                self._adapter,
                [it.ids for it in batch],
                with_embeddings=with_embeddings,
            )
            self._scores.keep(batch, scores)
            if embeddings is not None:
                self._embeddings.keep(batch, list(embeddings))
        return names

    def _draw(self, prompts: Sequence[Prompt], draws: Sequence[int]) -> list[Answer]:
        """Return the answer to each prompt that is the draw of that number."""
        settings = self._settings
        names = [(_key(prompt), draw) for prompt, draw in zip(prompts, draws, strict=True)]
        new = {name: row for row, name in enumerate(names) if name not in self._answers}
        room = max(1, self._base.context_length - settings.max_new_tokens)
        encoded = encode_prompts(self._base, [prompts[row] for row in new.values()])
        asked = [
            Asked(
                name,
                prompts[row],
                "",
                Ids(ids[-room:], []),
                (self._seed(*name), settings.temperature, settings.top_p, settings.max_new_tokens),
            )
            for (name, row), ids in zip(new.items(), encoded, strict=True)
        ]
        left = sorted(self._answers.look_up(asked), key=lambda it: len(it.ids.prompt))
        starts = range(0, len(left), settings.batch_size)
        batches = (left[start : start + settings.batch_size] for start in starts)
        for batch in self._counted(batches, len(left), len(asked)):
            answers = sample(
                self._base,
                self._adapter,
                [it.ids.prompt for it in batch],
                [int(it.settings[0]) for it in batch],
                settings,
            )
            self._answers.keep(batch, answers)
        return [self._answers[name] for name in names]

    def _counted(
        self, batches: Iterable[list[Asked]], n_left: int, n_asked: int
    ) -> Iterator[list[Asked]]:
        """Yield the batches; count what the cache had, and each batch when it has been computed."""
        done = n_asked - n_left
        self._n_kept += done
        if done:
            self._progress(done, n_asked)
        for batch in batches:
            yield batch
            done += len(batch)
            self._n_computed += len(batch)
            self._progress(done, n_asked)

    def _fit(self, key: tuple[str, str], prompt: list[int], completion: list[int]) -> Ids:
        excess = len(prompt) + len(completion) - self._max_length
        if excess <= 0:
            return Ids(prompt, completion)
        self._truncated.add(key)
        if len(prompt) < self._max_length:
            return Ids(prompt, completion[: self._max_length - len(prompt)])
        completion = completion[: self._max_length // 2]
        return Ids(prompt[len(completion) - self._max_length :], completion)

    def _seed(self, prompt: str, draw: int) -> int:
        text = f"{self._settings.seed} {draw} {prompt}"
        return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=7).digest())


def _key(prompt: Prompt) -> str:
    return json.dumps(
        [[m["role"], m["content"], *([m["extra"]] if m.get("extra") else [])] for m in prompt]
    )
