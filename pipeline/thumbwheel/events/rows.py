"""From a validated event to a row with identities, and from rows to an Arrow table."""

import hashlib
import math
import re
from collections.abc import Mapping, Sequence
from typing import Any

import pyarrow as pa
import pydantic_core

from thumbwheel.events.chat import to_json
from thumbwheel.events.identity import content_id, text_identity
from thumbwheel.events.messages import Role, as_messages, ends_with, role_of
from thumbwheel.events.reasoning import may_hide, without_reasoning
from thumbwheel.events.rules import ReadingRules
from thumbwheel.events.wire import (
    MalformedRecordError,
    WireEvent,
    WireMessage,
    WireTextPart,
    WireToolCall,
    invalid_field,
    validate_messages,
)
from thumbwheel.tables import EVENTS, MESSAGES
from thumbwheel.types import Message, Prompt
from thumbwheel.types.fates import Fault

__all__ = ["IDENTIFIED", "Row", "to_row", "to_table"]

IDENTIFIED = EVENTS.append(pa.field("prompt_id", pa.string())).append(
    pa.field("completion_id", pa.string())
)
"""`tables.EVENTS` with the identities of prompt and completion, null where there is no answer."""

Row = tuple[Any, ...]
"""The values of one event in the order of `IDENTIFIED`.

A prompt is a list of messages, or a text that stands for one user message: most are, and rows
without lists and dicts in them are nothing to the garbage collector.
"""

# Signed or not.
_INTEGERS = range(-(2**63), 2**64)

_PLAIN = ReadingRules()
_LISTS = ("[", " ", "\n")
_KNOWN = frozenset({"system", "user", "assistant", "tool"})
# What may be quoted of a role: a word, and no text of users'.
_WORD = re.compile(r"[A-Za-z_-]{1,20}")


def to_row(event: WireEvent, raw: bytes, rules: ReadingRules = _PLAIN) -> Row:
    """Return an event's row.

    Args:
        event: What the record holds.
        raw: The record; it names an event without an `event_id`.
        rules: How its chats are read.

    Raises:
        MalformedRecordError: The event says nothing, half of it is missing, or its prompt cannot
            be what the model was asked.
    """
    prompt, completion = _prompt(event.get("prompt"), rules), _text(event.get("completion"))
    generation_id, model_version = event.get("generation_id"), event.get("model_version")
    score, withdrawn = event.get("score"), event.get("withdrawn")
    comment, correction = event.get("comment"), event.get("correction")
    metadata = event.get("metadata")
    if completion and may_hide(completion) and rules.reasoning == "apart":
        shown, reasoning = without_reasoning(completion)
        if reasoning is not None:
            if not shown:
                raise MalformedRecordError(
                    'the answer is nothing but hidden reasoning; `reasoning = "keep"` takes it '
                    "as the answer",
                    Fault.INVALID_FIELD,
                    "completion",
                )
            completion, metadata = shown, {"reasoning": reasoning} | (metadata or {})
    is_vote = score is not None or bool(withdrawn)
    prompt_id = completion_id = None
    if prompt is not None and completion is not None:
        if not rules.prefilled and _may_be_answered(prompt, completion):
            _refuse_answered(prompt, completion)
        prompt_id, completion_id = text_identity(prompt, completion)
        generation_id = generation_id or content_id(
            "generation", prompt_id, completion_id, model_version or ""
        )
    elif prompt is not None:
        raise MalformedRecordError("it has a prompt but no completion")
    elif completion is not None:
        raise MalformedRecordError("it has a completion but no prompt")
    elif not generation_id or not (is_vote or comment or correction or _is_revision(event)):
        raise MalformedRecordError(
            "it carries neither an answer (prompt and completion) nor something about one "
            "(generation_id, and a score, a comment or a correction)"
        )
    return (
        event.get("event_id") or hashlib.blake2b(raw, digest_size=16).hexdigest(),
        generation_id,
        prompt,
        completion,
        model_version,
        is_vote,
        event.get("rater_id"),
        None if withdrawn else score,
        comment,
        correction,
        event.get("comparison_id"),
        event.get("occurred_at"),
        _json("metadata", metadata) if metadata else None,
        event.get("updated_at"),
        prompt_id,
        completion_id,
    )


def _is_revision(event: WireEvent) -> bool:
    """Tell whether an event may replace an earlier one, and so says something even when empty."""
    return event.get("updated_at") is not None and event.get("event_id") is not None


def to_table(rows: Sequence[Row]) -> pa.Table:
    """Return the rows as `IDENTIFIED`."""
    columns = zip(*rows, strict=True) if rows else [()] * len(IDENTIFIED)
    arrays = [
        _prompts(column) if field.name == "prompt" else pa.array(column, field.type)
        for field, column in zip(IDENTIFIED, columns, strict=True)
    ]
    return pa.Table.from_arrays(arrays, schema=IDENTIFIED)


def _prompts(prompts: Sequence[Prompt | str | None]) -> pa.Array:
    # Three columns of texts are built several times faster than lists of dicts.
    roles: list[str] = []
    contents: list[str] = []
    extras: list[str | None] = []
    starts: list[int | None] = []
    for prompt in prompts:
        starts.append(None if prompt is None else len(roles))
        if isinstance(prompt, str):
            roles.append("user")
            contents.append(prompt)
            extras.append(None)
            continue
        for message in prompt or ():
            roles.append(message["role"])
            contents.append(message["content"])
            extras.append(message.get("extra"))
    values = pa.StructArray.from_arrays(
        [pa.array(texts, pa.string()) for texts in (roles, contents, extras)],
        fields=list(MESSAGES.value_type),
    )
    offsets = pa.array([*starts, len(roles)], pa.int32())
    return pa.ListArray.from_arrays(offsets, values, MESSAGES)


def _prompt(value: str | list[WireMessage] | None, rules: ReadingRules) -> Prompt | str | None:
    if isinstance(value, str):
        if value[:1] not in _LISTS or (messages := as_messages(value, rules.known_roles)) is None:
            return value
        value = validate_messages(messages)
    if value is None:
        return None
    return [_message(index, message, rules) for index, message in enumerate(value)]


def _may_be_answered(prompt: Prompt | str, completion: str) -> bool:
    """Tell at a glance whether a prompt has to be looked at: most end with another sign."""
    if isinstance(prompt, str) and prompt and completion:
        signs = prompt[-1], completion[-1]
        return signs[0] == signs[1] or signs[0].isspace() or signs[1].isspace()
    return True


def _refuse_answered(prompt: Prompt | str, completion: str) -> None:
    """Refuse a prompt that holds its answer: a column of whole conversations was taken for it."""
    if isinstance(prompt, str):
        last, is_answer = prompt, False
    else:
        last, is_answer = prompt[-1]["content"], prompt[-1]["role"] == "assistant"
    if is_answer or ends_with(last, completion):
        what = "a message of the assistant" if is_answer else "the very answer"
        raise MalformedRecordError(
            f"the prompt ends with {what}; name the key of what was asked, or set `prefilled = "
            "true` where answers are begun for the model, or may repeat a text of their prompt",
            Fault.INVALID_FIELD,
            "prompt",
        )


def _text(value: str | list[WireTextPart] | None) -> str | None:
    return "".join(part["text"] for part in value) if isinstance(value, list) else value


def _message(index: int, wire: WireMessage, rules: ReadingRules) -> Message:
    content, role = _text(wire.get("content")), wire["role"]
    if role not in _KNOWN:
        role = _known_role(index, role, rules)
    if role == "assistant" and content and rules.reasoning == "apart":
        content, _ = without_reasoning(content)
    message: Message = {"role": role, "content": content or ""}
    calls, answers, name = wire.get("tool_calls"), wire.get("tool_call_id"), wire.get("name")
    if content is None and not calls:
        raise invalid_field(f"prompt.{index}", " has neither content nor tool_calls")
    if calls or answers or name:
        extra: dict[str, Any] = {}
        if calls:
            extra["tool_calls"] = [_tool_call(index, call) for call in calls]
        if answers:
            extra["tool_call_id"] = answers
        if name:
            extra["name"] = name
        message["extra"] = _json(f"prompt.{index}", extra)
    return message


def _known_role(index: int, role: str, rules: ReadingRules) -> Role:
    known = role_of(role, rules.known_roles)
    if known is None:
        shown = f" {role!r}" if _WORD.fullmatch(role) else ""
        raise invalid_field(
            f"prompt.{index}.role",
            f"{shown} is neither system, user, assistant nor tool; say which with `roles`",
        )
    return known


def _tool_call(index: int, call: WireToolCall) -> dict[str, Any]:
    function = call["function"]
    arguments: Mapping[str, Any] | str = function.get("arguments") or {}
    if isinstance(arguments, str):
        # OpenAI sends JSON in a text, chat templates expect the object.
        arguments = _parsed(arguments)
    elif not _fits(arguments):
        raise invalid_field(
            f"prompt.{index}.tool_calls", " has a number of more than 64 bits; send it as text"
        )
    normal = {"type": "function", "function": {"name": function["name"], "arguments": arguments}}
    identity = call.get("id")
    return {**normal, "id": identity} if identity else normal


def _parsed(arguments: str) -> Mapping[str, Any] | str:
    """Return the object that a text holds, or the text where it holds none."""
    try:
        value = pydantic_core.from_json(arguments, allow_inf_nan=False)
    except ValueError:
        return arguments
    return value if isinstance(value, dict) and _fits(value) else arguments


def _fits(value: object) -> bool:
    """Tell whether every reader of JSON can take the numbers in a value."""
    if isinstance(value, dict):
        return all(map(_fits, value.values()))
    if isinstance(value, list):
        return all(map(_fits, value))
    if isinstance(value, float):
        return math.isfinite(value)
    return not isinstance(value, int) or value in _INTEGERS


def _json(where: str, value: Mapping[str, Any]) -> str:
    try:
        return to_json(value)
    except ValueError as error:
        raise invalid_field(where, f" cannot be written as JSON: {error}") from None
