"""Logs of OpenAI-style chat completions become rated completions."""

import json
from pathlib import Path
from typing import Any

import pytest
from exports import SAMPLES, event_of, parse, store_export

from thumbwheel.events import EventParser, MalformedRecordError
from thumbwheel_connectors.mappings.openai_chat import OpenAIChatMapping

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


def test_openai_chat_thumbs_inside_messages(tmp_path: Path) -> None:
    """A thumb on a message counts for it, with what came before; one beside is never silent."""
    chat = [
        {"role": "user", "content": "Capital?"},
        {"role": "assistant", "content": "Cusco.", "feedback": {"rating": "down"}},
        {"role": "user", "content": "Sure?"},
        {"role": "assistant", "content": "Lima.", "feedback": {"rating": "up"}},
    ]
    record = {"id": "c1", "messages": chat, "user": "u1"}
    stored = store_export(tmp_path, [record], {"use": "openai_chat", "rating": "feedback.rating"})
    assert stored.rated == [("Capital?", "Cusco.", 0, 1), ("Sure?", "Lima.", 1, 0)]
    assert {event["rater_id"] for event in stored.events} == {"u1"}
    parser = EventParser(OpenAIChatMapping())
    assert list(parser.parse_batch([json.dumps(record).encode()]).notes) == [
        "a message holds `feedback`, and `rating` does not name it: no vote"
    ]


def test_openai_chat_of_anthropic(tmp_path: Path) -> None:
    """The system text beside the messages is part of the prompt; the answer comes in parts."""
    record = {
        "request": {"system": "In French.", "messages": [{"role": "user", "content": "Hello"}]},
        "response": {"id": "m1", "content": [{"type": "text", "text": "Bonjour"}]},
        "rating": "up",
    }
    (event,) = store_export(tmp_path, [record], "openai_chat").events
    assert [message["content"] for message in event["prompt"]] == ["In French.", "Hello"]
    assert event["completion"] == "Bonjour"
