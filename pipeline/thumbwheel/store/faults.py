"""What DuckDB's errors mean for the store.

DuckDB checks every block it reads, and every entry of its write-ahead log, against a checksum. What
it finds it tells by words rather than by type, so the words decide here.
"""

from pathlib import Path

import duckdb

from thumbwheel.errors import (
    BusyError,
    DamagedStoreError,
    DataError,
    DiskFullError,
    ThumbwheelError,
    UnavailableError,
)

__all__ = [
    "explain",
    "explain_opening",
    "explain_scratch",
    "first_line",
    "is_about_store",
    "is_fatal",
]

_DAMAGE = (
    "corrupt",
    "could not read enough bytes",
    "failure while replaying wal",
    "not a valid duckdb database file",
    "serialization error",
)

# DuckDB spills no more than was free when it began.
_FULL = ("no space left on device", "max_temp_directory_size")


def first_line(error: BaseException) -> str:
    """Return DuckDB's message without what it adds below it."""
    return str(error).strip().partition("\n")[0]


def is_fatal(error: BaseException) -> bool:
    """Tell whether the error ended the database, so that it has to be opened anew."""
    return str(error).startswith(("FATAL", "INTERNAL"))


def is_about_store(error: duckdb.Error) -> bool:
    """Tell whether a SELECT failed because of the store, not because of what it asked."""
    if isinstance(error, duckdb.OutOfMemoryException | duckdb.TransactionException):
        return False
    return (
        type(error) is duckdb.Error or isinstance(error, duckdb.OperationalError) or is_fatal(error)
    )


def explain(error: duckdb.Error, path: Path) -> ThumbwheelError | None:
    """Return what a failed operation means, or None for a mistake in Thumbwheel's own SQL."""
    text, line = str(error).casefold(), first_line(error)
    if any(words in text for words in _FULL):
        return DiskFullError(
            f"there is no space left for the store {path}; free some, then what could not be "
            "stored is read again"
        )
    if any(words in text for words in _DAMAGE):
        return DamagedStoreError(
            f"the store {path} is damaged ({line}); run `thumbwheel rebuild`, "
            "which makes it anew from the sources"
        )
    if text.startswith("out of memory"):
        return UnavailableError(
            f"the store {path} has reached its memory limit ({line}); try again when less is asked "
            "of it at once"
        )
    if text.startswith("interrupt"):
        return UnavailableError(f"the store {path} was closed meanwhile; open it again")
    if is_fatal(error) or text.startswith("io error"):
        return UnavailableError(
            f"the store {path} could not be read or written ({line}); try again"
        )
    return None


def explain_opening(error: duckdb.Error, path: Path) -> ThumbwheelError:
    """Return why the store could not be opened."""
    line = first_line(error)
    if "lock on file" in line:
        return BusyError(
            f"the store {path} is held by another process; wait until it has finished, or stop it"
        )
    if is_fatal(error):
        error = duckdb.Error(f"corrupt: {error}")
    meaning = explain(error, path)
    if isinstance(meaning, DamagedStoreError | DiskFullError):
        return meaning
    return DataError(f"the store {path} cannot be opened: {line}")


def explain_scratch(error: duckdb.Error, folder: Path) -> ThumbwheelError | None:
    """Return what a failed SELECT beside the store means, or None for a mistake in its SQL."""
    text, line = str(error).casefold(), first_line(error)
    if any(words in text for words in _FULL):
        return DiskFullError(f"there is no space left in {folder}; free some, then run again")
    if text.startswith("out of memory"):
        return UnavailableError(f"the work in {folder} has reached its memory limit ({line})")
    if is_fatal(error) or text.startswith("io error"):
        return UnavailableError(f"a file could not be read or written ({line}); run again")
    return None
