"""From a text to the same text with placeholders.

What is left between placeholders is looked at again, each piece for itself, until nothing is found
in it. So a text that was redacted once stays as it is: its pieces are the ones that were clean.
"""

import re
import unicodedata
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import NamedTuple

from thumbwheel_plugins.redact.unobscured import unobscured

__all__ = ["Finder", "Scanner", "Span", "as_plain", "in_windows"]

_PLACEHOLDER = re.compile(r"(<[A-Z][A-Z0-9_]*>)")

# Nobody writes more keys than this without anything between them. What is left is then replaced as
# a whole, so that no text takes quadratic time.
_MAX_DEPTH = 8

_WINDOW = 4096
# More than what is looked for in windows is long.
_MARGIN = 256


class Span(NamedTuple):
    """What was found: `text[start:end]` is a `kind`, with a confidence in [0, 1]."""

    start: int
    end: int
    kind: str
    score: float


Finder = Callable[[str], Iterable[Span]]


class Scanner:
    """Replaces what its finders find. It remembers every text, so make one for each batch.

    Args:
        finders: What they find may overlap: all that is covered becomes one placeholder, named by
            the highest score, then by what begins first, then by the finder listed first.
        min_score: What is found with less is left alone.
    """

    def __init__(self, finders: Sequence[Finder], min_score: float) -> None:
        self.counts: Counter[str] = Counter()
        self._finders, self._min_score = finders, min_score
        self._known: dict[str, tuple[str, Counter[str]]] = {}

    def redact(self, text: str) -> str:
        """Return the text with placeholders such as `<IBAN_CODE>`; add to `counts`."""
        if text not in self._known:
            counts: Counter[str] = Counter()
            self._known[text] = "".join(self._pieces(text, counts)), counts
        redacted, counts = self._known[text]
        self.counts.update(counts)
        return redacted

    def _pieces(self, text: str, counts: Counter[str]) -> Iterator[str]:
        # A stack of its own: there may be more to find in a text than Python has frames.
        todo = [(piece, 1) for piece in reversed(_PLACEHOLDER.split(text))]
        while todo:
            piece, depth = todo.pop()
            spans = [] if _PLACEHOLDER.fullmatch(piece) else self._find(piece)
            if not spans:
                yield piece
                continue
            if depth == _MAX_DEPTH:
                spans = [spans[0]._replace(start=0, end=len(piece))]
            end = len(piece)
            for span in reversed(spans):
                counts[span.kind] += 1
                todo += [(piece[span.end : end], depth + 1), (f"<{span.kind}>", depth)]
                end = span.start
            todo.append((piece[:end], depth + 1))

    def _find(self, piece: str) -> list[Span]:
        """Return what is to be replaced, in order and without overlaps."""
        found = [span for finder in self._finders for span in finder(piece)]
        plain = unobscured(piece)
        if plain is not None:
            found += [
                span._replace(start=plain.starts[span.start], end=plain.ends[span.end - 1])
                for finder in self._finders
                for span in finder(plain.text)
            ]
        merged: list[Span] = []
        for span in sorted(
            (span for span in found if span.score >= self._min_score), key=lambda span: span.start
        ):
            if merged and span.start < merged[-1].end:
                first = merged.pop()
                best = span if span.score > first.score else first
                span = best._replace(start=first.start, end=max(first.end, span.end))
            merged.append(span)
        return merged


def in_windows(text: str, finder: Finder) -> Iterator[Span]:
    """Yield what a finder finds in a text of any length, a window at a time.

    For finders that take more than linear time. Windows overlap, so that nothing shorter than the
    overlap is cut: what touches a window's own part was seen whole.
    """
    if len(text) <= _WINDOW + _MARGIN:
        yield from finder(text)
        return
    for begin in range(0, len(text), _WINDOW):
        end, left = begin + _WINDOW, max(0, begin - _MARGIN)
        for span in finder(text[left : end + _MARGIN]):
            moved = span._replace(start=span.start + left, end=span.end + left)
            if moved.start < end and moved.end > begin:
                yield moved


_ESCAPE = re.compile(r"\\[nrt]")


class _AsciiOf(dict[int, str]):
    def __missing__(self, codepoint: int) -> str:
        character = chr(codepoint)
        category = unicodedata.category(character)
        if category == "Nd":
            plain = str(unicodedata.decimal(character))
        else:
            plain = {"Zs": " ", "Pd": "-", "Sm": "-"}.get(category, "\0")
        self[codepoint] = plain
        return plain


_ASCII_OF = _AsciiOf((code, chr(code)) for code in range(128))


def as_plain(text: str) -> str:
    """Return an ASCII text of the same length in which numbers stand free, for a pattern to find.

    Digits, spaces and dashes of all scripts become plain ones. Other characters beyond ASCII become
    NUL: Chinese or Thai letters may touch a number. So does the letter of an escaped line break, as
    JSON and code have it.
    """
    if not text.isascii():
        text = text.translate(_ASCII_OF)
    return _ESCAPE.sub("\\\\\0", text) if "\\" in text else text
