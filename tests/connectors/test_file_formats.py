"""The formats of the file connector: CSV, Parquet and JSON arrays, whole, growing and broken."""

import datetime as dt
import decimal
import gzip
import io
import json
import os
import subprocess
import sys
import uuid
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st

from thumbwheel.errors import SourceError
from thumbwheel_connectors.file import FileConnector
from thumbwheel_connectors.files.json_array import JsonArrayReader
from thumbwheel_connectors.files.marks import Mark
from thumbwheel_connectors.files.storage import File
from thumbwheel_connectors.files.text import Text

LONG_AGO = (1_000_000_000, 1_000_000_000)


def write(path: Path, content: bytes) -> Path:
    path.write_bytes(content)
    os.utime(path, LONG_AGO)
    return path


def read(path: Path, drain, **options):
    return [(r.raw, r.position) for r in drain(FileConnector(path, **options).open(None))[0]]


def failure(path: Path) -> str:
    log = FileConnector(path).open(None)
    with pytest.raises(SourceError) as caught:
        log.poll(10)
    log.close()
    assert "\n" not in str(caught.value)
    return str(caught.value)


def csv_export(numbers: range) -> bytes:
    return b"n,text\r\n" + b"".join(b'%d,"two\nlines, %d"\r\n' % (n, n) for n in numbers)


def array_export(numbers: range) -> bytes:
    return json.dumps([{"n": n, "text": 'a "b", [c\n'} for n in numbers], indent=2).encode()


def parquet_export(numbers: range) -> bytes:
    file = io.BytesIO()
    pq.write_table(pa.table({"n": numbers, "text": ["a"] * len(numbers)}), file, row_group_size=300)
    return file.getvalue()


FORMATS = {
    "a.csv": csv_export,
    "a.csv.gz": lambda numbers: gzip.compress(csv_export(numbers)),
    "a.csv.zst": lambda numbers: zstandard.compress(csv_export(numbers)),
    "a.json": array_export,
    "a.json.gz": lambda numbers: gzip.compress(array_export(numbers)),
    "a.parquet": parquet_export,
}


@pytest.mark.parametrize("name", FORMATS)
def test_resumes_behind_any_batch(tmp_path, drain, name):
    """In every format, from the cursor of each batch exactly the records behind it are read."""
    path = tmp_path / name
    path.write_bytes(FORMATS[name](range(500)))
    everything, _ = drain(FileConnector(path).open(None))
    assert [int(json.loads(r.raw)["n"]) for r in everything] == list(range(500))
    log = FileConnector(path).open(None)
    seen, shares = [], []
    while (batch := log.poll(37)) is not None:
        seen += batch.records
        shares.append(batch.progress)
        assert seen + drain(FileConnector(path).open(batch.cursor))[0] == everything
    assert shares == sorted(shares)
    assert shares[-1] == 1.0
    assert log.poll(37) is None
    log.close()


@pytest.mark.parametrize("name", FORMATS)
def test_a_touched_file_is_not_read_again_and_a_rewritten_one_refused(tmp_path, drain, name):
    """In every format, a new time alone changes nothing; other content is an error."""
    path = tmp_path / name
    path.write_bytes(FORMATS[name](range(50)))
    _, cursor = drain(FileConnector(path).open(None))
    os.utime(path, LONG_AGO)
    assert drain(FileConnector(path).open(cursor)) == ([], None)
    for other in (range(40), range(50, 100)):
        path.write_bytes(FORMATS[name](other))
        log = FileConnector(path).open(cursor)
        with pytest.raises(
            SourceError, match=r"was cut or rewritten after \d+ (line|row|element)s"
        ):
            log.poll(100)
        log.close()


# --- CSV -----------------------------------------------------------------------------------------


def test_csv_rows_become_objects_of_text(tmp_path, drain):
    """Header names are keys; values stay text, empty ones are null; positions are lines."""
    path = write(
        tmp_path / "monday.csv",
        b'\xef\xbb\xbfid,rating, note ,\n1,-1,"a ""b"",\nc",x\n\n,,,\n"02",true,,\n',
    )
    assert read(path, drain) == [
        (b'{"id":"1","rating":"-1","note":"a \\"b\\",\\nc"}', "monday.csv:2"),
        (b'{"id":"02","rating":"true","note":null}', "monday.csv:6"),
    ]


def test_a_csv_field_may_be_long(tmp_path, drain):
    """The csv module's own limit of 128 KiB a field is not ours."""
    text = b"x" * 200_000
    path = write(tmp_path / "a.csv", b"a,b\n1," + text + b"\n")
    assert read(path, drain) == [(b'{"a":"1","b":"' + text + b'"}', "a.csv:2")]


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.csv", b"a;b\n1,5;2\n"),
        ("a.csv", b'"a","b"\n"1,5",2\n'),
        ("a.csv", b'"a;c;d",b\n"1,5",2\n'),
        ("a.csv", b"a\tb\n1,5\t2\n"),
        ("a.tsv", b"a,c\tb\n1,5\t2\n"),
        ("a.CSV.GZ", gzip.compress(b"a;b\r\n1,5;2")),
    ],
)
def test_the_delimiter_is_taken_from_the_header(tmp_path, drain, name, content):
    """Semicolons, as programs write them where the comma is a decimal sign, tabs, and commas."""
    (record,) = read(write(tmp_path / name, content), drain)
    assert list(json.loads(record[0]).values()) == ["1,5", "2"]


@pytest.mark.parametrize(
    ("row", "note"),
    [
        (b"1", b"it has 1 fields, the header 2"),
        (b"1,2,3", b"it has 3 fields, the header 2"),
        (b"1,caf\xe9", b"it is not UTF-8 text"),
        (b'1,"a"b', b"it is not valid CSV: ',' expected after '\"'"),
        (b'{"a": 1}', b"it has 1 fields, the header 2"),
    ],
)
def test_a_bad_row_is_handed_on_with_the_reason(tmp_path, drain, row, note):
    """It keeps its text, cannot be taken for JSON, and its neighbours are read."""
    path = write(tmp_path / "a.csv", b"a,b\n0,x\n" + row + b"\r\n9,\xc3\xa9\n")
    before, bad, after = read(path, drain)
    assert bad == (row + b" <" + note + b">", "a.csv:3")
    with pytest.raises(ValueError, match=r"Extra data|Expecting value|decode"):
        json.loads(bad[0])
    assert [json.loads(raw)["a"] for raw, _ in (before, after)] == ["0", "9"]


def test_an_open_quote_costs_no_more_than_the_limit(tmp_path, drain):
    """A quote that is never closed swallows rows up to `max_line_bytes`; then they are read again.

    One at the end of the file takes the rest, once the file has settled.
    """
    rows = b"".join(b"%d,x\n" % n for n in range(1000))
    path = write(tmp_path / "a.csv", b'a,b\n0,"x\n' + rows + b'7,"x\n8,y')
    (cut, position), *rest = read(path, drain, max_line_bytes=1024)
    assert (cut[:5], position) == (b'0,"x\n', "a.csv:2")
    assert cut.endswith(b" <cut: the row has more than 1024 bytes>")
    last, _ = rest.pop()
    assert last == b'7,"x\n8,y <it is not valid CSV: unexpected end of data>'
    assert [json.loads(raw)["a"] for raw, _ in rest] == [str(n) for n in range(189, 1000)]


def test_csv_is_followed_while_it_grows(tmp_path, drain):
    """A row that is not ended waits for its rest, in a header, a field and a quoted field alike."""
    path = tmp_path / "live.csv"
    path.write_bytes(b"")
    log = FileConnector(path).open(None)
    seen = []
    for piece in (b"a,", b"b\n", b"1,", b'2\n3,"x', b'\ny"', b"\n5,6"):
        with path.open("ab") as file:
            file.write(piece)
        records, cursor = drain(log, close=False)
        seen += [(r.raw, r.position) for r in records]
        if cursor:
            log.close()
            log = FileConnector(path).open(cursor)
    log.close()
    assert seen == [
        (b'{"a":"1","b":"2"}', "live.csv:2"),
        (b'{"a":"3","b":"x\\ny"}', "live.csv:3"),
    ]
    os.utime(path, LONG_AGO)
    records, _ = drain(FileConnector(path).open(cursor))
    assert [(r.raw, r.position) for r in records] == [(b'{"a":"5","b":"6"}', "live.csv:5")]


@pytest.mark.parametrize("content", [b"", b"\n\n", b"a,b", b"a,b\n", gzip.compress(b"a,b\n")])
def test_a_csv_without_rows_holds_nothing(tmp_path, drain, content):
    """Empty files and files of a header only are read to their end and not looked at again."""
    path = write(tmp_path / "a.csv", content)
    write(tmp_path / "b.csv", b"a\n1\n")
    records, cursor = drain(FileConnector(tmp_path).open(None))
    assert [r.position for r in records] == ["b.csv:2"]
    assert drain(FileConnector(tmp_path).open(cursor)) == ([], None)
    os.utime(path)
    assert drain(FileConnector(tmp_path).open(cursor)) == ([], None)


@pytest.mark.parametrize(
    ("header", "why"),
    [
        (b"a,b,a\n", "2 columns are named 'a'"),
        (b"caf\xe9\n", "it is not UTF-8 text"),
        (b",,\n", "it is no row of column names"),
        (b'"a\n', "it is no row of column names"),
        (b"a" * 5_000_000 + b"\n", "it has more than 4194304 bytes"),
    ],
)
def test_a_bad_header_is_one_clear_error(tmp_path, header, why):
    """Without distinct names the rows mean nothing: the file is refused and the way out named."""
    message = failure(write(tmp_path / "a.csv", header + b"1,2,3\n"))
    assert f"cannot be read as CSV by its first line: {why}" in message


# --- JSON arrays ---------------------------------------------------------------------------------


def test_elements_are_handed_on_as_they_are(tmp_path, drain):
    """Numbers, spaces and keys of an element are not touched; a bad one spoils no other."""
    path = write(
        tmp_path / "a.json",
        b'\xef\xbb\xbf [ {"n": 1.10, "n": 12345678901234567890},\n[1, "]"], nonsense,'
        b' {"n": NaN}, {"a": "\\"}\xff"} , "x,y" ,]\n',
    )
    assert read(path, drain) == [
        (b'{"n": 1.10, "n": 12345678901234567890}', "a.json:1"),
        (b'[1, "]"]', "a.json:2"),
        (b"nonsense", "a.json:3"),
        (b'{"n": NaN}', "a.json:4"),
        (b'{"a": "\\"}\xff"}', "a.json:5"),
        (b'"x,y"', "a.json:6"),
    ]


JSON_VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text('"\\[]{},:\n é\0', max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text('"\\]} ,a'), inner, max_size=3)
    ),
    max_leaves=8,
)


class Trickle(io.RawIOBase):
    """A file that hands out a few bytes at a time."""

    def __init__(self, content: bytes, size: int) -> None:
        self.content, self.size = io.BytesIO(content), size

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = 0) -> int:
        return self.content.seek(offset, whence)

    def readinto(self, buffer) -> int:
        piece = self.content.read(min(self.size, len(buffer)))
        buffer[: len(piece)] = piece
        return len(piece)


@settings(deadline=None)
@given(
    st.lists(st.dictionaries(st.text(max_size=3), JSON_VALUES, max_size=3), min_size=1, max_size=5),
    st.integers(4, 9),
    st.sampled_from([None, 1]),
    st.booleans(),
)
def test_any_array_is_cut_at_its_elements_wherever_reads_end(objects, size, indent, is_ascii):
    """Whatever the objects hold, the records are they, for any size of reads, also resumed."""
    content = json.dumps(objects, indent=indent, ensure_ascii=is_ascii).encode()
    file = File("a.json", "a.json", len(content), "1", None)

    def reader(mark: Mark) -> JsonArrayReader:
        text = Text(io.BufferedReader(Trickle(content, size), 16))
        return JsonArrayReader(text, file, mark, 1 << 20, lambda: True)

    whole = reader(Mark())
    raws, marks = [], []
    for record in whole.records():
        raws.append(record.raw)
        marks.append(whole.mark)
    assert [repr(json.loads(raw)) for raw in raws] == [repr(value) for value in objects]
    for number, mark in enumerate(marks, start=1):
        assert [record.raw for record in reader(mark).records()] == raws[number:]


def test_an_array_on_its_way_waits_and_a_cut_one_is_an_error(tmp_path, drain):
    """Whole elements are read at once; what is not closed after a minute is damage."""
    path = tmp_path / "a.json"
    content = array_export(range(10))
    path.write_bytes(content[:2])
    log = FileConnector(path).open(None)
    assert log.poll(100) is None
    path.write_bytes(content[:-20])
    first, _ = drain(log, close=False)
    assert len(first) == 9
    os.utime(path, LONG_AGO)
    with pytest.raises(SourceError, match="behind element 9: the JSON array is not closed"):
        log.poll(100)
    path.write_bytes(content)
    rest, _ = drain(log)
    assert [json.loads(record.raw)["n"] for record in first + rest] == list(range(10))


def test_text_behind_an_array_is_not_passed_over(tmp_path):
    """Two arrays in one file, or JSONL that begins with an array, are refused."""
    path = write(tmp_path / "a.json", b'[{"n": 1}]\n[{"n": 2}]\n')
    log = FileConnector(path).open(None)
    assert len(log.poll(10).records) == 1
    with pytest.raises(SourceError, match="has more text behind its JSON array"):
        log.poll(10)
    log.close()


def test_an_empty_array_holds_nothing(tmp_path, drain):
    """It is no error, and read to its end."""
    write(tmp_path / "a.json", b" [ ]\n")
    write(tmp_path / "b.json", b'[{"n": 1}]')
    records, cursor = drain(FileConnector(tmp_path).open(None))
    assert [record.raw for record in records] == [b'{"n": 1}']
    assert drain(FileConnector(tmp_path).open(cursor)) == ([], None)


# --- Parquet -------------------------------------------------------------------------------------


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
    assert [record.position for record in log.poll(100).records] == ["b.jsonl:1"]
    with pytest.raises(SourceError, match=r"a\.parquet cannot be read"):
        log.poll(100)
    log.close()


def test_parquet_with_two_columns_of_one_name_is_refused(tmp_path):
    """A JSON object could hold one of them only."""
    pq.write_table(pa.table([[1], [2]], names=["a", "a"]), tmp_path / "a.parquet")
    assert "has two columns named 'a'" in failure(tmp_path / "a.parquet")


def test_no_format_needs_pandas(tmp_path):
    """Reading every format, nanoseconds included, does not import pandas or torch."""
    for name, export in FORMATS.items():
        write(tmp_path / name, export(range(5)))
    pq.write_table(pa.table({"t": pa.array([1], pa.timestamp("ns"))}), tmp_path / "t.parquet")
    code = (
        "import sys; from thumbwheel_connectors.file import FileConnector\n"
        f"batch = FileConnector({str(tmp_path)!r}).open(None).poll(1000)\n"
        "print(len(batch.records), {'pandas', 'torch'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "31 set()"
