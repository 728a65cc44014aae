"""From raw records to a table of events: parse, map, validate, name by content."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import pyarrow as pa
import pydantic_core

from thumbwheel.events.rows import IDENTIFIED, Row, to_row, to_table
from thumbwheel.events.wire import MalformedRecordError, validate
from thumbwheel.types.fates import Fault

__all__ = ["EventParser", "Malformed", "ParsedBatch"]

# In memory, hostile JSON takes up to eighty times the room it has on the wire.
_MAX_RECORD_BYTES = 8 << 20
# A piece of an Arrow column cannot hold more than 2 GiB of text.
_MAX_PIECE_BYTES = 256 << 20


class Malformed(NamedTuple):
    """A record that cannot be read: its place in the batch, and what is wrong with it."""

    place: int
    reason: str
    fault: Fault
    field: str | None = None


@dataclass(frozen=True, slots=True)
class ParsedBatch:
    """What became of a batch of records: each is an event, malformed or ignored.

    Attributes:
        events: `IDENTIFIED`, in the order of the records.
        malformed: Each record that cannot be read.
        ignored: How many records are no feedback, says the mapping.
    """

    events: pa.Table
    malformed: Sequence[Malformed]
    ignored: int


class EventParser:
    """Parses raw records, each one JSON object. It can be pickled, as its mapping can.

    Args:
        mapping: Puts a record into the event format; None for records that are in it already.
    """

    def __init__(
        self, mapping: Callable[[Mapping[str, Any]], dict[str, Any] | None] | None = None
    ) -> None:
        self._mapping = mapping

    def parse_batch(self, raws: Sequence[bytes]) -> ParsedBatch:
        """Return the events of a batch, and what became of its other records.

        A record that cannot be read never stops its neighbours, whatever its bytes are.
        """
        tables: list[pa.Table] = []
        rows: list[Row] = []
        malformed: list[Malformed] = []
        ignored = n_bytes = 0
        for index, raw in enumerate(raws):
            try:
                row = self._parse(raw)
            except MalformedRecordError as error:
                malformed.append(Malformed(index, str(error), error.fault, error.field))
                continue
            if row is None:
                ignored += 1
                continue
            rows.append(row)
            n_bytes += len(raw)
            if n_bytes > _MAX_PIECE_BYTES:
                tables.append(to_table(rows))
                rows, n_bytes = [], 0
        tables.append(to_table(rows))
        return ParsedBatch(pa.concat_tables(tables), malformed, ignored)

    def parse(self, raw: bytes) -> dict[str, Any] | None:
        """Return one event as a row of `IDENTIFIED`, or None when the mapping ignores it.

        Raises:
            MalformedRecordError: The record cannot be read; the message says why.
        """
        row = self._parse(raw)
        if row is None:
            return None
        event = dict(zip(IDENTIFIED.names, row, strict=True))
        if isinstance(event["prompt"], str):
            event["prompt"] = [{"role": "user", "content": event["prompt"]}]
        return event

    def _parse(self, raw: bytes) -> Row | None:
        if not raw:
            raise MalformedRecordError("the record is empty")
        if len(raw) > _MAX_RECORD_BYTES:
            raise MalformedRecordError(
                f"the record has {len(raw):,} bytes; at most {_MAX_RECORD_BYTES:,} are read"
            )
        if self._mapping is None:
            return to_row(validate(raw), raw)
        try:
            record = pydantic_core.from_json(raw, allow_inf_nan=False)
        except ValueError as error:
            raise MalformedRecordError(f"not valid JSON: {error}", Fault.INVALID_JSON) from None
        if not isinstance(record, dict):
            raise MalformedRecordError("the record is not a JSON object")
        try:
            event = self._mapping(record)
            # Whatever a mapping made, such as half of a surrogate pair, is an event only as JSON.
            return None if event is None else to_row(validate(pydantic_core.to_json(event)), raw)
        except MalformedRecordError:
            raise
        except Exception as error:
            # A mapping may be a stranger's; what it did not foresee must not stop the source.
            what = f"{type(error).__name__}: {' '.join(str(error).split())}"
            raise MalformedRecordError(f"the mapping failed: {what:.200}") from error
