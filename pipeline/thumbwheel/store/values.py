"""What the store takes and gives: frozen values."""

from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

__all__ = [
    "DeadLetter",
    "ReplayCounts",
    "Snapshot",
    "SourceCounts",
    "StoredDeadLetter",
    "VoteCounts",
]


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """A record that could not be read, kept whole with the reason."""

    position: str
    raw: bytes
    reason: str


@dataclass(frozen=True, slots=True)
class StoredDeadLetter:
    """A dead letter as it is listed, without its bytes; `id` grows with the time of arrival."""

    id: int
    source: str
    position: str
    reason: str
    received_at: datetime
    n_bytes: int


@dataclass(frozen=True, slots=True)
class SourceCounts:
    """What became of a source's records: `received` is the sum of all the others.

    Attributes:
        source: The source's name.
        received: Records read, readable or not.
        stored: Events in the store, those that are parked left out.
        duplicates: Events that had been received before.
        dead_letters: Records that could not be read.
        dropped: Events that a `process_events` plugin left out.
        parked: Votes that wait for their answer. What `Store.append` returns does not tell them
            from the stored.
        expired: Votes that waited too long for their answer and were deleted.
    """

    source: str
    received: int = 0
    stored: int = 0
    duplicates: int = 0
    dead_letters: int = 0
    dropped: int = 0
    parked: int = 0
    expired: int = 0

    def __add__(self, other: "SourceCounts") -> "SourceCounts":
        """Return the sum of two batches of the same source."""
        return SourceCounts(
            self.source,
            self.received + other.received,
            self.stored + other.stored,
            self.duplicates + other.duplicates,
            self.dead_letters + other.dead_letters,
            self.dropped + other.dropped,
            self.parked + other.parked,
            self.expired + other.expired,
        )


@dataclass(frozen=True, slots=True)
class ReplayCounts:
    """What became of dead letters that were read again."""

    stored: int = 0
    duplicates: int = 0
    dropped: int = 0
    still_dead: int = 0

    def __add__(self, other: "ReplayCounts") -> "ReplayCounts":
        """Return the sum of two batches."""
        return ReplayCounts(
            self.stored + other.stored,
            self.duplicates + other.duplicates,
            self.dropped + other.dropped,
            self.still_dead + other.still_dead,
        )


@dataclass(frozen=True, slots=True)
class VoteCounts:
    """What became of the stored votes: votes = superseded + withdrawn + parked + counted.

    A parked vote waits for its answer; a superseded one was changed by the same rater later.
    """

    votes: int
    superseded: int
    withdrawn: int
    parked: int
    counted: int


@dataclass(frozen=True, slots=True)
class Snapshot:
    """The rated completions of one moment, as Parquet (`tables.RATED`, sorted by prompt)."""

    path: Path
    digest: str
    n_events: int
    n_prompts: int
    n_completions: int
    votes: VoteCounts
