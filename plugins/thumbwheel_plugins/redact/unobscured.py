"""What an obscured text spells: escapes undone, letters of any width, signs without one left out.

`bob%40mail.org`, `bob&#64;mail.org`, one with a fullwidth sign, one with a zero-width space in it:
each is the address to whoever reads it. What is found in the plain text is replaced in place.
"""

import html
import re
import unicodedata
from dataclasses import dataclass

__all__ = ["Unobscured", "unobscured"]

# As URLs, HTML, JSON and programs escape a sign; and signs that nobody sees.
_ESCAPED = re.compile(
    r"%[2-7][0-9A-Fa-f]|&(?:#[0-9]{1,7}|#[xX][0-9A-Fa-f]{1,6}|[a-z]{2,10});"
    r"|\\{1,4}(?:u00|x)[2-7][0-9A-Fa-f]"
    r"|[\u00ad\u034f\u061c\u180e\u200b-\u200f\u202a-\u202e\u2060-\u2064\u2066-\u2069]"
    r"|[\ufe00-\ufe0f\ufeff]"
)
_MOST_ROUNDS = 3
"""An escape may be escaped itself: %2540."""


class _Plain(dict[int, str]):
    """Signs beyond ASCII as the one sign of ASCII that they are a form of, if they are."""

    def __missing__(self, code: int) -> str:
        sign = chr(code)
        plain = unicodedata.normalize("NFKC", sign) if code > 0x20FF else sign
        self[code] = plain if len(plain) == 1 and plain.isascii() else sign
        return self[code]


_PLAIN = _Plain((code, chr(code)) for code in range(128))


@dataclass(frozen=True, slots=True)
class Unobscured:
    """A plain text, and where each of its signs begins and ends in the text that it was."""

    text: str
    starts: list[int]
    ends: list[int]


def unobscured(text: str) -> Unobscured | None:
    """Return the plain text, or None where it is the text itself."""
    plain = text if text.isascii() else text.translate(_PLAIN)
    if not _ESCAPED.search(plain):
        if plain == text:
            return None
        return Unobscured(plain, list(range(len(text))), list(range(1, len(text) + 1)))
    starts, ends = list(range(len(text))), list(range(1, len(text) + 1))
    for _ in range(_MOST_ROUNDS):
        signs: list[str] = []
        firsts: list[int] = []
        lasts: list[int] = []
        behind = 0
        for match in _ESCAPED.finditer(plain):
            sign = _sign(match[0])
            signs += [plain[behind : match.start()], sign]
            firsts += starts[behind : match.start()] + [starts[match.start()]] * len(sign)
            lasts += ends[behind : match.start()] + [ends[match.end() - 1]] * len(sign)
            behind = match.end()
        if not behind:
            break
        signs.append(plain[behind:])
        plain, starts, ends = "".join(signs), firsts + starts[behind:], lasts + ends[behind:]
    return Unobscured(plain, starts, ends)


def _sign(escape: str) -> str:
    if escape[0] == "%":
        return chr(int(escape[1:], 16))
    if escape[0] == "\\":
        return chr(int(escape[-2:], 16))
    if escape[0] == "&":
        sign = html.unescape(escape)
        return sign if len(sign) == 1 else escape
    return ""
