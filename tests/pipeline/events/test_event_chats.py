"""Chats in events: several turns, tools, and how a model and a person are shown them."""

import json

import pytest

from thumbwheel.errors import DataError
from thumbwheel.events import (
    EventParser,
    MalformedRecordError,
    cluster_id,
    from_chat,
    readable,
    to_chat,
)
from thumbwheel.events.rules import ReadingRules


def parse(**record):
    return EventParser().parse(json.dumps(record).encode())


def a_chat(arguments='{"city": "Paris", "days": [1]}', **changes):
    """Return a chat in OpenAI's form, as its clients dump it."""
    call = {"id": "c1", "type": "function", "function": {"name": "w", "arguments": arguments}}
    return [
        {
            "role": "user",
            "content": [{"type": "text", "text": "Wea"}, {"type": "text", "text": "!"}],
        },
        {"role": "assistant", "content": None, "refusal": None, "tool_calls": [call]},
        {"role": "tool", "content": "Sun", "tool_call_id": "c1", "name": "w", "tool_calls": None},
        {"role": "user", "content": "Thanks", "name": None, **changes},
    ]


def test_a_chat_with_tools_keeps_what_templates_need():
    """Calls, their ids and names become canonical JSON; other keys and nulls are left out."""
    prompt = parse(prompt=a_chat(), completion="b")["prompt"]
    assert prompt == [
        {"role": "user", "content": "Wea!"},
        {
            "role": "assistant",
            "content": "",
            "extra": '{"tool_calls":[{"function":{"arguments":{"city":"Paris","days":[1]},'
            '"name":"w"},"id":"c1","type":"function"}]}',
        },
        {"role": "tool", "content": "Sun", "extra": '{"name":"w","tool_call_id":"c1"}'},
        {"role": "user", "content": "Thanks"},
    ]
    assert from_chat(to_chat(prompt)) == [{"extra": None, **message} for message in prompt]
    assert to_chat(prompt)[1]["tool_calls"][0]["function"]["arguments"]["city"] == "Paris"
    assert to_chat(prompt)[3] == {"role": "user", "content": "Thanks"}


def test_tools_are_part_of_a_prompts_identity():
    """The same call written in another way is the same prompt; another call or name is not."""
    parser = EventParser(rules=ReadingRules(prefilled=True))

    def identity(prompt):
        event = parser.parse(json.dumps({"prompt": prompt, "completion": "b"}).encode())
        assert event is not None
        return event["prompt_id"]

    assert identity(a_chat()) == identity(a_chat({"days": [1], "city": "Paris"}))
    others = [a_chat(), a_chat("{}"), a_chat(name="Ann"), a_chat()[:2], a_chat()[:1]]
    plain = [{"role": m["role"], "content": m["content"] or ""} for m in a_chat()]
    assert len({identity(prompt) for prompt in [*others, plain]}) == 6


@pytest.mark.parametrize(
    "arguments",
    ["not JSON", "[1]", '"text"', '{"a": NaN}', '{"a": 1e400}', "[" * 10_000, f'{{"a": {2**64}}}'],
)
def test_arguments_that_are_no_object_stay_text(arguments):
    """What a model wrote instead of a JSON object is kept as it is."""
    message = parse(prompt=a_chat(arguments), completion="b")["prompt"][1]
    (call,) = to_chat([message])[0]["tool_calls"]
    assert call["function"]["arguments"] == arguments


@pytest.mark.parametrize(
    ("message", "reason"),
    [
        ({"role": "user"}, r"`prompt\.0` has neither content nor tool_calls"),
        ({"role": "user", "content": None, "tool_calls": []}, "neither content nor tool_calls"),
        ({"content": "x"}, r"`prompt\.0\.role`: Field required"),
        (
            {"role": "user", "content": [{"type": "text", "text": "a"}, {"type": "image_url"}]},
            r"`prompt\.0\.content\.1\.type`: Input should be 'text', got a text",
        ),
        ({"role": "user", "content": [{"type": "text"}]}, r"content\.0\.text`: Field required"),
        (a_chat({"a": 2**64})[1], "more than 64 bits"),
        (a_chat({"a": [{"b": -(2**63) - 1}]})[1], "more than 64 bits"),
        (a_chat([1])[1], r"`prompt\.0\.tool_calls\.0\.function\.arguments`"),
        ({"role": "assistant", "tool_calls": [{"type": "custom"}]}, r"tool_calls\.0\.type`"),
        ({"role": "assistant", "tool_calls": [{"id": "x"}]}, r"function`: Field required"),
        (
            {"role": "assistant", "tool_calls": {}},
            r"`prompt\.0\.tool_calls`: .* valid (list|array)",
        ),
    ],
)
def test_messages_that_cannot_be_shown_to_a_model_say_why(message, reason):
    """Images, half of a call and numbers that JSON readers do not take make a dead letter."""
    with pytest.raises(MalformedRecordError, match=reason):
        parse(prompt=[message], completion="b")


def test_a_chat_is_readable():
    """Names and calls are shown to people, one call a line."""
    prompt = parse(prompt=a_chat(name="Ann"), completion="b")["prompt"]
    assert [readable(message) for message in prompt] == [
        ("user", "Wea!"),
        ("assistant", '→ w({"city":"Paris","days":[1]})'),
        ("tool w", "Sun"),
        ("user Ann", "Thanks"),
    ]


@pytest.mark.parametrize("extra", ["{", "[1]", "7"])
def test_extra_that_a_plugin_broke_is_named(extra):
    """One line says what `extra` must be."""
    with pytest.raises(DataError, match="must be a JSON object or null"):
        to_chat([{"role": "user", "content": "a", "extra": extra}])


def test_clusters_ignore_ids_of_calls():
    """A conversation that is repeated draws new ids for its calls, and is held out with the old."""
    chats = [parse(prompt=a_chat(), completion="b")["prompt"]]
    chats.append([{**m, "extra": m.get("extra", "").replace("c1", "c2")} for m in chats[0]])
    assert len({cluster_id(chat) for chat in chats}) == 1
