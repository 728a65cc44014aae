"""Records that belong together come as one, and each once."""

import json
import os

from batches import next_batch
from written_files import write

from thumbwheel_connectors.files.connector import FileConnector

ROWS = [("c1", 1), ("c2", 2), (None, 3), ("c1", 4), ("c2", 5)]


def lines(rows):
    return b"".join(json.dumps({"c": c, "n": n}).encode() + b"\n" for c, n in rows)


def numbers(records):
    found = [json.loads(record.raw) for record in records]
    return [[r["n"] for r in f] if isinstance(f, list) else f["n"] for f in found]


def test_rows_of_a_conversation_are_one_record(tmp_path):
    """In order of the first of each; what has no key stays alone; resuming skips what was read."""
    path = write(tmp_path / "rows.jsonl", lines(ROWS) + b"not JSON\n")
    gathering = FileConnector(path).gather("c")
    log = gathering.open(None)
    first = next_batch(log, 1)
    assert numbers(first.records) == [[1, 4]]
    assert first.records[0].position == "rows.jsonl:1"
    rest = gathering.open(first.cursor)
    records = next_batch(rest, 9).records
    assert numbers(records[:2]) == [[2, 5], 3]
    assert records[2].raw == b"not JSON"
    log.close()
    rest.close()


def test_a_file_that_has_grown_is_gathered_anew(tmp_path):
    """Its conversations may go on where it ended before."""
    path = write(tmp_path / "rows.jsonl", lines(ROWS))
    gathering = FileConnector(path).gather("c")
    log = gathering.open(None)
    cursor = next_batch(log, 9).cursor
    assert log.poll(9) is None
    with path.open("ab") as file:
        file.write(lines([("c2", 6)]))
    os.utime(path)
    again = gathering.open(cursor)
    assert numbers(next_batch(again, 9).records) == [[1, 4], [2, 5, 6], 3]
    assert again.poll(9) is None
    log.close()
    again.close()
