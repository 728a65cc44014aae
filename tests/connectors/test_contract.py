"""Connectors keep the contract, the page's example too; and those that break it are noticed."""

import csv
import json
import re
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from brokers import FORGOTTEN_SOCKETS

from thumbwheel.conformance import ConnectorContract, event
from thumbwheel.events import EventParser
from thumbwheel.events.mapping import KeyMapping, Scale
from thumbwheel.types import Batch, Connector, EventLog, Lag
from thumbwheel_connectors.files.connector import FileConnector
from thumbwheel_connectors.kafka.connector import KafkaConnector

PAGE = Path(__file__).parents[2] / "docs" / "connectors.md"


class TestJsonl(ConnectorContract):
    def connector(self, folder):
        folder.mkdir(exist_ok=True)
        self.path = folder / "events.jsonl"
        self.path.touch()
        return FileConnector(self.path)

    def produce(self, records):
        with self.path.open("ab") as file:
            file.writelines(record + b"\n" for record in records)


class TestCsv(ConnectorContract):
    carries_malformed = False
    columns = tuple(json.loads(event(0)))

    def connector(self, folder):
        folder.mkdir(exist_ok=True)
        self.path = folder / "events.csv"
        self.path.write_text(",".join(self.columns) + "\n")
        return FileConnector(self.path)

    def produce(self, records):
        with self.path.open("a", newline="") as file:
            csv.DictWriter(file, self.columns).writerows(map(json.loads, records))

    def identity(self, raw):
        return json.loads(raw)["event_id"]

    def parser(self):
        return EventParser(KeyMapping(rating="score", event_id="event_id", scale=Scale(-1, 1)))


class TestParquet(ConnectorContract):
    carries_malformed = False

    def connector(self, folder):
        folder.mkdir(exist_ok=True)
        self.folder = folder
        return FileConnector(folder)

    def produce(self, records):
        table = pa.Table.from_pylist([json.loads(record) for record in records])
        pq.write_table(table, self.folder / f"{len(list(self.folder.iterdir())):06}.parquet")

    def identity(self, raw):
        return json.loads(raw)["event_id"]


@pytest.mark.filterwarnings(FORGOTTEN_SOCKETS)
class TestKafka(ConnectorContract):
    @pytest.fixture(autouse=True)
    def _topic(self, broker, request):
        self.broker, self.topic = broker, f"contract-{type(self).__name__}-{request.node.name}"

    def connector(self, folder):
        self.broker.create_topic(self.topic)
        return KafkaConnector(topics=(self.topic,), bootstrap_servers=self.broker.address)

    def produce(self, records):
        self.broker.produce(self.topic, records)


def page_example() -> type[ConnectorContract]:
    """Return the page's test of the page's connector."""
    namespace: dict[str, Any] = {"__name__": __name__}
    for source in re.findall(r"^```python\n(.*?)^```", PAGE.read_text(), re.M | re.S):
        exec(compile(source, PAGE, "exec"), namespace)  # noqa: S102
    found: type[ConnectorContract] = namespace["TestFolder"]
    return found


TestFolder = page_example()


class Passing:
    """A log that passes everything on; each subclass has one fault."""

    def __init__(self, connector: Connector, cursor: str | None) -> None:
        self.log: EventLog = connector.open(cursor)

    def poll(self, max_records: int) -> Batch | None:
        batch = self.log.poll(max_records)
        return batch and self.change(batch)

    def change(self, batch: Batch) -> Batch:
        return batch

    def acknowledge(self, cursor: str) -> None:
        self.log.acknowledge(cursor)

    def close(self) -> None:
        self.log.close()


class EmptyBatch(Passing):
    def poll(self, max_records):
        return super().poll(max_records) or Batch([], "", 1.0)


class TooMuch(Passing):
    def poll(self, max_records):
        return super().poll(max_records + 1)


class EndsEarly(Passing):
    polls = 0

    def poll(self, max_records):
        self.polls += 1
        return super().poll(max_records) if self.polls < 3 else None


class EndsForGood(Passing):
    ended = False

    def poll(self, max_records):
        batch = None if self.ended else super().poll(max_records)
        self.ended = batch is None
        return batch


class Reversed(Passing):
    def change(self, batch):
        return replace(batch, records=batch.records[::-1])


class DropsMalformed(Passing):
    def change(self, batch):
        good = [record for record in batch.records if record.raw.endswith(b"}")]
        return replace(batch, records=good or batch.records)


class OnePosition(Passing):
    def change(self, batch):
        return replace(batch, records=[r._replace(position="here") for r in batch.records])


class FutureProgress(Passing):
    def change(self, batch):
        return replace(batch, progress=1.5)


class LastingLag(Passing):
    def change(self, batch):
        return replace(batch, lag=Lag(1))


class LongCursor(Passing):
    def __init__(self, connector, cursor):
        super().__init__(connector, cursor and cursor.strip())

    def change(self, batch):
        return replace(batch, cursor=batch.cursor + " " * 20_000)


class AheadOfItself(Passing):
    """Its cursor is behind what it will hand out next."""

    def poll(self, max_records):
        batch = super().poll(1)
        ahead = super().poll(1)
        return batch and ahead and replace(batch, cursor=ahead.cursor)


class RemembersItself(Passing):
    """It goes on where reading stopped, not where it is told to."""

    last: ClassVar[dict[Connector, str]] = {}

    def __init__(self, connector, cursor):
        super().__init__(connector, self.last.get(connector, cursor))
        self.connector = connector

    def change(self, batch):
        self.last[self.connector] = batch.cursor
        return batch


class StartsOver(Passing):
    def __init__(self, connector, cursor):
        super().__init__(connector, None)


class ClosesOnce(Passing):
    def close(self):
        del self.log


@pytest.mark.parametrize(
    ("fault", "test"),
    [
        (EmptyBatch, "an_empty_source_is_caught_up"),
        (TooMuch, "max_records_is_kept"),
        (EndsEarly, "everything_comes_once_and_in_order"),
        (EndsForGood, "a_log_that_was_caught_up_reads_on"),
        (Reversed, "everything_comes_once_and_in_order"),
        (DropsMalformed, "malformed_records_are_handed_on"),
        (OnePosition, "positions_tell_records_apart"),
        (FutureProgress, "progress_and_lag_are_sane"),
        (LastingLag, "progress_and_lag_are_sane"),
        (LongCursor, "cursors_are_small_texts"),
        (AheadOfItself, "reading_goes_on_behind_any_batch"),
        (AheadOfItself, "each_event_is_stored_once"),
        (RemembersItself, "what_was_not_acknowledged_comes_again"),
        (RemembersItself, "the_same_cursor_gives_the_same_records"),
        (RemembersItself, "each_event_is_stored_once"),
        (StartsOver, "what_arrives_between_two_runs_is_read"),
        (StartsOver, "each_event_is_stored_once"),
        (ClosesOnce, "closing_twice_is_harmless"),
    ],
)
def test_a_fault_is_noticed(tmp_path, monkeypatch, fault, test):
    """Each way to break the contract fails the test that is about it."""

    @dataclass(frozen=True)
    class Faulty:
        connector: Connector

        def open(self, cursor: str | None) -> EventLog:
            return fault(self.connector, cursor)

    contract = TestFolder()
    make = contract.connector
    monkeypatch.setattr(contract, "patience_seconds", 0.1)
    monkeypatch.setattr(contract, "connector", lambda folder: Faulty(make(folder)))
    RemembersItself.last.clear()
    with pytest.raises((AssertionError, AttributeError)):
        getattr(contract, f"test_{test}")(tmp_path)
