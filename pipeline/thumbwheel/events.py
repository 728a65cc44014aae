"""From one raw record to one event: parse, map keys, validate, name by content.

Thumbwheel's own event format is a JSON object. A mapping (see `mapping`) puts any other JSON object
into that format first. What cannot be understood raises `MalformedRecordError` with the reason; the
caller keeps the raw bytes as a dead letter.
"""

import hashlib
import re
import unicodedata
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Annotated, Any, NotRequired

import pydantic_core
from pydantic import (
    BeforeValidator,
    ConfigDict,
    Field,
    StrictBool,
    StrictStr,
    TypeAdapter,
    with_config,
)
from pydantic import ValidationError as _ValidationError
from typing_extensions import TypedDict

from thumbwheel.types import Message, Prompt

__all__ = [
    "EventParser",
    "MalformedRecordError",
    "cluster_id",
    "content_id",
    "text_identity",
]


class MalformedRecordError(ValueError):
    """A record that cannot be read as an event; the message is the reason."""


def content_id(*parts: str) -> str:
    """Return a 128-bit BLAKE2b hash of the parts, as 32 hexadecimal digits.

    Parts are length-prefixed, so that ("ab", "c") and ("a", "bc") differ.
    """
    digest = hashlib.blake2b(digest_size=16)
    for part in parts:
        encoded = part.encode("utf-8", "surrogatepass")
        digest.update(b"%d:" % len(encoded))
        digest.update(encoded)
    return digest.hexdigest()


def prompt_id(prompt: Prompt) -> str:
    """Return the identity of a prompt: roles and contents, NFC, outer whitespace ignored."""
    parts: list[str] = []
    for message in prompt:
        parts.append(message["role"])
        parts.append(unicodedata.normalize("NFC", message["content"]).strip())
    return content_id("prompt", *parts)


def cluster_id(prompt: Prompt) -> str:
    """Return an identity that near-identical prompts share: case and punctuation ignored.

    Prompts of one cluster are held out together; they are never paired across.
    """
    words = (
        " ".join(re.findall(r"\w+", unicodedata.normalize("NFKC", message["content"]).casefold()))
        for message in prompt
    )
    return content_id("cluster", *words)


def _number_to_text(value: object) -> object:
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else value


def _content_to_text(value: object) -> object:
    """Join the text parts of an OpenAI-style content list."""
    if isinstance(value, list) and all(
        isinstance(part, Mapping) and part.get("type") == "text" for part in value
    ):
        return "".join(part["text"] for part in value)
    return value


_Id = Annotated[StrictStr, Field(min_length=1), BeforeValidator(_number_to_text)]
_Text = Annotated[StrictStr, BeforeValidator(_content_to_text)]


@with_config(ConfigDict(extra="ignore"))
class _WireMessage(TypedDict):
    role: StrictStr
    content: _Text


@with_config(ConfigDict(extra="ignore"))
class _WireEvent(TypedDict):
    """Thumbwheel's own event format. Unknown keys are ignored; null means absent."""

    event_id: NotRequired[_Id | None]
    generation_id: NotRequired[_Id | None]
    prompt: NotRequired[StrictStr | Annotated[list[_WireMessage], Field(min_length=1)] | None]
    completion: NotRequired[_Text | None]
    model_version: NotRequired[_Id | None]
    rater_id: NotRequired[_Id | None]
    score: NotRequired[Annotated[float, Field(ge=-1, le=1, strict=True)] | None]
    withdrawn: NotRequired[StrictBool | None]
    comment: NotRequired[StrictStr | None]
    correction: NotRequired[StrictStr | None]
    comparison_id: NotRequired[_Id | None]
    occurred_at: NotRequired[datetime | None]
    metadata: NotRequired[dict[str, Any] | None]


_ADAPTER = TypeAdapter(_WireEvent)


class EventParser:
    """Parses raw records into rows of `tables.EVENTS` with content identities.

    Besides the columns of `tables.EVENTS`, a row carries `prompt_id` and `completion_id` (null for
    a vote that comes without its answer).
    """

    def __init__(
        self, mapping: Callable[[Mapping[str, Any]], dict[str, Any] | None] | None = None
    ) -> None:
        self._mapping = mapping

    def parse(self, raw: bytes) -> dict[str, Any]:
        """Return one event.

        Raises:
            MalformedRecordError: The record cannot be read; the message says why.
        """
        try:
            if self._mapping is None:
                event = _ADAPTER.validate_json(raw)
            else:
                record = pydantic_core.from_json(raw, allow_inf_nan=False)
                if not isinstance(record, dict):
                    raise MalformedRecordError("the record is not a JSON object")
                event = _ADAPTER.validate_python(self._mapping(record))
        except _ValidationError as error:
            raise MalformedRecordError(_first_finding(error)) from error
        except ValueError as error:
            if isinstance(error, MalformedRecordError):
                raise
            raise MalformedRecordError(f"not valid JSON: {error}") from error
        return _row(event, raw)


def _row(event: _WireEvent, raw: bytes) -> dict[str, Any]:
    prompt_value, completion = event.get("prompt"), event.get("completion")
    prompt: list[Message] | None = (
        [{"role": "user", "content": prompt_value}]
        if isinstance(prompt_value, str)
        else [{"role": m["role"], "content": m["content"]} for m in prompt_value]
        if prompt_value
        else None
    )
    if (prompt is None) != (completion is None):
        raise MalformedRecordError(
            f"it has a {'completion' if prompt is None else 'prompt'} "
            f"but no {'prompt' if prompt is None else 'completion'}"
        )
    score = event.get("score")
    is_vote = score is not None or bool(event.get("withdrawn"))
    generation_id = event.get("generation_id")
    if prompt is None and not (is_vote and generation_id):
        raise MalformedRecordError(
            "it carries neither an answer (prompt and completion) "
            "nor a vote on one (score and generation_id)"
        )
    model_version = event.get("model_version")
    identity: tuple[str | None, str | None] = (None, None)
    if prompt is not None and completion is not None:
        identity = text_identity(prompt, completion)
        generation_id = generation_id or content_id("generation", *identity, model_version or "")
    occurred_at = event.get("occurred_at")
    if occurred_at is not None:
        zoned = occurred_at if occurred_at.tzinfo else occurred_at.replace(tzinfo=UTC)
        occurred_at = zoned.astimezone(UTC)
    metadata = event.get("metadata")
    return {
        "event_id": event.get("event_id") or hashlib.blake2b(raw, digest_size=16).hexdigest(),
        "generation_id": generation_id,
        "prompt": prompt,
        "completion": completion,
        "model_version": model_version,
        "is_vote": is_vote,
        "rater_id": event.get("rater_id"),
        "score": score if not event.get("withdrawn") else None,
        "comment": event.get("comment"),
        "correction": event.get("correction"),
        "comparison_id": event.get("comparison_id"),
        "occurred_at": occurred_at,
        "metadata": pydantic_core.to_json(metadata).decode() if metadata else None,
        "prompt_id": identity[0],
        "completion_id": identity[1],
    }


def text_identity(prompt: Prompt, completion: str) -> tuple[str, str]:
    """Return (prompt_id, completion_id) of an answer: the same texts, the same identity."""
    identity = prompt_id(prompt)
    return identity, content_id("completion", identity, completion)


def _first_finding(error: _ValidationError) -> str:
    item = error.errors(include_url=False)[0]
    where = ".".join(str(part) for part in item["loc"] if not str(part).startswith("function-"))
    if item["type"] == "json_invalid":
        return f"not valid JSON: {item['ctx']['error']}"
    return f"`{where or 'record'}`: {item['msg']}, got {item['input']!r:.60}"
