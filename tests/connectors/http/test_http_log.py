"""The HTTP receiver's log: what a reader sees of what a writer left behind, whatever happened."""

import asyncio
import errno
import json
import os
import threading
from contextlib import closing
from typing import Any

import pytest
import requests
from batches import next_batch
from http_senders import read
from pydantic import TypeAdapter

from thumbwheel.conformance import ConnectorContract
from thumbwheel.errors import SourceError
from thumbwheel_connectors.http.connector import HttpConnector
from thumbwheel_connectors.http.writer import GroupCommit, SegmentWriter


def numbers(records):
    return [json.loads(record.raw)["n"] for record in records]


def lines(start, stop):
    return b"".join(b'{"n": %d}\n' % n for n in range(start, stop))


def poll(directory, cursor=None, max_records=100):
    """Return the first batch behind a cursor."""
    with closing(HttpConnector(directory).open(cursor)) as log:
        return log.poll(max_records)


def read_into(records, directory, cursor):
    with closing(HttpConnector(directory).open(cursor)) as log:
        while (batch := log.poll(1)) is not None:
            records += batch.records


def segments(directory):
    return sorted(directory.glob("*.jsonl"))


def write(directory, *groups, **options):
    """Write each group in one append, and leave as a process does that is killed."""
    writer = SegmentWriter(directory, **options)
    for group in groups:
        writer.append(group)
    writer.close()


class TestHttp(ConnectorContract):
    """The contract of all connectors, with events that were really received."""

    carries_malformed = False

    @pytest.fixture(autouse=True)
    def _receivers(self):
        self.receivers: list[Any] = []
        yield
        for receiver in self.receivers:
            receiver.close()

    def connector(self, folder):
        connector = HttpConnector(folder / "log", port=0, allow_anonymous=True)
        self.receivers.append(connector.listen())
        return connector

    def produce(self, records):
        body = b"[" + b",".join(records) + b"]"
        url = self.receivers[-1].url + "/v1/generations"
        headers = {"Content-Type": "application/json"}
        assert requests.post(url, data=body, headers=headers, timeout=10).status_code == 202

    def identity(self, raw):
        return json.loads(raw)["event_id"]


def test_positions_and_lag(tmp_path):
    """A position names log, segment and line; lag is how long ago the last record came, or none."""
    write(tmp_path / "log", b'{"n": 0, "received_at": 1}\n{"n": 1, "received_at": 1}\n')
    batch = poll(tmp_path / "log", max_records=1)
    (segment,) = segments(tmp_path / "log")
    assert batch.records[0].position == f"log/{segment.name}:1"
    assert (batch.lag.records, batch.lag.seconds > 1e9) == (None, True)
    assert batch.progress == pytest.approx(0.5)
    last = poll(tmp_path / "log", batch.cursor)
    assert last.records[0].position == f"log/{segment.name}:2"
    assert (last.lag.records, last.lag.seconds, last.progress) == (0, 0.0, 1.0)


def test_segments_follow_each_other(tmp_path):
    """A new one begins when one is full and with each writer; resuming works across them."""
    write(tmp_path, *(lines(n, n + 1) for n in range(10)), segment_bytes=20)
    write(tmp_path, lines(10, 12))
    names = [int(path.stem) for path in segments(tmp_path)]
    assert names == list(range(names[0], names[0] + 5))
    seen: list[Any] = []
    with closing(HttpConnector(tmp_path).open(None)) as log:
        while (batch := log.poll(2)) is not None:
            seen += batch.records
            behind = poll(tmp_path, batch.cursor)
            assert numbers(seen + (behind.records if behind else [])) == list(range(12))
    assert numbers(seen) == list(range(12))


def test_an_unfinished_tail_waits_while_its_segment_is_the_last(tmp_path):
    """The line without an end is read when its rest comes, skipped when a segment comes instead."""
    write(tmp_path, lines(0, 2))
    (segment,) = segments(tmp_path)
    log = HttpConnector(tmp_path).open(None)
    with segment.open("ab") as file:
        file.write(b'{"n": ')
    assert numbers(next_batch(log, 9).records) == [0, 1]
    assert [log.poll(9), log.poll(9)] == [None, None]
    with segment.open("ab") as file:
        file.write(b'2}\n{"n": 3')
    assert numbers(next_batch(log, 9).records) == [2]
    assert log.poll(9) is None
    write(tmp_path, lines(4, 6))
    assert numbers(next_batch(log, 9).records) == [4, 5]
    log.close()
    assert segment.read_bytes().endswith(b'{"n": 3')
    assert numbers(read(HttpConnector(tmp_path))) == [0, 1, 2, 4, 5]


def test_a_cursor_beyond_the_end_goes_on_with_the_next_segment(tmp_path):
    """Lines that were read but lost with the power are not missed, and those behind are read."""
    write(tmp_path, lines(0, 10))
    (segment,) = segments(tmp_path)
    cursor = poll(tmp_path).cursor
    os.truncate(segment, 20)
    log = HttpConnector(tmp_path).open(cursor)
    assert log.poll(9) is None
    write(tmp_path, lines(10, 12))
    assert numbers(next_batch(log, 9).records) == [10, 11]
    log.close()


def test_a_round_ends_while_events_come_in(tmp_path):
    """None comes although the log has grown since, so that a single run comes to an end."""
    write(tmp_path, lines(0, 10))
    log = HttpConnector(tmp_path).open(None)
    read_lines = 0
    while (batch := log.poll(3)) is not None:
        read_lines += len(batch.records)
        write(tmp_path, lines(100, 110))
    log.close()
    assert read_lines == 10


LOST = {
    "the one being read": (slice(0, 1), []),
    "one between": (slice(1, 2), [2]),
    "all": (slice(0, 3), []),
}


@pytest.mark.parametrize(("lost", "readable"), LOST.values(), ids=LOST.keys())
@pytest.mark.parametrize("begun_anew", [False, True])
def test_a_missing_segment_is_noticed(tmp_path, lost, readable, begun_anew):
    """Reading stops with the remedy instead of leaving events out; also in a log begun anew."""
    for start in range(0, 9, 3):
        write(tmp_path, lines(start, start + 3))
    cursor = poll(tmp_path, max_records=2).cursor
    for path in segments(tmp_path)[lost]:
        path.unlink()
    if begun_anew:
        (tmp_path / "2999999999.jsonl").write_bytes(lines(0, 9))
    found: list[Any] = []
    with pytest.raises(SourceError, match="is not there; bring it back, or give the source a new"):
        read_into(found, tmp_path, cursor)
    assert numbers(found) == readable


@pytest.mark.parametrize(
    "cursor", ["", "{}", "[1]", '{"files": {}}', '{"segment": "x"}', '{"segment": null}']
)
def test_another_connectors_cursor_is_refused(tmp_path, cursor):
    """A source whose connector was changed says so."""
    with pytest.raises(SourceError, match="read by another connector"):
        HttpConnector(tmp_path).open(cursor)


def test_a_log_that_cannot_be_read_is_one_line(tmp_path):
    """A file where the directory should be is an error of the source, for both sides."""
    path = tmp_path / "log"
    path.write_text("")
    connector = TypeAdapter(HttpConnector).validate_python({"log": path, "allow_anonymous": True})
    with pytest.raises(SourceError, match="cannot be read: Not a directory"):
        connector.open(None)
    with pytest.raises(SourceError, match="cannot be written: File exists"):
        connector.listen()


def test_the_log_belongs_to_its_user_alone(tmp_path):
    """What users wrote is not readable by others on the machine."""
    write(tmp_path / "a" / "log", lines(0, 1))
    (segment,) = segments(tmp_path / "a" / "log")
    assert segment.stat().st_mode & 0o777 == 0o600
    assert segment.parent.stat().st_mode & 0o777 == 0o700


class TestGroupCommit:
    """Who waits is told after the fsync, and who waits together shares one."""

    @pytest.fixture
    def syncs(self, monkeypatch):
        """Count fsyncs of segments; they happen, but only when `go` is set."""
        real, syncs = os.fsync, []
        self.go = threading.Event()

        def fsync(descriptor):
            name = os.readlink(f"/proc/self/fd/{descriptor}")
            if name.endswith(".jsonl"):
                assert self.go.wait(10)
                syncs.append(name)
            real(descriptor)

        monkeypatch.setattr(os, "fsync", fsync)
        return syncs

    def test_nobody_is_told_before_the_fsync(self, tmp_path, syncs):
        """While the disk is at work nobody is answered; fifty requests need two fsyncs."""

        async def scenario():
            log = GroupCommit(SegmentWriter(tmp_path))
            waiting = [asyncio.ensure_future(log.append(lines(n, n + 1))) for n in range(1)]
            await asyncio.sleep(0.05)
            waiting += [asyncio.ensure_future(log.append(lines(n, n + 1))) for n in range(1, 50)]
            done, _ = await asyncio.wait(waiting, timeout=0.1)
            assert not done
            self.go.set()
            await asyncio.gather(*waiting)
            log.close()

        asyncio.run(scenario())
        assert len(syncs) == 2
        assert numbers(read(HttpConnector(tmp_path))) == list(range(50))

    def test_a_failed_fsync_ends_the_segment(self, tmp_path, monkeypatch):
        """Its requests fail, the next ones go into a new segment and are told the truth."""
        real, failures = os.fsync, [errno.EIO]

        def fsync(descriptor):
            if failures and os.readlink(f"/proc/self/fd/{descriptor}").endswith(".jsonl"):
                raise OSError(failures.pop(), "injected")
            real(descriptor)

        async def scenario():
            log = GroupCommit(SegmentWriter(tmp_path))
            await log.append(lines(0, 1))
            monkeypatch.setattr(os, "fsync", fsync)
            with pytest.raises(OSError, match="injected"):
                await log.append(lines(1, 2))
            await log.append(lines(2, 3))
            log.close()

        asyncio.run(scenario())
        first, second = segments(tmp_path)
        assert (first.read_bytes(), second.read_bytes()) == (lines(0, 2), lines(2, 3))
