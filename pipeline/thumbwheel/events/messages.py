"""Chat messages as tools write them, and who speaks in them by whatever name."""

import ast
import re
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any, Literal

import pydantic_core

__all__ = [
    "NO_ROLES",
    "Role",
    "as_messages",
    "ends_with",
    "exchanges",
    "listed",
    "parted",
    "role_of",
    "split_turns",
    "text_of",
]

Role = Literal["system", "user", "assistant", "tool"]
"""Who speaks in a message, in the words that every chat template knows."""

NO_ROLES: Mapping[str, Role] = MappingProxyType({})

_ROLES: dict[str, Role] = {"system": "system", "developer": "system"}
_ROLES |= dict.fromkeys(("user", "human", "prompter", "customer", "usermessage"), "user")
_ROLES |= dict.fromkeys(("human message", "user_message", "humanmessage"), "user")
_ROLES |= dict.fromkeys(("assistant", "gpt", "bot", "chatbot", "ai", "model"), "assistant")
_ROLES |= dict.fromkeys(("chatgpt", "aimessage", "assistant_message", "apimessage"), "assistant")
_ROLES |= dict.fromkeys(("tool", "function", "toolmessage", "observation", "ipython"), "tool")
_ROLES |= dict.fromkeys(("systemmessage", "system_message"), "system")

# Of an answer's parts, what its readers do not see.
_HIDDEN = frozenset({"thinking", "redacted_thinking", "reasoning", "think", "tool_call"})
_TEXTS = frozenset({"text", "input_text", "output_text"})
_KEPT = ("name", "tool_calls", "tool_call_id")

# Python's own notation, as pandas writes a column of lists to CSV.
_PYTHON_LIST = re.compile(r"\s*\[\s*[{\[]\s*['\"]")
_MAX_PYTHON = 1 << 20

_SPEAKER = re.compile(r"(?:^|\n)[ \t#*]*([A-Za-z]+)[ \t*]*:[ \t*]*\Z")


def role_of(name: object, roles: Mapping[str, Role] = NO_ROLES) -> Role | None:
    """Return who a name stands for, without case and blanks, or None when it is not known.

    Args:
        name: As the record has it; truth values go by `true` and `false`.
        roles: A source's own names, in lower case.
    """
    text = str(name).strip().casefold()
    return roles.get(text) or _ROLES.get(text)


def as_messages(value: object, roles: Mapping[str, Role] = NO_ROLES) -> list[dict[str, Any]] | None:
    """Return messages in OpenAI's form, or None when `value` is no list of messages.

    A message is an object with `role` and `content`, with `from` and `value` (ShareGPT), or with
    `type` and `content` (LangChain, also as it serialises its objects). The list may be text: JSON,
    or Python's notation of it. Hidden reasoning among the parts of a content is left out.
    """
    items = listed(value)
    if isinstance(items, list) and len(items) == 1 and isinstance(items[0], list):
        items = items[0]
    if not isinstance(items, list) or not items:
        return None
    messages = [_message(item, roles) for item in items]
    return None if None in messages else [message for message in messages if message]


def exchanges(value: object, roles: Mapping[str, Role] = NO_ROLES) -> list[dict[str, Any]] | None:
    """Return the messages of a history, or None when it is none.

    It is a list of messages, of pairs of question and answer, or of objects whose keys say who
    speaks, such as `{"human": …, "ai": …}`.
    """
    items = listed(value)
    if not isinstance(items, list):
        return None
    if not items:
        return []
    if messages := as_messages(items, roles):
        return messages
    said: list[dict[str, Any]] = []
    for item in items:
        if isinstance(item, Sequence) and not isinstance(item, str) and len(item) == 2:
            said += _pair(zip(("user", "assistant"), item, strict=True))
        elif isinstance(item, Mapping) and all(role_of(key, roles) for key in item):
            said += _pair((role_of(key, roles) or "", text) for key, text in item.items())
        else:
            return None
    return said


def parted(said: object, place: object) -> tuple[list[dict[str, Any]] | None, str | None]:
    """Return what comes before a place among messages, and the answer that stands there.

    Args:
        said: Messages, or pairs of question and answer.
        place: A number, counted from 0; of pairs, the pair and its half, such as `[2, 1]`.
    """
    if isinstance(place, str):
        try:
            place = pydantic_core.from_json(place.strip().replace("(", "[").replace(")", "]"))
        except ValueError:
            return None, None
    said = listed(said)
    messages = exchanges(said)
    if isinstance(place, list) and len(place) == 2 and all(isinstance(n, int) for n in place):
        # A pair without a question, a greeting, is one message.
        pairs = said if isinstance(said, list) else []
        place = sum(len(exchanges([pair]) or ()) for pair in pairs[: place[0] + 1]) - 1
    if messages is None or not isinstance(place, int) or not 0 <= place < len(messages):
        return None, None
    return messages[:place], text_of(messages[place]["content"])


def split_turns(text: str, markers: Mapping[str, Role]) -> list[dict[str, Any]]:
    """Return the messages of a chat kept in one text; a marker counts where a line begins.

    What stands before the first marker is the user's.
    """
    pattern = "^(" + "|".join(map(re.escape, markers)) + r")[ \t]*"
    head, *rest = re.split(pattern, text, flags=re.MULTILINE)
    turns = [("user", head), *zip(map(markers.__getitem__, rest[::2]), rest[1::2], strict=True)]
    return [{"role": role, "content": said.strip()} for role, said in turns if said.strip()]


def text_of(content: object) -> str | None:
    """Return the text of a content: a text, or a list of parts; None where something is no text."""
    if isinstance(content, str):
        return content
    if not isinstance(content, list):
        return None
    parts = _parts(content)
    texts = [part.get("text") if isinstance(part, Mapping) else None for part in parts]
    return None if None in texts else "".join(text for text in texts if text)


def ends_with(text: str, answer: str) -> bool:
    """Tell whether a prompt's text ends with the very answer, on a line or a turn of its own.

    Within a line it does not: "Repeat after me: hello" asks for "hello". Nor does it with a turn of
    the user's, which an answer may repeat.
    """
    text, answer = text.rstrip(), answer.strip()
    if not answer or not text.endswith(answer):
        return False
    before = text[: -len(answer)].rstrip(" \t")
    if speaker := _SPEAKER.search(before[-80:]):
        return role_of(speaker[1]) in (None, "assistant")
    return not before or before.endswith("\n")


def _pair(said: Any) -> list[dict[str, Any]]:
    return [{"role": role, "content": text} for role, text in said if text not in (None, "")]


def listed(value: object) -> object:
    """Return the list that a text holds, as JSON or in Python's notation; all else as it is."""
    if not isinstance(value, str) or value.lstrip()[:1] != "[":
        return value
    try:
        return pydantic_core.from_json(value)
    except ValueError:
        pass
    if len(value) > _MAX_PYTHON or not _PYTHON_LIST.match(value):
        return value
    try:
        return ast.literal_eval(value.strip())
    except (ValueError, SyntaxError, MemoryError, RecursionError, TypeError):
        return value


def _message(item: Any, roles: Mapping[str, Role]) -> dict[str, Any] | None:
    if not isinstance(item, Mapping):
        return None
    if isinstance(item.get("kwargs"), Mapping) and isinstance(item.get("id"), list):
        # LangChain's serialised form: the class is the last of its path.
        item = {"type": str(item["id"][-1:] and item["id"][-1]), **item["kwargs"]}
    if isinstance(item.get("message"), dict):
        item = item["message"]
    elif "message.role" in item:
        # OpenInference, as Phoenix has it.
        item = {key.removeprefix("message."): value for key, value in item.items()}
    for speaker, said in (("role", "content"), ("from", "value"), ("type", "content")):
        role = item.get(speaker)
        if isinstance(role, str) and (said in item or item.get("tool_calls")):
            kept = {key: item[key] for key in _KEPT if item.get(key) is not None}
            content = item.get(said)
            if isinstance(content, list):
                content = _parts(content)
            # A role that is not known stays: whoever reads the event says so.
            return {"role": role_of(role, roles) or role, "content": content, **kept}
    return None


def _parts(content: list[Any]) -> list[Any]:
    """Return the parts that were said, each text as OpenAI has it."""
    parts: list[Any] = []
    for part in content:
        if isinstance(part, str):
            parts.append({"type": "text", "text": part})
        elif isinstance(part, Mapping):
            kind = part.get("type")
            if kind in _HIDDEN:
                continue
            text = part.get("text")
            if isinstance(text, Mapping):
                text = text.get("value")
            is_text = kind in _TEXTS or (kind is None and isinstance(text, str))
            parts.append({"type": "text", "text": text} if is_text else part)
        else:
            parts.append(part)
    return parts
