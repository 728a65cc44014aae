"""One JSON array of objects: its elements are cut out of the text and handed on as they are.

A parser would build each element only to have it written out again, would change its numbers, and
would give up the file for one bad element. So only the boundaries are looked for here.
"""

import re
from collections.abc import Iterator

from thumbwheel.errors import SourceError
from thumbwheel.types import Record
from thumbwheel_connectors.files.text import TextReader

__all__ = ["JsonArrayReader", "arrays_in", "begins_array", "begins_document"]

_BEGIN = re.compile(rb"(?:\xef\xbb\xbf)?\s*\[(?=\s*(?:[{\]]|\Z))")
# An object over several lines: no line of JSONL is an opening brace alone.
_DOCUMENT = re.compile(rb"(?:\xef\xbb\xbf)?\s*\{[ \t\r]*\n")
_TOKEN = re.compile(rb'"((?:[^"\\]++|\\.)*)"(\s*:)?|[{}\[\],]', re.DOTALL)
_OPENS_RECORDS = re.compile(rb"\s*\[(?=\s*[{\]])")
_MAX_DEPTH = 4
# All three stop where the scan has to look: strings that end in the same chunk are passed over.
_BETWEEN_ELEMENTS = re.compile(rb'(?:[^"{}\[\],]++|"(?:[^"\\]++|\\.)*")*', re.DOTALL)
_IN_ELEMENT = re.compile(rb'(?:[^"{}\[\]]++|"(?:[^"\\]++|\\.)*")*', re.DOTALL)
_IN_STRING = re.compile(rb'(?:[^"\\]++|\\.)*', re.DOTALL)


def begins_array(text: bytes) -> bool:
    """Tell whether this is the beginning of an array of objects, or of an empty one."""
    return _BEGIN.match(text) is not None


def begins_document(text: bytes) -> bool:
    """Tell whether this is the beginning of one JSON object that is spread over several lines."""
    return _DOCUMENT.match(text) is not None


def arrays_in(text: bytes) -> dict[str, int]:
    """Return the arrays of objects in the beginning of a JSON object: path -> where it is open.

    A path is what leads to it, with dots between. Nothing is looked for within lists.
    """
    found: dict[str, int] = {}
    path: list[str] = []
    depth = in_lists = 0
    for token in _TOKEN.finditer(text):
        sign = token[0]
        if sign == b"{":
            depth += 1
        elif sign == b"}":
            depth -= 1
        elif sign == b"[":
            in_lists += 1
        elif sign == b"]":
            in_lists -= 1
        elif token[2] and not in_lists and depth <= _MAX_DEPTH:
            path = [*path[: depth - 1], token[1].decode(errors="replace")]
            if opened := _OPENS_RECORDS.match(text, token.end()):
                found[".".join(path)] = opened.end()
    return found


class JsonArrayReader(TextReader):
    """Cuts an array into its elements; what they are made of is the parser's business.

    An element that is too long is cut. An array that is not closed breaks off.

    Attributes:
        wrapped_at: Where the array is open that lies within an object.
    """

    unit = "element"
    wrapped_at: int | None = None

    def records(self) -> Iterator[Record]:
        """Yield each element."""
        if self._position:
            self._resume()
        elif self.wrapped_at is not None:
            self._begin_at(len(self._text.read(self.wrapped_at)), 0)
        elif begin := _BEGIN.match(self._text.peek()):
            self._begin_at(len(self._text.read(begin.end())), 0)
        for element, length, is_last in self._elements():
            consumed = element if is_last else element + b","
            end = self._position + length + (not is_last)
            raw = bytes(element.strip())
            if not raw:
                self._has_read_blank(consumed, to=end)
                continue
            if length > len(element):
                raw += b" <cut: the element has %d bytes>" % length
            self._has_read(consumed, to=end)
            yield Record(raw, f"{self._file.name}:{self._number}")
        self.is_complete = True

    def _elements(self) -> Iterator[tuple[bytes, int, bool]]:
        """Yield what stands between two commas, cut when too long, its length, and if it is last.

        Raises:
            EOFError: The array is not closed.
            SourceError: More text comes behind it.
        """
        element, length, depth, is_in_string = bytearray(), 0, 0, False
        while chunk := self._text.read_some():
            start = at = 0
            while (at := _next_sign(chunk, at, depth, is_in_string)) < len(chunk):
                sign = chunk[at : at + 1]
                if sign == b"\\":
                    # The chunk ends within an escape.
                    chunk += self._text.read(1) or b" "
                    continue
                if sign == b'"':
                    is_in_string = not is_in_string
                elif sign in b"[{":
                    depth += 1
                elif depth:
                    depth -= 1
                else:
                    length += at - start
                    element += chunk[start : min(at, start + self._max_bytes - len(element))]
                    yield bytes(element), length, sign == b"]"
                    if sign == b"]":
                        if self.wrapped_at is None:
                            self._expect_end(chunk[at + 1 :])
                        return
                    element, length, start = bytearray(), 0, at + 1
                at += 1
            length += len(chunk) - start
            element += chunk[start : start + self._max_bytes - len(element)]
        raise EOFError("the JSON array is not closed")

    def _expect_end(self, rest: bytes) -> None:
        while rest.isspace() or not rest:
            rest = self._text.read_some()
            if not rest:
                return
        raise SourceError(
            f"{self._file.path} has more text behind its JSON array; a file is one array, or JSONL "
            "with one object a line"
        )


def _next_sign(chunk: bytes, at: int, depth: int, is_in_string: bool) -> int:
    """Return the index of the next byte that matters, or the chunk's length."""
    pattern = _IN_STRING if is_in_string else _IN_ELEMENT if depth else _BETWEEN_ELEMENTS
    match = pattern.match(chunk, at)
    return match.end() if match else at
