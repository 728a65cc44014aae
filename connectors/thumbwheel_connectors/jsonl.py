"""One JSONL file, plain or gzip, read from a mark on in bounded memory."""

import codecs
import gzip
import hashlib
import os
import time
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import IO, cast

import pydantic_core

from thumbwheel.errors import SourceError
from thumbwheel.types import Record

__all__ = ["JsonlReader", "Mark"]

_GZIP_MAGIC = b"\x1f\x8b"
_CHECKED_BYTES = 4096
_SKIPPED_BYTES = 1 << 20
_SETTLED_SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class Mark:
    """Where reading of a file goes on, and how to know that it is still the same file.

    Attributes:
        offset: Bytes of (decompressed) text read.
        lines: Line ends among them.
        check_at: Where the last record read begins, in bytes.
        check_length: How many of its bytes `check_digest` covers.
        check_digest: Their hash. Another file does not have the same bytes there.
        size: Bytes on disk when the end had been read, -1 before.
        mtime_ns: The modification time then.
    """

    offset: int = 0
    lines: int = 0
    check_at: int = 0
    check_length: int = 0
    check_digest: str = ""
    size: int = -1
    mtime_ns: int = -1

    def is_end_of(self, status: os.stat_result) -> bool:
        """Tell whether the file had been read to its end and was not touched since."""
        return (self.size, self.mtime_ns) == (status.st_size, status.st_mtime_ns)


class JsonlReader:
    """Reads the lines of one file as records; blank lines are skipped.

    A last line without a line end may still be growing. It is read when it is a whole JSON object
    (no beginning of a JSON object is one itself, so nothing can be missing), or when the file has
    not been modified for a minute. Until then it waits for its rest.

    Args:
        path: The file.
        name: What to call it in positions.
        mark: Where to begin.
        max_line_bytes: A longer line is cut there and a note is put behind, which makes it
            unreadable as JSON: it ends as a dead letter and cannot fill the memory.

    Raises:
        SourceError: The file cannot be read, or is not the one the mark was made in.
    """

    def __init__(self, path: Path, name: str, mark: Mark, max_line_bytes: int) -> None:
        self.at_end = False
        self._path, self._name, self._max_line_bytes = path, name, max_line_bytes
        self._begin = mark
        self._offset, self._lines = mark.offset, mark.lines
        self._last_at, self._last_line = 0, b""
        self._is_complete = False
        try:
            self._file = path.open("rb")
        except OSError as error:
            raise SourceError(f"cannot read {path}: {error.strerror}") from error
        try:
            # Taken before reading, so that what is appended meanwhile shows as a change.
            self._status = os.fstat(self._file.fileno())
            self._is_gzip = self._file.read(len(_GZIP_MAGIC)) == _GZIP_MAGIC
            self._file.seek(0)
            self._text: IO[bytes] = self._file
            if self._is_gzip:
                self._text = cast("IO[bytes]", gzip.GzipFile(fileobj=self._file))
            if mark.offset and not self._is_marked_file(mark):
                raise SourceError(
                    f"{path} was cut or rewritten after {mark.lines} lines of it had been read; "
                    "a file may only grow: restore it, or give new content a new file name"
                )
        except BaseException:
            self._file.close()
            raise

    def _is_marked_file(self, mark: Mark) -> bool:
        if not self._is_gzip and self._status.st_size < mark.offset:
            return False
        try:
            self._text.seek(mark.check_at)
            checked = self._text.read(mark.check_length)
            return _digest(checked) == mark.check_digest and (
                self._text.seek(mark.offset) == mark.offset
            )
        except (OSError, EOFError, zlib.error) as error:
            raise self._damaged(error) from error

    def read_into(self, records: list[Record], max_records: int) -> None:
        """Append next records until there are `max_records`, or none for now (`at_end`).

        Raises:
            SourceError: The file is damaged gzip, or one JSON array. What was appended before that
                is good, and `mark` is behind it.
        """
        while len(records) < max_records:
            try:
                line, length, ended = self._read_line()
            except (OSError, EOFError, zlib.error) as error:
                raise self._damaged(error) from error
            if not ended and not self._is_finished(line):
                self.at_end, self._is_complete = True, not line
                return
            raw = line.rstrip(b"\r\n")
            if self._offset == 0:
                raw = raw.removeprefix(codecs.BOM_UTF8)
                self._refuse_array(raw)
            if raw.strip():
                if length > len(line):
                    raw += b" <cut: the line has %d bytes>" % length
                records.append(Record(raw, f"{self._name}:{self._lines + 1}"))
                self._last_at, self._last_line = self._offset, line
            self._offset += length
            self._lines += ended

    def _read_line(self) -> tuple[bytes, int, bool]:
        """Return the next line, cut when too long, its whole length, and whether it has an end."""
        line = self._text.readline(self._max_line_bytes + 1)
        if len(line) <= self._max_line_bytes or line.endswith(b"\n"):
            return line, len(line), line.endswith(b"\n")
        length = len(line)
        while piece := self._text.readline(_SKIPPED_BYTES):
            length += len(piece)
            if piece.endswith(b"\n"):
                break
        return line[: self._max_line_bytes], length, piece.endswith(b"\n")

    def _is_finished(self, last_line: bytes) -> bool:
        if not last_line:
            return False
        if self._is_gzip or time.time() - self._status.st_mtime > _SETTLED_SECONDS:
            return True
        try:
            return isinstance(pydantic_core.from_json(last_line), dict)
        except ValueError:
            return False

    def _refuse_array(self, first_line: bytes) -> None:
        if first_line.strip() == b"[" or first_line.lstrip().startswith(b"[{"):
            raise SourceError(
                f"{self._path} is one JSON array, not one JSON object a line; "
                "convert it, for example with: jq -c '.[]' FILE > FILE.jsonl"
            )

    def _damaged(self, error: Exception) -> SourceError:
        return SourceError(
            f"{self._path} cannot be read behind line {self._lines}: {error}; "
            "if it is still being written, run again when it is whole, else export it again"
        )

    @property
    def mark(self) -> Mark:
        """The mark behind what has been read."""
        checked = self._last_line[:_CHECKED_BYTES]
        return Mark(
            self._offset,
            self._lines,
            *(
                (self._last_at, len(checked), _digest(checked))
                if checked
                else (self._begin.check_at, self._begin.check_length, self._begin.check_digest)
            ),
            *((self._status.st_size, self._status.st_mtime_ns) if self._is_complete else (-1, -1)),
        )

    @property
    def disk_bytes(self) -> int:
        """Bytes on disk read so far."""
        return self._file.tell() if self._is_gzip else self._offset

    def close(self) -> None:
        """Close the file."""
        self._file.close()


def _digest(line: bytes) -> str:
    return hashlib.blake2b(line, digest_size=16).hexdigest()
