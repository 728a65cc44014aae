"""From an assessment on an MLflow trace to an event in Thumbwheel's own format."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import pydantic_core

from thumbwheel.events import MalformedRecordError
from thumbwheel.events.mapping import RatingOptions
from thumbwheel.events.shown import shown
from thumbwheel.types import Record
from thumbwheel_connectors.chat import answer_text, prompt_messages

__all__ = ["Told", "news_of", "record_of", "withdrawal_of"]


@dataclass(frozen=True, slots=True)
class Told:
    """What was last told about an assessment.

    `revision` counts what changed without a new update time: 0 is the assessment itself, an odd
    number took it back (it was overridden or deleted), an even one restored it. Times are
    milliseconds since 1970.
    """

    generation_id: str
    rater_id: str
    is_vote: bool
    trace_ms: int
    updated_ms: int
    revision: int

    @property
    def stands(self) -> bool:
        """Whether it counts."""
        return self.revision % 2 == 0

    @property
    def trace_id(self) -> str:
        """The trace it is about."""
        return self.generation_id.partition("/")[0]


def news_of(info: Any, assessment: Any, before: Told | None) -> Told:
    """Return what is to be told about an assessment now, given what was told before.

    Args:
        info: The trace's `TraceInfo`.
        assessment: MLflow's `Feedback` or `Expectation` on it.
        before: What was last told about it.
    """
    stands = assessment.valid is not False
    revision = 0 if stands else 1
    if before is not None and before.updated_ms == assessment.last_update_time_ms:
        revision = before.revision + (before.stands != stands)
    source = assessment.source.source_id
    if not source or source == "default":
        # MLflow's word for nobody in particular: the trace's user then, who may ask to be
        # forgotten. Without one, the assessment's own id stands for its rater, so that a change
        # replaces the first value.
        user = info.trace_metadata.get("mlflow.trace.user")
        source = user or f"assessment:{assessment.assessment_id}"
    return Told(
        generation_id="/".join(filter(None, (info.trace_id, assessment.span_id))),
        rater_id=source,
        is_vote=assessment.feedback is not None,
        trace_ms=info.request_time,
        updated_ms=assessment.last_update_time_ms,
        revision=revision,
    )


def record_of(
    info: Any, spans: Sequence[Any], assessment: Any, now: Told, ratings: RatingOptions
) -> Record | None:
    """Return an assessment as an event together with its answer; None when it says nothing.

    What is wrong with it stands in a note behind it, so that it becomes a dead letter whose reason
    tells that.
    """
    if not now.stands:
        return withdrawal_of(assessment.assessment_id, now) if now.is_vote else None
    try:
        if now.is_vote:
            told = ratings.vote(assessment.value)
        else:
            told = {"correction": answer_text(assessment.value)}
        if not any(told.values()) and "score" not in told:
            return None
        told |= _answer(info, spans, assessment.span_id)
        fault = None
    except MalformedRecordError as error:
        told, fault = {"rating": assessment.value}, str(error)
    said = {"comment": assessment.rationale, "metadata": assessment.metadata}
    record = _record(assessment.assessment_id, now, said | told)
    return record if fault is None else Record(_noted(record.raw, fault), record.position)


def _noted(raw: bytes, fault: str) -> bytes:
    """Return a record that is no event, with a note behind it that says why."""
    why = fault.replace("<", "").replace(">", "")
    return raw + f" <it has this fault: {why:.170}>".encode()


def withdrawal_of(assessment_id: str, now: Told) -> Record:
    """Return the event that takes a vote back."""
    return _record(assessment_id, now, {"withdrawn": True})


def _record(assessment_id: str, now: Told, content: Mapping[str, Any]) -> Record:
    identity = f"{assessment_id}@{now.updated_ms}"
    if now.revision:
        identity += f".{now.revision}"
    # A withdrawal comes right behind its vote in time, and so before any later vote.
    moment = datetime.fromtimestamp(now.updated_ms / 1000, UTC)
    event = {
        "event_id": identity,
        "generation_id": now.generation_id,
        "rater_id": now.rater_id,
        "occurred_at": moment + timedelta(microseconds=now.revision),
        **content,
    }
    return Record(pydantic_core.to_json(event, fallback=str), f"{now.trace_id}/{identity}")


def _answer(info: Any, spans: Sequence[Any], span_id: str | None) -> dict[str, Any]:
    """Return the prompt and the answer of the assessed span, else of the root.

    Raises:
        MalformedRecordError: The span holds none.
    """
    root = next((span for span in spans if span.parent_id is None), None)
    span = next((span for span in spans if span.span_id == span_id), root)
    inputs, outputs = (span.inputs, span.outputs) if span is not None else (None, None)
    prompt, completion = prompt_messages(inputs), answer_text(outputs)
    if prompt is None:
        raise MalformedRecordError(f"no prompt in the inputs, {shown(inputs)}")
    if completion is None:
        raise MalformedRecordError(f"no answer in the outputs, {shown(outputs)}")
    model = outputs.get("model") if isinstance(outputs, Mapping) else None
    return {
        "prompt": prompt,
        "completion": completion,
        "model_version": info.trace_metadata.get("mlflow.modelId") or model,
    }
