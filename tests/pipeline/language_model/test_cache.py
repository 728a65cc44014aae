"""The file of the cache: shared, bounded, forgetful, and never in the way of the work."""

import multiprocessing
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest
from small_disk import small_disk

from thumbwheel.errors import BusyError, DiskFullError
from thumbwheel.language_model import ModelCache
from thumbwheel.language_model.cache_table import Output


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "home" / "model_cache.db"


@pytest.fixture
def warnings() -> list[str]:
    return []


def output(
    name: str, *, prompt: str = "p", completion: str = "c", text: str | None = None, size: int = 10
) -> Output:
    return Output(name.encode(), prompt, completion, text, bytes(size))


def fill(path: Path, *outputs: Output) -> None:
    with ModelCache(path, warn=print) as cache:
        cache.keep(outputs)


def held(path: Path, *names: str) -> set[str]:
    with ModelCache(path, warn=print) as cache:
        return {key.decode() for key in cache.find([name.encode() for name in names])}


def test_the_first_output_of_a_key_stays(path: Path) -> None:
    """Text and bytes come back as they were given; the same key again changes nothing."""
    fill(path, Output(b"k", "p", "c", "a ☃", b"\0\1"), Output(b"n", "p", "c", None, b""))
    fill(path, Output(b"k", "p", "c", "another", b"2"))
    with ModelCache(path, warn=print) as cache:
        assert cache.find([b"k", b"n", b"none"]) == {b"k": ("a ☃", b"\0\1"), b"n": (None, b"")}
        assert cache.find([]) == {}


def write_many(path: Path, name: str) -> None:
    warnings: list[str] = []
    with ModelCache(path, warn=warnings.append) as cache:
        for number in range(50):
            cache.keep([output(f"{name}{number}")])
    assert not warnings, warnings


def test_two_processes_write_at_once(path: Path) -> None:
    """Both make the file, both write into it, and nothing is lost."""
    start = multiprocessing.get_context("spawn")
    workers = [start.Process(target=write_many, args=(path, name)) for name in "ab"]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert [worker.exitcode for worker in workers] == [0, 0]
    names = [f"{name}{number}" for name in "ab" for number in range(50)]
    assert held(path, *names) == set(names)


def test_what_was_not_asked_for_goes_first(
    path: Path, monkeypatch: pytest.MonkeyPatch, warnings: list[str]
) -> None:
    """Above the bound, the file is pruned by when an output was last asked for."""
    clock = "thumbwheel.language_model.cache_table.time.time"
    names = [f"n{number:02}" for number in range(60)]
    with ModelCache(path, warn=warnings.append, max_bytes=600_000) as cache:
        for day, name in enumerate(names):
            monkeypatch.setattr(clock, lambda day=day: day * 100_000)
            assert day == 0 or b"n00" in cache.find([b"n00"])
            cache.keep([output(name, size=20_000)])
    kept = held(path, *names)
    assert "n00" in kept
    assert 15 < len(kept) < 32
    assert kept - {"n00"} == set(names[-len(kept) + 1 :])
    assert path.stat().st_size < 700_000
    assert not warnings


def test_the_forgotten_leave_no_byte(path: Path) -> None:
    """By prompt, by completion and by what a text says; of others everything is as it was."""
    fill(
        path,
        output("a", prompt="gone", text="canary of a"),
        output("b", completion="gone"),
        output("c", text="says: canary!"),
        output("d", text="of another"),
    )
    with ModelCache(path, warn=print) as cache:
        assert cache.forget(["gone"], ["gone"], lambda text: "canary" in text) == 3
        # While it is still open: nor is there any in the log that SQLite keeps beside it.
        files = b"".join(file.read_bytes() for file in path.parent.iterdir())
        assert b"canary" not in files
        assert b"gone" not in files
        assert b"of another" in files
        assert cache.forget(["gone"]) == 0
    assert held(path, *"abcd") == {"d"}


def test_there_may_be_nothing_to_forget(path: Path) -> None:
    """Without a file none is made, and what a kill left of one goes."""
    log = path.with_name("model_cache.db-wal")
    path.parent.mkdir()
    log.write_bytes(b"canary")
    with ModelCache(path, warn=print) as cache:
        assert cache.forget(["gone"]) == 0
    assert list(path.parent.iterdir()) == []


def overwrite(path: Path) -> None:
    path.write_bytes(b"no database" * 1000)


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-6000])


def change_a_letter(path: Path) -> None:
    content = path.read_bytes()
    assert content.count(b"the words of 7;") == 1
    path.write_bytes(content.replace(b"the words of 7;", b"the worms of 7;"))


def age(path: Path) -> None:
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA user_version = 99")


def drop_the_table(path: Path) -> None:
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("DROP TABLE outputs")


DAMAGES = [overwrite, cut, change_a_letter, age, drop_the_table]


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_file_is_begun_anew(
    damage: Callable[[Path], None], path: Path, warnings: list[str]
) -> None:
    """It is told in one line, nothing wrong is found, and from then on all is kept again."""
    names = [str(number) for number in range(40)]
    fill(path, *(output(n, text=f"the words of {n};", size=300) for n in names))
    damage(path)
    with ModelCache(path, warn=warnings.append) as cache:
        assert cache.find([name.encode() for name in names]) == {}
        (warning,) = warnings
        assert f"{path} was damaged" in warning
        assert "\n" not in warning
        cache.keep([output("new")])
    assert held(path, "new", "1") == {"new"}


@pytest.mark.parametrize("damage", [overwrite, cut, age, drop_the_table])
def test_forgetting_removes_a_damaged_file(
    damage: Callable[[Path], None], path: Path, warnings: list[str]
) -> None:
    """Of a file that does not tell any more whose its bytes are, none stays."""
    fill(path, *(output(str(n), text=f"canary {n}", size=300) for n in range(40)))
    damage(path)
    with ModelCache(path, warn=warnings.append) as cache:
        assert cache.forget(["p"]) in (0, 40)
    assert not path.exists() or b"canary" not in path.read_bytes()


def test_a_locked_file_is_done_without(path: Path, warnings: list[str]) -> None:
    """Who waits in vain is told once and computes; who wants to be forgotten is told to wait."""
    fill(path, output("a"))
    with (
        closing(sqlite3.connect(path, isolation_level=None)) as other,
        ModelCache(path, warn=warnings.append, patience_seconds=0.05) as cache,
    ):
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(BusyError, match="another process uses"):
            cache.forget(["p"])
        cache.keep([output("b")])
        cache.keep([output("c")])
        assert cache.find([b"a"]) == {}
    assert len(warnings) == 1
    assert held(path, *"abc") == {"a"}


def test_a_reader_keeps_bytes_from_being_forgotten(path: Path) -> None:
    """While somebody is in the middle of reading, the old bytes are needed: told, not passed by."""
    fill(path, output("a", text="canary"))
    with (
        closing(sqlite3.connect(path, isolation_level=None)) as other,
        ModelCache(path, warn=print, patience_seconds=0.05) as cache,
    ):
        other.execute("BEGIN")
        other.execute("SELECT * FROM outputs").fetchall()
        with pytest.raises(BusyError, match="another process uses"):
            cache.forget(["p"])
        other.execute("COMMIT")
        cache.forget(["p"])
        assert all(b"canary" not in file.read_bytes() for file in path.parent.iterdir())


def test_a_full_disk_is_done_without(tmp_path: Path, warnings: list[str]) -> None:
    """What does not fit is not kept, and told; forgetting needs room, and says so."""
    with small_disk(tmp_path / "disk", 1 << 20) as disk:
        path = disk.path / "model_cache.db"
        with ModelCache(path, warn=warnings.append) as cache:
            cache.keep([output("a", prompt="other", size=300_000), output("b")])
            disk.fill()
            cache.keep([output("c", size=100_000)])
            assert len(warnings) == 1
            assert "full" in warnings[0]
            assert cache.find([b"a"]) == {}
        with ModelCache(path, warn=warnings.append) as cache, pytest.raises(DiskFullError):
            cache.forget(["p"])
        disk.free()
        assert held(path, *"abc") >= {"a"}


def test_a_path_that_cannot_be_a_file_is_done_without(path: Path, warnings: list[str]) -> None:
    """A folder in its place is told of, and not removed."""
    path.mkdir(parents=True)
    with ModelCache(path, warn=warnings.append) as cache:
        cache.keep([output("a")])
        assert cache.find([b"a"]) == {}
    assert len(warnings) == 1
    assert path.is_dir()
