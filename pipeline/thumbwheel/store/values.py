"""What the store takes and gives: frozen values."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from thumbwheel.fates import Quarantine

__all__ = [
    "DeadLetter",
    "PluginCount",
    "Quarantined",
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
        forgotten: Records about raters or generations that were forgotten: left out when they
            came, or removed since.
    """

    source: str
    received: int = 0
    stored: int = 0
    duplicates: int = 0
    dead_letters: int = 0
    dropped: int = 0
    parked: int = 0
    expired: int = 0
    forgotten: int = 0

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
            self.forgotten + other.forgotten,
        )


@dataclass(frozen=True, slots=True)
class PluginCount:
    """How often a plugin did something to the events of a source, such as redact an address."""

    source: str
    plugin: str
    what: str
    n: int


@dataclass(frozen=True, slots=True)
class ReplayCounts:
    """What became of dead letters that were read again."""

    stored: int = 0
    duplicates: int = 0
    dropped: int = 0
    still_dead: int = 0
    forgotten: int = 0

    def __add__(self, other: "ReplayCounts") -> "ReplayCounts":
        """Return the sum of two batches."""
        return ReplayCounts(
            self.stored + other.stored,
            self.duplicates + other.duplicates,
            self.dropped + other.dropped,
            self.still_dead + other.still_dead,
            self.forgotten + other.forgotten,
        )


@dataclass(frozen=True, slots=True)
class VoteCounts:
    """What became of the stored votes: `votes` is the sum of all the others.

    A parked vote waits for its answer; a superseded one was changed by the same rater later. Only
    a snapshot leaves votes out by policy: those of raters in quarantine, and those beyond a
    rater's budget.
    """

    votes: int
    superseded: int
    withdrawn: int
    parked: int
    counted: int
    quarantined: int = 0
    over_budget: int = 0


@dataclass(frozen=True, slots=True)
class Quarantined:
    """A rater whose votes are left out, and why; a burst is `most` votes within so many seconds."""

    rater_id: str
    n_votes: int
    why: Quarantine
    most: int | None = None
    seconds: float | None = None

    @property
    def reason(self) -> str:
        """Why, in words."""
        return self.why.words.format(n_votes=self.n_votes, most=self.most, seconds=self.seconds)


@dataclass(frozen=True, slots=True)
class Snapshot:
    """What raters hold at one moment, as a directory of Parquet files.

    - `rated.parquet`: `tables.RATED`, sorted by prompt and completion.
    - `comparisons.parquet`: `tables.COMPARISONS`, sorted likewise.
    - `votes.parquet`: `tables.VOTES` about the texts of prompts that have several.

    `path` is the directory.
    """

    path: Path
    digest: str
    n_events: int
    n_prompts: int
    n_completions: int
    votes: VoteCounts
    quarantined: Sequence[Quarantined] = ()
