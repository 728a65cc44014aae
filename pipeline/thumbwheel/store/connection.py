"""A connection to DuckDB as the store tunes and locks it, and what is done with any."""

from collections.abc import Iterator
from pathlib import Path
from typing import TypeAlias

import duckdb
import pyarrow as pa

__all__ = ["CONFIG", "LOCKS", "MEMORY_LIMIT", "Connection", "quoted", "stream", "tune"]

Connection: TypeAlias = duckdb.DuckDBPyConnection

MEMORY_LIMIT = "3GB"
"""What DuckDB may hold in memory; beyond it, it spills to a folder beside the file."""

CONFIG: dict[str, str | bool | int | float | list[str]] = {
    "autoinstall_known_extensions": "false",
    "autoload_known_extensions": "false",
}

# Checkpoints are made between two batches only (see `Store.append`): one that DuckDB makes by
# itself may fail after the commit that caused it has succeeded. Texts are packed with Zstandard: a
# checkpoint that tries every method first takes twice as long, and the file gets no smaller.
_TUNING = """
SET GLOBAL TimeZone = 'UTC';
SET GLOBAL memory_limit = '{memory} bytes';
SET GLOBAL checkpoint_threshold = '1000TB';
SET GLOBAL force_compression = 'zstd';
"""

# No SQL, a user's least of all, reaches files, the network or settings.
LOCKS = """
SET GLOBAL python_enable_replacements = false;
SET GLOBAL enable_external_access = false;
SET GLOBAL lock_configuration = true;
"""


def tune(connection: Connection, memory_limit: str | None = None) -> None:
    """Set what fits a store's file, for all that the connection has open.

    Args:
        connection: A connection.
        memory_limit: What may be held in memory, if not `MEMORY_LIMIT`.
    """
    ((memory,),) = connection.execute(
        "SELECT least(parse_formatted_bytes(?), "
        "parse_formatted_bytes(current_setting('memory_limit')))",
        [memory_limit or MEMORY_LIMIT],
    ).fetchall()
    connection.execute(_TUNING.format(memory=memory))


def quoted(path: Path) -> str:
    """Return a path as a literal of SQL."""
    return "'" + str(path).replace("'", "''") + "'"


def stream(connection: Connection, query: str, rows: int) -> Iterator[pa.RecordBatch]:
    """Yield a query's result in batches of about `rows`, none of it held longer than needed.

    Raises:
        duckdb.Error: Whatever went wrong on the way.
    """
    try:
        yield from connection.sql(query).to_arrow_reader(rows)
    except (pa.ArrowException, OSError) as error:
        # Arrow's stream interface hands on the words of an error, not its type.
        raise duckdb.Error(str(error)) from error
