"""Langfuse's exports and API become rated completions."""

from pathlib import Path
from typing import Any

import pytest
from exports import SAMPLES, event_of, parse, store_export

from thumbwheel.events import MalformedRecordError

SAMPLE = SAMPLES / "langfuse_export.jsonl"


def test_langfuse_export(tmp_path: Path) -> None:
    """Scores join the trace or the generation they name, whichever comes first in the export."""
    stored = store_export(tmp_path, SAMPLE, "langfuse")
    (rated,) = {(completion, up, down) for _, completion, up, down in stored.rated[:1]}
    assert rated == ("Yes, take an umbrella.", 1, 0)
    assert sorted((up, down) for _, _, up, down in stored.rated) == [(0, 1), (1, 0)]
    assert (stored.counts.stored, stored.counts.dropped, stored.parked) == (4, 3, 0)
    vote, trace, generation, _ = stored.events
    assert (vote["generation_id"], vote["comment"]) == ("tr-1", "saved my day")
    assert (trace["generation_id"], trace["prompt"][0]["content"]) == ("tr-1", "Rain in Oslo?")
    assert (generation["generation_id"], generation["model_version"]) == ("ob-2", "gpt-x")
    assert [message["role"] for message in generation["prompt"]] == [
        "system",
        "user",
        "assistant",
        "tool",
    ]
    assert "forecast" in generation["prompt"][2]["extra"]


def score(**values: Any) -> dict[str, Any]:
    return {
        "id": "s1",
        "traceId": "t1",
        "observationId": None,
        "name": "user-feedback",
        "value": 1,
        "dataType": "NUMERIC",
        "source": "API",
        "timestamp": "2026-05-29T13:46:19.963Z",
        "updatedAt": "2026-05-29T14:00:00.000Z",
        **values,
    }


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ({"value": 1}, 1),
        ({"value": 0}, -1),
        ({"value": -1.0}, -1),
        ({"value": 1, "dataType": "BOOLEAN", "stringValue": "True"}, 1),
        ({"value": 0, "dataType": "BOOLEAN", "stringValue": "False"}, -1),
        ({"value": True, "dataType": "BOOLEAN"}, 1),
        ({"value": 7, "dataType": "CATEGORICAL", "stringValue": "positive"}, 1),
        ({"value": "Thumbs_Down", "dataType": "CATEGORICAL"}, -1),
        ({"value": "1.0", "dataType": ""}, 1),
    ],
)
def test_langfuse_values(values: dict[str, Any], expected: float) -> None:
    """Each data type of the API, and numbers as CSV has them."""
    event = event_of("langfuse", score(**values))
    assert event["score"] == expected
    assert event["event_id"] == "s1@2026-05-29T14:00:00.000Z"


def test_langfuse_scale_and_name() -> None:
    """Stars under another name, with a scale; a value without one is malformed."""
    stars = {"use": "langfuse", "score_name": "stars", "scale": {"down": 1, "up": 5}}
    event = event_of(stars, score(name="stars", value=4))
    assert event["score"] == 0.5
    assert parse(stars, score()) is None
    boolean = event_of(stars, score(name="stars", value=1, dataType="BOOLEAN"))
    assert boolean["score"] == 1
    with pytest.raises(MalformedRecordError, match="set `scale`"):
        parse("langfuse", score(value=4))


def test_langfuse_raters() -> None:
    """The annotator, else the trace's user, else the score itself is the rater."""
    told = [
        parse("langfuse", score(authorUserId="ann", trace={"userId": "end-user"})),
        parse("langfuse", score(trace={"userId": "end-user"})),
        parse("langfuse", score()),
    ]
    assert [event and event["rater_id"] for event in told] == ["ann", "end-user", "score:s1"]
    whole = {"id": "t1", "userId": "end-user", "input": "Hi", "output": "Hello."}
    inside = score(traceId="t1", observationId=None)
    assert event_of("langfuse", whole | {"scores": [inside]})["rater_id"] == "end-user"


def test_langfuse_corrections_and_texts() -> None:
    """A corrected output is a correction whatever its name; a text score is a comment."""
    corrected = score(name="output", dataType="CORRECTION", value=0, stringValue="Better.")
    event = event_of("langfuse", corrected)
    assert (event["correction"], event["is_vote"], event["generation_id"]) == (
        "Better.",
        False,
        "t1",
    )
    newer = score(dataType="CORRECTION", value="Best.", subject={"kind": "observation", "id": "o"})
    event = event_of("langfuse", newer)
    assert (event["correction"], event["generation_id"]) == ("Best.", "o")
    event = event_of("langfuse", score(dataType="TEXT", value=0, stringValue="too long"))
    assert (event["comment"], event["is_vote"]) == ("too long", False)
    with pytest.raises(MalformedRecordError, match="the correction holds no text"):
        parse("langfuse", score(dataType="CORRECTION", value=0, stringValue=None))


def test_langfuse_scores_about_no_answer() -> None:
    """A score of a session or an experiment is about no answer; a null value is no vote."""
    assert parse("langfuse", score(traceId=None, sessionId="s")) is None
    assert parse("langfuse", score(subject={"kind": "session", "id": "s"})) is None
    assert parse("langfuse", score(value=None)) is None


def test_langfuse_trace_with_its_scores() -> None:
    """A trace as the API tells it in full carries its one score; two would need a record each."""
    trace = {
        "id": "t1",
        "timestamp": "2026-05-29T13:46:19.963Z",
        "input": {"messages": [{"role": "user", "content": "Hi"}]},
        "output": {"choices": [{"message": {"role": "assistant", "content": "Hello!"}}]},
        "scores": [score(), score(id="s2", name="other"), "s3"],
    }
    event = event_of("langfuse", trace)
    assert (event["completion"], event["score"], event["generation_id"]) == ("Hello!", 1, "t1")
    with pytest.raises(MalformedRecordError, match="2 scores that count"):
        parse("langfuse", {**trace, "scores": [score(), score(id="s2")]})


def test_langfuse_root_observations() -> None:
    """Where scores name the root generation, it can go by its own id; spans are then no answer."""
    root = {"id": "o1", "traceId": "t1", "input": "Hi", "output": "Hello!", "type": "GENERATION"}
    by_trace = parse("langfuse", root)
    by_itself = parse({"use": "langfuse", "root_is": "observation"}, root)
    assert [event and event["generation_id"] for event in (by_trace, by_itself)] == ["t1", "o1"]
    assert parse({"use": "langfuse", "root_is": "observation"}, {**root, "type": "SPAN"}) is None
    assert parse("langfuse", {**root, "output": ""}) is None
