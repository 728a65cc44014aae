"""Parquet files without the rows that tell of the forgotten.

Which rows these are is told by identities, in the columns that every table of the project names
alike. A file is read and written a row group at a time.
"""

from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from thumbwheel.errors import DataError
from thumbwheel.process.durable import replacing

__all__ = ["Identities", "matching", "remove_rows"]

Identities = Mapping[str, Collection[str]]
"""Values by the name of a column; a row goes when one of its columns has one of them."""


def matching(path: Path, identities: Identities, column: str | None = None) -> list[str | None]:
    """Return the values that the rows to remove have in a column.

    Args:
        path: The file.
        identities: What tells the rows.
        column: A column of strings; without one, or in a file that lacks it, the values are None.

    Raises:
        DataError: The file cannot be read.
    """
    found: list[str | None] = []
    with _opened(path) as file:
        names = [name for name in identities if name in file.schema_arrow.names]
        shown = column if column in file.schema_arrow.names else None
        wanted = list({*names, *([shown] if shown else [])})
        for group in range(file.num_row_groups) if names else ():
            rows = file.read_row_group(group, columns=wanted)
            rows = rows.filter(_tell(rows, identities))
            found += rows[shown].to_pylist() if shown else [None] * len(rows)
    return found


def remove_rows(path: Path, identities: Identities) -> int:
    """Write a file anew without some rows, whole or not at all; return how many went.

    Raises:
        DataError: The file cannot be read.
    """
    if not matching(path, identities):
        return 0
    removed = 0
    with (
        _opened(path) as file,
        replacing(path) as part,
        pq.ParquetWriter(part, file.schema_arrow, compression="zstd") as writer,
    ):
        for group in range(file.num_row_groups):
            rows = file.read_row_group(group)
            kept = rows.filter(pc.invert(_tell(rows, identities)))
            removed += len(rows) - len(kept)
            writer.write_table(kept)
    return removed


def _tell(rows: pa.Table, identities: Identities) -> pa.ChunkedArray:
    """Flag the rows that tell of the forgotten."""
    told = pa.chunked_array([pa.repeat(pa.scalar(False), len(rows))])
    for name, values in identities.items():
        if name in rows.column_names and values:
            texts = rows[name].cast(pa.string())
            told = pc.or_(told, pc.is_in(texts, pa.array(list(values), pa.string())))
    return told


@contextmanager
def _opened(path: Path) -> Iterator[pq.ParquetFile]:
    try:
        with pq.ParquetFile(path) as file:
            yield file
    except (pa.ArrowException, OSError) as error:
        raise DataError(
            f"{path} cannot be read ({str(error).partition(chr(10))[0]:.100}), so that nobody can "
            "tell what it holds; remove it, and run this again"
        ) from error
