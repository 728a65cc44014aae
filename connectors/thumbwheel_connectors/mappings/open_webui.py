"""Open WebUI's feedback history, as an administrator exports it under Evaluations."""

import re
from collections.abc import Mapping
from typing import Any

from pydantic.dataclasses import dataclass

from thumbwheel.events import MalformedRecordError, invalid_field
from thumbwheel.events.mapping import RatingOptions, find
from thumbwheel_connectors.chat import message, text_of

__all__ = ["OpenWebUIMapping"]

_CLOSING = "</details>"
_MARKS = re.compile(rf'<details type="(?:reasoning|tool_calls|code_interpreter)"|{_CLOSING}')


@dataclass(frozen=True, config={"extra": "forbid"})
class OpenWebUIMapping(RatingOptions):
    """Read one feedback object: the thumb, and the chat up to the rated message.

    The chat is the branch of the message tree that ends in the rated message, with the chat's
    system prompt before it. Votes on the answers to one message, as in the arena or after
    "regenerate", share a comparison. An answer that the user has edited gives the original as the
    completion and the edit as the correction.

    Args:
        up: See `RatingOptions`.
        down: See `RatingOptions`.
        withdrawn: See `RatingOptions`.
        scale: See `RatingOptions`.
        rank: See `RatingOptions`.
        null_is: See `RatingOptions`.
    """

    def __call__(self, record: Mapping[str, Any]) -> dict[str, Any] | None:
        """Return the vote with its chat; None for what is no rating.

        Raises:
            MalformedRecordError: The snapshot lacks the rated message or its prompt.
        """
        data, meta = _object(record, "data"), _object(record, "meta")
        if record.get("type") != "rating" or data.get("rating") is None:
            return None
        message_id = meta.get("message_id")
        if not isinstance(message_id, str):
            raise invalid_field("meta.message_id", " does not name the rated message")
        chat = _chat(record)
        branch = _branch(chat, message_id)
        rated = branch[-1]
        answer = _spoken(rated.get("originalContent") or rated.get("content"))
        edited = _spoken(rated.get("content"))
        updated = record.get("updated_at") or record.get("created_at")
        return {
            "event_id": f"{record.get('id')}@{updated}" if record.get("id") else None,
            "generation_id": message_id,
            "prompt": _system(chat) + [_said(item) for item in branch[:-1]],
            "completion": answer,
            "model_version": data.get("model_id") or meta.get("model_id"),
            "rater_id": record.get("user_id"),
            "comment": data.get("comment") or None,
            "correction": edited if edited != answer else None,
            # Set even for a single answer: a later "regenerate" must not make it another vote.
            "comparison_id": rated.get("parentId"),
            "occurred_at": updated,
            "metadata": _metadata(data, meta),
            **self.vote(data["rating"]),
        }


def _object(record: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    value = record.get(key)
    return value if isinstance(value, Mapping) else {}


def _chat(record: Mapping[str, Any]) -> Mapping[str, Any]:
    outer = find(record, ("snapshot", "chat"))
    for chat in (find(outer, ("chat",)), outer):
        if isinstance(chat, Mapping) and find(chat, ("history", "messages")):
            return chat
    raise MalformedRecordError(
        "there is no chat in `snapshot`; use the export of the page Admin Panel > Evaluations"
    )


def _branch(chat: Mapping[str, Any], message_id: str) -> list[Mapping[str, Any]]:
    """Return the messages from the first of the chat to the rated one."""
    messages = chat["history"]["messages"]
    if isinstance(messages, list):
        messages = {str(find(item, ("id",))): item for item in messages}
    if not isinstance(messages, Mapping):
        raise invalid_field("history.messages", " of the snapshot holds no messages")
    branch: list[Mapping[str, Any]] = []
    step: object = message_id
    while step is not None:
        item = messages.get(step) if isinstance(step, str) else None
        if not isinstance(item, Mapping):
            raise MalformedRecordError("a message of the branch is not in the snapshot's history")
        if len(branch) >= len(messages):
            raise MalformedRecordError("the messages of the snapshot's history form a circle")
        branch.append(item)
        step = item.get("parentId")
    if len(branch) < 2 or branch[0].get("role") != "assistant":
        raise MalformedRecordError("the rated message answers no message")
    return branch[::-1]


def _system(chat: Mapping[str, Any]) -> list[dict[str, Any]]:
    text = find(chat, ("params", "system")) or chat.get("system")
    return [{"role": "system", "content": text}] if isinstance(text, str) and text.strip() else []


def _said(item: Mapping[str, Any]) -> dict[str, Any]:
    said = message(item)
    return said if said.get("role") == "user" else {**said, "content": _spoken(said.get("content"))}


def _spoken(content: object) -> str:
    """Return an answer's text without the blocks that Open WebUI folds into it for display.

    Reasoning and tool calls stand there as `<details type="reasoning" …>…</details>`; Open WebUI
    takes them out itself before it sends a chat to a model.
    """
    text, pieces, end, folded = text_of(content), [], 0, None
    for mark in _MARKS.finditer(text):
        if folded is None and mark[0] != _CLOSING:
            pieces.append(text[end : mark.start()])
            folded = mark.start()
        elif folded is not None and mark[0] == _CLOSING:
            end, folded = mark.end(), None
    pieces.append(text[end:] if folded is None else text[folded:])
    return "\n\n".join(piece.strip() for piece in pieces if piece.strip())


def _metadata(data: Mapping[str, Any], meta: Mapping[str, Any]) -> dict[str, Any]:
    said = {
        "reason": data.get("reason"),
        "tags": data.get("tags"),
        "detailed_rating": find(data, ("details", "rating")),
        "sibling_model_ids": data.get("sibling_model_ids"),
        "arena": meta.get("arena"),
        "chat_id": meta.get("chat_id"),
    }
    return {key: value for key, value in said.items() if value}
