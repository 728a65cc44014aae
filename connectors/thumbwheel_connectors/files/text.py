"""The text of a file, unpacked, read forward from a mark on; what the text formats share."""

import codecs
import gzip
import io
import re
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from typing import ClassVar, cast

import pyarrow as pa
from typing_extensions import Buffer

from thumbwheel.errors import SourceError
from thumbwheel.types import Record
from thumbwheel_connectors.files.marks import Mark, digest
from thumbwheel_connectors.files.storage import File

__all__ = ["CHECKED_BYTES", "Text", "TextReader", "rewritten"]

# Zstandard's skippable frames, which pzstd writes first, have magic numbers of their own.
_ZSTD_MAGIC = re.compile(rb"\x28\xb5\x2f\xfd|[\x50-\x5f]\x2a\x4d\x18")
_BUFFER_BYTES = 1 << 17
_SKIPPED_BYTES = 1 << 20
CHECKED_BYTES = 1024


class Text:
    """Bytes of text, unpacked when they are gzip or zstd, and the count of those that were read.

    Reading raises OSError, EOFError or zlib.error when the packing is damaged or breaks off; what
    is whole before that can be read.

    Args:
        file: Opened at its beginning; it is closed with the text.
        encoding: What the unpacked bytes are; they are handed on as UTF-8.
    """

    def __init__(self, file: io.BufferedReader, encoding: str = "utf-8") -> None:
        self._file = self._text = file
        magic = file.read(4)
        file.seek(0)
        self.offset = 0
        self.is_packed = True
        if magic.startswith(b"\x1f\x8b"):
            self._text = cast("io.BufferedReader", gzip.GzipFile(fileobj=file))
        elif _ZSTD_MAGIC.match(magic):
            # Not the zstandard package: its reader takes a frame that breaks off for a whole one.
            self._text = io.BufferedReader(pa.CompressedInputStream(file, "zstd"), _BUFFER_BYTES)
        else:
            self.is_packed = False
        self._can_seek = not self.is_packed
        if encoding != "utf-8":
            self._text = io.BufferedReader(_Transcoded(self._text, encoding), _BUFFER_BYTES)
            self._can_seek = False

    def peek(self) -> bytes:
        """Return some of the first bytes, which are read again."""
        return self._text.peek(1)

    def read(self, size: int) -> bytes:
        """Return the next `size` bytes; fewer at the end."""
        content = self._text.read(size)
        self.offset += len(content)
        return content

    def read_some(self) -> bytes:
        """Return next bytes, as many as are at hand; none at the end."""
        content = self._text.read1(_BUFFER_BYTES)
        self.offset += len(content)
        return content

    def read_line(self, max_bytes: int) -> tuple[bytes, int, bool]:
        """Return the next line, cut when too long, its whole length, and whether it has an end."""
        line = self._text.readline(max_bytes + 1)
        length = len(line)
        is_ended = line.endswith(b"\n")
        if length > max_bytes and not is_ended:
            line = line[:max_bytes]
            while piece := self._text.readline(_SKIPPED_BYTES):
                length += len(piece)
                if is_ended := piece.endswith(b"\n"):
                    break
        self.offset += length
        return line, length, is_ended

    def move_to(self, offset: int) -> bool:
        """Go forward to `offset`; return whether the text is that long."""
        if not self._can_seek:
            while self.offset < offset and self.read(min(offset - self.offset, _SKIPPED_BYTES)):
                pass
            return self.offset == offset
        self.offset = self._text.seek(offset)
        return offset <= self._text.seek(0, io.SEEK_END) and self._text.seek(offset) == offset

    @property
    def disk_bytes(self) -> int:
        """Bytes on disk read so far."""
        return self.offset if self._can_seek else self._file.tell()

    def close(self) -> None:
        """Close the file."""
        self._text.close()
        self._file.close()


class _Transcoded(io.RawIOBase):
    """Text of another encoding as UTF-8, read forward only."""

    def __init__(self, file: io.BufferedReader, encoding: str) -> None:
        self._file, self._encoding = file, encoding
        self._decoder = codecs.getincrementaldecoder(encoding)()
        self._ready = b""

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Buffer) -> int:
        while not self._ready:
            piece = self._file.read1(_BUFFER_BYTES)
            try:
                self._ready = self._decoder.decode(piece, final=not piece).encode()
            except ValueError as error:
                raise SourceError(
                    f"it is not {self._encoding} text; set `encoding` to what it is"
                ) from error
            if not piece:
                break
        with memoryview(buffer) as view:
            content, self._ready = self._ready[: len(view)], self._ready[len(view) :]
            view[: len(content)] = content
        return len(content)


class TextReader(ABC):
    """Reads the records of one text from a mark on.

    Args:
        text: The text, at its beginning.
        file: The file it is in.
        mark: Where to begin.
        max_bytes: A longer record is cut there and a note is put behind, which makes it unreadable
            as JSON: it ends as a dead letter and cannot fill the memory.
        is_settled: Tells whether the file has not been written to for a while.

    Attributes:
        is_complete: The end has been read, and nothing there waits for its rest.
    """

    unit: ClassVar = "line"

    def __init__(
        self, text: Text, file: File, mark: Mark, max_bytes: int, is_settled: Callable[[], bool]
    ) -> None:
        self.is_complete = False
        self._text, self._file, self._mark = text, file, mark
        self._max_bytes, self._is_settled = max_bytes, is_settled
        self._position, self._number = mark.position, mark.number
        self._check_at = mark.check_at
        self._checked: bytes | None = None

    @abstractmethod
    def records(self) -> Iterator[Record]:
        """Yield the records that are there now; `mark` is behind the one yielded last.

        Raises:
            SourceError: The file is not the one the mark was made in, or in no known format.
            OSError, EOFError, zlib.error: It is damaged or breaks off.
        """

    def _resume(self) -> None:
        mark = self._mark
        if mark.position == 0:
            return
        if self._text.move_to(mark.check_at):
            checked = self._text.read(min(CHECKED_BYTES, mark.position - mark.check_at))
            if digest(checked) == mark.check and self._text.move_to(mark.position):
                self._checked = checked
                return
        raise rewritten(self._file, mark, self.unit)

    def _has_read(self, record: bytes, count: int = 1, *, to: int | None = None) -> None:
        """Move the mark behind a record that begins where the mark was."""
        self._check_at, self._checked = self._position, record[:CHECKED_BYTES]
        self._position = self._text.offset if to is None else to
        self._number += count

    def _has_read_blank(self, blank: bytes, count: int = 0, *, to: int | None = None) -> None:
        """Move the mark behind something that is no record."""
        self._checked = ((self._checked or b"") + blank)[:CHECKED_BYTES]
        self._position = self._text.offset if to is None else to
        self._number += count

    def _begin_at(self, position: int, number: int) -> None:
        """Put the mark behind what comes before the first record."""
        if self._position == 0:
            self._position = self._check_at = position
            self._checked = b""
            self._number = number

    @property
    def mark(self) -> Mark:
        """The mark behind what has been read."""
        if self._checked is None:
            return self._mark
        return Mark(self._position, self._number, self._check_at, digest(self._checked))

    @property
    def share(self) -> float:
        """The share of the file read, in [0, 1]."""
        return min(1.0, self._text.disk_bytes / max(1, self._file.size))

    def close(self) -> None:
        """Close the file."""
        self._text.close()


def rewritten(file: File, mark: Mark, unit: str) -> SourceError:
    """Return the error for a file that does not hold any more what was read from it."""
    return SourceError(
        f"{file.path} was cut or rewritten after {mark.number} {unit}s of it had been read; "
        "a file may only grow: restore it, or give new content a new file name"
    )
