"""The other forms in which known tools export: other versions, other settings, other routes."""

import json
from typing import Any

import pytest
from test_formats import ARGILLA_VOTES, DOWN, FIELDS, LATER, OPENING, QUALITY, UP, read

from thumbwheel.events.formats import FORMATS
from thumbwheel.ingest.guess import guess

QUESTION = {"role": "user", "content": "Capital of Peru?"}


def tree(key: str, parent: str, by_user: bool, text: str, *inner: Any, **more: Any) -> Any:
    said = {"messageId": key, "parentMessageId": parent, "isCreatedByUser": by_user, "text": text}
    return {**said, **more, "children": list(inner)}


LATER_ANSWER = tree("m4", "m3", False, "Lima.", feedback={"rating": "thumbsUp"})
NESTED = tree(
    "m1",
    "0",
    True,
    "Capital of Peru?",
    tree("m5", "m1", False, "Lima!", feedback={"rating": "thumbsUp"}),
    tree(
        "m2",
        "m1",
        False,
        "Cusco.",
        tree("m3", "m2", True, "Sure?", LATER_ANSWER),
        feedback={"rating": "thumbsDown"},
    ),
)
NESTED_VOTES = [
    (UP, OPENING, "Lima!", "c1"),
    (DOWN, OPENING, "Cusco.", "c1"),
    (UP, LATER, "Lima.", "c1"),
]
LISTED = [
    {"user_id": "a1", "value": 5, "status": "submitted"},
    {"user_id": "a2", "value": 1, "status": "discarded"},
    {"user_id": "a3", "value": 1, "status": "submitted"},
]
HUB = {**FIELDS, "quality-suggestion": None, "external_id": None, "metadata": "{}"}


def scored(key: str, answer: str, scores: dict[str, Any]) -> dict[str, Any]:
    return {
        "request_id": key,
        "request_body": {"messages": [QUESTION]},
        "response_body": {"output": [{"type": "message", "content": answer}]},
        "request_user_id": "u1",
        "scores": scores,
    }


def surveyed(properties: dict[str, Any]) -> list[dict[str, Any]]:
    asked = {
        "$ai_trace_id": "t1",
        "$ai_input": [QUESTION],
        "$ai_output_choices": [{"content": "X"}],
    }
    return [
        {"uuid": "1", "event": "$ai_generation", "distinct_id": "u", "properties": asked},
        {
            "uuid": "2",
            "event": "survey sent",
            "distinct_id": "u",
            "properties": {"$ai_trace_id": "t1", **properties},
        },
    ]


THUMB_DOWN = [(DOWN, OPENING, "X", "u")]


def outcome(asked: list[str], first: list[Any], second: list[Any], won: str) -> dict[str, Any]:
    flags = {f"winner_{name}": str(int(name == won)) for name in ("model_a", "model_b", "tie")}
    told = {"prompt": asked, "response_a": first, "response_b": second}
    return (
        {"id": "7", "model_a": "m1", "model_b": "m2"}
        | flags
        | {name: json.dumps(texts) for name, texts in told.items()}
    )


CAPITAL = ["Capital of Peru?"]


@pytest.mark.parametrize(
    ("mapping", "records", "expected"),
    [
        ("librechat", [{"conversationId": "c1", "messagesTree": [NESTED]}], NESTED_VOTES),
        ("librechat", [{"conversationId": "c1", "messages": [NESTED]}], NESTED_VOTES),
        ({"use": "argilla", **QUALITY}, [{**HUB, "quality": LISTED}], ARGILLA_VOTES),
        (
            {"use": "argilla", **QUALITY},
            [{**HUB, "quality": {key: [r[key] for r in LISTED] for key in LISTED[0]}}],
            ARGILLA_VOTES,
        ),
        (
            "flowise",
            [
                {"chatflowid": "cf", "chatId": "c", "role": "userMessage", "content": CAPITAL[0]}
                | {"id": "1", "sessionId": "c", "createdDate": "2026-03-01T10:00:01Z"},
                {"chatflowid": "cf", "chatId": "c", "role": "apiMessage", "content": "Cusco."}
                | {"id": "2", "sessionId": "c", "createdDate": "2026-03-01T10:00:02Z"},
                {"id": "9", "chatflowid": "cf", "chatId": "c", "messageId": "2"}
                | {"rating": "THUMBS_DOWN", "content": "wrong"},
            ],
            [(DOWN, OPENING, "Cusco.", "c")],
        ),
        (
            "helicone",
            [
                scored("q1", "Lima.", {"helicone-score-feedback": 1}),
                scored("q2", "Cusco.", {"helicone-score-feedback": {"value": 0}}),
                scored("q3", "Quito.", {"speed": 3}),
            ],
            [(UP, OPENING, "Lima.", "u1"), (DOWN, OPENING, "Cusco.", "u1")],
        ),
        ("posthog", surveyed({"$survey_response": "2"}), THUMB_DOWN),
        (
            "posthog",
            surveyed(
                {
                    "$survey_questions": [
                        {"id": "q1", "question": "?", "response": 2},
                        {"id": "q2", "question": "Why?", "response": "wrong"},
                    ],
                    "$survey_response_q1": 2,
                    "$survey_response_q2": "wrong",
                }
            ),
            THUMB_DOWN,
        ),
        (
            {"use": "posthog", "question": "q2"},
            surveyed({"$survey_response_q1": "text", "$survey_response_q2": "2"}),
            THUMB_DOWN,
        ),
        (
            "arena",
            [outcome(CAPITAL, ["Lima."], ["Cusco."], "model_a")],
            [(UP, OPENING, "Lima.", None), (DOWN, OPENING, "Cusco.", None)],
        ),
        (
            "arena",
            [outcome(CAPITAL, ["Lima."], ["Cusco."], "tie")],
            [(0.0, OPENING, "Lima.", None), (0.0, OPENING, "Cusco.", None)],
        ),
    ],
)
def test_another_form_of_an_export(
    tmp_path: Any, mapping: Any, records: Any, expected: Any
) -> None:
    """It is read like the usual one, and recognised."""
    votes, reasons, _ = read(tmp_path, records, mapping)
    assert sorted(votes, key=str) == sorted(expected, key=str)
    assert not reasons
    name = mapping if isinstance(mapping, str) else mapping["use"]
    assert FORMATS[name].fits(records[0])
    assert guess(records).recognised[0] == FORMATS[name].about


@pytest.mark.parametrize(
    ("record", "reason"),
    [
        (outcome(["a", "b"], ["1", "2"], ["3", "4"], "model_a"), "are to different prompts"),
        (outcome(CAPITAL, ["Lima.", "-"], ["Cusco."], "model_a"), "`model_a` has no text"),
        (outcome(CAPITAL, [None], ["Cusco."], "model_a"), "`model_a` has no text"),
        (outcome(CAPITAL, ["Lima."], ["Cusco."], ""), "the winner is none of"),
        (
            {**outcome(CAPITAL, ["Lima."], ["Cusco."], "tie"), "winner_model_a": "1"},
            "more than one flag of `winner` is set",
        ),
    ],
)
def test_a_comparison_that_cannot_be_one(tmp_path: Any, record: Any, reason: str) -> None:
    """Turns that went apart, and outcomes that exclude each other, are dead letters."""
    votes, reasons, _ = read(tmp_path, [record], "arena", as_csv=True)
    assert not votes
    assert len(reasons) == 1
    assert reason in reasons[0]


@pytest.mark.parametrize(
    ("written", "said"),
    [
        ("'- one\n- two", "- one\n- two"),
        ("'=1", "=1"),
        ("'a,-b", "a,-b"),
        ("'tis so", "'tis so"),
        ("- one", "- one"),
    ],
)
def test_the_apostrophe_against_formulas(tmp_path: Any, written: str, said: str) -> None:
    """Gradio puts one before what a spreadsheet would take for a formula: it is no part of it."""
    row = {"input": "Capital of Peru?", "output": written, "flag": "like", "timestamp": ""}
    assert read(tmp_path, [row], "gradio", as_csv=True)[0] == [(UP, OPENING, said, None)]


def test_a_guarded_conversation(tmp_path: Any) -> None:
    """The conversation of a ChatInterface is guarded as a whole."""
    talk = [QUESTION, {"role": "assistant", "content": [{"type": "text", "text": "a,-b"}]}]
    row = {"conversation": f"'{json.dumps(talk)}", "index": "1", "value": "-", "flag": "Dislike"}
    assert read(tmp_path, [row], "gradio", as_csv=True)[0] == [(DOWN, OPENING, "a,-b", None)]
