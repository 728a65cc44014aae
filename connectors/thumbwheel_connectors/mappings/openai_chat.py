"""Logs of OpenAI-style chat completions, with a thumb in one of their keys."""

import dataclasses
from collections.abc import Iterator, Mapping
from typing import Any

from pydantic.dataclasses import dataclass

from thumbwheel.events import MalformedRecordError, invalid_field
from thumbwheel.events.mapping import KeyMapping, RatingOptions, find
from thumbwheel.events.messages import role_of
from thumbwheel.events.parts import NOT_TAKEN, LeftOut, Outcome
from thumbwheel.events.rules import ReadingRules
from thumbwheel_connectors.chat import answer_text, decoded, prompt_messages, text_of

__all__ = ["OpenAIChatMapping"]

_THUMBS = ("feedback", "rating", "vote", "thumb", "thumbs", "reaction", "liked")


@dataclass(frozen=True, config={"extra": "forbid"})
class OpenAIChatMapping(RatingOptions):
    """Read a stored request with its response, or one list of messages that ends in the answer.

    The first form is `{"request": {"messages": …}, "response": {"id": …, "choices": …}}`, also with
    either side's keys at the top. The second is `{"messages": […]}`, as for fine-tuning. A record
    with neither is a vote alone. A dot reaches into objects. Where messages of the assistant hold
    the vote, each of these is an answer, and the messages before it are its prompt.

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
        rank: See `RatingOptions`.
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
        elif response is not record and "content" in response:
            answer = text_of(response["content"]) or None
        else:
            *messages, last = messages
            answer = answer_text([last])
        prompt = prompt_messages(messages)
        if isinstance(prompt, list) and request.get("system") is not None:
            # Anthropic's requests have the system text beside the messages.
            prompt = [{"role": "system", "content": request["system"]}, *prompt]
        if not vote and (key := _thumb_beside(messages, self.rating)) is not None:
            event["note"] = f"a message holds `{key}`, and `rating` does not name it: no vote"
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

    def gives_many(self, record: object) -> bool:
        """Tell whether messages of the assistant hold votes: `events` is to be called then."""
        return isinstance(record, Mapping) and any(
            find(item, tuple(self.rating.split("."))) is not None for item in _messages(record)
        )

    def events(self, record: Mapping[str, Any], rules: ReadingRules) -> Iterator[Outcome]:
        """Yield the rated messages, and the answer behind them where it is rated as a whole."""
        if not rules.take(record, record):
            yield LeftOut(NOT_TAKEN)
            return
        inside = KeyMapping(
            each=("/request.messages", "/messages"),
            role="role",
            system=("/request.system", "/system"),
            rating=self.rating,
            rater=(f"/{self.rater}", "/request.user"),
            generation_id="id",
            model_version=("model", "/response.model", "/request.model", "/model"),
            comment=self.comment,
            correction=self.correction,
            occurred_at=self.occurred_at or "created_at",
            up=self.up,
            down=self.down,
            withdrawn=self.withdrawn,
            scale=self.scale,
        )
        yield from inside.events(record, dataclasses.replace(rules, where={}))
        if _at(record, self.rating) is not None and (event := self(record)) is not None:
            yield event


def _messages(record: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    messages = decoded(_object(record, "request").get("messages"))
    return [
        item
        for item in (messages if isinstance(messages, list) else [])
        if isinstance(item, Mapping) and role_of(item.get("role")) == "assistant"
    ]


def _thumb_beside(messages: object, rating: str) -> str | None:
    """Return what looks like a vote among the keys of the assistant's messages."""
    for item in messages if isinstance(messages, list) else ():
        if isinstance(item, Mapping) and role_of(item.get("role")) == "assistant":
            for key in _THUMBS:
                if item.get(key) is not None and key != rating.partition(".")[0]:
                    return key
    return None


def _object(record: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    """Return the request or response; the record itself where its keys are at the top."""
    value = decoded(record.get(key))
    return value if isinstance(value, Mapping) else record


def _at(record: Mapping[str, Any], key: str | None) -> Any:
    return find(record, tuple(key.split("."))) if key is not None else None
