"""Ratings and keys: from a record of any tool to an event."""

import json
from typing import Any

import pytest
from pydantic import ValidationError

from thumbwheel.events import EventParser, MalformedRecordError
from thumbwheel.events.mapping import KeyMapping, RatingOptions, Scale, find
from thumbwheel.events.rules import ReadingRules


def score(rating: Any, **options: Any) -> float | None:
    return RatingOptions(**options).vote(rating).get("score")


@pytest.mark.parametrize(
    ("rating", "expected"),
    [
        ("up", 1),
        (" Thumbs_Down ", -1),
        (True, 1),
        (False, -1),
        (1, 1),
        (1.0, 1),
        (-1, -1),
        ("1", 1),
        ("1.0", 1),
        (" -1 ", -1),
        ("TRUE", 1),
        ("false", -1),
    ],
)
def test_the_usual_thumbs(rating: Any, expected: float) -> None:
    """Words, truth values and numbers, also as the text that CSV makes of them."""
    assert score(rating) == expected


@pytest.mark.parametrize("rating", [None, "", "  "])
def test_nothing_is_no_vote(rating: Any) -> None:
    """Null and blank text are no vote, not even a withdrawn one."""
    assert RatingOptions().vote(rating) == {}
    assert RatingOptions(scale=Scale(down=1, up=5)).vote(rating) == {}


def test_a_withdrawn_vote() -> None:
    """A rating that takes a vote back has no score."""
    assert RatingOptions().vote("Retracted") == {"withdrawn": True}
    scaled = RatingOptions(scale=Scale(down=1, up=5), withdrawn=("0",))
    assert scaled.vote("0") == {"withdrawn": True}
    assert scaled.vote("3") == {"score": 0}


@pytest.mark.parametrize(
    ("options", "rating"),
    [
        ({"up": [1], "down": [0]}, True),
        ({"up": [True], "down": [False]}, 1),
        ({"up": [True], "down": [False]}, "1"),
        ({"up": [1], "down": [0]}, "true"),
        ({}, 2),
        ({}, "2"),
        ({}, "nan"),
        ({}, ["up"]),
        ({}, {"up": 1}),
        ({"scale": {"down": 1, "up": 5}}, "so so"),
        ({"scale": {"down": 1, "up": 5}}, float("nan")),
    ],
)
def test_what_is_not_listed_is_malformed(options: dict[str, Any], rating: Any) -> None:
    """Numbers and truth values are told apart, and nothing is guessed."""
    with pytest.raises(MalformedRecordError, match="rating"):
        score(rating, **options)


def test_numbers_go_to_the_scale_and_words_to_the_lists() -> None:
    """With a scale, 1 is the lowest of five stars although 1 is a thumb otherwise."""
    options = {"scale": {"down": 1, "up": 5}}
    assert [score(rating, **options) for rating in (1, "1", 3, "4", 9, "up")] == [
        -1,
        -1,
        0,
        0.5,
        1,
        1,
    ]
    assert score("5", scale=Scale(down=1, up=10), up=("5",)) == 1


def test_every_mapping_of_keys_has_the_options_of_ratings() -> None:
    """A record's keys and its rating make one event."""
    mapping = KeyMapping(rating="r.value", rater="by", scale=Scale(down=0, up=10))
    record = {"prompt": "q", "completion": "a", "r": {"value": "10"}, "by": "ann"}
    event = EventParser(mapping).parse(json.dumps(record).encode())
    assert event is not None
    assert (event["score"], event["rater_id"]) == (1, "ann")


@pytest.mark.parametrize(
    ("up", "down", "expected"),
    [
        (True, False, 1),
        (False, True, -1),
        (False, False, None),
        (None, None, None),
        ("1", "0", 1),
        ("", "Yes", -1),
        (0.0, 1.0, -1),
    ],
)
def test_two_columns_of_flags(up: Any, down: Any, expected: float | None) -> None:
    """A column for thumbs up and one for thumbs down; neither is no vote."""
    options = {"up": "liked", "down": "r.bad"}
    event = parse(options, prompt="q", completion="a", liked=up, r={"bad": down})
    assert (event["score"], event["is_vote"]) == (expected, expected is not None)


@pytest.mark.parametrize("flags", [(True, True), ("maybe", False), (7, False), ([], {})])
def test_flags_that_say_nothing_clear(flags: tuple[Any, Any]) -> None:
    """Both at once, or something else, is a dead letter."""
    with pytest.raises(MalformedRecordError, match=r"up and down|neither true nor false"):
        parse({"up": "u", "down": "d"}, prompt="q", completion="a", u=flags[0], d=flags[1])


def test_one_column_of_flags_is_refused() -> None:
    """A key without its other half is a mistake, and told as the configuration is read."""
    with pytest.raises(ValidationError, match="both lists of ratings, or both the key"):
        KeyMapping(up="liked")


def test_blank_values() -> None:
    """An empty answer was given and voted on; an empty id or time is none."""
    options = {"event_id": ["id", "key"], "rater": "by", "occurred_at": "t"}
    event = parse(options, prompt="q", completion="", rating=-1, id="", key="k", by="", t="")
    assert (event["completion"], event["score"], event["event_id"]) == ("", -1, "k")
    assert (event["rater_id"], event["occurred_at"]) == (None, None)


def test_find_reaches_into_objects_and_lists() -> None:
    """A path ends in its value, or in None where there is no such place."""
    record = {"a": [{"b": 1}, {"0": 2}]}
    assert find(record, ("a", "0", "b")) == 1
    assert find(record, ("a", "1", "0")) == 2
    for path in (("a", "2"), ("a", "b"), ("a", "0", "b", "c"), ("x",)):
        assert find(record, path) is None


def parse(options, **record):
    return EventParser(KeyMapping(**options)).parse(json.dumps(record).encode())


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


def test_the_first_rank_is_the_best():
    """Ranks fall from +1; there is none below 1, and a rank is not on a scale as well."""
    ranks = KeyMapping(rank=True)
    scores = [ranks.vote(rank)["score"] for rank in (1, "2", 3.5, 40)]
    assert scores == sorted(scores, reverse=True)
    assert scores[0] == 1
    assert scores[-1] > -1
    with pytest.raises(MalformedRecordError, match="below 1"):
        ranks.vote(0)
    with pytest.raises(ValidationError, match="leave out one"):
        KeyMapping(rank=True, scale=Scale(down=1, up=5))


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


def keyed(record, **options):
    """Return the event of a record read by its keys."""
    rules = {name: options.pop(name) for name in ("withdrawn_where",) if name in options}
    parser = EventParser(KeyMapping(**options), ReadingRules(**rules))
    answer = {"prompt": "p", "completion": "c"}
    return parser.parse(json.dumps(answer | record).encode())


@pytest.mark.parametrize("listed", [{"null_is": "withdrawn"}, {"withdrawn": ["", "x"]},
                                    {"withdrawn": ["null"]}])  # fmt: skip
@pytest.mark.parametrize("rating", [None, "", "  "])
def test_null_can_take_a_vote_back(listed, rating):
    """Null and blank text are a withdrawal where it is declared, and a missing key never is."""
    event = keyed({"rating": rating}, **listed)
    assert (event["is_vote"], event["score"]) == (True, None)
    assert not keyed({"rating": rating})["is_vote"]
    assert not keyed({}, **listed)["is_vote"]
    assert keyed({"rating": "up"}, **listed)["score"] == 1


def test_numbers_of_a_scale_can_take_back():
    """Where 0 clears the stars, it is no lowest rating."""
    stars = {"scale": {"down": 1, "up": 5}, "withdrawn": [0]}
    for rating in (0, "0", 0.0):
        assert keyed({"rating": rating}, **stars)["score"] is None
    assert keyed({"rating": 1}, **stars)["score"] == -1


@pytest.mark.parametrize(
    "options",
    [
        {"up": ["", "like"]},
        {"down": [" "]},
        {"up": ["like"], "down": ["Like "]},
        {"up": [1], "withdrawn": [1]},
        {"up": [5], "scale": {"down": 1, "up": 5}},
    ],
)
def test_what_has_no_effect_is_refused(options):
    """A value that is never looked up, or looked up twice, is an error of the configuration."""
    with pytest.raises(ValidationError):
        KeyMapping(**options)


@pytest.mark.parametrize("rater", [0, "0", 0.0, " NULL", "Anonymous", "", "  ", None])
def test_unknown_raters_are_compared_as_ratings_are(rater):
    """Case, blanks and the spelling of numbers do not make somebody of nobody."""
    options = {"rater": "user", "anonymous": [0, "null", "anonymous"]}
    assert keyed({"rating": "up", "user": rater}, **options)["rater_id"] is None
    as_text = options | {"anonymous": ["0", "null", "anonymous"]}
    assert keyed({"rating": "up", "user": rater}, **as_text)["rater_id"] is None
    assert keyed({"rating": "up", "user": 7}, **as_text)["rater_id"] == "7"


def test_a_deleted_record_takes_back_what_it_said():
    """What says that it was deleted withdraws, by the record's id or by the answer's."""
    keys = {
        "event_id": ["after.id", "before.id"],
        "generation_id": ["after.message", "before.message"],
        "rating": ["after.rating", "before.rating"],
        "rater": ["after.user", "before.user"],
        "occurred_at": "ts_ms",
        "prompt": "none",
        "completion": "none",
        "withdrawn_where": {"op": "D"},
    }
    row = {"id": 7, "message": "m", "rating": "up", "user": "u"}
    gone = keyed({"op": "d", "before": row, "after": None, "ts_ms": 1772366400000}, **keys)
    assert (gone["event_id"], gone["generation_id"], gone["rater_id"]) == ("7", "m", "u")
    assert (gone["is_vote"], gone["score"]) == (True, None)
    assert gone["updated_at"] == gone["occurred_at"] is not None
    bare = keyed({"op": "d", "before": {"id": 7}, "ts_ms": 1772366400000}, **keys)
    assert (bare["event_id"], bare["score"]) == ("7", None)
    assert keyed({"op": "c", "after": row, "ts_ms": 1772366400000}, **keys)["score"] == 1
    untimed = keyed({"op": "d", "before": row}, **keys)
    assert (untimed["event_id"], untimed["updated_at"]) == ("7:withdrawn", None)
