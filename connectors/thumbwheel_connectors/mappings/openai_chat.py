"""Logs of OpenAI-style chat completions, with a thumb in one of their keys."""

from collections.abc import Mapping
from typing import Any

from pydantic.dataclasses import dataclass

from thumbwheel.events import MalformedRecordError, invalid_field
from thumbwheel.events.mapping import RatingOptions, find
from thumbwheel_connectors.chat import answer_text, decoded, prompt_messages

__all__ = ["OpenAIChatMapping"]


@dataclass(frozen=True, config={"extra": "forbid"})
class OpenAIChatMapping(RatingOptions):
    """Read a stored request with its response, or one list of messages that ends in the answer.

    The first form is `{"request": {"messages": …}, "response": {"id": …, "choices": …}}`, also with
    either side's keys at the top. The second is `{"messages": […]}`, as for fine-tuning. A record
    with neither is a vote alone. A dot reaches into objects.

    Args:
        rating: The key of the vote.
        rater: The key of who voted.
        generation_id: The key of the answer's identity; without it, the response's `id` is.
        event_id: The key of the event's identity.
        comment: The key of the rater's words.
        correction: The key of the rater's own better answer: a text or a message.
        comparison_id: The key that ties the votes of one side-by-side choice.
        occurred_at: The key of the vote's time; without it, the response's `created` is.
        up: See `RatingOptions`.
        down: See `RatingOptions`.
        withdrawn: See `RatingOptions`.
        scale: See `RatingOptions`.
        null_is: See `RatingOptions`.
    """

    rating: str = "rating"
    rater: str = "user"
    generation_id: str = "generation_id"
    event_id: str | None = None
    comment: str = "comment"
    correction: str = "correction"
    comparison_id: str | None = None
    occurred_at: str | None = None

    def __call__(self, record: Mapping[str, Any]) -> dict[str, Any] | None:
        """Return the chat and its vote; None for a record with neither.

        Raises:
            MalformedRecordError: There is a chat without an answer, or an unlisted rating.
        """
        request = _object(record, "request")
        response = _object(record, "response")
        vote = self.vote(_at(record, self.rating))
        event = {
            "event_id": _at(record, self.event_id),
            "generation_id": _at(record, self.generation_id) or response.get("id"),
            "model_version": response.get("model") or request.get("model"),
            "rater_id": _at(record, self.rater) or request.get("user"),
            "comment": _at(record, self.comment),
            "correction": answer_text(_at(record, self.correction)),
            "comparison_id": _at(record, self.comparison_id),
            "occurred_at": _at(record, self.occurred_at) or response.get("created"),
            **vote,
        }
        messages = decoded(request.get("messages"))
        if messages is None:
            return event if vote else None
        if not isinstance(messages, list) or not messages:
            raise invalid_field("messages", " is not a list of chat messages")
        if "choices" in response:
            answer = answer_text({"choices": response["choices"]})
        else:
            *messages, last = messages
            answer = answer_text([last])
        prompt = prompt_messages(messages)
        if answer is None and not vote:
            return None
        if answer is None:
            raise MalformedRecordError(
                "the rated answer has no text: neither in `choices` nor in a last message of the "
                "assistant"
            )
        if prompt is None:
            raise invalid_field("messages", " holds no prompt: messages with a `role`")
        return event | {"prompt": prompt, "completion": answer}


def _object(record: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    """Return the request or response; the record itself where its keys are at the top."""
    value = decoded(record.get(key))
    return value if isinstance(value, Mapping) else record


def _at(record: Mapping[str, Any], key: str | None) -> Any:
    return find(record, tuple(key.split("."))) if key is not None else None
