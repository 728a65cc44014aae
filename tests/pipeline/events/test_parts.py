"""One record, many events: lists, conversations, comparisons, several kinds in one source."""

import json
import pickle
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from thumbwheel.events import EventParser
from thumbwheel.events.mapping import KeyMapping
from thumbwheel.events.readings import Readings
from thumbwheel.events.rules import ReadingRules

Read = tuple[list[dict[str, Any]], list[str], dict[str, int]]


def read(record: Any, rules: ReadingRules | None = None, **options: Any) -> Read:
    parser = pickle.loads(pickle.dumps(EventParser(KeyMapping(**options), rules)))  # noqa: S301
    parsed = parser.parse_batch([json.dumps(record).encode()])
    reasons = [fault.reason for fault in parsed.malformed]
    assert len(reasons) <= 1
    return parsed.events.to_pylist(), reasons, dict(parsed.notes)


def said(event: dict[str, Any]) -> list[str]:
    return [message["content"] for message in event["prompt"]]


def turn(role: str, text: Any, **more: Any) -> dict[str, Any]:
    return {"role": role, "content": text, **more}


CHAT = [turn("human", "q1"), turn("bot", "a1", v=-1), turn("human", "q2"), turn("bot", "a2", v=1)]
TALK: dict[str, Any] = {"each": "m", "role": "role", "rating": "v"}


def test_each_element_of_a_list_is_read() -> None:
    """Keys are of the element, those with a slash of the record; `where` is of either."""
    record = {
        "q": "?",
        "a": "!",
        "ok": 1,
        "r": [{"v": 1, "by": "x"}, {"v": -1, "by": "y"}, {"v": 1}],
    }
    options = {"each": "r", "prompt": "/q", "completion": "/a", "rating": "v", "rater": "by"}
    rules = ReadingRules(where={"by": {"present": True}, "/ok": 1})
    events, reasons, notes = read(record, rules, **options)
    assert [(e["score"], e["rater_id"]) for e in events] == [(1, "x"), (-1, "y")]
    assert (reasons, notes) == ([], {"left out: `where` does not hold": 1})
    assert read(record, ReadingRules(where={"/ok": 2}), **options)[0] == []


def test_lists_side_by_side_objects_and_json() -> None:
    """Parallel lists are joined, objects give their values, and text may hold either."""
    record = {"q": "?", "a": "!", "v": [1, -1], "by": ["x", "y"]}
    options: dict[str, Any] = {"prompt": "/q", "completion": "/a"}
    joined, _, _ = read(record, each={"rating": "v", "who": "by"}, rater="who", **options)
    assert [(e["score"], e["rater_id"]) for e in joined] == [(1, "x"), (-1, "y")]
    for listed in ([1, -1], "[1, -1]", {"x": 1, "y": -1}):
        events, _, _ = read({**record, "l": listed}, each="l", rating="value", **options)
        assert [event["score"] for event in events] == [1, -1]
    assert read(record, each="none", **options)[2] == {
        "left out: nothing is listed under `none`": 1
    }


def test_a_bad_element_hides_no_other() -> None:
    """The record is one dead letter for it, and its other votes count."""
    record = {"q": "?", "a": "!", "r": [{"v": 1}, {"v": "odd"}, {"v": "odder"}, {"v": -1}]}
    events, reasons, _ = read(record, each="r", prompt="/q", completion="/a", rating="v")
    assert [event["score"] for event in events] == [1, -1]
    assert "rating 'odd'" in reasons[0]


def test_a_thumb_is_on_the_answer_it_stands_at() -> None:
    """Each rated answer has what was said before it as its prompt, and nothing behind."""
    events, reasons, _ = read({"m": CHAT, "u": "ann"}, rater="/u", **TALK)
    assert [(e["score"], said(e), e["completion"], e["rater_id"]) for e in events] == [
        (-1, ["q1"], "a1", "ann"),
        (1, ["q1", "a1", "q2"], "a2", "ann"),
    ]
    assert reasons == []


@given(st.lists(st.sampled_from(["q", "a", "up", "down"]), max_size=8))
def test_every_rated_answer_counts_once(kinds: list[str]) -> None:
    """Whatever the turns: a vote for each rated answer that a question comes before."""
    roles = {"q": "user"}
    votes = {"up": 1, "down": -1}
    chat = [
        turn(roles.get(kind, "assistant"), f"{kind}{n}", v=votes.get(kind))
        for n, kind in enumerate(kinds)
    ]
    events, reasons, _ = read({"m": chat}, **TALK)
    first = kinds.index("q") if "q" in kinds else len(kinds)
    rated = [kind for kind in kinds[first:] if kind in votes]
    assert [event["score"] for event in events if event["is_vote"]] == [votes[k] for k in rated]
    assert bool(reasons) is any(kind in votes for kind in kinds[:first])
    assert all(event["prompt"][-1]["role"] == "user" for event in events)


def test_answers_without_a_vote() -> None:
    """With an id they wait for one from elsewhere; without, nothing can be said of them."""
    chat = [turn("user", "q"), turn("assistant", "a", id="g")]
    events, _, _ = read({"m": chat}, generation_id="id", **TALK)
    assert [(e["generation_id"], e["is_vote"]) for e in events] == [("g", False)]
    assert list(read({"m": chat}, **TALK)[2]) == [
        "left out: an answer that nobody rated, without an id to be rated by"
    ]


@pytest.mark.parametrize(
    ("chat", "reason"),
    [
        ([turn("user", "q", v=1), turn("assistant", "a", v=1)], "a vote on a message that is not"),
        ([turn("assistant", "a", v=1)], "no message of the user comes before"),
        ([turn("user", "q"), turn("assistant", [{"type": "image"}], v=1)], "has no text"),
        (
            [turn("user", "q"), turn("oracle", "x"), turn("assistant", "a", v=1)],
            "'oracle' is neither",
        ),
        ([turn("user", "q"), turn("assistant", "a", v="odd")], "rating 'odd'"),
    ],
)
def test_conversations_that_cannot_be_read(chat: Any, reason: str) -> None:
    """They say why."""
    assert reason in read({"m": chat}, **TALK)[1][0]


def test_branches_follow_the_parent() -> None:
    """Answers given anew to one message are compared, whatever order they come in."""
    chat = [
        turn("assistant", "b", id="3", up="1", v=1),
        turn("user", "q", id="1", up="0"),
        turn("assistant", "a", id="2", up="1", v=-1),
        turn("user", "more", id="4", up="3"),
        turn("assistant", "c", id="5", up="4", v=1),
    ]
    events, _, _ = read({"m": chat}, generation_id="id", parent="up", **TALK)
    told = {e["completion"]: (said(e), e["comparison_id"]) for e in events}
    assert told == {"a": (["q"], "1"), "b": (["q"], "1"), "c": (["q", "b", "more"], "4")}
    circle = [turn("user", "q", id="1", up="2"), turn("assistant", "a", id="2", up="1", v=1)]
    _, reasons, _ = read({"m": circle}, generation_id="id", parent="up", **TALK)
    assert "form a circle" in reasons[0]


def test_records_that_share_a_thread() -> None:
    """They come as a list, in any order; their times say which was before."""
    rows = [turn(m["role"], m["content"], v=m.get("v"), t=str(n)) for n, m in enumerate(CHAT)]
    options: dict[str, Any] = {"thread": "c", "role": "role", "rating": "v", "occurred_at": "t"}
    expected = [(-1, ["q1"]), (1, ["q1", "a1", "q2"])]
    for rows_in_order in (rows, rows[::-1]):
        timed = [{**row, "t": f"2026-01-0{int(row['t']) + 1}"} for row in rows_in_order]
        events, _, _ = read(timed, **options)
        assert [(e["score"], said(e)) for e in events] == expected


PAIR = {"prompt": "q", "x": "good", "y": "bad", "w": "x", "id": "p1", "by": "ann"}


def test_a_comparison_is_two_votes() -> None:
    """Up for the winner and down for the other, of one rater in one comparison."""
    options: dict[str, Any] = {
        "answers": {"x": "x", "y": {"completion": "y", "model_version": "by"}},
        "winner": "w",
    }
    events, _, _ = read(PAIR, event_id="id", rater="by", **options)
    assert [(e["event_id"], e["completion"], e["score"]) for e in events] == [
        ("p1:x", "good", 1),
        ("p1:y", "bad", -1),
    ]
    assert {(e["comparison_id"], e["rater_id"]) for e in events} == {("p1", "ann")}
    assert read({**PAIR, "w": "ANN"}, event_id="id", **options)[0][1]["score"] == 1
    _, reasons, _ = read({**PAIR, "w": "z"}, **options)
    assert "the winner is none of `answers`" in reasons[0]


@pytest.mark.parametrize(
    ("chosen", "rejected", "why"),
    [
        (
            [turn("user", "q"), turn("assistant", "a")],
            [turn("user", "r"), turn("assistant", "b")],
            "different prompts",
        ),
        ([turn("user", "q")], [turn("user", "q"), turn("assistant", "b")], "`chosen` has no text"),
        ("a", None, "`rejected` has no text"),
    ],
)
def test_comparisons_that_cannot_be_read(chosen: Any, rejected: Any, why: str) -> None:
    """Nothing is guessed of two answers that do not belong together."""
    record = {"chosen": chosen, "rejected": rejected}
    _, reasons, _ = read(record, chosen="chosen", rejected="rejected")
    assert why in reasons[0]


@pytest.mark.parametrize(
    "options",
    [
        {"chosen": "c"},
        {"winner": "w"},
        {"answers": {"a": "x", "b": "y"}},
        {"answers": {"a": "x"}, "winner": "w"},
        {"parent": "p"},
        {"thread": "t"},
        {"thread": "t", "role": "r", "each": "e"},
    ],
)
def test_options_that_need_each_other(options: dict[str, Any]) -> None:
    """Half of what is needed is refused as the configuration is read."""
    with pytest.raises(ValidationError):
        KeyMapping(**options)


def test_a_conversation_that_has_grown_tells_nothing_twice() -> None:
    """Its events are named by what they say; the same vote of two unknown raters is two."""
    before = read({"m": CHAT[:2], "id": 7}, **TALK)[0]
    after = read({"m": CHAT, "id": 7, "n": 4}, **TALK)[0]
    assert before[0]["event_id"] == after[0]["event_id"] != after[1]["event_id"]
    named = [read({"m": CHAT[:2], "cId": c, "n": n}, **TALK)[0][0] for c, n in ("a1", "a2", "b2")]
    assert named[0]["event_id"] == named[1]["event_id"] != named[2]["event_id"]
    twice, _, _ = read({"r": [1, 1]}, each="r", rating="value", generation_id="/r.0")
    assert len({event["event_id"] for event in twice}) == 2


def test_several_kinds_of_records() -> None:
    """The first table whose `where` holds reads a record; what none reads is left out."""
    answers = KeyMapping(generation_id="id"), ReadingRules(where={"kind": "answer"})
    votes = KeyMapping(generation_id="of", rating="v"), ReadingRules(where={"kind": "vote"})
    records = [
        {"kind": "answer", "id": "g", "prompt": "q", "completion": "a"},
        {"kind": "answer", "id": "h", "prompt": None, "completion": "a"},
        {"kind": "vote", "of": "g", "v": 1},
        {"kind": "ping"},
    ]
    raws = [json.dumps(record).encode() for record in records]
    parsed = EventParser(Readings((answers, votes))).parse_batch(raws)
    assert parsed.events["generation_id"].to_pylist() == ["g", "g"]
    assert (parsed.malformed, parsed.ignored, parsed.received) == ([], 2, 4)
