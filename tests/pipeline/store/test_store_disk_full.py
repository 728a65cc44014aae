"""The store on a disk without space: nothing committed is lost, and it goes on afterwards."""

import pytest
from small_disk import small_disk
from storing import append, balanced, numbered, take_snapshot

from thumbwheel.errors import DiskFullError
from thumbwheel.store import DeadLetter, Store

BATCH = 500
LETTERS = [DeadLetter("f", b"x" * 100, "bad")] * 5


@pytest.fixture
def disk(tmp_path):
    """A file system of 16 MiB."""
    with small_disk(tmp_path / "disk", 16 << 20) as disk:
        yield disk


def add(store, number):
    return append(store, *numbered(number, BATCH), letters=LETTERS, cursor=str(number))


def add_until_full(store, first):
    """Append batches until one does not fit; return its number."""
    for number in range(first, first + 1000):
        try:
            add(store, number)
        except DiskFullError:
            return number
    raise AssertionError("the disk never filled up")


def check(store, n):
    """Check that exactly the first `n` batches are there."""
    (counts,) = store.source_counts()
    assert (counts.stored, counts.duplicates) == (BATCH * n, 0)
    assert counts.dead_letters == len(LETTERS) * n
    assert balanced(counts)
    assert store.cursor("s") == str(n - 1)
    store.verify()


def test_a_batch_that_does_not_fit_is_not_there(disk):
    """When the log cannot grow, the batch fails whole; the same store takes it when it can."""
    with Store(disk.path / "s.duckdb") as store:
        add(store, 0)
        disk.fill(keep=3_000_000)
        stopped = add_until_full(store, 1)
        assert stopped > 1
        check(store, stopped)
        with pytest.raises(DiskFullError, match="no space left for the store"):
            add(store, stopped)
        check(store, stopped)
        disk.free()
        assert add(store, stopped).stored == BATCH
        check(store, stopped + 1)
    with Store(disk.path / "s.duckdb") as store:
        check(store, stopped + 1)


def test_a_checkpoint_that_does_not_fit_loses_nothing(disk):
    """When the file cannot grow, all is still in the log, can be read, and goes on afterwards."""
    with Store(disk.path / "s.duckdb") as store:
        for number in range(20):
            add(store, number)
        disk.fill()
        for _ in range(2):
            with pytest.raises(DiskFullError):
                store.checkpoint()
            check(store, 20)
            with pytest.raises(DiskFullError):
                add(store, 20)
            check(store, 20)
        disk.free()
        assert add(store, 20).stored == BATCH
        store.checkpoint()
        check(store, 21)
    with Store(disk.path / "s.duckdb") as store:
        check(store, 21)


def test_checkpoints_on_the_way_do_not_fit(disk, monkeypatch):
    """A batch before which a checkpoint fails is not there, and is not counted twice later."""
    monkeypatch.setattr("thumbwheel.store.store._CHECKPOINT_BYTES", 500_000)
    with Store(disk.path / "s.duckdb") as store:
        stopped = 0
        for _ in range(3):
            stopped = add_until_full_after(store, disk, stopped)
            check(store, stopped)
            disk.free()
        for number in range(stopped, stopped + 5):
            assert add(store, number).stored == BATCH
        check(store, stopped + 5)
    with Store(disk.path / "s.duckdb") as store:
        check(store, stopped + 5)


def add_until_full_after(store, disk, first):
    """Append a few batches, leave room for the log only, and append until no more fits."""
    for number in range(first, first + 3):
        add(store, number)
    disk.fill(keep=600_000)
    return add_until_full(store, first + 3)


def test_a_full_disk_can_be_opened_and_read(disk):
    """A store whose disk is full opens, tells what it holds, and closes."""
    with Store(disk.path / "s.duckdb") as store:
        for number in range(5):
            add(store, number)
        disk.fill()
    for _ in range(2):
        with Store(disk.path / "s.duckdb") as store:
            check(store, 5)
    disk.free()
    with Store(disk.path / "s.duckdb") as store:
        add(store, 5)
        check(store, 6)


def test_a_store_cannot_be_made_on_a_full_disk(disk):
    """Making a store without space is one clear error; with space it can be made there."""
    disk.fill()
    with pytest.raises(DiskFullError):
        Store(disk.path / "s.duckdb")
    disk.free()
    with Store(disk.path / "s.duckdb") as store:
        add(store, 0)
        check(store, 1)


def test_a_snapshot_that_does_not_fit_leaves_no_file(disk, tmp_path):
    """A snapshot onto a full disk fails whole, and the store is none the worse."""
    with Store(tmp_path / "s.duckdb") as store:
        add(store, 0)
        disk.fill()
        with pytest.raises(DiskFullError, match="no space left for the snapshot"):
            take_snapshot(store, disk.path / "s")
        assert not (disk.path / "s.parquet").exists()
        check(store, 1)
