"""What both the fingerprints and their join do to arrays of integers."""

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

__all__ = ["Ints", "chunks", "distinct", "mixed", "spans"]

Ints = npt.NDArray[np.int64]


def spans(starts: Ints, counts: Ints) -> Ints:
    """Return the integers `start, start + 1, ...`, `count` of them, of one span after another."""
    ends = np.cumsum(counts)
    return np.arange(counts.sum()) + np.repeat(starts - ends + counts, counts)


def distinct(values: npt.NDArray[np.integer]) -> npt.NDArray[np.integer]:
    """Return the distinct values in ascending order; sorts in place, faster than `np.unique`."""
    values.sort()
    is_new = np.append(True, values[1:] != values[:-1])[: len(values)]
    return np.compress(is_new, values)


def chunks(costs: Ints, limit: int) -> Iterator[slice]:
    """Yield slices that cover `costs`, each of one item or of a cost of at most `limit`."""
    done = np.append(0, np.cumsum(costs))
    start = 0
    while start < len(costs):
        end = max(start + 1, int(np.searchsorted(done, done[start] + limit, "right")) - 1)
        yield slice(start, end)
        start = end


def mixed(values: npt.NDArray[np.uint64]) -> npt.NDArray[np.uint64]:
    """Return well-spread hashes of integers: the finaliser of SplitMix64."""
    values = (values ^ (values >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    values = (values ^ (values >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return values ^ (values >> np.uint64(31))
