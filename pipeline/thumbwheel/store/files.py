"""The files of a store: made whole or not at all, measured, removed."""

import errno
import shutil
from pathlib import Path
from tempfile import TemporaryDirectory

import duckdb

from thumbwheel.errors import DataError, DiskFullError
from thumbwheel.store.connection import CONFIG
from thumbwheel.store.migrations import migrate

__all__ = ["make_store", "remove_store", "size_of"]


def make_store(path: Path) -> None:
    """Make an empty store, whole or not at all: a kill leaves no half of a file at `path`."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with TemporaryDirectory(dir=path.parent, prefix=f".{path.name}-") as folder:
            fresh = Path(folder) / path.name
            with duckdb.connect(str(fresh), config=CONFIG) as connection:
                migrate(connection, path)
                connection.execute("CHECKPOINT")
            _put(fresh, path)
    except OSError as error:
        if error.errno == errno.ENOSPC:
            raise DiskFullError(f"there is no space left for the store {path}") from error
        raise DataError(f"the store {path} cannot be made: {error}") from error


def _put(fresh: Path, path: Path) -> None:
    try:
        path.hardlink_to(fresh)
    except FileExistsError:
        pass  # another process was faster
    except OSError:
        fresh.rename(path)  # a file system without hard links


def remove_store(path: Path) -> None:
    """Remove a store's file that nobody has open, and all that belongs to it."""
    for suffix in (".wal", ""):
        path.with_name(path.name + suffix).unlink(missing_ok=True)
    shutil.rmtree(path.with_name(path.name + ".tmp"), ignore_errors=True)


def size_of(path: Path) -> int:
    """Return the bytes of a file, 0 where there is none."""
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0
