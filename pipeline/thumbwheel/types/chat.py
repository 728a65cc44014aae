"""Chat messages, in the shape of chat templates."""

from collections.abc import Sequence
from typing import NotRequired

from typing_extensions import TypedDict  # typing's own cannot be validated before Python 3.12

__all__ = [
    "Message",
    "Prompt",
]


class Message(TypedDict):
    """One chat message.

    `extra` holds what else a chat template may need, as one JSON object: `tool_calls`,
    `tool_call_id`, `name`. It is null for most messages, and may then be absent.
    """

    role: str
    content: str
    extra: NotRequired[str | None]


Prompt = Sequence[Message]
