"""From raw records to a table of events: parse, map, validate, name by content."""

import math
import re
import traceback
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import PurePath
from typing import Any, NamedTuple

import pyarrow as pa
import pydantic_core

from thumbwheel.events.parts import NOT_TAKEN, LeftOut
from thumbwheel.events.paths import Key
from thumbwheel.events.rows import IDENTIFIED, Row, to_row, to_table
from thumbwheel.events.rules import ReadingRules
from thumbwheel.events.wire import MalformedRecordError, validate
from thumbwheel.events.withdrawal import taken_back
from thumbwheel.types.fates import Fault

__all__ = ["RECEIVED_AS", "EventParser", "Malformed", "ParsedBatch"]

# In memory, hostile JSON takes up to eighty times the room it has on the wire.
_MAX_RECORD_BYTES = 8 << 20
# A piece of an Arrow column cannot hold more than 2 GiB of text.
_MAX_PIECE_BYTES = 256 << 20

# What a reader of files says of a record that it cannot hand on as JSON, behind it.
_NOTE = re.compile(rb" <((?:cut: |it is |it has )[^<>\n]{1,200})>\Z")
_NOTE_BYTES = 256
# Python's and pandas' JSON has words for numbers that JSON has not.
_NOT_FINITE = re.compile(rb"[:\[,]\s*-?(?:NaN|Infinity)\b")

RECEIVED_AS = "thumbwheel_event_id"
"""The key under which a receiver notes the id of a record's event, for mappings that find none."""

_TIMES = ("occurred_at", "updated_at")

_Mapping = Callable[[Mapping[str, Any]], dict[str, Any] | None]


class Malformed(NamedTuple):
    """A record that cannot be read: its place in the batch, and what is wrong with it."""

    place: int
    reason: str
    fault: Fault
    field: str | None = None


@dataclass(frozen=True, slots=True)
class ParsedBatch:
    """What became of a batch of records: events, and of each record at most one fault.

    A record gives one event, or several where it is a conversation or a comparison.

    Attributes:
        events: `IDENTIFIED`, in the order of the records.
        malformed: Each record that cannot be read, or a part of it.
        ignored: How many records, or parts of records, are no feedback, says the mapping.
        notes: What is to be told of the records beside, and of how many it is so.
    """

    events: pa.Table
    malformed: Sequence[Malformed]
    ignored: int
    notes: Mapping[str, int] = field(default_factory=dict)

    @property
    def received(self) -> int:
        """How many things the batch held: each is an event, malformed or ignored."""
        return len(self.events) + len(self.malformed) + self.ignored


class EventParser:
    """Parses raw records, each one JSON object. It can be pickled, as its mapping can.

    Args:
        mapping: Puts a record into the event format; None for records that are in it already.
        rules: Which records count, and how their chats are read.
    """

    def __init__(self, mapping: _Mapping | None = None, rules: ReadingRules | None = None) -> None:
        self._mapping, self._rules = mapping, rules or ReadingRules()
        self._gives_many = getattr(mapping, "gives_many", None)

    @property
    def reads_own_format(self) -> bool:
        """Whether records are in Thumbwheel's event format."""
        return self._mapping is None

    @property
    def thread(self) -> Key | None:
        """What records share that are to come as one, says the mapping."""
        thread: Key | None = getattr(self._mapping, "thread", None)
        return thread

    def parse_batch(self, raws: Sequence[bytes]) -> ParsedBatch:
        """Return the events of a batch, and what became of its other records.

        A record that cannot be read never stops its neighbours, whatever its bytes are.
        """
        tables: list[pa.Table] = []
        rows: list[Row] = []
        malformed: list[Malformed] = []
        tally = _Tally()
        n_bytes = 0
        for index, raw in enumerate(raws):
            try:
                self._parse(raw, rows, tally)
            except MalformedRecordError as error:
                malformed.append(Malformed(index, str(error), error.fault, error.field))
                continue
            n_bytes += len(raw)
            if n_bytes > _MAX_PIECE_BYTES:
                tables.append(to_table(rows))
                rows, n_bytes = [], 0
        tables.append(to_table(rows))
        return ParsedBatch(pa.concat_tables(tables), malformed, tally.ignored, tally.notes)

    def parse(self, raw: bytes) -> dict[str, Any] | None:
        """Return one event as a row of `IDENTIFIED`, or None when the mapping ignores it.

        Of a record that gives several, the first.

        Raises:
            MalformedRecordError: The record cannot be read; the message says why.
        """
        rows: list[Row] = []
        self._parse(raw, rows, _Tally())
        if not rows:
            return None
        event = dict(zip(IDENTIFIED.names, rows[0], strict=True))
        if isinstance(event["prompt"], str):
            event["prompt"] = [{"role": "user", "content": event["prompt"]}]
        return event

    def _parse(self, raw: bytes, rows: list[Row], tally: "_Tally") -> None:
        """Add the rows of a record; where a part of it is malformed, raise behind the others."""
        if not raw:
            raise MalformedRecordError("the record is empty")
        if len(raw) > _MAX_RECORD_BYTES:
            raise MalformedRecordError(
                f"the record has {len(raw):,} bytes; at most {_MAX_RECORD_BYTES:,} are read"
            )
        try:
            self._read(raw, raw, rows, tally)
        except MalformedRecordError as error:
            if error.fault is Fault.INVALID_JSON and (
                note := _NOTE.search(raw, max(0, len(raw) - _NOTE_BYTES))
            ):
                why = note[1].decode(errors="replace")
                raise MalformedRecordError(why, Fault.INVALID_JSON) from None
            if self._mapping is not None and error.fault is not Fault.INVALID_JSON:
                raise
            if not _NOT_FINITE.search(raw) or (finite := _finite(raw)) is None:
                raise
            self._read(finite, raw, rows, tally)

    def _read(self, text: bytes, raw: bytes, rows: list[Row], tally: "_Tally") -> None:
        """Add the rows of a JSON text; `raw` names events without an id."""
        if self._mapping is None and not self._rules.looks_at_records:
            rows.append(to_row(validate(text), raw, self._rules))
            return
        try:
            record = pydantic_core.from_json(text, allow_inf_nan=False)
        except ValueError as error:
            raise MalformedRecordError(f"not valid JSON: {error}", Fault.INVALID_JSON) from None
        if self._gives_many is not None and self._gives_many(record):
            self._read_parts(record, raw, rows, tally)
            return
        if not isinstance(record, dict):
            raise MalformedRecordError("the record is not a JSON object")
        if self._rules.where and not self._rules.take(record, record):
            tally.leave_out(NOT_TAKEN)
            return
        if self._mapping is None:
            rows.append(self._row(self._as_it_stands(record, record), raw, tally))
            return
        try:
            event = self._mapping(record)
        except MalformedRecordError:
            raise
        except Exception as error:
            # A mapping may be a stranger's; what it did not foresee must not stop the source.
            raise _mapping_failed(error) from error
        if event is None:
            tally.ignored += 1
        else:
            rows.append(self._row(self._as_it_stands(event, record), raw, tally))

    def _as_it_stands(self, event: Any, record: dict[str, Any]) -> Any:
        """Return an event, or what takes it back where its record was deleted.

        Where its mapping finds no id of the event, it has the one that its receiver gave it.
        """
        if not isinstance(event, dict):
            return event  # a stranger's mapping made it; what it is is said by validation
        if RECEIVED_AS in record and self._mapping is not None and event.get("event_id") is None:
            event = {**event, "event_id": record[RECEIVED_AS]}
        return taken_back(event) if self._rules.withdraws(record) else event

    def _read_parts(self, record: Any, raw: bytes, rows: list[Row], tally: "_Tally") -> None:
        """Add the rows of a record that gives several events; raise the first fault behind them.

        An event without an id is named by what it says and whose it is, so that a conversation
        that has grown tells nothing twice.
        """
        if not isinstance(record, dict | list):
            raise MalformedRecordError("the record is not a JSON object")
        mapping: Any = self._mapping
        fault: MalformedRecordError | None = None
        repeated: Counter[bytes] = Counter()
        try:
            for outcome in mapping.events(record, self._rules):
                if isinstance(outcome, LeftOut):
                    tally.leave_out(outcome.why)
                elif isinstance(outcome, MalformedRecordError):
                    fault = fault or outcome
                else:
                    whose = outcome.pop("whose", None)
                    content = pydantic_core.to_json(outcome)
                    name = b"%d %b %b" % (
                        repeated[content],
                        content,
                        raw if whose is None else whose.encode("utf-8", "surrogatepass"),
                    )
                    repeated[content] += 1
                    try:
                        rows.append(self._row(outcome, name, tally))
                    except MalformedRecordError as error:
                        fault = fault or error
        except MalformedRecordError:
            raise
        except Exception as error:
            raise _mapping_failed(error) from error
        if fault is not None:
            raise fault

    def _row(self, event: dict[str, Any], raw: bytes, tally: "_Tally") -> Row:
        try:
            if note := event.pop("note", None):
                tally.notes[note] += 1
            if self._rules.times:
                event |= {key: self._rules.times.read(event.get(key)) for key in _TIMES}
            # Whatever a mapping made, such as half of a surrogate pair, is an event only as JSON.
            return to_row(validate(pydantic_core.to_json(event)), raw, self._rules)
        except MalformedRecordError:
            raise
        except Exception as error:
            raise _mapping_failed(error) from error


class _Tally:
    """Counts what is no row."""

    def __init__(self) -> None:
        self.ignored = 0
        self.notes: Counter[str] = Counter()

    def leave_out(self, why: str | None) -> None:
        self.ignored += 1
        if why is not None:
            self.notes[why] += 1


def _finite(raw: bytes) -> bytes | None:
    """Return a record whose numbers that are none (NaN, Infinity) are null, as pandas means them.

    Of text that is no JSON for other reasons, None.
    """
    try:
        return pydantic_core.to_json(_without_inf_nan(pydantic_core.from_json(raw)))
    except ValueError:
        return None


def _without_inf_nan(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _without_inf_nan(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [_without_inf_nan(inner) for inner in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _mapping_failed(error: Exception) -> MalformedRecordError:
    # The error's own words may quote the record: where it came from is enough to find it.
    *_, last = traceback.extract_tb(error.__traceback__)
    where = f"{PurePath(last.filename).name}, line {last.lineno}"
    return MalformedRecordError(f"the mapping failed: {type(error).__name__} in {where}")
