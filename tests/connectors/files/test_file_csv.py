"""CSV and TSV files: rows as objects of text, growing, and broken."""

import gzip
import json
import os

import pytest
from written_files import LONG_AGO, failure, read, write

from thumbwheel_connectors.files.connector import FileConnector


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
        ("a.CSV.GZ", gzip.compress(b"a;b\r\n1,5;2", mtime=0)),
        ("a.csv", b"sep=;\r\na;b\r\n1,5;2\r\n"),
        ("a.csv", b'\xef\xbb\xbf"sep=|"\na, c|b\n1,5|2\n'),
    ],
)
def test_the_delimiter_is_taken_from_the_header(tmp_path, drain, name, content):
    """Semicolons, as programs write them where the comma is a decimal sign, tabs, and commas.

    Or from a line before it, which is written for spreadsheets.
    """
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


@pytest.mark.parametrize(
    "content", [b"", b"\n\n", b"a,b", b"a,b\n", gzip.compress(b"a,b\n", mtime=0)]
)
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
        (b",,\n", "it is no row of column names"),
        (b'"a\n', "it is no row of column names"),
        (b"a" * 5_000_000 + b"\n", "it has more than 4194304 bytes"),
    ],
)
def test_a_bad_header_is_one_clear_error(tmp_path, header, why):
    """Without distinct names the rows mean nothing: the file is refused and the way out named."""
    message = failure(write(tmp_path / "a.csv", header + b"1,2,3\n"))
    assert f"cannot be read as CSV by its first line: {why}" in message
