"""From raw records to events."""

import json
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from thumbwheel.events import EventParser, MalformedRecordError, cluster_id, content_id
from thumbwheel.mapping import KeyMapping


def parse(mapping=None, **record):
    parser = EventParser(KeyMapping(**mapping) if mapping is not None else None)
    return parser.parse(json.dumps(record).encode())


def test_native_event():
    """An event in Thumbwheel's own format keeps its values; a plain prompt is one user message."""
    event = parse(
        event_id="e1",
        prompt="Hi",
        completion="Hello!",
        score=1,
        rater_id=7,
        occurred_at="2026-03-01T12:00:00+02:00",
        unknown="ignored",
    )
    assert event["prompt"] == [{"role": "user", "content": "Hi"}]
    assert (event["score"], event["is_vote"], event["rater_id"]) == (1.0, True, "7")
    assert event["occurred_at"].isoformat() == "2026-03-01T10:00:00+00:00"


def test_identity_is_content():
    """The same texts get the same identities wherever they come from; other texts get others."""
    first = parse(prompt="Hi", completion="Hello!", score=1)
    same = parse(prompt=[{"role": "user", "content": "Hi "}], completion="Hello!", rater_id="x")
    other = parse(prompt="Hi", completion="Hello")
    assert first["prompt_id"] == same["prompt_id"] == other["prompt_id"]
    assert first["completion_id"] == same["completion_id"] != other["completion_id"]
    assert first["generation_id"] == same["generation_id"]


def test_null_rating_is_no_vote_and_withdrawal_is_one():
    """A null score is no vote; a withdrawn vote is a vote without a score."""
    assert not parse(prompt="a", completion="b", score=None)["is_vote"]
    withdrawn = parse(generation_id="g", rater_id="r", withdrawn=True)
    assert withdrawn["is_vote"]
    assert withdrawn["score"] is None


@pytest.mark.parametrize(
    ("raw", "reason"),
    [
        (b"", "not valid JSON"),
        (b"{", "not valid JSON"),
        (b"\xff\xfe", "not valid JSON"),
        (b'{"prompt": "\\ud800", "completion": "x"}', "not valid JSON"),
        (b"[" * 100_000, "not valid JSON"),
        (b"[1]", "should be an object"),
        (b'{"prompt": "a"}', "no completion"),
        (b'{"completion": "a"}', "no prompt"),
        (b'{"score": 1}', "neither an answer"),
        (b'{"prompt": "a", "completion": true}', "`completion`"),
        (b'{"prompt": [], "completion": "b"}', "`prompt"),
        (b'{"prompt": "a", "completion": "b", "score": 2}', "`score`"),
        (b'{"prompt": "a", "completion": "b", "score": NaN}', "`score`"),
        (b'{"prompt": "a", "completion": "b", "occurred_at": "soon"}', "`occurred_at`"),
    ],
)
def test_malformed_records_say_why(raw, reason):
    """What cannot be read is refused with a reason."""
    with pytest.raises(MalformedRecordError, match=reason):
        EventParser().parse(raw)


@given(st.binary(max_size=200) | st.text(max_size=200).map(lambda text: text.encode()))
def test_any_bytes_are_an_event_or_malformed(raw):
    """No input makes the parser fail in another way."""
    for mapping in (None, KeyMapping()):
        with suppress(MalformedRecordError):
            EventParser(mapping).parse(raw)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=5,
)
keys = ["prompt", "completion", "rating", "score", "rater_id", "event_id", "occurred_at"]


@given(st.dictionaries(st.sampled_from(keys), json_values))
def test_any_object_is_an_event_or_malformed(record):
    """Values of any type under the known keys are read or refused, never a crash."""
    for mapping in (None, KeyMapping(rater="rater_id", occurred_at="occurred_at")):
        with suppress(MalformedRecordError):
            EventParser(mapping).parse(json.dumps(record).encode())


def test_mapping_reaches_into_objects():
    """Keys with dots reach into nested objects and lists, and ratings map to votes."""
    event = parse(
        {"prompt": "request.text", "completion": "choices.0.message", "rating": "r"},
        request={"text": "Hi"},
        choices=[{"message": "Hello"}],
        r="Thumbs_Up",
    )
    assert event["prompt"][0]["content"] == "Hi"
    assert event["completion"] == "Hello"
    assert event["score"] == 1


@pytest.mark.parametrize(
    ("rating", "score"), [(1, -1), (5, 1), (3, 0), ("4", 0.5), (0, -1), (17, 1), (None, None)]
)
def test_numeric_scale(rating, score):
    """Stars map linearly between the anchors and are clamped beyond them; null is no vote."""
    mapping = {"scale": {"down": 1, "up": 5}}
    event = parse(mapping, prompt="a", completion="b", rating=rating)
    assert event["score"] == score
    assert event["is_vote"] == (score is not None)


def test_reversed_scale():
    """`up` may be the smaller number, as for an error count."""
    mapping = {"scale": {"down": 25, "up": 0}}
    assert parse(mapping, prompt="a", completion="b", rating=0)["score"] == 1
    assert parse(mapping, prompt="a", completion="b", rating=25)["score"] == -1


def test_a_listed_number_does_not_mean_true():
    """`up = [1]` does not admit `true`, although Python holds them equal."""
    assert parse({"up": [1], "down": [0]}, prompt="a", completion="b", rating=1)["score"] == 1
    with pytest.raises(MalformedRecordError, match="True is neither"):
        parse({"up": [1], "down": [0]}, prompt="a", completion="b", rating=True)


def test_anonymous_raters_and_turns():
    """Listed rater ids stand for unknown, and a chat kept as one string is split into turns."""
    event = parse(
        {"rater": "user", "turns": {"Human:": "user", "Assistant:": "assistant"}},
        prompt="Human: Hi\n\nAssistant: Hello: you\nHuman: And now?",
        completion="b",
        user="anon",
    )
    assert event["rater_id"] is None
    assert event["prompt"] == [
        {"role": "user", "content": "Hi"},
        {"role": "assistant", "content": "Hello: you"},
        {"role": "user", "content": "And now?"},
    ]


def test_clusters_ignore_case_and_punctuation_only():
    """Prompts that differ in case and punctuation share a cluster; other words do not."""

    def cluster(text):
        return cluster_id([{"role": "user", "content": text}])

    assert cluster("What is  DPO?") == cluster("what is dpo")
    assert cluster("What is DPO?") != cluster("What is PPO?")


def test_content_id_separates_its_parts():
    """Moving a character from one part to the next changes the identity."""
    assert content_id("ab", "c") != content_id("a", "bc")
