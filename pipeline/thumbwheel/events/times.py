"""Times as exports write them: what can mean one moment only is read, and nothing is guessed.

Numbers are told apart by their size: seconds since 1970 that lie in 1990 or later, and milli-,
micro- and nanoseconds. A smaller number may as well be a date (20260301), a day of a spreadsheet
(46082.5) or no time at all, and needs its unit or its format declared.
"""

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import Literal

__all__ = ["TimeReader", "TimeUnit", "read_moment"]

TimeUnit = Literal["s", "ms", "us", "ns", "days"]
"""What a number counts: since 1970, or for `days` as spreadsheets do, since the end of 1899."""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_SPREADSHEET = datetime(1899, 12, 30, tzinfo=UTC)
_FIRST_SECOND = datetime(1990, 1, 1, tzinfo=UTC).timestamp()
_LAST_SECOND = datetime(2100, 1, 1, tzinfo=UTC).timestamp()

# Nothing is two of these: as milliseconds, 10^12 is a time in September 2001.
_PER_SECOND: Mapping[TimeUnit, int] = {"s": 1, "ms": 10**3, "us": 10**6, "ns": 10**9}
_RANGES: tuple[tuple[float, float, TimeUnit], ...] = (
    (_FIRST_SECOND, _LAST_SECOND, "s"),
    (1e12, _LAST_SECOND * 1e3, "ms"),
    (1e15, _LAST_SECOND * 1e6, "us"),
    (1e18, _LAST_SECOND * 1e9, "ns"),
)

_NUMBER = re.compile(r"[+-]?[0-9]{1,20}(\.[0-9]{1,20})?([eE][+]?[0-9]{1,2})?")
_LONG_NUMBER = re.compile(r"[0-9]{9,20}(\.[0-9]{1,20})?|[0-9](\.[0-9]{1,20})?[eE][+]?[0-9]{1,2}")
_MIDNIGHT = re.compile(r"(.*[T ])24(:?00(?::?00(?:\.0+)?)?)(.*)")
_ORDINAL = re.compile(r"[0-9]{4}-[0-9]{3}")
# Java writes the zone behind the offset, Go its name behind it, BigQuery nothing but the name.
_ZONE_NAMED = re.compile(r"(.*(?:Z|[+-][0-9]{2}:?[0-9]{2}))\[[A-Za-z0-9_+\-/]+\]")
_ZONE_BEHIND = re.compile(r"(.*?[+-][0-9]{2}:?[0-9]{2}) [A-Z]{1,5}")
_NAMED_UTC = re.compile(r"(.*[0-9]) ?(?:UTC|GMT|Z)", re.IGNORECASE)
_OFFSET_APART = re.compile(r"(.*[0-9]) ([+-][0-9]{2}:?[0-9]{2})")
# As JavaScript writes a Date: Sun Mar 01 2026 12:00:00 GMT+0100 (CET)
_JAVASCRIPT = re.compile(
    r"([A-Z][a-z]{2} [A-Z][a-z]{2} [0-9]{2} [0-9]{4} [0-9:]{8} GMT[+-][0-9]{4})(?: \([^()]*\))?"
)
_OF_MAIL = re.compile(r"[A-Z][a-z]{2,8},? |[0-9]{1,2} [A-Z][a-z]{2} ")
_ZONE_LAST = re.compile(r" ([A-Za-z]{1,5})(?: ?\([^()]*\))?\Z")
_ZONES_OF_MAIL = frozenset(
    ["GMT", "UTC", "UT", "Z", "EST", "EDT", "CST", "CDT", "MST", "MDT", "PST", "PDT"]
)
_LONGEST = 80


def read_moment(value: object) -> datetime | None:
    """Return the moment that a value of an event means, in UTC; None where it means none.

    Where no zone is named it is UTC. Anything finer than a microsecond is cut off.
    """
    kind = type(value)
    if (kind is int or kind is float) and _FIRST_SECOND <= value < _LAST_SECOND:  # type: ignore[operator]
        # Nearly all numbers are these, and every event has one.
        return datetime.fromtimestamp(value, UTC)  # type: ignore[arg-type]
    if isinstance(value, str):
        moment = _from_text(value)
    elif isinstance(value, Mapping):
        moment = _from_object(value)
    else:
        moment = _from_number(value)
    return moment if moment is not None and 1970 <= moment.year < 2100 else None


@dataclass(frozen=True)
class TimeReader:
    """Reads times in a unit or in formats that a configuration declares.

    Attributes:
        unit: What a number counts.
        formats: As `strptime` takes them; the first that fits counts.
    """

    unit: TimeUnit | None = None
    formats: tuple[str, ...] = ()

    def __bool__(self) -> bool:
        return self.unit is not None or bool(self.formats)

    def read(self, value: object) -> object:
        """Return the moment that a value means, or the value where no declaration fits it."""
        if value is None or isinstance(value, bool | datetime):
            return value
        if isinstance(value, str | int) and self.formats:
            for format_ in self.formats:
                try:
                    return _in_utc(datetime.strptime(str(value).strip(), format_))
                except (ValueError, OverflowError):
                    continue
        if self.unit is None:
            return value
        number = value
        if isinstance(value, str) and _NUMBER.fullmatch(value.strip()):
            number = _number(value.strip())
        if isinstance(number, int | float) and math.isfinite(number):
            return _counted(number, self.unit) or value
        return value


def _from_text(text: str) -> datetime | None:
    # Eight digits are a date; so many that more follow are a number, though they may look like one.
    if not (len(text) > 8 and text[:9].isdigit()):
        try:
            return _in_utc(datetime.fromisoformat(text))
        except (ValueError, OverflowError):
            pass
    text = text.strip()
    if len(text) > _LONGEST or not text.isascii():
        return None
    if _LONG_NUMBER.fullmatch(text):
        return _from_number(_number(text))
    return None if text.isdigit() and len(text) > 8 else _from_words(text)


def _from_words(text: str) -> datetime | None:
    """Read what is ISO 8601 but for a detail, and the dates of mails and of JavaScript."""
    try:
        if _ORDINAL.fullmatch(text):
            return _in_utc(datetime.strptime(text, "%Y-%j"))
        if found := _JAVASCRIPT.fullmatch(text):
            return _in_utc(datetime.strptime(found[1], "%a %b %d %Y %H:%M:%S GMT%z"))
        if _OF_MAIL.match(text):
            return _in_utc(parsedate_to_datetime(text)) if _has_known_zone(text) else None
        days = 0
        if found := _MIDNIGHT.fullmatch(text):
            text, days = f"{found[1]}00{found[2]}{found[3]}", 1
        for pattern in (_ZONE_NAMED, _ZONE_BEHIND):
            if found := pattern.fullmatch(text):
                text = found[1]
        if found := _NAMED_UTC.fullmatch(text):
            text = f"{found[1]}Z"
        if found := _OFFSET_APART.fullmatch(text):
            text = found[1] + found[2]
        return _in_utc(datetime.fromisoformat(text)) + timedelta(days=days)
    except (ValueError, OverflowError, TypeError, IndexError):
        return None


def _has_known_zone(text: str) -> bool:
    """Tell whether a zone that is named is one of RFC 2822: others would be taken for UTC."""
    zone = _ZONE_LAST.search(text)
    return zone is None or zone[1].upper() in _ZONES_OF_MAIL


def _from_object(value: Mapping[object, object]) -> datetime | None:
    """Read MongoDB's extended JSON: a date, its number of milliseconds either way."""
    match value:
        case {"$date": str(text)} if len(value) == 1:
            return _from_text(text)
        case {"$date": {"$numberLong": str(text)}} if len(value) == 1 and _NUMBER.fullmatch(text):
            return _counted(_number(text), "ms")
        case {"$date": int(number)} if len(value) == 1 and not isinstance(number, bool):
            return _counted(number, "ms")
    return None


def _from_number(value: object) -> datetime | None:
    if not isinstance(value, int | float) or isinstance(value, bool):
        return None
    for least, most, unit in _RANGES:
        if least <= value < most:
            return _counted(value, unit)
    return None


def _counted(number: float, unit: TimeUnit) -> datetime | None:
    try:
        if unit == "days":
            return _SPREADSHEET + timedelta(days=number)
        if isinstance(number, int) and unit != "ms":
            # A number of nanoseconds is more than a float can tell apart.
            return _EPOCH + timedelta(microseconds=number * 10**6 // _PER_SECOND[unit])
        return datetime.fromtimestamp(number / _PER_SECOND[unit], UTC)
    except (ValueError, OverflowError, OSError):
        return None


def _number(text: str) -> float:
    return int(text) if text.lstrip("+-").isdigit() else float(text)


def _in_utc(moment: datetime) -> datetime:
    return moment.astimezone(UTC) if moment.tzinfo else moment.replace(tzinfo=UTC)
