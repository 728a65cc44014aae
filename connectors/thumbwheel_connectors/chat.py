"""Prompts and answers as tools log them, in the shape of OpenAI's chat API or near it.

What is not understood gives None; whoever calls knows whether that is an error.
"""

from collections.abc import Mapping
from typing import Any

import pydantic_core

__all__ = ["answer_text", "decoded", "message", "prompt_messages", "text_of"]

_KEYS = ("role", "content", "name", "tool_calls", "tool_call_id")
_QUESTIONS = ("question", "prompt", "query", "input")


def decoded(value: object) -> Any:
    """Return what a text holds that is a JSON object or list; anything else as it is."""
    if isinstance(value, str) and value.lstrip()[:1] in ("{", "["):
        try:
            return pydantic_core.from_json(value, allow_inf_nan=False)
        except ValueError:
            return value
    return value


def message(value: Mapping[str, Any]) -> dict[str, Any]:
    """Return a chat message with the keys of OpenAI's that matter to a chat template."""
    return {key: value[key] for key in _KEYS if value.get(key) is not None}


def prompt_messages(value: object) -> str | list[dict[str, Any]] | None:
    """Return a prompt: text, or a list of messages.

    Understood are text, a list of messages, an object whose `messages` is one, and an object that
    holds one of these under its only key, or under `question`, `prompt`, `query` or `input`. Each
    may be JSON in a text.
    """
    inner = decoded(value)
    if _are_messages(inner):
        return [message(item) for item in inner]
    if isinstance(inner, Mapping):
        if _are_messages(inner.get("messages")):
            return prompt_messages(inner["messages"])
        key = next(iter(inner)) if len(inner) == 1 else _first_key(inner, _QUESTIONS)
        held = inner.get(key)
        if _are_messages(decoded(held)) or isinstance(held, str):
            return prompt_messages(held)
    return value if isinstance(value, str) else None


def answer_text(value: object) -> str | None:
    """Return the text of an answer; an answer of tool calls alone has none.

    Understood are text, a message, a response with `choices`, a list of messages or an object with
    `messages` (the last is the answer), and an object that holds one of these under its only key.
    Each may be JSON in a text.
    """
    inner = decoded(value)
    found = _last_message(inner)
    if found is not None:
        return text_of(found.get("content")) or None
    if isinstance(inner, Mapping) and len(inner) == 1:
        (held,) = inner.values()
        found = _last_message(decoded(held))
        if found is not None:
            return text_of(found.get("content")) or None
        if isinstance(held, str):
            return held or None
    return (value or None) if isinstance(value, str) else None


def text_of(content: object) -> str:
    """Return the text of a message's content: a text, or a list of parts."""
    if isinstance(content, str):
        return content
    if isinstance(content, list):
        parts = (part.get("text") for part in content if isinstance(part, Mapping))
        return "".join(part for part in parts if isinstance(part, str))
    return ""


def _last_message(value: object) -> Mapping[str, Any] | None:
    """Return the message that is the answer, where `value` has one."""
    if isinstance(value, Mapping):
        choices = value.get("choices")
        if isinstance(choices, list) and choices and isinstance(choices[0], Mapping):
            return _last_message(choices[0].get("message"))
        if _are_messages(value.get("messages")):
            return _last_message(value["messages"])
        return value if isinstance(value.get("role"), str) else None
    if _are_messages(value):
        assert isinstance(value, list)  # noqa: S101 - for the type checker
        last: Mapping[str, Any] = value[-1]
        return last if last["role"] == "assistant" else None
    return None


def _are_messages(value: object) -> bool:
    return (
        isinstance(value, list)
        and bool(value)
        and all(isinstance(item, Mapping) and isinstance(item.get("role"), str) for item in value)
    )


def _first_key(value: Mapping[str, Any], keys: tuple[str, ...]) -> str | None:
    return next((key for key in keys if key in value), None)
