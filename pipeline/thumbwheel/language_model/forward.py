"""One batch of token ids through a model: scores, embeddings and samples."""

from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, NamedTuple, TypeVar

import numpy as np
import numpy.typing as npt

from thumbwheel.config import EvaluationConfig
from thumbwheel.language_model.loading import LoadedBase
from thumbwheel.types import Answer, LogProb

if TYPE_CHECKING:
    import torch

__all__ = ["Batches", "Ids", "read", "sample"]

_MAX_NUMBERS = 2**27
"""Logits, or hidden states, held at once when reading texts: half a GiB in float32."""


class Ids(NamedTuple):
    """The token ids of a prompt and of the completion behind it."""

    prompt: list[int]
    completion: list[int]


Row = TypeVar("Row")


class Batches:
    """Puts texts that are to be read into batches that fit into memory.

    Args:
        base: The model that reads them.
        size: Texts in a batch, at most.
        with_embeddings: Whether all hidden states are held too.
    """

    def __init__(self, base: LoadedBase, size: int, *, with_embeddings: bool) -> None:
        config = base.model.config.get_text_config()
        self._size = size
        self._per_completion: int = config.vocab_size
        self._per_position: int = (
            (config.num_hidden_layers + 1) * config.hidden_size if with_embeddings else 0
        )

    def of(self, rows: Sequence[Row], ids: Callable[[Row], Ids]) -> Iterator[list[Row]]:
        """Yield the rows in batches, the longest first.

        So a batch that does not fit into memory fails at once. Neighbours are of about one
        length, so that little is padding.
        """
        batch: list[Row] = []
        for row in sorted(rows, key=lambda row: sum(map(len, ids(row))), reverse=True):
            larger = [*batch, row]
            if batch and (
                len(larger) > self._size or self._n_numbers([*map(ids, larger)]) > _MAX_NUMBERS
            ):
                yield batch
                larger = [row]
            batch = larger
        if batch:
            yield batch

    def _n_numbers(self, rows: list[Ids]) -> int:
        width = max(len(prompt) + len(completion) for prompt, completion in rows)
        n_scored = width - min(len(prompt) for prompt, _ in rows) + 1
        return len(rows) * max(n_scored * self._per_completion, width * self._per_position)


def read(
    base: LoadedBase, adapter: str | None, rows: Sequence[Ids], *, with_embeddings: bool
) -> tuple[list[LogProb], npt.NDArray[np.float32] | None]:
    """Score the completions of one batch, and embed them where asked for.

    Returns:
        A score for each row; and the embeddings as `AdaptedModel.embed` describes them, or None.
    """
    import torch

    input_ids, attention_mask = _pad(base, [p + c for p, c in rows], side="right")
    width = input_ids.shape[1]
    # The model's own forward applies its scaling or soft-capping of logits; `logits_to_keep`
    # spares it the positions of the prompts.
    n_kept = width - min(len(prompt) for prompt, _ in rows) + 1
    with torch.inference_mode(), base.using(adapter) as model:
        outputs = model(
            input_ids=input_ids,
            attention_mask=attention_mask,
            logits_to_keep=n_kept,
            use_cache=False,
            output_hidden_states=with_embeddings,
        )
        scores, embeddings = [], []
        for row, (prompt, completion) in enumerate(rows):
            # The token at position t is predicted by the logits at t - 1.
            start = len(prompt) - 1 - (width - n_kept)
            predictions = outputs.logits[row, start : start + len(completion)].float()
            where = slice(len(prompt), len(prompt) + len(completion))
            chosen = predictions.gather(-1, input_ids[row, where, None])[:, 0]
            # Sums of hundreds of terms keep their digits in float64.
            per_token = chosen.double() - predictions.logsumexp(-1).double()
            scores.append(LogProb(per_token.sum().item(), len(completion)))
            if with_embeddings:
                before, last = (layer[row, where].float() for layer in outputs.hidden_states[-2:])
                parts = [before.mean(0), last.mean(0), last[-1]]
                embeddings.append(torch.cat(parts).cpu().numpy())
    return scores, np.stack(embeddings) if with_embeddings else None


def sample(
    base: LoadedBase,
    adapter: str | None,
    prompts: Sequence[list[int]],
    seeds: Sequence[int],
    settings: EvaluationConfig,
) -> list[Answer]:
    """Sample an answer to each prompt of one batch, from the random stream of its seed."""
    import torch
    from transformers import GenerationConfig, LogitsProcessorList

    from thumbwheel.language_model.sampling import GumbelSampler

    input_ids, attention_mask = _pad(base, prompts, side="left")
    with torch.inference_mode(), base.using(adapter) as model:
        tokens = model.generate(
            input_ids=input_ids,
            attention_mask=attention_mask,
            generation_config=GenerationConfig(
                max_new_tokens=settings.max_new_tokens,
                # The most likely token after the sampler's noise is a sample.
                do_sample=False,
                eos_token_id=base.stop_ids,
                pad_token_id=base.tokenizer.pad_token_id,
            ),
            logits_processor=LogitsProcessorList(
                [GumbelSampler(seeds, settings.temperature, settings.top_p)]
            ),
        )
    written = tokens[:, input_ids.shape[1] :]
    texts = base.tokenizer.batch_decode(written, skip_special_tokens=True)
    # A padding token may be a stop as well: it only stands behind one.
    stops = torch.isin(written, torch.tensor(base.stop_ids, device=written.device)).any(1)
    return [Answer(text, stop) for text, stop in zip(texts, stops.tolist(), strict=True)]


def _pad(
    base: LoadedBase, rows: Sequence[list[int]], side: str
) -> tuple["torch.Tensor", "torch.Tensor"]:
    import torch

    width = max(map(len, rows))
    ids = torch.full((len(rows), width), base.tokenizer.pad_token_id)
    mask = torch.zeros((len(rows), width), dtype=torch.long)
    for row, tokens in enumerate(rows):
        where = slice(len(tokens)) if side == "right" else slice(width - len(tokens), width)
        ids[row, where] = torch.tensor(tokens)
        mask[row, where] = 1
    return ids.to(base.device), mask.to(base.device)
