"""Prompts with completions, as token ids, and what of them a model reads."""

import hashlib
from array import array
from collections.abc import Sequence

__all__ = ["Sequences", "by_prompt", "count_tokens", "identity", "n_read"]

Sequences = Sequence[tuple[Sequence[int], Sequence[int]]]
"""The token ids of prompts, each with those of a completion behind it."""


def by_prompt(sequences: Sequences) -> dict[tuple[int, ...], list[tuple[int, ...]]]:
    """Return each distinct prompt with its distinct completions, in the order they come."""
    found: dict[tuple[int, ...], dict[tuple[int, ...], None]] = {}
    for prompt, completion in sequences:
        found.setdefault(tuple(prompt), {})[tuple(completion)] = None
    return {prompt: list(completions) for prompt, completions in found.items()}


def identity(ids: Sequence[int]) -> bytes:
    """Return what stands for token ids where many are compared: 16 bytes, whatever their number."""
    return hashlib.blake2b(array("q", ids).tobytes(), digest_size=16).digest()


def n_read(branch: Sequence[int]) -> int:
    """Return how many of a branch's tokens predict one: all but the last (see `packing`)."""
    return max(0, len(branch) - 1)


def count_tokens(sequences: Sequences) -> int:
    """Return how many tokens are read when each distinct prompt and completion is read once."""
    return sum(
        len(prompt[:-1]) + sum(n_read(prompt[-1:] + completion) for completion in completions)
        for prompt, completions in by_prompt(sequences).items()
    )
