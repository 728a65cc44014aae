"""What the tests of the store share: events in few words, and batches of them."""

import json
from datetime import UTC, datetime
from typing import TypeVar

import pyarrow as pa
import pyarrow.parquet as pq

from thumbwheel.config import VotePolicy
from thumbwheel.events import IDENTIFIED, EventParser
from thumbwheel.store import RATED_FILE
from thumbwheel.tables import RATED

T = TypeVar("T")

NOW = datetime(2026, 1, 1, tzinfo=UTC)


class Quiet:
    """An observer that shows nothing."""

    def stage(self, name: str) -> None: ...
    def progress(self, share: float, note: str = "") -> None: ...
    def done(self, summary: str) -> None: ...
    def warn(self, message: str) -> None: ...


def event(**values):
    """Return an event's row. It carries an answer; a key given as `...` is left out."""
    record = {"prompt": "p", "completion": "c", **values}
    record = {key: value for key, value in record.items() if value is not ...}
    return EventParser().parse(json.dumps(record).encode())


def vote(**values):
    """Return the row of a vote that comes without its answer."""
    return event(prompt=..., completion=..., **values)


def table(events):
    return pa.Table.from_pylist(list(events), schema=IDENTIFIED)


def append(store, *events, letters=(), cursor="1", source="s", now=NOW, namespace=None):
    received = len(events) + len(letters)
    return store.append(
        source, table(events), letters, cursor=cursor, received=received, now=now,
        namespace=namespace,
    )  # fmt: skip


def rated(store, tmp_path):
    snapshot = take_snapshot(store, tmp_path / "snapshot")
    return snapshot, {row["completion"]: row for row in read_rated(snapshot.path).to_pylist()}


def take_snapshot(store, path, origins=None, **policy):
    return store.snapshot(path, VotePolicy(votes=policy, origins=origins or {}))


def read_rated(snapshot):
    return pq.read_table(snapshot / RATED_FILE).cast(RATED)


def numbered(number, n):
    """Return `n` events of the batch with this number, some 200 bytes each."""
    return [
        event(event_id=f"{number}/{i}", completion=f"{number}/{i} " * 10, rater_id="r", score=1)
        for i in range(n)
    ]


def balanced(counts):
    """Tell whether everything that was received is accounted for."""
    return counts.received == (
        counts.stored
        + counts.duplicates
        + counts.dead_letters
        + counts.dropped
        + counts.parked
        + counts.expired
        + counts.forgotten
    )


def known(value: T | None) -> T:
    """Return what must not be missing."""
    assert value is not None
    return value
