"""From the body of a request to lines of the log, every event checked."""

import hashlib
from collections.abc import Sequence
from typing import Any, Literal

import pydantic_core
from starlette.exceptions import HTTPException

from thumbwheel.events import RECEIVED_AS, EventParser, MalformedRecordError

__all__ = ["Kind", "parse_body", "to_lines"]

Kind = Literal["feedback", "generations"]

_RECEIVED_AT = "thumbwheel_received_at"
_NOTED = frozenset({RECEIVED_AS, _RECEIVED_AT})


def parse_body(body: bytes | bytearray) -> list[Any]:
    """Return the events of a body: those of a JSON array, or the one that the body is.

    Raises:
        HTTPException: 400, it is not JSON.
    """
    try:
        value = pydantic_core.from_json(body, allow_inf_nan=False)
    except ValueError as error:
        raise HTTPException(400, f"the body is not JSON: {error}") from error
    return value if isinstance(value, list) else [value]


def to_lines(
    events: Sequence[Any], kind: Kind, name: str | None, received_at: float, parser: EventParser
) -> list[bytes]:
    """Return the events as lines of the log, without their ends.

    Each line is the event as it was sent, with `event_id` and `received_at`; records in another
    format have these under names that are no other tool's. An event without an id is named after
    the request and its place there, so that a repeated request names it alike; without a name of
    the request, after its content.

    Args:
        events: What `parse_body` gave.
        kind: The route; to records in another format, both are the same.
        name: What is the same in a repeated request, and in no other.
        received_at: Seconds since 1970.
        parser: Reads the log later.

    Raises:
        HTTPException: 422, one of them is not what the route takes; the message names it.
    """
    to_line = _to_line if parser.reads_own_format else _to_foreign_line
    lines = []
    for index, event in enumerate(events):
        try:
            named = name and f"{name}/{index}"
            lines.append(to_line(event, kind, named, received_at, parser))
        except MalformedRecordError as error:
            which = f"event {index} (counted from 0)" if len(events) > 1 else "the event"
            raise HTTPException(422, f"nothing was taken: {which} is not valid: {error}") from error
    return lines


def _to_line(
    event: Any, kind: Kind, name: str | None, received_at: float, parser: EventParser
) -> bytes:
    if not isinstance(event, dict):
        raise MalformedRecordError("it is not a JSON object")
    if name is not None and event.get("event_id") is None:
        event = event | {"event_id": name}
    raw = pydantic_core.to_json(event)
    row = parser.parse(raw)
    if row is None:  # `where` leaves it out when it is read
        return pydantic_core.to_json(event | {"received_at": received_at})
    if kind == "generations" and row["prompt"] is None:
        raise MalformedRecordError("an answer needs `prompt` and `completion`")
    if kind == "feedback" and not (row["is_vote"] or row["comment"] or row["correction"]):
        raise MalformedRecordError(
            "feedback needs one of `score`, `withdrawn`, `comment` and `correction`"
        )
    noted = event | {"event_id": row["event_id"], "received_at": received_at}
    # What is infinite has been refused wherever it is not ignored.
    return pydantic_core.to_json(noted, inf_nan_mode="null")


def _to_foreign_line(
    record: Any, kind: Kind, name: str | None, received_at: float, parser: EventParser
) -> bytes:
    """Return a record that a mapping reads; it has been read once, so that it can be."""
    if not isinstance(record, dict):
        raise MalformedRecordError("it is not a JSON object")
    record = {key: value for key, value in record.items() if key not in _NOTED}
    raw = pydantic_core.to_json(record, inf_nan_mode="null")
    row = parser.parse(raw)
    noted: dict[str, float | str] = {_RECEIVED_AT: received_at}
    if row is not None:
        # Retries come at another time, so that the line itself names nothing.
        noted[RECEIVED_AS] = name or hashlib.blake2b(raw, digest_size=16).hexdigest()
    return pydantic_core.to_json(record | noted, inf_nan_mode="null")
