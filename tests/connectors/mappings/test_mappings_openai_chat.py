"""Logs of OpenAI-style chat completions become rated completions."""

from pathlib import Path
from typing import Any

import pytest
from exports import SAMPLES, event_of, parse, store_export

from thumbwheel.events import MalformedRecordError

SAMPLE = SAMPLES / "openai_chat.jsonl"


def test_openai_chat_logs(tmp_path: Path) -> None:
    """Requests with responses, a late vote, and lists of messages that end in the answer."""
    stored = store_export(tmp_path, SAMPLE, "openai_chat")
    assert stored.rated == [
        ("Hi", "Hello!", 1, 0),
        ("What is DPO?", "A preference loss.", 1, 0),
        ('{"rain": true}', "Yes, it rains.", 0, 1),
    ]
    assert (stored.counts.stored, stored.counts.dropped, stored.parked) == (4, 1, 0)
    first, tools, late, flat = stored.events
    assert (first["rater_id"], first["comment"]) == ("u-1", "clear")
    assert (first["generation_id"], first["model_version"]) == ("chatcmpl-1", "gpt-x-2026")
    assert first["occurred_at"].year == 2025
    assert "forecast" in tools["prompt"][2]["extra"]
    assert (late["rater_id"], late["correction"]) == ("u-2", "Yes, from noon.")
    assert (flat["generation_id"], flat["model_version"]) == ("flat-1", "llama")


def test_openai_chat_options() -> None:
    """The thumb, the rater and the ids may lie under other keys, also inside objects."""
    mapping = {
        "use": "openai_chat",
        "rating": "feedback.stars",
        "rater": "feedback.by",
        "event_id": "feedback.id",
        "occurred_at": "feedback.at",
        "scale": {"down": 1, "up": 5},
    }
    event = event_of(
        mapping,
        {
            "messages": [{"role": "user", "content": "Hi"}],
            "choices": [{"message": {"role": "assistant", "content": "Hello!"}}],
            "feedback": {"stars": 5, "by": "u-1", "id": "f-1", "at": "2026-05-29T14:00:00Z"},
        },
    )
    assert (event["score"], event["rater_id"], event["event_id"]) == (1, "u-1", "f-1")
    assert event["occurred_at"].year == 2026


@pytest.mark.parametrize(
    ("record", "reason"),
    [
        ({"messages": "Hi", "rating": 1}, "not a list of chat messages"),
        ({"messages": [{"role": "user", "content": "Hi"}], "rating": 1}, "answer has no text"),
        ({"messages": [{"role": "assistant", "content": "x"}], "rating": 1}, "holds no prompt"),
        ({"messages": [{"text": "Hi"}], "choices": [], "rating": "up"}, "answer has no text"),
        ({"messages": [{"role": "user", "content": "Hi"}], "rating": "meh"}, "'meh' is neither"),
    ],
)
def test_openai_chat_broken_records(record: dict[str, Any], reason: str) -> None:
    """A rated chat without an answer or a prompt says so."""
    with pytest.raises(MalformedRecordError, match=reason):
        parse("openai_chat", record)
