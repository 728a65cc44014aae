"""Parquet: each row becomes a JSON object."""

import io
from collections import Counter
from collections.abc import Iterator
from typing import Any, ClassVar

import pyarrow as pa
import pydantic_core

from thumbwheel.errors import SourceError
from thumbwheel.types import Record
from thumbwheel_connectors.files.marks import Mark, digest
from thumbwheel_connectors.files.storage import File
from thumbwheel_connectors.files.text import CHECKED_BYTES, rewritten

__all__ = ["ParquetReader"]

_BUFFER_BYTES = 1 << 17
_BATCH_ROWS = 128
_BATCH_BYTES = 8 << 20
_PAGE_VALUES = 1024
_MAX_PAGE_BYTES = 128 << 20
_MAX_COLUMN_BYTES = 1 << 30


class ParquetReader:
    """Reads the rows of a Parquet file from a mark on, a few at a time.

    Nested columns become JSON, timestamps ISO 8601 in UTC (one without a zone is taken for UTC),
    decimals numbers, NaN null, binary columns text. A row with bytes that are no text, and one that
    is too large, is made unreadable as JSON and says why.

    Args:
        stream: The opened file; it is closed with the reader.
        file: Which file it is.
        mark: Where to begin.
        max_bytes: How large a row may be.
    """

    unit: ClassVar = "row"

    def __init__(self, stream: io.BufferedReader, file: File, mark: Mark, max_bytes: int) -> None:
        self.is_complete = False
        self.mark = mark
        self.share = 0.0
        self._stream, self._file, self._max_bytes = stream, file, max_bytes

    def records(self) -> Iterator[Record]:
        """Yield the rows; `mark` is behind the one yielded last.

        Raises:
            SourceError: The file is not the one the mark was made in, or its columns are unusable.
            OSError, ArrowException: It is damaged or not whole.
        """
        import pyarrow.parquet as pq

        begin = self.mark
        # As it is set up by default, Arrow holds whole row groups as they are on disk.
        settings = {"buffer_size": _BUFFER_BYTES, "pre_buffer": False}
        with pq.ParquetFile(self._stream, **settings) as table:
            n_rows = table.metadata.num_rows
            names = Counter(table.schema_arrow.names)
            if names and (twice := names.most_common(1)[0])[1] > 1:
                raise SourceError(f"{self._file.path} has two columns named {twice[0]!r:.80}")
            if begin.position > n_rows:
                raise rewritten(self._file, begin, self.unit)
            number = begin.check_at
            for raw in self._rows(table, skip=number):
                number += 1
                if number <= begin.position:
                    if digest(raw[:CHECKED_BYTES]) != begin.check:
                        raise rewritten(self._file, begin, self.unit)
                    continue
                self.mark = Mark(number, number, number - 1, digest(raw[:CHECKED_BYTES]))
                self.share = number / n_rows
                yield Record(raw, f"{self._file.name}:{number}")
        self.is_complete = True

    def _rows(self, table: Any, skip: int) -> Iterator[bytes]:
        for index in range(table.num_row_groups):
            group = table.metadata.row_group(index)
            if skip >= group.num_rows:
                skip -= group.num_rows
                continue
            self._expect_bounded(group, index)
            row_bytes = max(1, group.total_byte_size // group.num_rows)
            size = min(_BATCH_ROWS, max(1, _BATCH_BYTES // row_bytes))
            for batch in table.iter_batches(size, row_groups=[index], use_threads=False):
                rest = batch.slice(skip)
                skip = max(0, skip - batch.num_rows)
                if rest.num_rows:
                    yield from self._to_json(_readable_rows(rest))

    def _expect_bounded(self, group: Any, index: int) -> None:
        # Arrow unpacks whole pages. How large those are is not told beforehand, but none is larger
        # than its column, and most writers look at a page's size only every 1,024 values.
        for number in range(group.num_columns):
            column = group.column(number)
            size, n_values = column.total_uncompressed_size, max(1, column.num_values)
            page = size * min(_PAGE_VALUES, n_values) // n_values
            if size > _MAX_COLUMN_BYTES or page > _MAX_PAGE_BYTES:
                n_rows = max(1, group.num_rows * _MAX_PAGE_BYTES // size)
                raise SourceError(
                    f"{self._file.path} has {size:,} bytes in column {column.path_in_schema} of "
                    f"row group {index}, which may not fit the memory; write it with row groups of "
                    f"at most {n_rows:,} rows"
                )

    def _to_json(self, rows: pa.RecordBatch) -> Iterator[bytes]:
        if rows.num_rows > 1 and rows.nbytes > _BATCH_BYTES:
            for index in range(rows.num_rows):
                yield from self._to_json(rows.slice(index, 1))
        elif rows.num_rows == 1 and rows.nbytes > self._max_bytes:
            yield b"<the row has %d bytes, more than %d>" % (rows.nbytes, self._max_bytes)
        else:
            try:
                objects = rows.to_pylist(maps_as_pydicts="lossy")
            except (ValueError, ArithmeticError) as error:
                if rows.num_rows == 1:
                    yield f"<the row cannot be read: {error}>".encode()
                    return
                for index in range(rows.num_rows):
                    yield from self._to_json(rows.slice(index, 1))
            else:
                for row in objects:
                    yield self._object_to_json(row)

    def _object_to_json(self, row: dict[str, Any]) -> bytes:
        try:
            raw = pydantic_core.to_json(row, inf_nan_mode="null")
        except ValueError:
            raw = pydantic_core.to_json(row, inf_nan_mode="null", bytes_mode="base64")
            raw += b" <it has bytes that are not UTF-8 text>"
        if len(raw) > self._max_bytes:
            raw = raw[: self._max_bytes] + b" <cut: the row has %d bytes>" % len(raw)
        return raw

    def close(self) -> None:
        """Close the file."""
        self._stream.close()


def _readable_rows(rows: pa.RecordBatch) -> pa.RecordBatch:
    """Return the same values in types that Python's json knows; for others, Arrow needs pandas."""
    for moment in (pa.timestamp("us", "UTC"), pa.string()):
        fields = [field.with_type(_readable(field.type, moment)) for field in rows.schema]
        rows = rows.cast(pa.schema(fields), safe=False)
    return rows


def _readable(kind: pa.DataType, moment: pa.DataType) -> pa.DataType:
    if pa.types.is_timestamp(kind):
        return moment
    if pa.types.is_time64(kind):
        return pa.time64("us")
    if pa.types.is_duration(kind):
        return pa.duration("us")
    if pa.types.is_decimal(kind):
        is_small_integer = kind.scale == 0 and kind.precision <= 18
        return pa.int64() if is_small_integer else pa.float64()
    if pa.types.is_struct(kind):
        return pa.struct([field.with_type(_readable(field.type, moment)) for field in kind])
    if pa.types.is_map(kind):
        return pa.map_(kind.key_type, _readable(kind.item_type, moment))
    if pa.types.is_large_list(kind):
        return pa.large_list(_readable(kind.value_type, moment))
    if pa.types.is_list(kind) or pa.types.is_fixed_size_list(kind):
        return pa.list_(_readable(kind.value_type, moment))
    return kind
