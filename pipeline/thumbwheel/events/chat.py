"""What a message of a chat holds beside role and content: tool calls and names.

A `types.Message` keeps these keys in `extra`, as one JSON text. A chat template wants them beside
role and content, and absent rather than null: templates ask whether `tool_calls` is there.
"""

import json
from collections.abc import Iterable, Mapping
from typing import Any

from thumbwheel.errors import DataError
from thumbwheel.types import Message, Prompt

__all__ = ["from_chat", "readable", "to_chat", "to_json"]

_KEYS = ("name", "tool_call_id", "tool_calls")

_encode = json.JSONEncoder(
    ensure_ascii=False, allow_nan=False, separators=(",", ":"), sort_keys=True
).encode


def to_json(value: Mapping[str, Any]) -> str:
    """Return the canonical JSON text of an object: keys sorted, no spaces, no NaN.

    Raises:
        ValueError: A number is not finite.
    """
    return _encode(value)


def to_chat(prompt: Prompt) -> list[dict[str, Any]]:
    """Return the messages as a chat template takes them: `extra` merged in.

    Raises:
        DataError: The `extra` of a message is not a JSON object.
    """
    return [
        {"role": message["role"], "content": message["content"], **_extra(message)}
        for message in prompt
    ]


def from_chat(messages: Iterable[Mapping[str, Any]]) -> list[Message]:
    """Return the messages with what they hold beside role and content in `extra`."""
    prompt: list[Message] = []
    for message in messages:
        extra = {key: message[key] for key in _KEYS if message.get(key)}
        prompt.append(
            {
                "role": message["role"],
                "content": message["content"],
                "extra": to_json(extra) if extra else None,
            }
        )
    return prompt


def readable(message: Message) -> tuple[str, str]:
    """Return who speaks in a message and what, for people: each tool call is a line of its own."""
    extra = _extra(message)
    speaker = message["role"] + (f" {extra['name']}" if "name" in extra else "")
    lines = [message["content"]] if message["content"] else []
    for call in extra.get("tool_calls", []):
        arguments = call["function"].get("arguments", "")
        shown = arguments if isinstance(arguments, str) else to_json(arguments)
        lines.append(f"→ {call['function']['name']}({shown})")
    return speaker, "\n".join(lines)


def _extra(message: Message) -> dict[str, Any]:
    text = message.get("extra")
    if not text:
        return {}
    try:
        extra = json.loads(text)
    except ValueError:
        extra = None
    if not isinstance(extra, dict):
        raise DataError(
            f"the `extra` of a message is {text!r:.60}; it must be a JSON object or null, "
            "so mend the plugin that changed it"
        )
    return {key: extra[key] for key in _KEYS if key in extra}
