"""How token sequences are cut and laid side by side, so that one pass over them costs least.

Pure arithmetic on numbers of tokens. What a row of t tokens costs is t + t^2 / square, in tokens:
everything but attention grows with t, attention with its square (the mask is dense), and at
`square` tokens both take the same.
"""

from collections.abc import Callable, Iterable, Sequence
from typing import TypeVar

__all__ = ["MOST_PADDING", "cut_branches", "fill_rows", "in_batches"]

MOST_PADDING = 0.1
"""The share of a pass's tokens that is padding, at most."""

Item = TypeVar("Item")


def cut_branches(shared: int, branches: Sequence[int], square: float) -> list[list[int]]:
    """Divide the branches behind a shared beginning over pieces, each with its own copy of it.

    Args:
        shared: Tokens of the beginning.
        branches: Tokens of each branch.
        square: See the module.

    Returns:
        The branches' indices by piece. One piece, unless attention within it is dearer than another
        copy of the beginning.
    """

    def cost(pieces: list[list[int]]) -> float:
        return sum(_cost(shared + sum(branches[i] for i in piece), square) for piece in pieces)

    best = _balanced(branches, 1)
    for n in range(2, len(branches) + 1):
        pieces = _balanced(branches, n)
        if cost(pieces) >= cost(best):
            break
        best = pieces
    return best


def fill_rows(sizes: Sequence[int], square: float) -> list[list[int]]:
    """Lay pieces into rows that are padded to the longest of them, at least cost.

    Args:
        sizes: Tokens of each piece.
        square: See the module.

    Returns:
        The pieces' indices by row. Padding is at most `MOST_PADDING` of the whole.
    """
    total = sum(sizes)
    best = _balanced(sizes, 1)
    least = _cost(total, square)
    for n in range(2, len(sizes) + 1):
        rows = _balanced(sizes, n)
        width = max(sum(sizes[i] for i in row) for row in rows)
        cost = n * _cost(width, square)
        if n * width * (1 - MOST_PADDING) <= total and cost < least:
            best, least = rows, cost
    return best


def in_batches(
    items: Iterable[Item], size: Callable[[Sequence[Item]], int], budget: int
) -> list[list[Item]]:
    """Put items into batches within a budget, in their order.

    Args:
        items: Sorted by length, so that those of a batch are of about one length.
        size: Tokens of a batch.
        budget: Tokens of a batch at most; only an item that is larger by itself exceeds it.
    """
    batches: list[list[Item]] = []
    for item in items:
        if batches and size([*batches[-1], item]) <= budget:
            batches[-1].append(item)
        else:
            batches.append([item])
    return batches


def _cost(n_tokens: int, square: float) -> float:
    return n_tokens + n_tokens**2 / square


def _balanced(sizes: Sequence[int], n: int) -> list[list[int]]:
    """Divide items over n bins of about one size: the largest first, each to the emptiest bin.

    (Graham, "Bounds on multiprocessing timing anomalies", 1969, section 3.)
    """
    bins: list[list[int]] = [[] for _ in range(n)]
    filled = [0] * n
    for index in sorted(range(len(sizes)), key=lambda index: -sizes[index]):
        emptiest = filled.index(min(filled))
        bins[emptiest].append(index)
        filled[emptiest] += sizes[index]
    return bins
