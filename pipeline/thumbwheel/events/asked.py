"""What a model was asked: the prompt of an event, put together from where a record keeps it."""

from collections.abc import Mapping
from typing import Any

from thumbwheel.events.messages import Role, as_messages, exchanges, split_turns
from thumbwheel.events.wire import invalid_field

__all__ = ["prompt_of", "with_context"]


def prompt_of(said: object, turns: Mapping[str, Role]) -> object:
    """Return a prompt as text or messages; what is neither as it is.

    Args:
        said: What the record has.
        turns: Markers that split a chat kept in one text.
    """
    if isinstance(said, str):
        if turns:
            return split_turns(said, turns)
        if said[:1] not in ("[", " ", "\n"):
            return said
    return as_messages(said) or said


def with_context(prompt: object, system: object, history: object) -> object:
    """Return a prompt with the system text and what was said before it, each where it is there.

    Raises:
        MalformedRecordError: The history holds neither messages nor pairs of texts.
    """
    if prompt is None:
        return None
    before: list[dict[str, Any]] = []
    if system is not None:
        before.append({"role": "system", "content": system})
    if history is not None:
        said = exchanges(history)
        if said is None:
            raise invalid_field("history", " holds neither messages nor pairs of texts")
        before += said
    asked = [{"role": "user", "content": prompt}] if isinstance(prompt, str) else prompt
    if not before or not isinstance(asked, list):
        return prompt
    # A column often repeats what the messages begin with.
    return asked if asked[: len(before)] == before else before + asked
