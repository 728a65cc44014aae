"""The contract of connectors as tests: inherit `ConnectorContract`, and pytest runs them.

```python
import pytest

pytest.register_assert_rewrite("thumbwheel.conformance")  # in conftest.py, for telling failures

from thumbwheel.conformance import ConnectorContract


class TestMyConnector(ConnectorContract):
    def connector(self, folder):
        self.folder = folder
        return MyConnector(folder)

    def produce(self, records):
        for record in records:
            ...  # append it to the source, as its real writer would
```

What is held to is `types.EventLog`, with a real store behind it at the end. Nothing here is needed
at run time, and nothing but pytest's `tmp_path` is needed to run it.
"""
# ruff: noqa: S101 - a test asserts

import dataclasses
import json
import time
from abc import ABC, abstractmethod
from collections.abc import Hashable, Iterable, Sequence
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import ClassVar

from thumbwheel.events import EventParser
from thumbwheel.store import DeadLetter, Store
from thumbwheel.types import Batch, Connector, EventLog, Record

__all__ = ["MALFORMED", "ConnectorContract", "event"]

MALFORMED = (
    b"no JSON",
    b'{"event_id": "cut", "prompt": ',
    b'{"event_id": "\xff\xfe", "score": 1}',
    b"nul \x00 byte",
    b'"a text"',
    b'{"event_id": "nothing", "score": 7}',
)
"""Records without line ends that no event can be read from."""

_MAX_CURSOR_CHARACTERS = 16_384
_SOURCE = "contract"


def event(number: int) -> bytes:
    """Return an event in Thumbwheel's own format: an answer and a vote on it, on one line."""
    return json.dumps(
        {
            "event_id": f"event-{number}",
            "generation_id": f"generation-{number}",
            "prompt": f"question {number}",
            "completion": f"answer {number}",
            "score": 1.0 if number % 3 else -1.0,
            "rater_id": f"rater-{number % 5}",
        }
    ).encode()


class ConnectorContract(ABC):
    """What every connector keeps. Subclasses name the source; each test gets a new, empty one.

    Attributes:
        carries_malformed: False for a source that lets nothing in that is no event.
        is_ordered: False for a source whose parts (partitions) come in any order.
        patience_seconds: How long a log that was caught up may take to find what was added.
    """

    carries_malformed: ClassVar[bool] = True
    is_ordered: ClassVar[bool] = True
    patience_seconds: ClassVar[float] = 10.0

    # --- what a subclass says ---------------------------------------------------------------------

    @abstractmethod
    def connector(self, folder: Path) -> Connector:
        """Make an empty source, in `folder` if it needs one, and return a connector for it."""

    @abstractmethod
    def produce(self, records: Sequence[bytes]) -> None:
        """Append to the source that `connector` made: events as `event` makes them, or others."""

    def parser(self) -> EventParser:
        """Return what reads the source's records; override it when they need a mapping."""
        return EventParser()

    def identity(self, raw: bytes) -> Hashable:
        """Return what tells a record apart, before and behind the source.

        The bytes themselves; override it for a source that keeps records in a form of its own.
        """
        return raw

    # --- reading ----------------------------------------------------------------------------------

    def test_a_connector_is_its_options(self, tmp_path: Path) -> None:
        """A connector is a frozen dataclass: a copy by its options reads the same."""
        connector = self.connector(tmp_path)
        assert dataclasses.is_dataclass(connector)
        assert type(connector).__dataclass_params__.frozen, "it can be changed after checking"
        self.produce(_events(0, 3))
        assert self._told_apart(_read(connector)) == self._told_apart(_read(_again(connector)))

    def test_an_empty_source_is_caught_up(self, tmp_path: Path) -> None:
        """Nothing there: None, not an empty batch, as often as one asks."""
        with closing(self.connector(tmp_path).open(None)) as log:
            assert [log.poll(10) for _ in range(3)] == [None, None, None]

    def test_everything_comes_once_and_in_order(self, tmp_path: Path) -> None:
        """All that was produced before `open` is there before the first None."""
        connector = self.connector(tmp_path)
        self.produce(_events(0, 25))
        self.produce(_events(25, 50))
        records = _read(connector, max_records=7)
        assert self._told_apart(records) == self._expected(_events(0, 50))

    def test_positions_tell_records_apart(self, tmp_path: Path) -> None:
        """Each record says where it stands, in words, and no two say the same."""
        connector = self.connector(tmp_path)
        self.produce(_events(0, 20))
        positions = [record.position for record in _read(connector)]
        assert all(isinstance(position, str) and position.strip() for position in positions)
        assert len(set(positions)) == 20

    def test_max_records_is_kept(self, tmp_path: Path) -> None:
        """No batch is empty or larger than asked for, and one at a time is enough for all."""
        connector = self.connector(tmp_path)
        self.produce(_events(0, 12))
        for max_records in (1, 5, 100):
            batches = _read_batches(connector.open(None), max_records)
            assert all(1 <= len(batch.records) <= max_records for batch in batches)
            assert sum(len(batch.records) for batch in batches) == 12

    def test_progress_and_lag_are_sane(self, tmp_path: Path) -> None:
        """Progress stays in [0, 1] and lag above 0; behind the last record nothing is left."""
        connector = self.connector(tmp_path)
        self.produce(_events(0, 30))
        batches = _read_batches(connector.open(None), max_records=7)
        assert all(0.0 <= batch.progress <= 1.0 for batch in batches)
        seconds = [batch.lag.seconds for batch in batches if batch.lag.seconds is not None]
        assert all(second >= 0.0 for second in seconds)
        left = [batch.lag.records for batch in batches if batch.lag.records is not None]
        assert left == sorted(left, reverse=True)
        assert not left or left[-1] == 0

    def test_a_log_that_was_caught_up_reads_on(self, tmp_path: Path) -> None:
        """What is produced after None is found by the same log, and by no other twice."""
        connector = self.connector(tmp_path)
        self.produce(_events(0, 3))
        with closing(connector.open(None)) as log:
            _poll_all(log, 10)
            for start in (3, 6):
                self.produce(_events(start, start + 3))
                news: list[Record] = []
                deadline = time.monotonic() + self.patience_seconds
                while len(news) < 3 and time.monotonic() < deadline:
                    news += [record for batch in _poll_all(log, 10) for record in batch.records]
                assert self._told_apart(news) == self._expected(_events(start, start + 3))
            assert log.poll(10) is None

    def test_closing_twice_is_harmless(self, tmp_path: Path) -> None:
        """A log may be closed unread, in the middle, and again."""
        connector = self.connector(tmp_path)
        self.produce(_events(0, 5))
        unread, begun = connector.open(None), connector.open(None)
        assert begun.poll(2) is not None
        for log in (unread, unread, begun, begun):
            log.close()

    # --- going on ---------------------------------------------------------------------------------

    def test_cursors_are_small_texts(self, tmp_path: Path) -> None:
        """A cursor is text that is stored with every batch, so it does not hold what was read."""
        connector = self.connector(tmp_path)
        self.produce(_events(0, 500))
        cursors = [batch.cursor for batch in _read_batches(connector.open(None), 50)]
        assert all(isinstance(cursor, str) for cursor in cursors)
        assert max(map(len, cursors)) <= _MAX_CURSOR_CHARACTERS

    def test_reading_goes_on_behind_any_batch(self, tmp_path: Path) -> None:
        """From each cursor a new process reads exactly what comes behind it."""
        connector = self.connector(tmp_path)
        self.produce(_events(0, 20))
        everything = self._expected(_events(0, 20))
        batches = _read_batches(connector.open(None), max_records=6)
        before: list[Record] = []
        for batch in batches:
            before += batch.records
            behind = _read(_again(connector), batch.cursor)
            assert self._told_apart([*before, *behind]) == everything
            assert len(before) + len(behind) == 20
        assert _read(_again(connector), batches[-1].cursor) == []

    def test_the_same_cursor_gives_the_same_records(self, tmp_path: Path) -> None:
        """Redelivery: bytes and positions behind a cursor are the same each time it is opened."""
        connector = self.connector(tmp_path)
        self.produce(_events(0, 15))
        stored = _read_batches(connector.open(None), max_records=5)[0]
        first, second = (_read(_again(connector), stored.cursor) for _ in range(2))
        assert sorted(map(_words, first)) == sorted(map(_words, second))
        assert not self.is_ordered or first == second
        assert self._told_apart([*stored.records, *first]) == self._expected(_events(0, 15))

    def test_what_was_not_acknowledged_comes_again(self, tmp_path: Path) -> None:
        """A crash behind handing out: the stored cursor decides, not what the source gave away."""
        connector = self.connector(tmp_path)
        self.produce(_events(0, 12))
        with closing(connector.open(None)) as log:
            stored = log.poll(4)
            assert stored is not None
            log.acknowledge(stored.cursor)
            assert log.poll(4) is not None
            assert log.poll(4) is not None
            with closing(_again(connector).open(stored.cursor)) as restarted:
                behind = [r for batch in _poll_all(restarted, 100) for r in batch.records]
        assert len(stored.records) + len(behind) == 12
        assert self._told_apart([*stored.records, *behind]) == self._expected(_events(0, 12))

    def test_what_arrives_between_two_runs_is_read(self, tmp_path: Path) -> None:
        """A process that comes back later finds what was produced while none was there."""
        connector = self.connector(tmp_path)
        self.produce(_events(0, 4))
        (*_, last) = _read_batches(connector.open(None), max_records=10)
        self.produce(_events(4, 9))
        records: list[Record] = []
        deadline = time.monotonic() + self.patience_seconds
        while not records and time.monotonic() < deadline:
            records = _read(_again(connector), last.cursor)
        assert self._told_apart(records) == self._expected(_events(4, 9))

    # --- what is no event -------------------------------------------------------------------------

    def test_malformed_records_are_handed_on(self, tmp_path: Path) -> None:
        """What is no event comes as the bytes it is, and hides nothing behind it."""
        if not self.carries_malformed:
            return
        connector = self.connector(tmp_path)
        produced = _with_malformed(_events(0, 6))
        self.produce(produced)
        for max_records in (1, 100):
            records = _read(connector, max_records=max_records)
            assert self._told_apart(records) == self._expected(produced)

    # --- with a store behind it -------------------------------------------------------------------

    def test_each_event_is_stored_once(self, tmp_path: Path) -> None:
        """Killed before or behind every commit and never acknowledged: each event once."""
        connector = self.connector(tmp_path / "source")
        produced = _with_malformed(_events(0, 18)) if self.carries_malformed else _events(0, 18)
        self.produce(produced)
        path = tmp_path / "store.duckdb"
        n_lives = 0
        while self._store_one_batch(path, _again(connector), commits=n_lives % 2 == 1):
            n_lives += 1
            assert n_lives <= len(produced), "it hands out more than was produced"
        n_malformed = len(produced) - 18
        with Store(path) as store:
            (counts,) = store.source_counts()
        assert (counts.received, counts.stored) == (len(produced), 18)
        assert (counts.duplicates, counts.dead_letters) == (0, n_malformed)

    def test_what_is_redelivered_is_stored_once(self, tmp_path: Path) -> None:
        """Read once more from the start, every event is known: nothing is stored twice."""
        connector = self.connector(tmp_path / "source")
        self.produce(_events(0, 18))
        path = tmp_path / "store.duckdb"
        for _ in range(2):
            with Store(path) as store:
                for batch in _read_batches(_again(connector).open(None), max_records=7):
                    self._append(store, batch)
        with Store(path) as store:
            (counts,) = store.source_counts()
        assert (counts.received, counts.stored, counts.duplicates) == (36, 18, 18)

    def _store_one_batch(self, path: Path, connector: Connector, *, commits: bool) -> bool:
        """Live as a process that reads one batch and is killed; return whether there was one."""
        with Store(path) as store:
            with closing(connector.open(store.cursor(_SOURCE))) as log:
                batch = log.poll(5)
            if batch is not None and commits:
                self._append(store, batch)
        return batch is not None

    def _append(self, store: Store, batch: Batch) -> None:
        parsed = self.parser().parse_batch([record.raw for record in batch.records])
        dead_letters = [
            DeadLetter(batch.records[index].position, batch.records[index].raw, reason)
            for index, reason, *_ in parsed.malformed
        ]
        store.append(
            _SOURCE,
            parsed.events,
            dead_letters,
            cursor=batch.cursor,
            received=len(batch.records),
            now=datetime.now(UTC),
        )

    # --- comparing --------------------------------------------------------------------------------

    def _told_apart(self, records: Iterable[Record]) -> list[Hashable]:
        return self._expected([record.raw for record in records])

    def _expected(self, raws: Iterable[bytes]) -> list[Hashable]:
        identities = [self.identity(raw) for raw in raws]
        return identities if self.is_ordered else sorted(identities, key=repr)


def _events(start: int, stop: int) -> list[bytes]:
    return [event(number) for number in range(start, stop)]


def _with_malformed(events: Sequence[bytes]) -> list[bytes]:
    """Return the events with malformed records at the beginning, between them and at the end."""
    mixed = [MALFORMED[0]]
    for number, raw in enumerate(events):
        mixed += [raw, *MALFORMED[number + 1 : number + 2]]
    return [*mixed, MALFORMED[0]]


def _again(connector: Connector) -> Connector:
    """Return the connector as a new process has it: made from its options, with no memory."""
    assert dataclasses.is_dataclass(connector)
    assert not isinstance(connector, type)
    return dataclasses.replace(connector)


def _poll_all(log: EventLog, max_records: int) -> list[Batch]:
    batches: list[Batch] = []
    while (batch := log.poll(max_records)) is not None:
        assert batch.records, "an empty batch; return None when there is nothing for now"
        assert len(batches) < 10_000, "it never says that it is caught up, though nothing is added"
        batches.append(batch)
    return batches


def _read_batches(log: EventLog, max_records: int) -> list[Batch]:
    with closing(log):
        return _poll_all(log, max_records)


def _read(connector: Connector, cursor: str | None = None, max_records: int = 8) -> list[Record]:
    batches = _read_batches(connector.open(cursor), max_records)
    return [record for batch in batches for record in batch.records]


def _words(record: Record) -> tuple[str, bytes]:
    return record.position, record.raw
