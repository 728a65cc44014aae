"""The event format: what an event may hold, key by key, and what is wrong with one that does not.

Every event is validated by pydantic. Lists fail at their first wrong element, so that a record of
millions of wrong ones costs no more than any other. Unions try text first: nearly all values are.
What is said of a key here is what the HTTP receiver tells its senders.
"""

from datetime import datetime
from typing import Annotated, Any, Literal, NotRequired

from pydantic import (
    ConfigDict,
    Field,
    PlainValidator,
    StrictBool,
    StrictStr,
    TypeAdapter,
    ValidationError,
    with_config,
)
from pydantic_core import PydanticCustomError
from typing_extensions import TypedDict

from thumbwheel.events.shown import shown, shown_time
from thumbwheel.events.times import read_moment
from thumbwheel.types.fates import Fault

__all__ = [
    "MalformedRecordError",
    "WireEvent",
    "WireMessage",
    "WireTextPart",
    "WireToolCall",
    "invalid_field",
    "validate",
    "validate_messages",
]


class MalformedRecordError(ValueError):
    """A record that cannot be read as an event; the message is the reason.

    Args:
        reason: What is wrong; it never quotes text of users (see `shown`).
        fault: The class that such records are counted by.
        field: Which field is invalid.
    """

    def __init__(
        self, reason: str, fault: Fault = Fault.NOT_AN_EVENT, field: str | None = None
    ) -> None:
        super().__init__(reason)
        self.fault, self.field = fault, field


def invalid_field(field: str, what: str) -> MalformedRecordError:
    """Return what to raise when a field, of which a part may be named, is wrong."""
    name, _, _ = field.partition(".")
    return MalformedRecordError(f"`{field}`{what}", Fault.INVALID_FIELD, name)


def _moment(value: object) -> datetime:
    moment = read_moment(value)
    if moment is None:
        raise PydanticCustomError(
            "moment",
            "Input should be a time from 1970 to 2099, as ISO 8601 or a number of (milli-, micro-, "
            "nano-) seconds since 1970 that is in 1990 or later; declare others by `time_unit` or "
            "`time_format`",
        )
    return moment


def _integer_id(value: object) -> str:
    if isinstance(value, int) and not isinstance(value, bool) and value.bit_length() <= 128:
        return str(value)
    raise PydanticCustomError("id", "Input should be a text or an integer of at most 128 bits")


_Moment = Annotated[datetime, PlainValidator(_moment, json_schema_input_type=str | float)]
_TEXT_FIRST = Field(union_mode="left_to_right")
_Id = Annotated[
    Annotated[str, Field(strict=True, min_length=1, max_length=1000)]
    | Annotated[str, PlainValidator(_integer_id, json_schema_input_type=int)],
    _TEXT_FIRST,
]


@with_config(ConfigDict(extra="ignore"))
class WireTextPart(TypedDict):
    """A part of a message's content; parts that are not text cannot be trained on."""

    type: Literal["text"]
    text: StrictStr


_Text = Annotated[StrictStr | Annotated[list[WireTextPart], Field(fail_fast=True)], _TEXT_FIRST]


@with_config(ConfigDict(extra="ignore"))
class _WireFunction(TypedDict):
    name: Annotated[str, Field(strict=True, min_length=1)]
    arguments: NotRequired[StrictStr | dict[str, Any] | None]


@with_config(ConfigDict(extra="ignore"))
class WireToolCall(TypedDict):
    """A call that the model made."""

    id: NotRequired[_Id | None]
    type: NotRequired[Literal["function"] | None]
    function: _WireFunction


@with_config(ConfigDict(extra="ignore"))
class WireMessage(TypedDict):
    """A chat message in OpenAI's form. Content is only missing where there are tool calls."""

    role: StrictStr
    content: NotRequired[_Text | None]
    name: NotRequired[StrictStr | None]
    tool_call_id: NotRequired[_Id | None]
    tool_calls: NotRequired[Annotated[list[WireToolCall], Field(fail_fast=True)] | None]


_Messages = Annotated[list[WireMessage], Field(min_length=1, fail_fast=True)]


@with_config(ConfigDict(extra="ignore", use_attribute_docstrings=True))
class WireEvent(TypedDict):
    """Thumbwheel's own event format. Unknown keys are ignored; null means absent."""

    event_id: NotRequired[_Id | None]
    """Identity of the event; one that comes again is ignored. Without it, its content names it."""
    generation_id: NotRequired[_Id | None]
    """Identity of the answer. Needed when the vote comes in another event than the answer."""
    prompt: NotRequired[Annotated[StrictStr | _Messages, _TEXT_FIRST] | None]
    """What the model was asked: text, or chat messages."""
    completion: NotRequired[_Text | None]
    """What the model answered."""
    model_version: NotRequired[_Id | None]
    """What produced it."""
    rater_id: NotRequired[_Id | None]
    """Who voted. Without it, every vote is a rater of its own."""
    score: NotRequired[Annotated[float, Field(ge=-1, le=1, strict=True)] | None]
    """The vote; a thumb is +1 or -1. null is no vote."""
    withdrawn: NotRequired[StrictBool | None]
    """true takes the rater's earlier vote back."""
    comment: NotRequired[StrictStr | None]
    """The rater's words."""
    correction: NotRequired[StrictStr | None]
    """The rater's own better answer."""
    comparison_id: NotRequired[_Id | None]
    """Ties the votes of one side-by-side choice."""
    occurred_at: NotRequired[_Moment | None]
    """When: ISO 8601, or a number of seconds, or smaller parts of them, since 1970."""
    updated_at: NotRequired[_Moment | None]
    """When the record was changed last: a later one of the same `event_id` replaces it."""
    metadata: NotRequired[dict[str, Any] | None]
    """Kept as it is."""


# The adapter's own methods only pass their arguments on.
_VALIDATOR = TypeAdapter(WireEvent).validator
_MESSAGES_VALIDATOR = TypeAdapter(_Messages).validator
_KINDS = (WireEvent, WireMessage, WireTextPart, WireToolCall, _WireFunction)
_KEYS = {key for kind in _KINDS for key in kind.__annotations__}


def validate(raw: bytes) -> WireEvent:
    """Return the event in a JSON text.

    Raises:
        MalformedRecordError: It is not JSON, or not in the event format.
    """
    try:
        event: WireEvent = _VALIDATOR.validate_json(raw)
    except ValidationError as error:
        raise _first_finding(error) from None
    return event


def validate_messages(messages: list[dict[str, Any]]) -> list[WireMessage]:
    """Return the messages that a text held.

    Raises:
        MalformedRecordError: They are not in the event format.
    """
    try:
        valid: list[WireMessage] = _MESSAGES_VALIDATOR.validate_python(messages)
    except ValidationError as error:
        raise _first_finding(error, "prompt") from None
    return valid


def _first_finding(error: ValidationError, within: str = "") -> MalformedRecordError:
    # What reached deepest is about the member of a union that fits best.
    item = max(error.errors(include_url=False), key=lambda item: len(item["loc"]))
    if item["type"] == "json_invalid":
        return MalformedRecordError(f"not valid JSON: {item['ctx']['error']}", Fault.INVALID_JSON)
    loc = (within, *item["loc"]) if within else item["loc"]
    where = ".".join(str(part) for part in loc if isinstance(part, int) or part in _KEYS)
    name = shown_time if item["type"] == "moment" else shown
    return invalid_field(where or "record", f": {item['msg']}, got {name(item['input'])}")
