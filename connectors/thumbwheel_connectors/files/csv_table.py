"""CSV and TSV: a header row, then one record a row."""

import codecs
import csv
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field

import pydantic_core

from thumbwheel.errors import SourceError
from thumbwheel.types import Record
from thumbwheel_connectors.files.text import TextReader

__all__ = ["CsvReader"]

# How a spreadsheet is told what separates the columns of a file, in a line before the header.
_SEPARATOR = re.compile(rb'"?sep=([\t ,;:|])"?', re.IGNORECASE)


@dataclass(slots=True)
class _Row:
    """A row as it stands in the file, and its fields unless there is a problem with it.

    `is_ended` is false when the file ends before the row does.
    """

    lines: list[bytes] = field(default_factory=list)
    is_ended: bool = False
    fields: list[str] | None = None
    problem: str = ""
    text: bytes = b""


class _TooLongError(Exception):
    pass


class CsvReader(TextReader):
    """Makes a JSON object of each row; its values are text, an empty one is null.

    The delimiter is what a line `sep=;` before the header says, else the one of comma, semicolon
    and tab that splits the header into most columns.
    Columns without a name and rows without a value are left out. A row that does not fit the
    header, is not UTF-8 or breaks the rules of quoting is handed on as it stands, with a note
    behind that says why.

    A last row without a line end may still be growing: it waits until the file has not been
    modified for a minute.
    """

    def records(self) -> Iterator[Record]:
        """Yield each row, with the number of the line it begins in."""
        # The module's limit is one for the whole process; rows are bounded here anyway.
        csv.field_size_limit(max(csv.field_size_limit(), self._max_bytes))
        header = self._read_header()
        if header is None:
            return
        columns, delimiter = header
        self._resume()
        while True:
            row = self._read_row(delimiter)
            if not row.is_ended and not self._is_finished(row.text):
                self.is_complete = not row.text
                return
            if not row.problem and not any(row.fields or ()):
                self._has_read_blank(row.text, len(row.lines))
                continue
            raw = _to_json(row, columns)
            position = f"{self._file.name}:{self._number + 1}"
            self._has_read(row.text, len(row.lines))
            yield Record(raw, position)

    def _read_header(self) -> tuple[list[str], str] | None:
        number, delimiters = 0, "\t,;" if self._file.ending == ".tsv" else ",;\t"
        while True:
            line, length, is_ended = self._text.read_line(self._max_bytes)
            number += 1
            if not is_ended and not self._is_finished(line):
                self.is_complete = not line
                return None
            if length > len(line):
                raise self._bad_header(f"it has more than {self._max_bytes} bytes")
            if number == 1:
                line = line.removeprefix(codecs.BOM_UTF8)
            if told := _SEPARATOR.fullmatch(line.rstrip(b"\r\n")):
                delimiters = told[1].decode()
            elif line.strip():
                break
        header = self._parse_header(line, delimiters)
        self._begin_at(self._text.offset, number)
        return header

    def _parse_header(self, line: bytes, delimiters: str) -> tuple[list[str], str]:
        try:
            text = line.decode("utf-8")
        except ValueError as error:
            raise self._bad_header(f"it is not UTF-8 text ({error})") from error
        best: tuple[list[str], str] = [], ""
        for delimiter in delimiters:
            try:
                columns = next(csv.reader([text], delimiter=delimiter, strict=True))
            except csv.Error:
                continue
            if len(columns) > len(best[0]):
                best = [name.strip() for name in columns], delimiter
        counts = Counter(name for name in best[0] if name)
        if not counts:
            raise self._bad_header("it is no row of column names")
        name, times = counts.most_common(1)[0]
        if times > 1:
            raise self._bad_header(f"{times} columns are named {name!r:.80}")
        return best

    def _bad_header(self, why: str) -> SourceError:
        return SourceError(
            f"{self._file.path} cannot be read as CSV by its first line: {why}; "
            "export it again as UTF-8 with one row of distinct column names"
        )

    def _read_row(self, delimiter: str) -> _Row:
        row = _Row()
        try:
            # A reader of its own for each row: after a broken one, the next line begins afresh.
            reader = csv.reader(self._lines(row), delimiter=delimiter, strict=True)
            row.fields = next(reader, None)
        except csv.Error as error:
            row.problem = f"it is not valid CSV: {error}"
        except _TooLongError:
            row.problem = f"cut: the row has more than {self._max_bytes} bytes"
        row.text = b"".join(row.lines)
        return row

    def _lines(self, row: _Row) -> Iterator[str]:
        """Yield lines for as long as the row goes on, and note them in it."""
        room = self._max_bytes
        while True:
            line, length, row.is_ended = self._text.read_line(room)
            if not line:
                return
            row.lines.append(line)
            if length > len(line):
                raise _TooLongError
            yield line.decode("utf-8", "surrogateescape")
            room -= length

    def _is_finished(self, last_row: bytes) -> bool:
        return bool(last_row) and (self._text.is_packed or self._is_settled())


def _to_json(row: _Row, columns: list[str]) -> bytes:
    if row.fields is not None and len(row.fields) == len(columns):
        values = {n: v or None for n, v in zip(columns, row.fields, strict=True) if n}
        try:
            return pydantic_core.to_json(values)
        except ValueError:
            row.problem = "it is not UTF-8 text"
    elif row.fields is not None:
        row.problem = f"it has {len(row.fields)} fields, the header {len(columns)}"
    return row.text.rstrip(b"\r\n") + b" <" + row.problem.encode() + b">"
