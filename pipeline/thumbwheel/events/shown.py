"""How a value is named in a reason: never by text of users, which nobody would look for there.

A reason is stored beside its dead letter, counted, logged and shown in lists. So it quotes what
cannot be somebody's words: truth values, short numbers, and the one word of a rating.
"""

import re
from collections.abc import Mapping

__all__ = ["shown", "shown_rating", "shown_time"]

_WORD = re.compile(r"[A-Za-z_+-]{1,20}")
_LETTER, _DIGIT = re.compile(r"[^\W\d_]"), re.compile(r"\d")
_LONGEST_NUMBER = 8
_HUGE_BITS = 128
_LONGEST_TIME = 40


def shown(value: object) -> str:
    """Return what to call a value that a reason is about."""
    if value is None or isinstance(value, bool):
        return repr(value)
    if isinstance(value, int) and value.bit_length() > _HUGE_BITS:
        return "a huge int"
    if isinstance(value, int | float):
        text = repr(value)
        return text if len(text) <= _LONGEST_NUMBER else "a long number"
    if isinstance(value, str):
        # Without its length, so that the same fault of many records is one reason.
        return "a text" if value.strip() else "blank text"
    if isinstance(value, Mapping):
        names = [repr(key) for key in value if isinstance(key, str) and _WORD.fullmatch(key)]
        return f"an object with {', '.join(names[:5])}" if names else "an object"
    return f"a {type(value).__name__}"


def shown_rating(value: object) -> str:
    """Return what to call a rating: one word is a kind of rating that somebody should know of."""
    if isinstance(value, str) and _WORD.fullmatch(value.strip()):
        return repr(value.strip())
    return shown(value)


def shown_time(value: object) -> str:
    """Return what to call a value that is no time by its shape, as 99/99/9999 99:99."""
    if isinstance(value, int | float) and not isinstance(value, bool) and len(repr(value)) <= 20:
        return f"a number like {_DIGIT.sub('9', repr(value))}"
    if not isinstance(value, str) or not value.strip() or len(value) > _LONGEST_TIME:
        return shown(value)
    return f"a text like {_LETTER.sub('a', _DIGIT.sub('9', value))!r}"
