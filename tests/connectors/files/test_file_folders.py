"""The file connector on folders and URLs: what is listed, what changes, what cannot be reached."""

import contextlib
import gzip
import json
import os
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import fsspec
import pytest
from batches import next_batch

from thumbwheel.errors import SourceError, UnavailableError
from thumbwheel_connectors.files.connector import FileConnector

LONG_AGO = (1_000_000_000, 1_000_000_000)


def lines(start: int, stop: int) -> bytes:
    return b"".join(b'{"n": %d}\n' % n for n in range(start, stop))


def positions(records) -> list[str]:
    return [record.position for record in records]


@contextlib.contextmanager
def without_privileges() -> Iterator[Path]:
    """A folder to work in, and no right to read what is forbidden, for root too."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        user = os.geteuid()
        if user == 0:
            os.chown(folder, 65534, -1)
            os.seteuid(65534)
        try:
            yield Path(folder)
        finally:
            os.seteuid(user)


@pytest.fixture
def memory() -> Iterator[fsspec.AbstractFileSystem]:
    """A remote filesystem that is one without a network: objects in memory."""
    filesystem = fsspec.filesystem("memory")
    filesystem.pipe("/bucket/keep", b"")
    yield filesystem
    filesystem.rm("/bucket", recursive=True)


def test_a_folder_is_every_file_with_a_known_ending(tmp_path, drain):
    """Hidden and other files, folders and pipes are left out, whatever they are called."""
    for name in ("a.jsonl", "b.NDJSON", "c.json", "f.jsonl.gz", "g.jsonl.zst"):
        (tmp_path / name).write_bytes(lines(0, 1))
    for name in ("d.csv", "e.tsv"):
        (tmp_path / name).write_bytes(b"n\n1\n")
    for name in ("README.md", ".h.jsonl", "a.jsonl.part", "jsonl", "x.gz"):
        (tmp_path / name).write_bytes(b"not for us\n")
    (tmp_path / "i.jsonl").mkdir()
    (tmp_path / "i.jsonl" / "j.jsonl").write_bytes(lines(0, 1))
    os.mkfifo(tmp_path / "k.jsonl")
    records, cursor = drain(FileConnector(tmp_path).open(None))
    assert positions(records) == [
        "a.jsonl:1",
        "b.NDJSON:1",
        "c.json:1",
        "d.csv:2",
        "e.tsv:2",
        "f.jsonl.gz:1",
        "g.jsonl.zst:1",
    ]
    assert drain(FileConnector(tmp_path).open(cursor)) == ([], None)


def test_an_empty_folder_waits_for_files(tmp_path, drain):
    """A watched folder may be empty at first and later; what is put into it is read once."""
    log = FileConnector(tmp_path).open(None)
    assert log.poll(10) is None
    for number in range(3):
        (tmp_path / f"{number}.jsonl").write_bytes(lines(number, number + 1))
        assert positions(drain(log, close=False)[0]) == [f"{number}.jsonl:1"]
        (tmp_path / f"{number}.jsonl").unlink()
        assert log.poll(10) is None
    log.close()


def test_links_are_followed_to_files_and_loops_end(tmp_path, drain):
    """A link to a file is read; a broken one, a link to itself and a loop of folders are not."""
    (tmp_path / "a.jsonl").write_bytes(lines(0, 1))
    (tmp_path / "b.jsonl").symlink_to("a.jsonl")
    (tmp_path / "c.jsonl").symlink_to("nowhere")
    (tmp_path / "d.jsonl").symlink_to("d.jsonl")
    (tmp_path / "loop").symlink_to(tmp_path)
    for path in (tmp_path, tmp_path / "**" / "*.jsonl"):
        assert positions(drain(FileConnector(path).open(None))[0]) == ["a.jsonl:1", "b.jsonl:1"]


def test_names_may_hold_anything(tmp_path, drain):
    """Signs of globs and URLs in a name, and bytes that are no text, do no harm."""
    for name in ("a[1]*?.jsonl", "b::c.jsonl", "d%20é.jsonl"):
        (tmp_path / name).write_bytes(lines(0, 1))
        records, cursor = drain(FileConnector(tmp_path / name).open(None))
        assert positions(records) == [f"{name}:1"]
        assert drain(FileConnector(tmp_path).open(cursor)) == ([], None)
        (tmp_path / name).unlink()
    (tmp_path / os.fsdecode(b"\xff.jsonl")).write_bytes(lines(0, 1))
    records, cursor = drain(FileConnector(tmp_path).open(None))
    assert positions(records) == ["�.jsonl:1"]
    cursor.encode()
    assert drain(FileConnector(tmp_path).open(cursor)) == ([], None)


def test_a_file_that_vanishes_after_it_was_listed_is_passed_over(tmp_path, drain):
    """Nobody is told of a file that was taken away in time; the others are read."""
    for number in range(3):
        (tmp_path / f"{number}.jsonl").write_bytes(lines(0, 2))
    log = FileConnector(tmp_path).open(None)
    assert positions(next_batch(log, 1).records) == ["0.jsonl:1"]
    (tmp_path / "1.jsonl").unlink()
    assert positions(drain(log)[0]) == ["0.jsonl:2", "2.jsonl:1", "2.jsonl:2"]


def test_a_file_that_may_not_be_read_does_not_hide_the_others():
    """The others are read first; then the error names it, and how many more there are."""
    with without_privileges() as folder:
        for number in range(4):
            (folder / f"{number}.jsonl").write_bytes(lines(0, 1))
        (folder / "0.jsonl").chmod(0)
        (folder / "2.jsonl").chmod(0)
        log = FileConnector(folder).open(None)
        assert positions(next_batch(log, 10).records) == ["1.jsonl:1", "3.jsonl:1"]
        message = r"cannot read .*0\.jsonl: Permission denied; 1 more file"
        with pytest.raises(SourceError, match=message):
            log.poll(10)
        (folder / "0.jsonl").chmod(0o600)
        assert positions(next_batch(log, 10).records) == ["0.jsonl:1"]
        log.close()


@pytest.mark.parametrize("path", ["closed", "closed/*.jsonl", "closed/a.jsonl"])
def test_a_folder_that_may_not_be_listed_is_one_clear_error(path):
    """It is not taken for an empty one."""
    with without_privileges() as folder:
        (folder / "closed").mkdir(mode=0)
        with pytest.raises(SourceError, match=r"cannot read .*closed.*: Permission denied"):
            FileConnector(folder / path).open(None)


def test_thousands_of_files_are_one_batch(tmp_path):
    """Small files share batches, and the cursor knows each."""
    for number in range(2000):
        (tmp_path / f"{number:04}.jsonl").write_bytes(lines(number, number + 1))
    log = FileConnector(tmp_path).open(None)
    batch = next_batch(log, 10_000)
    assert len(batch.records) == 2000
    assert batch.progress == 1.0
    assert log.poll(10_000) is None
    log.close()


def test_the_cursor_of_old_files_is_small_and_knows_them(tmp_path, drain):
    """Files not modified for days take a few bytes each; one that changes is read anew."""
    paths = [tmp_path / f"{number:04}.jsonl" for number in range(500)]
    for path in paths:
        path.write_bytes(lines(0, 2))
    log = FileConnector(tmp_path).open(None)
    _, fresh = drain(log, close=False)
    for path in paths:
        os.utime(path, LONG_AGO)
    # Touched files are looked at, found to be known, and then known by their new times.
    assert log.poll(1) is None
    (tmp_path / "new.jsonl").write_bytes(lines(0, 1))
    records, cursor = drain(log)
    assert positions(records) == ["new.jsonl:1"]
    assert len(cursor) < 500 * 12 + 400 < len(fresh) / 5
    assert drain(FileConnector(tmp_path).open(cursor)) == ([], None)
    paths[7].write_bytes(lines(0, 3))
    assert positions(drain(FileConnector(tmp_path).open(cursor))[0]) == [
        "0007.jsonl:1",
        "0007.jsonl:2",
        "0007.jsonl:3",
    ]


def test_files_that_are_gone_are_forgotten_unless_all_are(tmp_path, drain):
    """The cursor does not grow for ever; but a mount that is away for a while costs nothing."""
    for number in range(20):
        (tmp_path / f"{number}.jsonl").write_bytes(lines(0, 1))
        if number % 2:
            os.utime(tmp_path / f"{number}.jsonl", LONG_AGO)
    log = FileConnector(tmp_path).open(None)
    _, full = drain(log, close=False)
    away = tmp_path.with_name("away")
    tmp_path.rename(away)
    assert log.poll(10) is None
    away.rename(tmp_path)
    assert log.poll(10) is None
    for number in range(19):
        (tmp_path / f"{number}.jsonl").unlink()
    (tmp_path / "new.jsonl").write_bytes(lines(0, 1))
    records, cursor = drain(log)
    assert positions(records) == ["new.jsonl:1"]
    assert len(cursor) < len(full) / 4
    assert "/0.jsonl" not in cursor
    assert len(json.loads(cursor)["old"]) == len("8 bytes in =")


def test_a_batch_ends_when_it_is_large(tmp_path, drain):
    """Large records make small batches, so that no batch fills the memory."""
    line = b'{"t": "%s"}\n' % (b"x" * 1_000_000)
    (tmp_path / "a.jsonl").write_bytes(line * 100)
    log = FileConnector(tmp_path).open(None)
    assert 32 < len(next_batch(log, 10_000).records) < 80
    log.close()


# --- URLs ----------------------------------------------------------------------------------------


def test_objects_are_read_once_and_followed(memory, drain):
    """A prefix, a glob and one object, plain and packed; new and grown objects come later."""
    memory.pipe("/bucket/ex/a.jsonl", lines(0, 2))
    memory.pipe("/bucket/ex/b.jsonl.gz", gzip.compress(lines(2, 4)))
    memory.pipe("/bucket/ex/deep/c.csv", b"n\n4\n")
    log = FileConnector("memory://bucket/ex/").open(None)
    records, cursor = drain(log, close=False)
    assert positions(records) == ["a.jsonl:1", "a.jsonl:2", "b.jsonl.gz:1", "b.jsonl.gz:2"]
    memory.pipe("/bucket/ex/a.jsonl", lines(0, 3))
    memory.pipe("/bucket/ex/d.jsonl", lines(5, 6))
    assert positions(drain(log)[0]) == ["a.jsonl:3", "d.jsonl:1"]
    everything = FileConnector("memory://bucket/**/*.*").open(cursor)
    assert positions(drain(everything)[0]) == ["ex/a.jsonl:3", "ex/d.jsonl:1", "ex/deep/c.csv:2"]
    (record,), _ = drain(FileConnector("memory://bucket/ex/deep/c.csv").open(None))
    assert (json.loads(record.raw), record.position) == ({"n": "4"}, "c.csv:2")


def test_a_file_url_is_the_same_file(tmp_path, drain):
    """`file://` and a path name the same file, so that the cursor holds for both."""
    path = tmp_path / "a.jsonl"
    path.write_bytes(lines(0, 2))
    records, cursor = drain(FileConnector(f"file://{path}").open(None))
    assert positions(records) == ["a.jsonl:1", "a.jsonl:2"]
    assert drain(FileConnector(path).open(cursor)) == ([], None)


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("memory://bucket/none.jsonl", "there is no file memory://bucket/none.jsonl; check `path`"),
        ("memory://bucket/*.csv", r"no file matches memory://bucket/\*\.csv; check `path`"),
        ("nowhere://a/b.jsonl", "cannot use nowhere://a/b.jsonl: Protocol not known: nowhere"),
        ("oci://a@b/c.jsonl", "cannot use oci://a@b/c.jsonl: Install ocifs"),
    ],
)
def test_a_wrong_url_is_one_clear_error(memory, url, message):
    """Nothing there, an unknown scheme, a package that is not installed: it says which."""
    with pytest.raises(SourceError, match=message) as caught:
        FileConnector(url).open(None)
    assert "\n" not in str(caught.value)


def test_a_server_that_is_down_is_unavailable():
    """It may come back by itself, so it is not the configuration's fault."""
    with pytest.raises(UnavailableError, match=r"cannot read ftp://127\.0\.0\.1:1.*refused"):
        FileConnector("ftp://127.0.0.1:1/a.jsonl").open(None)


def test_settled_is_a_matter_of_now(tmp_path, drain):
    """A half line in a file listed as old, but written to since, waits for its rest."""
    path = tmp_path / "a.jsonl"
    path.write_bytes(lines(0, 2))
    os.utime(path, LONG_AGO)
    log = FileConnector(path).open(None)
    assert len(next_batch(log, 1).records) == 1
    with path.open("ab") as file:
        file.write(b'{"n": ')
    assert positions(drain(log, close=False)[0]) == ["a.jsonl:2"]
    os.utime(path, (time.time() - 90,) * 2)
    assert positions(drain(log)[0]) == ["a.jsonl:3"]
