"""From pairs to what the model is given: TRL's batch, with the same packed beside it.

Imports torch and trl: only the trainer imports this module.
"""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from trl.trainer.dpo_trainer import DataCollatorForPreference

from thumbwheel.training.arrangement import MOST_PADDING
from thumbwheel.training.batches import Example, cut_step, sequences_of
from thumbwheel.training.packing import pack
from thumbwheel.training.sequences import Sequences, count_tokens

__all__ = ["Collator"]


class Collator:
    """Makes batches of pairs.

    Args:
        plain: TRL's own collator.
        budget: Tokens that go through the model at once, padding included; only a single pair may
            exceed it.
        square: See `arrangement`; None where the model cannot read packed sequences.
    """

    def __init__(
        self, plain: DataCollatorForPreference, *, budget: int, square: float | None
    ) -> None:
        assert plain.max_length is not None  # noqa: S101 - `trainer_arguments` sets it
        self.plain, self._max_length = plain, plain.max_length
        self._square = square
        self._budget = budget if square is None else int(budget * (1 - MOST_PADDING))

    def batch(self, pairs: Sequence[Example]) -> dict[str, Any]:
        """Return TRL's batch of pairs, and `packed` where the model can read that."""
        batch: dict[str, Any] = self.plain(list(pairs))
        if self._square is not None:
            batch["packed"] = pack(
                sequences_of(pairs, self._max_length),
                width=batch["input_ids"].shape[1],
                pad_token_id=self.plain.pad_token_id,
                square=self._square,
            )
        return batch

    def parts(self, pairs: Sequence[Example]) -> list[list[Example]]:
        """Divide pairs into parts that fit into the budget."""
        size: Callable[[Sequences], int] = _padded if self._square is None else count_tokens
        return cut_step(pairs, max_length=self._max_length, budget=self._budget, size=size)

    def step(self, pairs: Sequence[Example]) -> dict[str, Any]:
        """Return an optimizer step's pairs as `parts`: batches with their shares of the step.

        `share` is of its pairs; `share_of_sft` of the tokens that the loss `sft` is the mean of.
        """
        parts = self.parts(pairs)
        batches = [self.batch(part) for part in parts]
        tokens = [_n_chosen(batch) for batch in batches]
        for part, batch, n_tokens in zip(parts, batches, tokens, strict=True):
            batch["share"] = len(part) / len(pairs)
            batch["share_of_sft"] = n_tokens / max(1, sum(tokens))
        return {"parts": batches}


def _padded(sequences: Sequences) -> int:
    """Return how many tokens TRL's layout has."""
    return len(sequences) * max(len(prompt) + len(answer) for prompt, answer in sequences)


def _n_chosen(batch: dict[str, torch.Tensor]) -> int:
    chosen, _ = batch["completion_mask"].chunk(2)
    return int(chosen[:, 1:].sum())
