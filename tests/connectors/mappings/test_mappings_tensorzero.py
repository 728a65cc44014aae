"""TensorZero's tables become rated completions."""

import json
from pathlib import Path
from typing import Any

import pytest
from exports import SAMPLES, event_of, parse, store_export

from thumbwheel.events import MalformedRecordError

SAMPLE = SAMPLES / "tensorzero.jsonl"
MAPPING = {"use": "tensorzero", "metric_name": "thumbs_up"}


def test_tensorzero_export(tmp_path: Path) -> None:
    """Rows of every table: the latest value counts, tools stay, other metrics are ignored."""
    stored = store_export(tmp_path, SAMPLE, MAPPING)
    assert stored.rated == [
        ("Rain in Rome?", "No idea.", 0, 1),
        ("rain", "Yes, it rains.", 1, 0),
    ]
    assert (stored.counts.dropped, stored.counts.dead_letters, stored.parked) == (2, 0, 0)
    answer, vote = stored.events[0], stored.events[2]
    assert [message["role"] for message in answer["prompt"]] == [
        "system",
        "user",
        "assistant",
        "tool",
    ]
    assert json.loads(answer["prompt"][2]["extra"])["tool_calls"][0]["function"] == {
        "name": "forecast",
        "arguments": {"city": "Oslo"},
    }
    assert (answer["model_version"], vote["rater_id"]) == ("gpt", "u-1")
    assert vote["occurred_at"].isoformat().startswith("2025-06-20")
    told = {event["comment"] or event["correction"]: event for event in stored.events}
    assert told["it should have looked"]["rater_id"] == "u-2"
    assert told["No, it is dry."]["correction"] == "No, it is dry."


def test_tensorzero_model_inference_and_json() -> None:
    """`ModelInference` holds what the model read; a JSON function's answer is its raw text."""
    row = {
        "id": "m1",
        "inference_id": "i1",
        "model_name": "gpt",
        "system": "Be brief.",
        "input_messages": '[{"role": "user", "content": [{"type": "text", "text": "Hi"}]}]',
        "output": '[{"type": "thought", "text": "hm"}, {"type": "text", "text": "Hello!"}]',
    }
    event = event_of(MAPPING, row)
    assert (event["generation_id"], event["completion"]) == ("i1", "Hello!")
    assert [message["content"] for message in event["prompt"]] == ["Be brief.", "Hi"]
    as_json = {
        "inference_id": "i2",
        "input": {"messages": [{"role": "user", "content": "Name?"}]},
        "output": {"raw": '{"name": "Ada"}', "parsed": {"name": "Ada"}},
    }
    event = event_of(MAPPING, as_json)
    assert event["completion"] == '{"name": "Ada"}'
    only_calls = {**row, "output": '[{"type": "tool_call", "id": "c", "name": "f"}]'}
    assert parse(MAPPING, only_calls) is None


def test_tensorzero_feedback_requests() -> None:
    """A stored body of `POST /feedback` reads like a row; an episode's is about no answer."""
    body = {"inference_id": "i1", "metric_name": "thumbs_up", "value": False}
    event = event_of(MAPPING, body)
    assert (event["score"], event["rater_id"]) == (-1, "inference:i1")
    assert parse(MAPPING, {"episode_id": "e1", "metric_name": "thumbs_up", "value": True}) is None
    event = event_of(MAPPING, {**body, "metric_name": "demonstration", "value": "Better."})
    assert event["correction"] == "Better."


def test_tensorzero_float_metric() -> None:
    """A float metric needs its scale."""
    row = {"id": "f1", "target_id": "i1", "metric_name": "stars", "value": 4.0, "tags": {}}
    event = event_of(
        {"use": "tensorzero", "metric_name": "stars", "scale": {"down": 1, "up": 5}}, row
    )
    assert event["score"] == 0.5
    with pytest.raises(MalformedRecordError, match="set `scale`"):
        parse({"use": "tensorzero", "metric_name": "stars"}, row)


@pytest.mark.parametrize(
    ("record", "reason"),
    [
        ({"metric_name": "thumbs_up", "value": True}, "no `target_id`"),
        ({"input": {"messages": []}, "output": "x"}, "holds no messages"),
        (
            {
                "input": {"messages": [{"role": "user", "content": [{"type": "image"}]}]},
                "output": "x",
            },
            "holds 'image' blocks; only text counts",
        ),
        (
            {"input": {"system": {"tone": "dry"}, "messages": [{"role": "user"}]}, "output": "x"},
            "export its row of `ModelInference`",
        ),
    ],
)
def test_tensorzero_broken_records(record: dict[str, Any], reason: str) -> None:
    """A row that cannot be an answer or a vote says why."""
    with pytest.raises(MalformedRecordError, match=reason):
        parse(MAPPING, record)
