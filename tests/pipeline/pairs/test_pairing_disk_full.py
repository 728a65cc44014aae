"""Pairing on a disk without space: one clear line, whoever meets it; with space it goes on."""

import pyarrow as pa
import pytest
from small_disk import small_disk
from snapshots import run, snapshot

from thumbwheel.errors import DiskFullError, UnavailableError
from thumbwheel.store import VOTES_FILE
from thumbwheel.store.scratch import open_scratch

NO_SPACE = r"there is no space left in .+; free some, then run again"

# Far more than fits in the memory and on the disk of these tests.
SORTED = "SELECT md5(n::VARCHAR) AS key, repeat('x', 200) AS text FROM numbers ORDER BY key"


@pytest.fixture
def disk(tmp_path):
    """A file system of 16 MiB."""
    with small_disk(tmp_path / "disk", 16 << 20) as disk:
        yield disk


@pytest.fixture
def little_memory(monkeypatch):
    """What DuckDB may hold before it spills."""
    monkeypatch.setattr("thumbwheel.store.connection.MEMORY_LIMIT", "100MB")


def spill(folder):
    """Sort more than fits in memory; return how many rows came out."""
    with open_scratch(folder) as scratch:
        scratch.add("numbers", pa.table({"n": range(600_000)}))
        return sum(len(batch) for batch in scratch.batches(SORTED))


def rows(n=2000):
    return [(f"p{i // 4:04}", f"answer {i} " * 20, i % 3, i % 2) for i in range(n)]


@pytest.mark.parametrize("merged", [False, True])
@pytest.mark.parametrize("keep", [0, 10_000])
def test_candidates_that_do_not_fit(disk, keep, merged):
    """The candidates' files are told to be what there is no space for."""
    options = {"across_near_duplicates": merged, "near_duplicate": 1.0}
    path = snapshot(disk.path / "s", *rows())
    disk.fill(keep)
    with pytest.raises(DiskFullError, match=NO_SPACE) as told:
        run(path, "all_pairs", **options)
    assert "\n" not in str(told.value)
    disk.free()
    assert len(run(path, "all_pairs", **options).pairs)


def test_what_does_not_fit_in_memory_nor_on_disk(disk, little_memory):
    """A SELECT that spills onto a full disk says that the disk is full, not that memory is."""
    with pytest.raises(DiskFullError, match=NO_SPACE):
        spill(disk.path)
    disk.fill()
    with pytest.raises(DiskFullError, match=NO_SPACE):
        spill(disk.path)


def test_what_does_not_fit_in_memory_is_spilled_beneath_the_folder(tmp_path, little_memory):
    """Where there is space, the same SELECT gives its rows, and leaves nothing behind."""
    assert spill(tmp_path) == 600_000
    assert not list(tmp_path.iterdir())


def test_no_other_file_is_reached(tmp_path):
    """Only the files that are named can be read; one that is damaged is told in one line."""
    path = snapshot(tmp_path / "s", *rows(4))
    with open_scratch(tmp_path, votes=path / VOTES_FILE) as scratch:
        assert len(scratch.table("FROM votes"))
        with pytest.raises(Exception, match="disabled by configuration"):
            scratch.table(f"FROM read_parquet('{path / 'rated.parquet'}')")
        with pytest.raises(Exception, match="disabled by configuration"):
            scratch.table(f"COPY votes TO '{tmp_path / 'out.parquet'}'")
    with pytest.raises(UnavailableError, match="a file could not be read or written"):
        open_scratch(tmp_path, votes=tmp_path / "missing.parquet").__enter__()
