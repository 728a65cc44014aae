"""From one raw record to one event: parse, map keys, validate, name by content.

Thumbwheel's own event format is a JSON object. With a `MappingConfig`, any other flat or nested
JSON object is first put into that format. What cannot be understood raises `MalformedRecordError`
with the reason; the caller keeps the raw bytes as a dead letter.
"""

import hashlib
import math
import re
import unicodedata
from collections.abc import Mapping, Sequence
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
    "KeyMapping",
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


class KeyMapping:
    """Puts a source's own record into Thumbwheel's event format.

    Args:
        keys: For each field of the event format, the record's key; dots reach into objects, and
            numbers into lists. The key for `rating` gives the vote.
        up: Ratings that are +1.
        down: Ratings that are -1.
        withdrawn: Ratings that take an earlier vote back.
        scale: (down, up) anchors of a numeric rating, instead of `up` and `down`.
        anonymous: Rater ids that stand for "unknown".
        turns: Markers such as {"Human:": "user"} that split a prompt kept as one string into chat
            messages; a marker counts at the beginning of a line.
    """

    def __init__(
        self,
        keys: Mapping[str, str],
        *,
        up: Sequence[object] = (),
        down: Sequence[object] = (),
        withdrawn: Sequence[str] = (),
        scale: tuple[float, float] | None = None,
        anonymous: Sequence[str] = (),
        turns: Mapping[str, str] | None = None,
    ) -> None:
        self._paths = {
            field: tuple(key.split(".")) for field, key in keys.items() if field != "rating"
        }
        self._rating_path = tuple(keys["rating"].split("."))
        # True == 1 in Python, but a user who lists 1 does not mean true.
        self._votes: dict[tuple[bool, object], float | None] = {}
        for ratings, vote in ((withdrawn, None), (down, -1.0), (up, 1.0)):
            for rating in ratings:
                self._votes[_rating_key(rating)] = vote
        self._scale = scale
        self._anonymous = frozenset(anonymous)
        self._turns = dict(turns or {})
        self._turn_pattern = (
            re.compile("^(" + "|".join(map(re.escape, self._turns)) + r")[ \t]*", re.MULTILINE)
            if self._turns
            else None
        )

    def __call__(self, record: Mapping[str, Any]) -> dict[str, Any]:
        """Return the record in Thumbwheel's event format, not yet validated."""
        event = {field: _get(record, path) for field, path in self._paths.items()}
        rating = _get(record, self._rating_path)
        if rating is not None:
            score = self._score(rating)
            event["score"] = score
            event["withdrawn"] = score is None
        rater = event.get("rater_id")
        if isinstance(rater, str) and rater in self._anonymous:
            event["rater_id"] = None
        prompt = event.get("prompt")
        if self._turn_pattern is not None and isinstance(prompt, str):
            event["prompt"] = self._split_turns(prompt)
        return event

    def _score(self, rating: object) -> float | None:
        key = _rating_key(rating)
        if key in self._votes and not (self._scale and _is_number(rating)):
            return self._votes[key]
        if self._scale is None:
            raise MalformedRecordError(
                f"rating {rating!r:.60} is neither in `up`, `down` nor `withdrawn` of the mapping"
            )
        number = _to_number(rating)
        if number is None:
            raise MalformedRecordError(f"rating {rating!r:.60} is not a number on the `scale`")
        down, up = self._scale
        return max(-1.0, min(1.0, 2 * (number - down) / (up - down) - 1))

    def _split_turns(self, prompt: str) -> list[Message]:
        assert self._turn_pattern is not None  # noqa: S101 - narrowed by the only caller
        head, *rest = self._turn_pattern.split(prompt)
        messages: list[Message] = []
        if head.strip():
            messages.append({"role": "user", "content": head.strip()})
        for marker, text in zip(rest[::2], rest[1::2], strict=True):
            if text.strip():
                messages.append({"role": self._turns[marker], "content": text.strip()})
        return messages


class EventParser:
    """Parses raw records into rows of `tables.EVENTS` with content identities.

    Besides the columns of `tables.EVENTS`, a row carries `prompt_id` and `completion_id` (null for
    a vote that comes without its answer).
    """

    def __init__(self, mapping: KeyMapping | None = None) -> None:
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


def _get(record: Mapping[str, Any], path: tuple[str, ...]) -> Any:
    value: Any = record
    for key in path:
        if isinstance(value, list) and key.isdecimal() and int(key) < len(value):
            value = value[int(key)]
        elif isinstance(value, Mapping):
            value = value.get(key)
        else:
            return None
    return value


def _rating_key(rating: object) -> tuple[bool, object]:
    if isinstance(rating, str):
        return False, rating.strip().casefold()
    return isinstance(rating, bool), rating if isinstance(rating, int | float) else str(rating)


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _to_number(value: object) -> float | None:
    if isinstance(value, str):
        try:
            value = float(value)
        except ValueError:
            return None
    if not isinstance(value, int | float) or isinstance(value, bool):
        return None
    number = float(value)
    return number if math.isfinite(number) else None


def _first_finding(error: _ValidationError) -> str:
    item = error.errors(include_url=False)[0]
    where = ".".join(str(part) for part in item["loc"] if not str(part).startswith("function-"))
    if item["type"] == "json_invalid":
        return f"not valid JSON: {item['ctx']['error']}"
    return f"`{where or 'record'}`: {item['msg']}, got {item['input']!r:.60}"
