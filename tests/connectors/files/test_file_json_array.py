"""JSON array files: elements as they stand, on their way, and broken."""

import io
import json
import os

import pytest
from batches import next_batch
from hypothesis import given, settings
from hypothesis import strategies as st
from written_files import LONG_AGO, array_export, read, write

from thumbwheel.errors import SourceError
from thumbwheel_connectors.files.connector import FileConnector
from thumbwheel_connectors.files.json_array import JsonArrayReader
from thumbwheel_connectors.files.marks import Mark
from thumbwheel_connectors.files.storage import File
from thumbwheel_connectors.files.text import Text


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
    assert len(next_batch(log, 10).records) == 1
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
