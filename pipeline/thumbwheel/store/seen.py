"""Which events have been received before: exact, in memory, at a cost that does not grow.

An event id is known by 128 bits: two hashes of Python's, which is SipHash with a key drawn anew for
each process, so that nobody can choose ids that collide. The hashes lie in sorted runs that are
merged like a log-structured tree: each run is at least twice as long as the next, so that there are
few to search, and every hash is merged a few times only. Hashes are spread evenly, so their leading
bits tell almost exactly where one lies in a run. 17 bytes an event; while two runs are merged,
about three times that.
"""

from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import numpy.typing as npt
import pyarrow as pa

__all__ = ["Digests", "SeenEvents", "digests_of"]

_Words: TypeAlias = npt.NDArray[np.uint64]
_Flags: TypeAlias = npt.NDArray[np.bool_]
_Indices: TypeAlias = npt.NDArray[np.intp]


@dataclass(frozen=True, slots=True)
class Digests:
    """128-bit hashes as two columns of equal length."""

    high: _Words
    low: _Words

    def __len__(self) -> int:
        return len(self.high)

    def take(self, which: _Indices | _Flags) -> "Digests":
        """Return those at the given indices, or where a flag is set."""
        return Digests(self.high[which], self.low[which])


def digests_of(events: pa.Table, namespace: str) -> Digests:
    """Return the hashes by which events are known, in order; they hold for this process only.

    Ids are compared within a namespace. A record that was changed is another event of that id.

    Args:
        events: With `event_id` and `updated_at`.
        namespace: Whose ids they are.
    """
    names = events["event_id"].to_pylist()
    changed = events["updated_at"]
    if changed.null_count < len(changed):
        moments = changed.cast(pa.int64()).to_pylist()
        names = [
            name if moment is None else f"{name}\0{moment}"
            for name, moment in zip(names, moments, strict=True)
        ]
    # Mixed in behind the hashing, which is nearly all of the work, a namespace costs nothing.
    high, low = _hashes([namespace, "\0" + namespace])
    return Digests(_hashes(names) ^ high, _hashes(["\0" + name for name in names]) ^ low)


def _hashes(texts: list[str]) -> _Words:
    return np.fromiter(map(hash, texts), np.int64, len(texts)).view(np.uint64)


class SeenEvents:
    """The ids of all events received before."""

    def __init__(self) -> None:
        self._runs: list[_Run] = []

    def __len__(self) -> int:
        return sum(len(run.digests) for run in self._runs)

    def unseen(self, batch: Digests) -> _Flags:
        """Flag each event of a batch that is neither known nor a repetition within the batch."""
        order = np.lexsort((batch.low, batch.high))
        ordered = batch.take(order)
        new = np.ones(len(order), np.bool_)
        # The sort is stable: of equal ids the one that came first stays first.
        new[1:] = (np.diff(ordered.high) != 0) | (np.diff(ordered.low) != 0)
        for run in self._runs:
            new &= ~run.contains(ordered)
        flags = np.empty(len(order), np.bool_)
        flags[order] = new
        return flags

    def add(self, batch: Digests) -> None:
        """Remember events that `unseen` flagged."""
        if not len(batch):
            return
        newest = batch.take(np.argsort(batch.high))
        while self._runs and len(self._runs[-1].digests) < 2 * len(newest):
            newest = _merged(self._runs.pop().digests, newest)
        self._runs.append(_Run(newest))


class _Run:
    """Hashes sorted by their high word, with the place where each bucket of them begins."""

    def __init__(self, digests: Digests) -> None:
        self.digests = digests
        bits = max(1, len(digests).bit_length() - 3)
        self._shift = np.uint64(64 - bits)
        bounds = np.arange(1 << bits, dtype=np.uint64) << self._shift
        self._begins = np.searchsorted(digests.high, bounds).astype(np.uint32)

    def contains(self, wanted: Digests) -> _Flags:
        """Flag each hash that is in the run."""
        high, low = self.digests.high, self.digests.low
        found = np.zeros(len(wanted), np.bool_)
        at = self._begins[wanted.high >> self._shift].astype(np.intp)
        open_ = np.flatnonzero(at < len(high))
        while len(open_):
            place = at[open_]
            here = high[place]
            found[open_] = (here == wanted.high[open_]) & (low[place] == wanted.low[open_])
            open_ = open_[(here <= wanted.high[open_]) & ~found[open_]]
            at[open_] += 1
            open_ = open_[at[open_] < len(high)]
        return found


def _merged(older: Digests, newer: Digests) -> Digests:
    both = Digests(np.concatenate((older.high, newer.high)), np.concatenate((older.low, newer.low)))
    # numpy's stable sort finds the two sorted halves and merges them in linear time.
    return both.take(np.argsort(both.high, kind="stable"))
