"""The votes that count, kept from one counting to the next: counting takes a look at every vote."""

import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

from pydantic import TypeAdapter, ValidationError
from pydantic_core import to_json

from thumbwheel.config import VotePolicy
from thumbwheel.errors import DiskFullError
from thumbwheel.process.durable import write_bytes
from thumbwheel.store.conflicts import conflicting_ids
from thumbwheel.store.connection import Connection
from thumbwheel.store.sources import balance
from thumbwheel.store.values import ConflictingIds, Quarantined
from thumbwheel.store.votes import WeighedVotes
from thumbwheel.types import VoteCounts

__all__ = ["Standing", "forget_standing", "parked_as_counted", "standing"]

# A counting is good for so many times as long as it took, so that looks cost a small share of the
# time; one that takes no time is made anew.
_GOOD_FOR = 60
_NO_SECONDS = 0.25


@dataclass(frozen=True, slots=True)
class Standing:
    """Which votes count, and whose do not, as of `counted_at`.

    Attributes:
        counts: What became of the votes.
        quarantined: The raters whose votes are left out.
        conflicts: Ids that mean several things.
        counted_at: When that was.
        n_since: Events that have come since then.
    """

    counts: VoteCounts
    quarantined: Sequence[Quarantined]
    conflicts: Sequence[ConflictingIds]
    counted_at: datetime
    n_since: int = 0


@dataclass(frozen=True, slots=True)
class _State:
    """What all that is counted follows from: events are only added and removed."""

    n_events: int
    last: int
    namespaces: str


@dataclass(frozen=True, slots=True)
class _Kept:
    standing: Standing
    policy: str
    state: "_State"
    parked: Mapping[str, int]
    seconds: float


_KEPT = TypeAdapter(_Kept)

_STATE = """
SELECT (SELECT count(*) FROM events), (SELECT coalesce(max(arrival), 0) FROM events),
       (SELECT coalesce(string_agg(concat_ws(' ', source, namespace), ',' ORDER BY source), '')
        FROM sources)
"""


def standing(connection: Connection, policy: VotePolicy, beside: Path) -> Standing:
    """Return which votes count; counted anew, unless that was done just now or nothing has come.

    Args:
        connection: In a transaction.
        policy: Which votes count, and how much.
        beside: The store's file; the last counting is kept beside it.
    """
    path, text = _path(beside), policy.model_dump_json()
    state, kept = _state(connection), _read(path)
    if kept is not None and kept.policy == text:
        age = (datetime.now(UTC) - kept.standing.counted_at).total_seconds()
        n_since = state.n_events - kept.state.n_events
        is_costly = kept.seconds > _NO_SECONDS and n_since >= 0
        if kept.state == state or (is_costly and 0 <= age < _GOOD_FOR * kept.seconds):
            return replace(kept.standing, n_since=n_since)
    started = time.monotonic()
    parked = {counts.source: counts.parked for counts in balance(connection)}
    conflicts = conflicting_ids(connection)
    weighed = WeighedVotes(connection, policy)
    found = Standing(weighed.counts(), weighed.quarantined, conflicts, datetime.now(UTC))
    made = _Kept(found, text, state, parked, time.monotonic() - started)
    with suppress(OSError, DiskFullError):
        write_bytes(path, to_json(made), private=True)
    return found


def parked_as_counted(connection: Connection, beside: Path) -> Mapping[str, int] | None:
    """Return how many of each source's records are parked, if nothing has come since that count."""
    kept = _read(_path(beside))
    return kept.parked if kept is not None and kept.state == _state(connection) else None


def _state(connection: Connection) -> _State:
    ((n_events, last, namespaces),) = connection.execute(_STATE).fetchall()
    return _State(n_events, last, namespaces)


def forget_standing(beside: Path) -> None:
    """Remove what is kept: it names raters."""
    _path(beside).unlink(missing_ok=True)


def _path(beside: Path) -> Path:
    return beside.with_name("standing.json")


def _read(path: Path) -> _Kept | None:
    try:
        return _KEPT.validate_json(path.read_bytes())
    except (OSError, ValidationError):
        return None
