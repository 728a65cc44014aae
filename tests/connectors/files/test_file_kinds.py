"""Files that are something else than they seem: named once, with the option that mends it."""

import gzip
import json

import pytest
from batches import next_batch
from pydantic import ValidationError
from written_files import failure, read, write

from thumbwheel.errors import SourceError
from thumbwheel_connectors.files.connector import FileConnector

FRENCH = 'prompt;completion\n"Où est la gare ?";à gauche\nOui;à droite\n'
RECORDS = [{"id": 1, "text": "[{"}, {"id": 2, "more": {"list": [{"a": 1}]}}]


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (b"PK\x03\x04rest of it", "a zip archive, or a spreadsheet that is one; unpack it"),
        (b"BZh91AY&SY", "packed with bzip2"),
        (b"\xfd7zXZ\x00\x00", "packed with xz"),
        (b"SQLite format 3\x00", "an SQLite database"),
        (b"\xff\xfea\x00", 'UTF-16 text; set `encoding = "utf-16"`'),
        (FRENCH.encode("cp1252"), 'not UTF-8 text; say what it is: `encoding = "cp1252"`'),
        (b'{\n  "a": 1\n}\n', "JSON spread over several lines; .*jq -c"),
        (
            json.dumps({"info": {"n": 2}, "data": RECORDS}, indent=2).encode(),
            'one JSON object that holds its records in a list: set `records = "data"`',
        ),
    ],
)
@pytest.mark.parametrize("name", ["export.jsonl", "export.csv"])
def test_what_cannot_be_read_is_named_once(tmp_path, content, why, name):
    """The file is refused as a whole, not a line at a time."""
    if name.endswith("csv") and content.startswith(b"{"):
        pytest.skip("a file whose name ends in .csv is CSV")
    with pytest.raises(SourceError, match=f"{name} is {why}"):
        raise SourceError(failure(write(tmp_path / name, content)))


def test_one_damaged_line_is_no_other_encoding(tmp_path, drain):
    """Where some of a text is UTF-8, its other lines are read."""
    content = b'{"a": "\xc3\xa9"}\n{"a": "\xe9"}\n{"a": 1}\n'
    assert len(read(write(tmp_path / "a.jsonl", content), drain)) == 3


@pytest.mark.parametrize("encoding", ["cp1252", "utf-16", "latin-1"])
@pytest.mark.parametrize("pack", [bytes, gzip.compress])
def test_text_in_another_encoding(tmp_path, drain, encoding, pack):
    """With its name it is read, plain or packed, and reading goes on where it was."""
    path = write(tmp_path / "a.csv", pack(FRENCH.encode(encoding)))
    rows = [json.loads(raw) for raw, _ in read(path, drain, encoding=encoding)]
    assert rows[0] == {"prompt": "Où est la gare ?", "completion": "à gauche"}
    connector = FileConnector(path, encoding=encoding)
    log = connector.open(None)
    cursor = next_batch(log, 1).cursor
    log.close()
    (record,) = next_batch(connector.open(cursor), 9).records
    assert json.loads(record.raw) == rows[1]


def test_a_wrong_encoding_is_told(tmp_path):
    """By the option's own check, and where the text is not in it."""
    with pytest.raises(ValidationError, match="no text encoding 'cp0'"):
        FileConnector(tmp_path, encoding="cp0")
    path = write(tmp_path / "a.csv", b"a,b\n1,\x81\n" * 9)
    with pytest.raises(SourceError, match="it is not cp1252 text"):
        FileConnector(path, encoding="cp1252").open(None).poll(9)


@pytest.mark.parametrize("indent", [None, 2])
@pytest.mark.parametrize(
    ("path", "whole"),
    [
        ("data", {"info": {"list": [1]}, "data": RECORDS, "end": [{"x": "]"}]}),
        ("result.items", {"result": {"n": 2, "items": RECORDS}, "items": []}),
    ],
)
def test_records_within_an_object(tmp_path, drain, path, whole, indent):
    """`records` leads to the list; what stands around it is passed over."""
    file = write(tmp_path / "export.json", json.dumps(whole, indent=indent).encode())
    records = read(file, drain, records=path)
    assert [json.loads(raw) for raw, _ in records] == RECORDS
    assert [position for _, position in records] == ["export.json:1", "export.json:2"]
    connector = FileConnector(file, records=path)
    log = connector.open(None)
    (record,) = next_batch(connector.open(next_batch(log, 1).cursor), 9).records
    assert json.loads(record.raw) == RECORDS[1]
    log.close()
    with pytest.raises(SourceError, match=rf"no list of objects under 'no'.*`records = \"{path}"):
        FileConnector(file, records="no").open(None).poll(1)


def test_what_an_api_answers_on_one_line(tmp_path, drain):
    """A list under a usual name is told apart from one record with a list in it."""
    answer = write(tmp_path / "a.json", json.dumps({"data": RECORDS, "next": None}).encode())
    assert 'set `records = "data"`' in failure(answer)
    chat = json.dumps({"id": "c", "messages": [{"role": "user", "content": "q"}]}).encode()
    for name, content in (("b.json", chat), ("c.jsonl", answer.read_bytes())):
        assert read(write(tmp_path / name, content), drain)[0][0] == content


def test_records_in_an_array_need_no_path(tmp_path, drain):
    """A folder may hold both kinds."""
    file = write(tmp_path / "export.json", json.dumps(RECORDS).encode())
    assert len(read(file, drain, records="data")) == 2
