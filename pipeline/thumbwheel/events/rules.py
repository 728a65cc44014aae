"""Which records of a source count, and how its chats are read: options that every mapping has."""

from collections.abc import Mapping
from dataclasses import field
from datetime import UTC, datetime
from functools import cached_property
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, ConfigDict, Field, with_config
from pydantic.dataclasses import dataclass
from typing_extensions import TypedDict

from thumbwheel.events.messages import Role
from thumbwheel.events.paths import KeyPath
from thumbwheel.events.times import TimeReader, TimeUnit

__all__ = ["Condition", "Rating", "ReadingRules", "rating_key", "spelt"]

Rating = str | int | float | bool
"""What a configuration may list as a value."""


def _dated(format_: str) -> str:
    """Refuse a format that tells no day: it could not read a single time."""
    moment = datetime(2026, 3, 1, 12, 30, tzinfo=UTC)
    try:
        read = datetime.strptime(moment.strftime(format_), format_)
    except ValueError as error:
        raise ValueError(f"is no format of strptime: {error}") from None
    if (read.year, read.month, read.day) != (2026, 3, 1):
        raise ValueError("must hold the year, the month and the day, such as `%d.%m.%Y %H:%M`")
    return format_


_Format = Annotated[str, AfterValidator(_dated)]
_Values = Annotated[tuple[Rating, ...], Field(min_length=1)]


@with_config(ConfigDict(extra="forbid"))
class Condition(TypedDict, total=False):
    """A condition beside "is one of these": `{ present = true }`, `{ is_not = "EVAL" }`."""

    present: bool
    is_not: Rating | _Values


@dataclass(frozen=True, config={"extra": "forbid"})
class ReadingRules:
    """The options that every mapping has, whoever wrote it.

    Args:
        where: Conditions on keys; a record that does not meet all of them is left out. A value, a
            list of values, or a table with `present` or `is_not`.
        withdrawn_where: Conditions as in `where`; a record that meets all of them was deleted, and
            takes back what it said.
        roles: Who says what, in the source's own words, such as `{ customer = "user" }`, beside
            those that are known.
        prefilled: Whether a prompt may end with a message of the assistant, or with the very
            answer: the beginning of an answer that was put into the model's mouth.
        reasoning: `apart` takes hidden reasoning (`<think>…</think>`) out of answers and chats and
            keeps it in the metadata; `keep` leaves it where it is.
        time_unit: What numbers count that are times: `s`, `ms`, `us` or `ns` since 1970, or `days`
            as spreadsheets do. Without it, they are told apart by their size.
        time_format: How times are written, as `strptime` takes it, such as `%m/%d/%Y %H:%M`; or
            several, of which the first that fits counts.
    """

    where: dict[str, Rating | _Values | Condition] = field(default_factory=dict)
    withdrawn_where: dict[str, Rating | _Values | Condition] = field(default_factory=dict)
    roles: dict[str, Role] = field(default_factory=dict)
    prefilled: bool = False
    reasoning: Literal["apart", "keep"] = "apart"
    time_unit: TimeUnit | None = None
    time_format: _Format | tuple[_Format, ...] = ()

    @cached_property
    def times(self) -> TimeReader:
        """Reads times as they are declared; false where nothing is."""
        formats = self.time_format
        return TimeReader(self.time_unit, (formats,) if isinstance(formats, str) else formats)

    @cached_property
    def known_roles(self) -> Mapping[str, Role]:
        """The source's own names of roles, in lower case."""
        return {name.strip().casefold(): role for name, role in self.roles.items()}

    @cached_property
    def looks_at_records(self) -> bool:
        """Whether records in the event format have to be looked at before they are validated."""
        return bool(self.where or self.times or self.withdrawn_where)

    def withdraws(self, record: object) -> bool:
        """Tell whether a record takes back what it said."""
        return bool(self._deletions) and all(
            check.holds(record, record) for check in self._deletions
        )

    @cached_property
    def _deletions(self) -> "tuple[_Check, ...]":
        return tuple(_Check(key, wanted) for key, wanted in self.withdrawn_where.items())

    def take(self, part: object, record: object) -> bool:
        """Tell whether a record, or a part of one, meets all conditions of `where`."""
        return all(check.holds(part, record) for check in self._checks)

    def take_whole(self, record: object) -> bool:
        """Tell whether a record meets the conditions on keys of the whole record (`/key`)."""
        return all(check.holds(record, record) for check in self._checks if check.is_of_record)

    @cached_property
    def _checks(self) -> "tuple[_Check, ...]":
        return tuple(_Check(key, wanted) for key, wanted in self.where.items())


class _Check:
    """One key and what it has to hold."""

    def __init__(self, key: str, wanted: Any) -> None:
        self._path = KeyPath.of(key)
        self.is_of_record = key.startswith("/")
        test: Mapping[str, Any] = wanted if isinstance(wanted, dict) else {"is": wanted}
        self._present: bool | None = test.get("present")
        self._any_of = _keys(test["is"]) if "is" in test else None
        self._none_of = _keys(test["is_not"]) if "is_not" in test else frozenset()

    def holds(self, part: object, record: object) -> bool:
        value = self._path.find(part, record)
        is_there = value is not None and not (isinstance(value, str) and not value.strip())
        if self._present is not None and is_there is not self._present:
            return False
        # Of a list, such as tags, one element is enough.
        items = value if isinstance(value, list) else [value]
        found = {key for item in items for key in (rating_key(item), rating_key(spelt(item)))}
        if self._any_of is not None and not found & self._any_of:
            return False
        return not found & self._none_of


def _keys(values: Any) -> frozenset[tuple[bool, object]]:
    listed = values if isinstance(values, tuple) else (values,)
    return frozenset(rating_key(value) for value in listed)


_SPELLING = frozenset("0123456789+-.tTfF")


def rating_key(value: object) -> tuple[bool, object]:
    """Return what values that count as the same have in common: text without case and blanks.

    True == 1 in Python, but whoever lists 1 does not mean true.
    """
    if isinstance(value, str):
        return False, value.strip().casefold()
    return isinstance(value, bool), value if isinstance(value, int | float) else str(value)


def spelt(value: object) -> object:
    """Return the truth value or the number that a text spells, as CSV has nothing but text."""
    if not isinstance(value, str):
        return value
    text = value.strip()
    if text[:1] not in _SPELLING:
        # Most texts are words, and asking Python for the number in one is slow.
        return value
    if (word := text.casefold()) in ("true", "false"):
        return word == "true"
    try:
        return float(text)
    except ValueError:
        return value
