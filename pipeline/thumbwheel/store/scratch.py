"""DuckDB without a file: SQL over Parquet files and Arrow tables, for what the store has given out.

It is tuned and locked as the store is, and spills into a folder of the caller's.
"""

import errno
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import duckdb
import pyarrow as pa

from thumbwheel.errors import DiskFullError
from thumbwheel.store.connection import CONFIG, LOCKS, Connection, quoted, stream, tune
from thumbwheel.store.faults import explain_scratch

__all__ = ["Scratch", "open_scratch", "room_in"]

_ROWS = 100_000


class Scratch:
    """SELECTs over tables that are known by name; made by `open_scratch`."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def add(self, name: str, rows: pa.Table) -> None:
        """Make a table known."""
        self._connection.register(name, rows)

    def table(self, sql: str) -> pa.Table:
        """Return a SELECT's rows."""
        return self._connection.sql(sql).to_arrow_table()

    def batches(self, sql: str) -> Iterator[pa.RecordBatch]:
        """Yield a SELECT's rows, so many at a time that they fit in memory."""
        return stream(self._connection, sql, _ROWS)


@contextmanager
def open_scratch(folder: Path, **files: Path) -> Iterator[Scratch]:
    """Open DuckDB over Parquet files, which are known by their names here; it reaches no others.

    Args:
        folder: What does not fit in memory is spilled beneath it.
        **files: The files.

    Raises:
        DiskFullError: There is no space to spill into, or none for what the block writes.
        UnavailableError: It has reached its memory limit, or a file could not be read or written.
    """
    with room_in(folder), duckdb.connect(config=CONFIG) as connection:
        tune(connection)
        paths = ", ".join(quoted(path) for path in files.values())
        connection.execute(f"SET allowed_paths = [{paths}]")
        connection.execute(f"SET temp_directory = {quoted(folder / 'spilled')}")
        for name, path in files.items():
            connection.execute(f"CREATE TEMP VIEW {name} AS FROM read_parquet({quoted(path)})")
        connection.execute(LOCKS)
        yield Scratch(connection)


@contextmanager
def room_in(folder: Path) -> Iterator[None]:
    """Tell in one line that a folder's disk is full, whether DuckDB or Arrow has met it.

    Raises:
        DiskFullError: It is.
        UnavailableError: DuckDB could not go on for another reason that lies outside.
    """
    try:
        yield
    except duckdb.Error as error:
        meaning = explain_scratch(error, folder)
        if meaning is None:
            raise
        raise meaning from error
    except OSError as error:
        if error.errno != errno.ENOSPC:
            raise
        raise DiskFullError(
            f"there is no space left in {folder}; free some, then run again"
        ) from error
