"""Where a value lies in a record."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

import pydantic_core

__all__ = ["Key", "KeyPath", "find"]

_INDEX = re.compile(r"-?[0-9]{1,9}")

Key = str | tuple[str, ...]
"""A key as a configuration writes it: one, or several of which the first that holds something."""


@dataclass(frozen=True, slots=True)
class KeyPath:
    """A key, or several, ready to be looked up.

    A dot reaches into objects and lists; a key whose name has the dots itself is found as well. A
    key that begins with `/` is one of the whole record, where `part` is a part of one.
    """

    places: tuple[tuple[bool, tuple[str, ...]], ...]
    only: str | None = None

    @classmethod
    def of(cls, key: Key) -> Self:
        """Return the path that a configuration writes as `key`."""
        keys = (key,) if isinstance(key, str) else key
        places = tuple((k.startswith("/"), tuple(k.removeprefix("/").split("."))) for k in keys)
        is_plain = len(keys) == 1 and "." not in keys[0] and not keys[0].startswith("/")
        return cls(places, keys[0] if is_plain else None)

    def find(self, part: object, record: object) -> Any:
        """Return the first value that is not blank, else a blank one, or None without any."""
        if self.only is not None and type(part) is dict:
            # Most keys are one name, and looking it up is most of what a mapping costs.
            return part.get(self.only)
        blank = None
        for is_of_record, keys in self.places:
            value = find(record if is_of_record else part, keys)
            if value == "":
                blank = value
            elif value is not None:
                return value
        return blank

    def is_there(self, part: object, record: object) -> bool:
        """Tell whether a key is there, whatever it holds."""
        for is_of_record, keys in self.places:
            holder = record if is_of_record else part
            within = find(holder, keys[:-1]) if keys[:-1] else holder
            if isinstance(within, Mapping) and keys[-1] in within:
                return True
            if isinstance(holder, Mapping) and ".".join(keys) in holder:
                return True
        return False


def find(record: object, path: tuple[str, ...]) -> Any:
    """Return the value at the end of the path into objects and lists, or None."""
    value = record
    for depth, key in enumerate(path):
        if isinstance(value, str) and value[:1] in ("{", "["):
            # A table's column may hold JSON.
            value = _decoded(value)
        if (
            isinstance(value, list)
            and _INDEX.fullmatch(key)
            and -len(value) <= int(key) < len(value)
        ):
            value = value[int(key)]
        elif isinstance(value, Mapping):
            inner = value.get(key)
            if inner is None and depth + 1 < len(path):
                return _spelt_in_full(value, path[depth:])
            value = inner
        else:
            return None
    return value


def _spelt_in_full(value: Mapping[str, Any], path: tuple[str, ...]) -> Any:
    """Return what lies at a path whose first steps are one name with dots, as in a flat table."""
    for end in range(len(path), 1, -1):
        inner = value.get(".".join(path[:end]))
        if inner is not None:
            return find(inner, path[end:])
    return None


def _decoded(text: str) -> object:
    try:
        return pydantic_core.from_json(text)
    except ValueError:
        return None
