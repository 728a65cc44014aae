"""Events taken out of the receiver's log: gone from the disk, and everything else in its place."""

import json
from contextlib import closing

import pytest
import requests
from small_disk import small_disk

from thumbwheel.errors import BusyError, SourceError
from thumbwheel_connectors.http.connector import HttpConnector
from thumbwheel_connectors.http.writer import SegmentWriter


def write(directory, *groups):
    """Write each group of lines into a segment of its own."""
    for group in groups:
        writer = SegmentWriter(directory)
        writer.append(b"".join(json.dumps({"n": n}).encode() + b"\n" for n in group))
        writer.close()


def odd(raws):
    return [json.loads(raw)["n"] % 2 == 1 if raw.strip() else False for raw in raws]


def everything(directory, cursor=None, max_records=1):
    """Return (number, position, cursor behind it) of every record behind a cursor."""
    found = []
    with closing(HttpConnector(directory).open(cursor)) as log:
        while (batch := log.poll(max_records)) is not None:
            (record,) = batch.records
            found.append((json.loads(record.raw)["n"], record.position, batch.cursor))
    return found


def test_what_is_left_stays_where_it_was(tmp_path):
    """Numbers, positions and cursors of the others are as before; a second time nothing goes."""
    write(tmp_path, range(5), [7], range(10, 13))
    before = everything(tmp_path)
    assert HttpConnector(tmp_path).forget(odd) == 4
    assert everything(tmp_path) == [seen for seen in before if seen[0] % 2 == 0]
    assert HttpConnector(tmp_path).forget(odd) == 0
    held = b"".join(path.read_bytes() for path in tmp_path.glob("*.jsonl"))
    assert not any(b'{"n": %d}' % n in held for n in (1, 3, 7, 11))


def test_every_cursor_of_before_goes_on(tmp_path):
    """Whoever had read up to anywhere, an erased event included, reads what comes behind it."""
    write(tmp_path, range(4), range(4, 7))
    before = everything(tmp_path)
    HttpConnector(tmp_path).forget(odd)
    for number, _, cursor in before:
        behind = [n for n, _, _ in everything(tmp_path, cursor)]
        assert behind == [n for n in range(7) if n > number and n % 2 == 0]


def test_an_event_that_was_never_whole_is_cut_off(tmp_path):
    """What a killed writer left of a line cannot be attributed, and nobody reads it."""
    write(tmp_path, range(2))
    (segment,) = tmp_path.glob("*.jsonl")
    with segment.open("ab") as file:
        file.write(b'{"text": "torn')
    assert HttpConnector(tmp_path).forget(lambda raws: [False] * len(raws)) == 0
    assert b"torn" not in segment.read_bytes()
    write(tmp_path, range(2, 4))
    assert [n for n, _, _ in everything(tmp_path)] == [0, 1, 2, 3]


def test_what_a_kill_left_is_replaced(tmp_path):
    """A half-written copy of before is no segment, and is gone after the next time."""
    write(tmp_path, range(2))
    (segment,) = tmp_path.glob("*.jsonl")
    half = segment.with_name(f".{segment.name}.fresh")
    half.write_bytes(b"half")
    assert HttpConnector(tmp_path).forget(odd) == 1
    assert not half.exists()


def test_a_running_receiver_is_left_alone(tmp_path):
    """It appends to its segment, which must not be replaced under its hands."""
    connector = HttpConnector(tmp_path / "log", port=0, allow_anonymous=True)
    with closing(connector.listen()) as receiver:
        event = {"prompt": "p", "completion": "c", "n": 1}
        url = f"{receiver.url}/v1/generations"
        assert requests.post(url, json=event, timeout=10).status_code == 202
        with pytest.raises(BusyError, match="stop it"):
            connector.forget(odd)
    assert connector.forget(odd) == 1


def test_a_log_that_is_not_there_is_empty(tmp_path):
    """Nothing was received yet."""
    assert HttpConnector(tmp_path / "log").forget(odd) == 0
    assert not (tmp_path / "log").exists()


def test_a_log_that_cannot_be_written_is_one_error(tmp_path):
    """The error names the log, and it is as it was."""
    with small_disk(tmp_path / "disk", 1 << 20) as disk:
        write(disk.path, range(2))
        with disk.read_only(), pytest.raises(SourceError, match="cannot be written anew"):
            HttpConnector(disk.path).forget(odd)
        assert [n for n, _, _ in everything(disk.path)] == [0, 1]
