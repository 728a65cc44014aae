"""Langfuse's traces, observations and scores, from its API, its page or its scheduled export."""

from collections.abc import Mapping
from typing import Any, Literal

from pydantic.dataclasses import dataclass

from thumbwheel.events import MalformedRecordError
from thumbwheel.events.mapping import Rating, RatingOptions
from thumbwheel_connectors.chat import answer_text, prompt_messages

__all__ = ["LangfuseMapping"]


@dataclass(frozen=True, config={"extra": "forbid"})
class LangfuseMapping(RatingOptions):
    """Read one trace, observation or score; keys in camel case (API) or snake case (export).

    A score of the name `score_name`, made by a person or an application, is a vote on the
    observation it names, else on its trace. Scores of evaluators are no feedback. A correction
    (`dataType` CORRECTION) is one whatever its name.

    An answer is a trace, a generation, or an observation without a parent: exports without a file
    of traces tell a trace only by that one, so it goes by the trace's id.

    Args:
        score_name: The score that is the vote; others are no feedback.
        root_is: `observation` where scores name an observation that has no parent.
        up: See `RatingOptions`.
        down: See `RatingOptions`.
        withdrawn: See `RatingOptions`.
        scale: See `RatingOptions`. Numbers other than 1, 0 and -1 need it.
        rank: See `RatingOptions`.
        null_is: See `RatingOptions`.
    """

    score_name: str = "user-feedback"
    root_is: Literal["trace", "observation"] = "trace"
    down: tuple[Rating, ...] = ("down", "thumbs_down", "dislike", "negative", False, 0, -1)

    def __call__(self, record: Mapping[str, Any]) -> dict[str, Any] | None:
        """Return an answer, a vote, a correction or a comment; None for anything else.

        Raises:
            MalformedRecordError: A vote is about no answer, or its value is not listed.
        """
        fields = _Fields(record)
        if fields["dataType"] is not None or ("value" in record and "name" in record):
            return self._score_event(fields)
        if fields["traceId"] is not None and fields["type"] is not None:
            return self._observation(fields)
        if "input" in record and "output" in record:
            return self._trace(fields)
        return None

    def _score_event(self, score: "_Fields", user: Any = None) -> dict[str, Any] | None:
        kind = str(score["dataType"]).upper()
        if kind != "CORRECTION" and (score["name"] != self.score_name or score["source"] == "EVAL"):
            return None
        subject = score["subject"]
        if isinstance(subject, Mapping):
            is_answer = subject.get("kind") in ("trace", "observation")
            target = subject.get("id") if is_answer else None
        else:
            target = score["observationId"] or score["traceId"]
        if target is None:
            return None
        updated = score["updatedAt"] or score["timestamp"]
        event = {
            "event_id": f"{score['id']}@{updated}" if score["id"] else None,
            "generation_id": target,
            "rater_id": _rater(score, user),
            "comment": score["comment"],
            "occurred_at": updated,
        }
        text = score["stringValue"]
        value = score["value"]
        if kind == "CORRECTION":
            corrected = answer_text(text or value)
            if corrected is None:
                raise MalformedRecordError("the correction holds no text")
            return event | {"correction": corrected}
        if kind == "TEXT":
            return event | {"comment": text or value}
        if kind == "BOOLEAN":
            value = _truth(value)
        elif kind == "CATEGORICAL":
            value = text or value
        vote = self.vote(value)
        return event | vote if vote else None

    def _observation(self, fields: "_Fields") -> dict[str, Any] | None:
        is_root = not fields["parentObservationId"]
        if not is_root and fields["type"] != "GENERATION":
            return None
        answers_for_trace = is_root and self.root_is == "trace"
        if is_root and not answers_for_trace and fields["type"] != "GENERATION":
            return None
        event = _answer(fields, fields["traceId"] if answers_for_trace else fields["id"])
        return event and event | {
            "event_id": f"observation:{fields['id']}",
            "model_version": fields["providedModelName"] or fields["model"],
            "occurred_at": fields["startTime"],
        }

    def _trace(self, fields: "_Fields") -> dict[str, Any] | None:
        event = _answer(fields, fields["id"])
        if event is None:
            return None
        event |= {"event_id": f"trace:{fields['id']}", "occurred_at": fields["timestamp"]}
        listed = fields["scores"] if isinstance(fields["scores"], list) else []
        inside = [_Fields(score) for score in listed if isinstance(score, Mapping)]
        votes = [vote for score in inside if (vote := self._score_event(score, fields["userId"]))]
        votes = [vote for vote in votes if vote["generation_id"] == fields["id"]]
        if len(votes) > 1:
            raise MalformedRecordError(
                f"the trace holds {len(votes)} scores that count; "
                "give the scores as records of their own"
            )
        return event | votes[0] if votes else event


class _Fields:
    """A record's values by Langfuse's camel case names, whichever case it is in."""

    def __init__(self, record: Mapping[str, Any]) -> None:
        self._record = record

    def __getitem__(self, name: str) -> Any:
        value = self._record.get(name)
        if value is None:
            snake = "".join(f"_{letter.lower()}" if letter.isupper() else letter for letter in name)
            value = self._record.get(snake)
        return None if value == "" else value


def _answer(fields: _Fields, generation_id: object) -> dict[str, Any] | None:
    """Return an answer's event, or None when there is no text to learn from."""
    prompt, completion = prompt_messages(fields["input"]), answer_text(fields["output"])
    if prompt is None or completion is None:
        return None
    return {"generation_id": generation_id, "prompt": prompt, "completion": completion}


def _rater(score: _Fields, user: Any) -> Any:
    """Return who voted: the annotator, or the user of the trace that the score lies in or names.

    Without any, the score's own id: Langfuse keeps the id when a score changes, and the
    changed vote has to replace the first one.
    """
    trace = score["trace"]
    user = user or (_Fields(trace)["userId"] if isinstance(trace, Mapping) else None)
    return score["authorUserId"] or user or (f"score:{score['id']}" if score["id"] else None)


def _truth(value: object) -> object:
    """Return a boolean score's value, which the API tells as 1 and 0."""
    return {"0": False, "1": True, "false": False, "true": True}.get(
        str(value).removesuffix(".0").casefold(), value
    )
