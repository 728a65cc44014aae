"""Parquet files: values as JSON has them, on their way, and broken."""

import datetime as dt
import decimal
import json
import os
import uuid

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from batches import next_batch
from written_files import LONG_AGO, failure, parquet_export, read, write

from thumbwheel.errors import SourceError
from thumbwheel_connectors.files.connector import FileConnector


def test_parquet_values_become_what_json_has(tmp_path, drain):
    """Nested columns, times of every unit and zone, decimals, binary text, NaN, maps, null."""
    moment = dt.datetime(2026, 1, 2, 3, 4, 5, 678901)
    columns = {
        "messages": pa.array([[{"role": "user", "at": moment}]]),
        "naive": pa.array([moment], pa.timestamp("us")),
        "ns": pa.array([1_767_323_045_678_901_234], pa.timestamp("ns")),
        "berlin": pa.array([moment], pa.timestamp("ms", "Europe/Berlin")),
        "day": pa.array([moment.date()]),
        "took": pa.array([1_500_000_000], pa.duration("ns")),
        "decimal": pa.array([decimal.Decimal("-1.50")]),
        "big_id": pa.array([decimal.Decimal(123456789012345678)], pa.decimal128(18, 0)),
        "binary": pa.array(["é".encode()]),
        "word": pa.array(["up"]).dictionary_encode(),
        "nan": pa.array([float("nan")]),
        "map": pa.array(
            [[("a", decimal.Decimal("0.1"))]], pa.map_(pa.string(), pa.decimal128(5, 1))
        ),
        "uuid": pa.array([uuid.UUID(int=1).bytes], pa.uuid()),
        "null": pa.array([None], pa.int64()),
    }
    pq.write_table(pa.table(columns), tmp_path / "a.parquet")
    ((raw, position),) = read(tmp_path / "a.parquet", drain)
    assert position == "a.parquet:1"
    assert json.loads(raw) == {
        "messages": [{"role": "user", "at": "2026-01-02 03:04:05.678901Z"}],
        "naive": "2026-01-02 03:04:05.678901Z",
        "ns": "2026-01-02 03:04:05.678901Z",
        "berlin": "2026-01-02 03:04:05.678000Z",
        "day": "2026-01-02",
        "took": "PT1.5S",
        "decimal": -1.5,
        "big_id": 123456789012345678,
        "binary": "é",
        "word": "up",
        "nan": None,
        "map": {"a": 0.1},
        "uuid": str(uuid.UUID(int=1)),
        "null": None,
    }


def test_a_parquet_row_that_is_no_json_is_a_dead_letter_alone(tmp_path, drain):
    """Bytes that are no text, and a day beyond the calendar, spoil their row only."""
    table = pa.table({
        "b": pa.array([b"a", b"\xff", b"c", b"d"]),
        "day": pa.array([0, 0, 2**30, 0], pa.date32()),
    })  # fmt: skip
    pq.write_table(table, tmp_path / "a.parquet")
    first, binary, late, last = (raw for raw, _ in read(tmp_path / "a.parquet", drain))
    assert [json.loads(raw)["b"] for raw in (first, last)] == ["a", "d"]
    assert binary.endswith(b"<it has bytes that are not UTF-8 text>")
    assert late.startswith(b"<the row cannot be read: ")
    for raw in (binary, late):
        with pytest.raises(ValueError, match=r"Extra data|Expecting value"):
            json.loads(raw)


@pytest.mark.parametrize("length", [0, 3, 4, 300, -1])
def test_parquet_on_its_way_waits_and_a_cut_one_is_an_error(tmp_path, drain, length):
    """Without its footer it is read in a later round, or refused when it is a minute old."""
    path = tmp_path / "a.parquet"
    content = parquet_export(range(10))
    path.write_bytes(content[:length])
    log = FileConnector(path).open(None)
    assert log.poll(100) is None
    os.utime(path, LONG_AGO)
    with pytest.raises(SourceError, match=r"a\.parquet cannot be read: .*export it again"):
        log.poll(100)
    path.write_bytes(content)
    assert len(drain(log)[0]) == 10


def test_parquet_with_damaged_pages_is_one_clear_error(tmp_path, drain):
    """The footer is whole, but a page is not: other files are read, and this one is named."""
    content = bytearray(parquet_export(range(100)))
    content[4:60] = b"\xff" * 56
    write(tmp_path / "a.parquet", bytes(content))
    write(tmp_path / "b.jsonl", b'{"n": 1}\n')
    log = FileConnector(tmp_path).open(None)
    assert [record.position for record in next_batch(log, 100).records] == ["b.jsonl:1"]
    with pytest.raises(SourceError, match=r"a\.parquet cannot be read"):
        log.poll(100)
    log.close()


def test_parquet_with_two_columns_of_one_name_is_refused(tmp_path):
    """A JSON object could hold one of them only."""
    pq.write_table(pa.table([[1], [2]], names=["a", "a"]), tmp_path / "a.parquet")
    assert "has two columns named 'a'" in failure(tmp_path / "a.parquet")
