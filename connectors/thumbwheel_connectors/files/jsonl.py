"""JSONL: one JSON object a line."""

import codecs
from collections.abc import Iterator

import pydantic_core

from thumbwheel.types import Record
from thumbwheel_connectors.files.text import TextReader

__all__ = ["JsonlReader"]


class JsonlReader(TextReader):
    """Reads the lines of a text as they are; blank lines are skipped.

    A last line without a line end may still be growing. It is read when it is a whole JSON object
    (no beginning of a JSON object is one itself, so nothing can be missing), or when the file has
    not been modified for a minute. Until then it waits for its rest.
    """

    def records(self) -> Iterator[Record]:
        """Yield each line."""
        self._resume()
        while True:
            line, length, is_ended = self._text.read_line(self._max_bytes)
            if not is_ended and not self._is_finished(line):
                self.is_complete = not line
                return
            raw = line.rstrip(b"\r\n")
            if self._text.offset == length:
                raw = raw.removeprefix(codecs.BOM_UTF8)
            if not raw.strip():
                self._has_read_blank(line, is_ended)
                continue
            if length > len(line):
                raw += b" <cut: the line has %d bytes>" % length
            self._has_read(line, is_ended)
            yield Record(raw, f"{self._file.name}:{self._number + (not is_ended)}")

    def _is_finished(self, last_line: bytes) -> bool:
        if not last_line:
            return False
        if self._text.is_packed or self._is_settled():
            return True
        try:
            return isinstance(pydantic_core.from_json(last_line), dict)
        except ValueError:
            return False
