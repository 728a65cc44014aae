"""TensorZero's tables of inferences and feedback, or the answers of its API."""

import uuid
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import pydantic_core
from pydantic.dataclasses import dataclass

from thumbwheel.events import MalformedRecordError
from thumbwheel.events.mapping import Rating, RatingOptions, find
from thumbwheel.events.shown import shown, shown_rating
from thumbwheel_connectors.chat import decoded

__all__ = ["TensorZeroMapping"]


@dataclass(frozen=True, kw_only=True, config={"extra": "forbid"})
class TensorZeroMapping(RatingOptions):
    """Read one row of an inference table or of a feedback table.

    Answers are rows of `ChatInference`, `JsonInference` or `ModelInference`. Votes are rows of
    `BooleanMetricFeedback` or `FloatMetricFeedback` for one metric, which has to be named, because
    TensorZero has no usual name for it. `DemonstrationFeedback` gives corrections and
    `CommentFeedback` comments. They are joined by the inference's id: a metric of episodes is about
    no single answer, and its votes wait for ever.

    Without a rater in its tags a vote is the inference's own: the latest value of a metric counts,
    as in TensorZero.

    Args:
        metric_name: The metric that is the vote; others are no feedback.
        rater_tag: The tag of a feedback that holds who gave it.
        up: See `RatingOptions`.
        down: See `RatingOptions`.
        withdrawn: See `RatingOptions`.
        scale: See `RatingOptions`. A float metric needs it, unless its values are only 1 and 0.
        rank: See `RatingOptions`.
        null_is: See `RatingOptions`.
    """

    metric_name: str
    rater_tag: str = "user_id"
    down: tuple[Rating, ...] = ("down", "thumbs_down", "dislike", "negative", False, 0, -1)

    def __call__(self, record: Mapping[str, Any]) -> dict[str, Any] | None:
        """Return an answer, a vote, a correction or a comment; None for another metric.

        Raises:
            MalformedRecordError: The row lacks what its table always has.
        """
        if "output" in record and ("input" in record or "input_messages" in record):
            return _answer(record)
        if "value" not in record:
            return None
        kind = _kind(record)
        if kind not in (self.metric_name, "comment", "demonstration"):
            return None
        if record.get("target_type") == "episode" or record.get("episode_id") is not None:
            return None
        target = record.get("target_id") or record.get("inference_id")
        if not isinstance(target, str):
            raise MalformedRecordError("it has no `target_id` or `inference_id`")
        rater = find(decoded(record.get("tags")), (self.rater_tag,))
        event = {
            "event_id": record.get("id"),
            "generation_id": target,
            "rater_id": rater or f"inference:{target}",
            "occurred_at": _time(record, "id"),
        }
        value = record["value"]
        if kind == "comment":
            return event | {"comment": value}
        if kind == "demonstration":
            correction = _output_text(value)
            if correction is None:
                raise MalformedRecordError("the demonstration holds no text")
            return event | {"correction": correction}
        vote = self.vote(value)
        return event | vote if vote else None


def _kind(record: Mapping[str, Any]) -> str | None:
    """Return the metric's name; `comment` and `demonstration` are TensorZero's reserved ones."""
    name = record.get("metric_name")
    if isinstance(name, str):
        return name
    if record.get("type") in ("comment", "demonstration"):
        return str(record["type"])
    if "target_type" in record:
        return "comment"
    return "demonstration" if "inference_id" in record else None


def _answer(record: Mapping[str, Any]) -> dict[str, Any] | None:
    identity = record.get("inference_id") or record.get("id")
    completion = _output_text(record["output"])
    if completion is None:
        return None
    given = decoded(record.get("input"))
    if not isinstance(given, Mapping):
        given = {"system": record.get("system"), "messages": record.get("input_messages")}
    messages = decoded(given.get("messages"))
    if not isinstance(messages, list) or not messages:
        raise MalformedRecordError("its input holds no messages")
    system = given.get("system")
    prompt = [{"role": "system", "content": _plain(system)}] if system else []
    for item in messages:
        prompt += _messages(item)
    return {
        "event_id": f"inference:{identity}" if identity else None,
        "generation_id": identity,
        "prompt": prompt,
        "completion": completion,
        "model_version": record.get("variant_name") or record.get("model_name"),
        "occurred_at": _time(record, "inference_id", "id"),
    }


def _messages(item: object) -> list[dict[str, Any]]:
    """Return a message of TensorZero's as messages of OpenAI's: each tool result is its own."""
    if not isinstance(item, Mapping) or not isinstance(item.get("role"), str):
        raise MalformedRecordError(f"its input holds {shown(item)}, which is no message")
    content = item.get("content")
    blocks = content if isinstance(content, list) else [{"type": "text", "text": content}]
    texts, calls, results = [], [], []
    for block in blocks:
        match find(block, ("type",)):
            case "text" | "raw_text" | "template":
                text = block.get("text")
                texts.append(_plain(block.get("value") if text is None else text))
            case "tool_call":
                calls.append(_tool_call(block))
            case "tool_result":
                results.append(
                    {
                        "role": "tool",
                        "content": block.get("result") or "",
                        "tool_call_id": block.get("id"),
                        "name": block.get("name"),
                    }
                )
            case "thought" | "unknown":
                continue
            case kind:
                raise MalformedRecordError(
                    f"its input holds {shown_rating(kind)} blocks; only text counts"
                )
    said = {"role": item["role"], "content": "".join(texts)}
    if calls:
        return [*results, said | {"tool_calls": calls}]
    return [*results, said] if texts else results


def _tool_call(block: Mapping[str, Any]) -> dict[str, Any]:
    arguments = block.get("raw_arguments") or block.get("arguments")
    if not isinstance(arguments, str):
        arguments = pydantic_core.to_json(arguments).decode()
    function = {"name": block.get("raw_name") or block.get("name"), "arguments": arguments}
    return {"id": block.get("id"), "type": "function", "function": function}


def _plain(value: object) -> str:
    """Return a text as it is; the arguments of a template are none."""
    if not isinstance(value, str):
        raise MalformedRecordError(
            "its input is the arguments of a template, not what the model read; "
            "export its row of `ModelInference` instead"
        )
    return value


def _output_text(value: object) -> str | None:
    """Return the text of an output: content blocks, or an object with `raw`; None without any."""
    output = decoded(value)
    if isinstance(output, list):
        texts = [find(block, ("text",)) for block in output if find(block, ("type",)) == "text"]
        return "".join(text for text in texts if isinstance(text, str)) or None
    raw = find(output, ("raw",))
    if isinstance(raw, str):
        return raw or None
    if isinstance(output, Mapping) and isinstance(value, str):
        return value
    return output if isinstance(output, str) and output else None


def _time(record: Mapping[str, Any], *ids: str) -> Any:
    """Return when a row was written: to the millisecond from its UUIDv7, else `timestamp`."""
    for key in ids:
        try:
            identity = uuid.UUID(record.get(key))
            if identity.version == 7:
                return datetime.fromtimestamp((identity.int >> 80) / 1000, UTC).isoformat()
        except (ValueError, TypeError, AttributeError, OverflowError):
            continue
    return record.get("timestamp")
