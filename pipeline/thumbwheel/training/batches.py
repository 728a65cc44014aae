"""Which pairs an optimizer step learns from, and which of them go through the model together.

All pairs of a prompt are in one step, as far as they fit, since they share what the model reads. A
step's pairs go through the model in parts, by a budget of tokens; the step's loss is the same
however it is cut (see `trainer`).
"""

import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import chain
from typing import Any

from thumbwheel.training.arrangement import in_batches
from thumbwheel.training.sequences import Sequences

__all__ = ["Example", "StepSampler", "cut_step", "sequences_of"]

Example = Mapping[str, Any]
"""A pair in TRL's words: `prompt_ids`, `chosen_ids` and `rejected_ids`, lists of token ids."""


class StepSampler:
    """Yields for each optimizer step the indices of its pairs; shuffled anew in each epoch.

    A step has `pairs_per_step` pairs, give or take half of a prompt's: the shuffled prompts are cut
    where a multiple of the mean comes closest. An epoch has as many steps as without any grouping.
    The order is a function of the seed and the epoch alone.

    Args:
        pairs: For each pair its prompt's identity, and those of its completions.
        pairs_per_step: The number of pairs of a step.
        seed: Of the order.
    """

    def __init__(
        self, pairs: Sequence[tuple[bytes, tuple[bytes, bytes]]], pairs_per_step: int, seed: int
    ) -> None:
        self._n_pairs, self._seed, self._epoch = len(pairs), seed, 0
        self._n_steps = -(-len(pairs) // pairs_per_step)
        # No part of a prompt is larger than a mean step, so that every step gets one.
        most = len(pairs) // self._n_steps
        by_prompt: dict[bytes, list[int]] = {}
        for index, (prompt, _) in enumerate(pairs):
            by_prompt.setdefault(prompt, []).append(index)
        self._groups: list[list[int]] = []
        for members in by_prompt.values():
            # What shares a completion stays together where a prompt's pairs must part.
            members.sort(key=lambda index: pairs[index][1])
            self._groups += [members[i : i + most] for i in range(0, len(members), most)]

    def __len__(self) -> int:
        return self._n_steps

    def __iter__(self) -> Iterator[list[int]]:
        groups = list(self._groups)
        random.Random(f"{self._seed} {self._epoch}").shuffle(groups)  # noqa: S311 - an order
        steps: list[list[list[int]]] = [[] for _ in range(self._n_steps)]
        done = 0
        for group in groups:
            # The step in which the group's middle lies.
            middle = 2 * done + len(group)
            steps[middle * self._n_steps // (2 * self._n_pairs)].append(group)
            done += len(group)
        for step in steps:
            yield list(chain.from_iterable(step))

    def set_epoch(self, epoch: int) -> None:
        """Choose the epoch whose order comes next; called by `transformers.Trainer`."""
        self._epoch = epoch


def cut_step(
    examples: Sequence[Example],
    *,
    max_length: int,
    budget: int,
    size: Callable[[Sequences], int],
) -> list[list[Example]]:
    """Divide pairs into parts that go through the model one after the other.

    Args:
        examples: n pairs.
        max_length: Longer sequences are cut.
        budget: Tokens of a part, at most; only a single pair may exceed it.
        size: Returns the tokens that are read of some sequences.

    Returns:
        The pairs by part: the longest first, those of a prompt together where they fit.
    """

    def size_of(pairs: Sequence[Example]) -> int:
        return size(sequences_of(pairs, max_length))

    by_prompt: dict[tuple[int, ...], list[Example]] = {}
    for example in examples:
        by_prompt.setdefault(tuple(example["prompt_ids"]), []).append(example)
    units: list[list[Example]] = []
    for pairs in by_prompt.values():
        pairs.sort(key=lambda pair: (pair["chosen_ids"], pair["rejected_ids"]))
        units += in_batches(pairs, size_of, budget)
    units.sort(key=lambda pairs: -_longest(sequences_of(pairs, max_length)))
    parts = in_batches(units, lambda some: size_of([*chain.from_iterable(some)]), budget)
    return [[*chain.from_iterable(part)] for part in parts]


def sequences_of(pairs: Sequence[Example], max_length: int) -> Sequences:
    """Return the prompts with their completions, chosen ones first, cut as TRL cuts them."""
    return [
        (pair["prompt_ids"], pair[side][: max_length - len(pair["prompt_ids"])])
        for side in ("chosen_ids", "rejected_ids")
        for pair in pairs
    ]


def _longest(sequences: Sequences) -> int:
    return max(len(prompt) + len(completion) for prompt, completion in sequences)
