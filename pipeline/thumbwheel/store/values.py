"""What the store takes and gives: frozen values."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from thumbwheel.types import VoteCounts
from thumbwheel.types.fates import IdConflict, Quarantine, SourceStatus

__all__ = [
    "ConflictingIds",
    "DeadLetter",
    "PluginCount",
    "Quarantined",
    "ReplayCounts",
    "Snapshot",
    "SourceState",
    "StoredDeadLetter",
    "VoteSides",
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
class SourceState:
    """How a source fares.

    `error` says why it waits to try again, or what to mend; lags are None where the source cannot
    tell.
    """

    source: str
    state: SourceStatus
    error: str | None = None
    lag_records: int | None = None
    lag_seconds: float | None = None


@dataclass(frozen=True, slots=True)
class ConflictingIds:
    """Ids of a source that name what they should not, and how many.

    Attributes:
        source: Whose ids, or the namespace that joined sources share.
        kind: What is wrong.
        n: How many ids.
        example: One of them.
        other: The source that claims the same ids.
    """

    source: str
    kind: IdConflict
    n: int
    example: str
    other: str | None = None

    @property
    def reason(self) -> str:
        """What is wrong, in words."""
        ids = "1 id" if self.n == 1 else f"{self.n:,} ids"
        return self.kind.words.format(n=ids, other=self.other)


@dataclass(frozen=True, slots=True)
class VoteSides:
    """How many votes of a source are up and down, and whether all of them are 0 or 1."""

    source: str
    votes: int
    up: int
    down: int
    only_0_1: bool


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
class Quarantined:
    """A rater whose votes are left out, and why; a burst is `most` votes within so many seconds.

    The id is of a namespace: that of a source, unless the configuration joins sources.
    """

    rater_id: str
    n_votes: int
    why: Quarantine
    most: int | None = None
    seconds: float | None = None
    namespace: str = ""

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
