"""Texts inside of JSON: what was JSON stays JSON."""

import json
from collections import Counter
from collections.abc import Callable
from typing import Any

__all__ = ["redact_json"]


def redact_json(text: str, redact: Callable[[str], str]) -> str:
    """Return a JSON text with `redact` done to every text, key and whole number in it.

    Where that changes nothing the text stays as it was; what is no JSON is redacted as one text.
    """
    try:
        value = json.loads(text)
        redacted = _redact(value, redact)
    except (ValueError, RecursionError):
        return redact(text)
    return text if redacted == value else _dump(redacted)


def _redact(value: Any, redact: Callable[[str], str]) -> Any:
    if isinstance(value, str):
        return redact(value)
    if isinstance(value, list):
        return [_redact(item, redact) for item in value]
    if isinstance(value, dict):
        taken: Counter[str] = Counter()
        result = {}
        for key, item in value.items():
            name = redact(key)
            taken[name] += 1
            # Two keys that became the same keep their values.
            name += f" {taken[name]}" if taken[name] > 1 else ""
            result[name] = _redact(item, redact)
        return result
    if isinstance(value, int):
        # A card number may come as one, and True is an int whose digits are none.
        redacted = redact(str(value))
        return value if redacted == str(value) else redacted
    return value


def _dump(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"), sort_keys=True)
    try:
        text.encode()
    except UnicodeEncodeError:  # half of a surrogate pair, which JSON can only escape
        return json.dumps(value, separators=(",", ":"), sort_keys=True)
    return text
