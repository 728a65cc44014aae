"""The file connector as a log of JSONL: resuming, growing files, damage, and wrong options."""

import gzip
import json
import os
from pathlib import Path
from typing import Any

import pytest
import zstandard
from batches import next_batch
from pydantic import TypeAdapter, ValidationError

from thumbwheel.errors import SourceError
from thumbwheel_connectors.files.connector import FileConnector

LONG_AGO = (1_000_000_000, 1_000_000_000)
PACKINGS = [
    pytest.param(bytes, id="plain"),
    pytest.param(gzip.compress, id="gzip"),
    pytest.param(zstandard.compress, id="zstd"),
]


def lines(start: int, stop: int) -> bytes:
    return b"".join(b'{"n": %d}\n' % n for n in range(start, stop))


def numbers(records):
    return [json.loads(record.raw)["n"] for record in records]


def append(path: Path, content: bytes) -> None:
    with path.open("ab") as file:
        file.write(content)


def test_reads_every_line_with_its_position(tmp_path, drain):
    """Records come in order with file name and line number; blank lines count but are skipped."""
    path = tmp_path / "export.jsonl"
    path.write_bytes(b'{"n": 0}\n\n  \r\n{"n": 1}\r\n{"n": 2}\n')
    records, _ = drain(FileConnector(path).open(None))
    assert [(r.raw, r.position) for r in records] == [
        (b'{"n": 0}', "export.jsonl:1"),
        (b'{"n": 1}', "export.jsonl:4"),
        (b'{"n": 2}', "export.jsonl:5"),
    ]


@pytest.mark.parametrize("pack", PACKINGS)
def test_resumes_behind_any_batch(tmp_path, drain, pack):
    """From the cursor of each batch, exactly the records behind it are read, numbers included."""
    path = tmp_path / "export.jsonl"
    path.write_bytes(pack(lines(0, 100)))
    log = FileConnector(path).open(None)
    seen: list[Any] = []
    while (batch := log.poll(7)) is not None:
        seen += batch.records
        rest, _ = drain(FileConnector(path).open(batch.cursor))
        assert seen + rest == drain(FileConnector(path).open(None))[0]
    log.close()
    assert numbers(seen) == list(range(100))


def test_the_end_is_the_end(tmp_path, drain):
    """From the last cursor nothing is read again, whether the file was finished or not."""
    path = tmp_path / "export.jsonl"
    path.write_bytes(lines(0, 10))
    for size in (10, 1000):
        _, cursor = drain(FileConnector(path).open(None), size)
        assert drain(FileConnector(path).open(cursor)) == ([], None)


def test_follows_a_growing_file(tmp_path, drain):
    """An opened log reads what is appended after it was caught up."""
    path = tmp_path / "live.jsonl"
    path.write_bytes(lines(0, 3))
    log = FileConnector(path).open(None)
    assert numbers(drain(log, close=False)[0]) == [0, 1, 2]
    append(path, lines(3, 5))
    records, _ = drain(log)
    assert numbers(records) == [3, 4]
    assert records[-1].position == "live.jsonl:5"


def test_a_round_ends_on_a_file_that_grows_all_the_time(tmp_path):
    """None comes although the file has grown since, so that a single run comes to an end."""
    path = tmp_path / "live.jsonl"
    path.write_bytes(lines(0, 3))
    log = FileConnector(path).open(None)
    assert len(next_batch(log, 100).records) == 3
    append(path, lines(3, 6))
    assert log.poll(100) is None
    assert numbers(next_batch(log, 100).records) == [3, 4, 5]
    log.close()


def test_a_half_written_line_waits_for_its_rest(tmp_path, drain):
    """A line caught in the middle of being written is read once, whole."""
    path = tmp_path / "live.jsonl"
    path.write_bytes(lines(0, 2) + b'{"n": ')
    log = FileConnector(path).open(None)
    records, cursor = drain(log)
    assert numbers(records) == [0, 1]
    append(path, b"2}\n")
    records, _ = drain(FileConnector(path).open(cursor))
    assert [(r.raw, r.position) for r in records] == [(b'{"n": 2}', "live.jsonl:3")]


def test_a_whole_last_line_needs_no_line_end(tmp_path, drain):
    """An export without a last line end is read whole, and line numbers stay right if it grows."""
    path = tmp_path / "export.jsonl"
    path.write_bytes(lines(0, 2) + b'{"n": 2}')
    records, cursor = drain(FileConnector(path).open(None))
    assert numbers(records) == [0, 1, 2]
    append(path, b"\n" + lines(3, 4))
    records, _ = drain(FileConnector(path).open(cursor))
    assert [(r.raw, r.position) for r in records] == [(b'{"n": 3}', "export.jsonl:4")]


def test_a_broken_last_line_of_a_settled_file_is_not_hidden(tmp_path, drain):
    """When nobody has written for long, a cut last line is handed on, to be a dead letter."""
    path = tmp_path / "export.jsonl"
    path.write_bytes(lines(0, 1) + b'{"n": ')
    os.utime(path, LONG_AGO)
    assert [r.raw for r in drain(FileConnector(path).open(None))[0]] == [b'{"n": 0}', b'{"n": ']


def test_poison_passes_as_it_is(tmp_path, drain):
    """Bad JSON, bad UTF-8, NUL and other values pass as raw bytes; reading goes on behind them."""
    poison = [b"not json", b'{"n": "\xff\xfe"}', b"\x00\x01", b"[1, 2]", b'"text"', b"{" * 5000]
    path = tmp_path / "export.jsonl"
    path.write_bytes(b"\n".join([*poison, b'{"n": 7}', b""]))
    assert [r.raw for r in drain(FileConnector(path).open(None))[0]] == [*poison, b'{"n": 7}']


@pytest.mark.parametrize("tail", [b'{"n": 1}\n', b""], ids=["inside", "last"])
def test_a_line_too_long_is_cut_and_cannot_be_json(tmp_path, drain, tail):
    """A line over the limit arrives cut, says so, is no JSON, and the next line is read."""
    path = tmp_path / "export.jsonl"
    path.write_bytes(b'{"n": 0}' + b" " * 3_000_000 + b"\n" + tail)
    (cut, *rest), cursor = drain(FileConnector(path, max_line_bytes=2048).open(None), 1)
    assert len(cut.raw) < 2200
    assert cut.raw.endswith(b"<cut: the line has 3000009 bytes>")
    with pytest.raises(ValueError, match="Extra data"):
        json.loads(cut.raw)
    assert numbers(rest) == [1] * bool(tail)
    assert drain(FileConnector(path, max_line_bytes=2048).open(cursor)) == ([], None)


def test_a_line_of_exactly_the_limit_is_whole(tmp_path, drain):
    """The limit itself is allowed, with and without a line end; one byte more is not."""
    for size, cut in ((1024, False), (1025, True)):
        for end in (b"\n", b""):
            path = tmp_path / f"{size}{len(end)}.jsonl"
            path.write_bytes(b'{"n": 0}'.ljust(size) + end)
            os.utime(path, LONG_AGO)
            (record,), _ = drain(FileConnector(path, max_line_bytes=1024).open(None))
            assert (b"<cut" in record.raw) is cut


def test_a_byte_order_mark_is_not_content(tmp_path, drain):
    """The mark some programs put before UTF-8 text does not spoil the first line."""
    path = tmp_path / "export.jsonl"
    path.write_bytes(b"\xef\xbb\xbf" + lines(0, 2))
    assert numbers(drain(FileConnector(path).open(None))[0]) == [0, 1]


def test_a_glob_reads_files_in_order_and_takes_up_new_ones(tmp_path, drain):
    """Several files, plain and gzip, in folders; a batch spans them; a new one is read later."""
    (tmp_path / "b").mkdir()
    (tmp_path / "a.jsonl").write_bytes(lines(0, 2))
    (tmp_path / "b" / "c.jsonl.gz").write_bytes(gzip.compress(lines(2, 4)))
    (tmp_path / "a.txt").write_bytes(b"not for us\n")
    connector = FileConnector(tmp_path / "**" / "*.jsonl*")
    log = connector.open(None)
    batch = next_batch(log, 100)
    assert [r.position for r in batch.records] == [
        "a.jsonl:1",
        "a.jsonl:2",
        "b/c.jsonl.gz:1",
        "b/c.jsonl.gz:2",
    ]
    assert batch.progress == 1.0
    assert log.poll(100) is None
    (tmp_path / "a2.jsonl").write_bytes(lines(4, 6))
    assert numbers(drain(log)[0]) == [4, 5]
    assert numbers(drain(connector.open(batch.cursor))[0]) == [4, 5]


def test_progress_grows_to_the_end(tmp_path):
    """Progress is the share of bytes read, never falling, 1 at the end."""
    (tmp_path / "a.jsonl").write_bytes(lines(0, 500))
    (tmp_path / "b.jsonl").write_bytes(gzip.compress(lines(0, 500)))
    log = FileConnector(tmp_path / "*.jsonl").open(None)
    shares = []
    while (batch := log.poll(50)) is not None:
        shares.append(batch.progress)
    log.close()
    assert shares == sorted(shares)
    assert 0 < shares[0] < 0.2
    assert shares[-1] == 1.0


@pytest.mark.parametrize("pack", PACKINGS)
@pytest.mark.parametrize("change", ["shrunk", "rewritten", "emptied"])
def test_a_file_changed_under_the_cursor_is_refused(tmp_path, drain, pack, change):
    """A file that lost or changed what was read before is an error that names the way out."""
    path = tmp_path / "export.jsonl"
    path.write_bytes(pack(lines(0, 50)))
    log = FileConnector(path).open(None)
    cursor = next_batch(log, 40).cursor
    log.close()
    content = {"shrunk": lines(0, 30), "rewritten": lines(50, 100), "emptied": b""}[change]
    path.write_bytes(pack(content))
    log = FileConnector(path).open(cursor)
    for _ in range(2):
        with pytest.raises(SourceError, match=r"export\.jsonl was cut or rewritten after 40 lines"):
            log.poll(100)
    log.close()


def test_a_finished_file_replaced_by_one_as_long_is_refused(tmp_path, drain):
    """The same number of other bytes is noticed too."""
    path = tmp_path / "export.jsonl"
    path.write_bytes(lines(10, 20))
    _, cursor = drain(FileConnector(path).open(None))
    path.write_bytes(lines(20, 30))
    with pytest.raises(SourceError, match="restore it, or give new content a new file name"):
        drain(FileConnector(path).open(cursor))


@pytest.mark.parametrize("pack", PACKINGS[1:])
@pytest.mark.parametrize("damage", ["cut", "flipped"])
def test_a_damaged_file_is_one_clear_error_behind_all_that_is_good(tmp_path, pack, damage):
    """Whole lines before the damage and the other files come first; then the error, each round."""
    # More than a block of zstd, which is unpacked as a whole.
    content = b"".join(b'{"n": %d, "t": "%s"}\n' % (n, os.urandom(50).hex().encode())
                       for n in range(9000))  # fmt: skip
    packed = bytearray(pack(content))
    if damage == "cut":
        del packed[-2000:]
    else:
        packed[-5000:-2000] = b"\xff" * 3000
    (tmp_path / "a.jsonl.x").write_bytes(packed)
    (tmp_path / "b.jsonl").write_bytes(lines(0, 1))
    os.utime(tmp_path / "a.jsonl.x", LONG_AGO)
    log = FileConnector(tmp_path / "*").open(None)
    *good, other = next_batch(log, 10_000).records
    assert 4000 < len(good) < 9000
    assert b"".join(record.raw + b"\n" for record in good[:4000]) in content
    assert other.position == "b.jsonl:1"
    for _ in range(2):
        with pytest.raises(SourceError, match=r"a\.jsonl\.x cannot be read behind line") as caught:
            log.poll(10_000)
        assert "\n" not in str(caught.value)
        append(tmp_path / "b.jsonl", lines(1, 2))
        assert numbers(next_batch(log, 10_000).records) == [1]
    log.close()


@pytest.mark.parametrize("pack", PACKINGS[1:])
def test_a_packed_file_still_on_its_way_waits(tmp_path, drain, pack):
    """A packed file that breaks off and was just written to is no error; its rest is read later."""
    content = b"".join(b'{"n": %d, "t": "%s"}\n' % (n, os.urandom(50).hex().encode())
                       for n in range(5000))  # fmt: skip
    packed = pack(content)
    path = tmp_path / "export.jsonl.gz"
    path.write_bytes(packed[:-5000])
    log = FileConnector(path).open(None)
    first, _ = drain(log, close=False)
    path.write_bytes(packed)
    rest, _ = drain(log)
    assert numbers(first + rest) == list(range(5000))


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("nowhere.jsonl", "there is no file .*nowhere.jsonl; check `path`"),
        ("nowhere/*.jsonl", r"no file matches .*\*\.jsonl; check `path`"),
        ("*.jsonl", r"no file matches .*\*\.jsonl; check `path`"),
    ],
)
def test_a_missing_file_is_one_clear_line(tmp_path, path, message):
    """Nothing there, a glob without a match: the error says what to do."""
    with pytest.raises(SourceError, match=message):
        FileConnector((tmp_path / path).resolve()).open(None)


def test_utf_16_is_named_as_such(tmp_path):
    """What some programs call Unicode gets the option that mends it."""
    path = tmp_path / "export.jsonl"
    path.write_text('{"n": 1}\n', encoding="utf-16")
    log = FileConnector(path).open(None)
    with pytest.raises(SourceError, match='is UTF-16 text; set `encoding = "utf-16"`'):
        log.poll(10)


def test_a_cursor_of_another_connector_is_refused(tmp_path):
    """A source that changed its connector under its name is told to take a new name."""
    path = tmp_path / "export.jsonl"
    path.write_bytes(lines(0, 1))
    for cursor in ('{"topics":{"thumbs":{"0":1}}}', "nonsense", "[]"):
        with pytest.raises(SourceError, match="give it a new `name`"):
            FileConnector(path).open(cursor)


def test_options_are_checked_and_paths_follow_the_config_file(tmp_path):
    """Unknown options are errors; a relative path is relative to the configuration file."""
    adapter = TypeAdapter(FileConnector)
    context = {"base_dir": tmp_path}
    connector = adapter.validate_python({"path": "exports/*.jsonl"}, context=context)
    assert connector.path == tmp_path.resolve() / "exports" / "*.jsonl"
    remote = adapter.validate_python({"path": "s3://bucket/exports/*.jsonl"}, context=context)
    assert remote.path == "s3://bucket/exports/*.jsonl"
    wrongs: tuple[dict[str, Any], ...] = (
        {},
        {"path": "a", "paths": "b"},
        {"path": "a", "max_line_bytes": 1},
    )
    for wrong in (*wrongs, {"path": "ftp://user:secret@host/a.jsonl"}):
        with pytest.raises(ValidationError):
            adapter.validate_python(wrong, context=context)
