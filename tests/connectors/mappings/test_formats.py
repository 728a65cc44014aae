"""Exports of known tools, each in its documented form: what is said, by whom, about what."""

import csv
import json
from pathlib import Path
from typing import Any

import pytest

from thumbwheel.config import SourceConfig
from thumbwheel.errors import ConfigError
from thumbwheel.events.formats import FORMATS
from thumbwheel.ingest.pipeline import connector_for, parser_for

UP, DOWN, NONE = 1.0, -1.0, None
ROOT = "00000000-0000-0000-0000-000000000000"
OPENING = ["user: Capital of Peru?"]
LATER = [*OPENING, "assistant: Cusco.", "user: Sure?"]


def librechat(key: str, parent: str, by_user: bool, text: str, **more: Any) -> dict[str, Any]:
    said = {"messageId": key, "parentMessageId": parent, "isCreatedByUser": by_user, "text": text}
    return {
        "conversationId": "c1",
        "user": "u1",
        "createdAt": "2026-03-01T10:00:00Z",
        **said,
        **more,
    }


LIBRECHAT = [
    librechat("m2", "m1", False, "Cusco.", feedback={"rating": "thumbsDown", "text": "no"}),
    librechat("m1", ROOT, True, "Capital of Peru?"),
    librechat(
        "m4",
        "m3",
        False,
        "",
        content=[{"type": "think", "think": "x"}, {"type": "text", "text": "Lima."}],
        feedback={"rating": "thumbsUp"},
    ),
    librechat("m3", "m2", True, "Sure?"),
    librechat("m5", "m1", False, "Lima!", feedback={"rating": "thumbsUp"}),
]
LIBRECHAT_VOTES = [
    (DOWN, OPENING, "Cusco.", "u1"),
    (UP, LATER, "Lima.", "u1"),
    (UP, OPENING, "Lima!", "u1"),
]


def flowise(role: str, content: str, second: int, **more: Any) -> dict[str, Any]:
    said = {"role": role, "content": content, "createdDate": f"2026-03-01T10:00:0{second}.000Z"}
    return {
        "id": f"f{second}",
        "chatflowid": "cf",
        "chatId": "ch1",
        "sessionId": "s1",
        **said,
        **more,
    }


FLOWISE = [
    flowise("apiMessage", "Cusco.", 2, feedback={"rating": "THUMBS_DOWN", "content": "wrong"}),
    flowise("userMessage", "Capital of Peru?", 1),
    flowise("userMessage", "Sure?", 3),
    flowise("apiMessage", "Lima.", 4, feedback={"rating": "THUMBS_UP", "content": ""}),
]


def step(key: str, kind: str, output: str, second: int, **more: Any) -> dict[str, Any]:
    said = {"id": key, "threadId": "t1", "type": kind, "output": output, "name": "bot"}
    return {**said, "createdAt": f"2026-03-01T10:00:0{second}Z", **more}


CHAINLIT = [
    step("s1", "user_message", "Capital of Peru?", 1),
    step("s2", "run", "", 2, parentId="s1"),
    step("s3", "assistant_message", "Cusco.", 3, parentId="s2"),
    step("s4", "user_message", "Sure?", 4),
    step("s5", "assistant_message", "Lima.", 5),
    {"id": "b1", "forId": "s3", "threadId": "t1", "value": 0, "comment": "no"},
    {"id": "b2", "forId": "s5", "threadId": "t1", "value": 1, "comment": None},
]


def dify(number: int, rating: str, answer: str) -> dict[str, Any]:
    said = {"user_query": "Capital of Peru?", "ai_response": answer, "message_id": f"m{number}"}
    who = {"from_end_user_id": f"u{number}", "from_account_name": "", "feedback_source": "user"}
    return {
        "feedback_id": f"f{number}",
        **said,
        "feedback_rating": "👍",
        "feedback_rating_raw": rating,
        "feedback_comment": "",
        "feedback_date": "2026-03-01 10:00:00",
        **who,
    }


DIFY: list[dict[str, Any]] = [
    dify(1, "like", "Lima."),
    dify(2, "dislike", "Cusco."),
    dify(3, "like", "x" * 500 + "..."),
]
MESSAGES = [{"role": "user", "content": "Capital of Peru?"}]
LANGSMITH: list[dict[str, Any]] = [
    {
        "id": "r1",
        "run_type": "chain",
        "inputs": {"question": "Capital of Peru?"},
        "outputs": {"answer": "Lima."},
    },
    {
        "id": "r2",
        "run_type": "llm",
        "inputs": {"messages": MESSAGES},
        "outputs": {"generations": [[{"text": "Cusco."}]]},
    },
    {"id": "r3", "run_type": "retriever", "inputs": {"query": "x"}, "outputs": {"documents": []}},
    {
        "id": "f1",
        "run_id": "r1",
        "key": "user_score",
        "score": 1,
        "feedback_source": {"type": "api"},
    },
    {
        "id": "f2",
        "run_id": "r2",
        "key": "user_score",
        "score": 0,
        "feedback_source": {"type": "api", "user_id": "u2"},
    },
    {
        "id": "f3",
        "run_id": "r1",
        "key": "user_score",
        "score": 0,
        "feedback_source": {"type": "model"},
    },
    {"id": "f4", "run_id": "r1", "key": "toxicity", "score": 0, "feedback_source": {"type": "api"}},
]
FIELDS = {"prompt": "Capital of Peru?", "response": "Lima."}
ARGILLA_1 = {
    "fields": FIELDS,
    "responses": [
        {"user_id": "a1", "status": "submitted", "values": {"quality": {"value": 5}}},
        {"user_id": "a2", "status": "discarded", "values": {"quality": {"value": 1}}},
        {"user_id": "a3", "status": "submitted", "values": {"quality": {"value": 1}}},
    ],
}
ARGILLA_2 = {
    "id": "1",
    "fields": FIELDS,
    "responses": {
        "quality": [
            {"value": 5, "user_id": "a1", "status": "submitted"},
            {"value": 1, "user_id": "a2", "status": "discarded"},
            {"value": 1, "user_id": "a3"},
        ]
    },
}
ARGILLA_TABLE = {
    **FIELDS,
    "quality.responses": [5, 1, 1],
    "quality.responses.users": ["a1", "a2", "a3"],
    "quality.responses.status": ["submitted", "discarded", "submitted"],
}
ARGILLA_VOTES = [(UP, OPENING, "Lima.", "a1"), (DOWN, OPENING, "Lima.", "a3")]
QUALITY = {"question": "quality", "scale": {"down": 1, "up": 5}}
TALK = [*MESSAGES, {"role": "assistant", "content": "Cusco."}, {"role": "user", "content": "Sure?"}]
TALK = [*TALK, {"role": "assistant", "content": "Lima."}]


def liked(conversation: Any, index: Any, flag: str) -> dict[str, Any]:
    """Return a row as Gradio writes it: the conversation is JSON in a column."""
    row = {"conversation": json.dumps(conversation), "index": str(index), "value": "-"}
    return {**row, "flag": flag, "username": "ann", "timestamp": "2026-03-01 10:00:00.5"}


GRADIO = [
    liked(TALK, 1, "Dislike"),
    liked(TALK, 3, "Like"),
    liked([["Capital of Peru?", "Cusco."], ["Sure?", "Lima."]], (1, 1), "Like"),
    liked([[None, "Hello"], ["Capital of Peru?", "Cusco."]], [1, 1], "Dislike"),
]


def captured(event: str, trace: str, user: str, **properties: Any) -> dict[str, Any]:
    named = {f"${key}": value for key, value in properties.items()}
    told = {"$ai_trace_id": trace, **named}
    return {"uuid": f"{event}{trace}", "event": event, "distinct_id": user, "properties": told}


def generated(trace: str, answer: str) -> dict[str, Any]:
    choices = [{"role": "assistant", "content": answer}]
    return captured("$ai_generation", trace, "u1", ai_input=MESSAGES, ai_output_choices=choices)


POSTHOG = [
    generated("t1", "Lima."),
    generated("t2", "Cusco."),
    captured("$pageview", "t1", "u1"),
    captured("$ai_feedback", "t1", "u1", ai_feedback_text="thanks"),
    captured("$ai_metric", "t1", "u1", ai_metric_name="feedback", ai_metric_value="1"),
    captured("$ai_metric", "t1", "u1", ai_metric_name="latency", ai_metric_value=7),
    captured("survey sent", "t2", "u2", survey_response="2"),
]
PHOENIX = [
    {
        "context": {"trace_id": "t", "span_id": "s1"},
        "span_kind": "LLM",
        "attributes": {
            "llm.input_messages": [{"message.role": "user", "message.content": "Capital of Peru?"}],
            "llm.output_messages": [{"message.role": "assistant", "message.content": "Lima."}],
            "output.value": "{}",
        },
    },
    {
        "context.span_id": "s2",
        "span_kind": "CHAIN",
        "attributes.input.value": "Capital of Peru?",
        "attributes.output.value": "Cusco.",
    },
    {
        "id": "a1",
        "span_id": "s1",
        "name": "feedback",
        "annotator_kind": "HUMAN",
        "result": {"label": "thumbs-up", "score": 1, "explanation": "yes"},
        "user_id": "u1",
    },
    {
        "id": "a2",
        "span_id": "s2",
        "name": "feedback",
        "annotator_kind": "HUMAN",
        "result": {"score": 0},
    },
    {
        "id": "a3",
        "span_id": "s2",
        "name": "feedback",
        "annotator_kind": "LLM",
        "result": {"score": 1},
    },
    {
        "id": "a4",
        "span_id": "s2",
        "name": "tone",
        "annotator_kind": "HUMAN",
        "result": {"score": 1},
    },
]


def helicone(key: str, answer: str, rating: bool | None) -> dict[str, Any]:
    return {
        "request_id": key,
        "request_created_at": "2026-03-01T10:00:00Z",
        "request_body": {"model": "m", "messages": MESSAGES},
        "response_body": {"choices": [{"message": {"role": "assistant", "content": answer}}]},
        "request_user_id": "u1",
        "feedback_rating": rating,
    }


HH = "\n\nHuman: Capital of Peru?\n\nAssistant: Cusco.\n\nHuman: Sure?\n\nAssistant: "
PAIRS = [
    {"prompt": "Capital of Peru?", "chosen": "Lima.", "rejected": "Cusco."},
    {"chosen": HH + "Lima.", "rejected": HH + "Yes."},
    {"prompt": "Capital of Peru?", "chosen": TALK[:1] + TALK[3:], "rejected": TALK[:2]},
]


def battle(winner: str) -> dict[str, Any]:
    sides = {"conversation_a": TALK[:2], "conversation_b": TALK[:1] + TALK[3:]}
    return {
        "question_id": 81,
        "model_a": "m1",
        "model_b": "m2",
        "winner": winner,
        "judge": "j",
        **sides,
    }


def read(
    folder: Path, records: list[dict[str, Any]], mapping: Any, as_csv: bool = False
) -> tuple[list[tuple[Any, ...]], list[str], dict[str, int]]:
    """Return the votes joined to their answers, the reasons of dead letters, and what was noted."""
    path = folder / ("export.csv" if as_csv else "export.jsonl")
    if as_csv:
        with path.open("w", newline="") as file:
            writer = csv.DictWriter(file, list(records[0]))
            writer.writeheader()
            writer.writerows(records)
    else:
        path.write_text("".join(json.dumps(record) + "\n" for record in records))
    source = SourceConfig.model_validate(
        {"name": "s", "connector": "file", "options": {"path": str(path)}, "mapping": mapping}
    )
    parser = parser_for(source, folder)
    log = connector_for(source, folder, parser).open(None)
    batch = log.poll(1000)
    log.close()
    assert batch is not None
    parsed = parser.parse_batch([record.raw for record in batch.records])
    events = parsed.events.to_pylist()
    answers = {event["generation_id"]: event for event in events if event["prompt"]}
    votes = []
    for event in events:
        answer = answers.get(event["generation_id"])
        if event["is_vote"] and answer is not None:
            said = [f"{message['role']}: {message['content']}" for message in answer["prompt"]]
            votes.append((event["score"], said, answer["completion"], event["rater_id"]))
    return votes, [fault.reason for fault in parsed.malformed], dict(parsed.notes)


@pytest.mark.parametrize(
    ("mapping", "records", "expected"),
    [
        ("librechat", LIBRECHAT, LIBRECHAT_VOTES),
        (
            "librechat",
            [{"conversationId": "c1", "user": "u1", "messages": LIBRECHAT}],
            LIBRECHAT_VOTES,
        ),
        ("flowise", FLOWISE, [(DOWN, OPENING, "Cusco.", "ch1"), (UP, LATER, "Lima.", "ch1")]),
        ("chainlit", CHAINLIT, [(DOWN, OPENING, "Cusco.", "t1"), (UP, LATER, "Lima.", "t1")]),
        (
            "chainlit",
            [
                {
                    "id": "t1",
                    "userIdentifier": "ann",
                    "steps": [*CHAINLIT[:4], {**CHAINLIT[4], "feedback": {"value": 1}}],
                }
            ],
            [(UP, LATER, "Lima.", "ann")],
        ),
        ("dify", DIFY, [(UP, OPENING, "Lima.", "u1"), (DOWN, OPENING, "Cusco.", "u2")]),
        (
            {"use": "langsmith", "key": "user_score"},
            LANGSMITH,
            [(UP, OPENING, "Lima.", None), (DOWN, OPENING, "Cusco.", "u2")],
        ),
        ({"use": "argilla", **QUALITY}, [ARGILLA_1], ARGILLA_VOTES),
        ({"use": "argilla", **QUALITY}, [ARGILLA_2], ARGILLA_VOTES),
        ({"use": "argilla", **QUALITY}, [ARGILLA_TABLE], ARGILLA_VOTES),
        (
            "gradio",
            GRADIO,
            [
                (DOWN, OPENING, "Cusco.", "ann"),
                (UP, LATER, "Lima.", "ann"),
                (UP, LATER, "Lima.", "ann"),
                (DOWN, ["assistant: Hello", *OPENING], "Cusco.", "ann"),
            ],
        ),
        ("posthog", POSTHOG, [(UP, OPENING, "Lima.", "u1"), (DOWN, OPENING, "Cusco.", "u2")]),
        (
            {"use": "phoenix", "name": "feedback"},
            PHOENIX,
            [(UP, OPENING, "Lima.", "u1"), (DOWN, OPENING, "Cusco.", None)],
        ),
        (
            "helicone",
            [
                helicone("q1", "Lima.", True),
                helicone("q2", "Cusco.", False),
                helicone("q3", "-", None),
            ],
            [(UP, OPENING, "Lima.", "u1"), (DOWN, OPENING, "Cusco.", "u1")],
        ),
        (
            "preference_pairs",
            PAIRS,
            [
                (UP, OPENING, "Lima.", None),
                (DOWN, OPENING, "Cusco.", None),
                (UP, LATER, "Lima.", None),
                (DOWN, LATER, "Yes.", None),
                (UP, OPENING, "Lima.", None),
                (DOWN, OPENING, "Cusco.", None),
            ],
        ),
        (
            "arena",
            [battle("model_b")],
            [(DOWN, OPENING, "Cusco.", "j"), (UP, OPENING, "Lima.", "j")],
        ),
        ("arena", [battle("tie")], [(0.0, OPENING, "Cusco.", "j"), (0.0, OPENING, "Lima.", "j")]),
        (
            "arena",
            [battle("tie (bothbad)")],
            [(DOWN, OPENING, "Cusco.", "j"), (DOWN, OPENING, "Lima.", "j")],
        ),
    ],
)
def test_a_tools_export(tmp_path: Path, mapping: Any, records: Any, expected: Any) -> None:
    """Votes meet their answers, with the conversation that led to each; all are of this format."""
    votes, reasons, _ = read(tmp_path, records, mapping)
    assert sorted(votes, key=str) == sorted(expected, key=str)
    assert reasons == (["`completion` was cut by the exporter at 500"] if records is DIFY else [])
    name = mapping if isinstance(mapping, str) else mapping["use"]
    assert FORMATS[name].fits(records[0])


@pytest.mark.parametrize(("mapping", "records"), [("dify", DIFY[:2]), ("gradio", GRADIO[:2])])
def test_exports_as_tables(tmp_path: Path, mapping: str, records: Any) -> None:
    """What comes as CSV too is read alike."""
    assert read(tmp_path, records, mapping, as_csv=True) == read(tmp_path, records, mapping)


def test_a_table_with_json_in_its_columns(tmp_path: Path) -> None:
    """PostHog's batch exports hold `properties` as text."""
    rows = [{**event, "properties": json.dumps(event["properties"])} for event in POSTHOG]
    assert read(tmp_path, rows, "posthog", as_csv=True)[0] == read(tmp_path, POSTHOG, "posthog")[0]


def test_what_a_format_needs_is_asked_for(tmp_path: Path) -> None:
    """A name that every project chooses itself is not guessed."""
    with pytest.raises(ConfigError, match="'langsmith' needs `key`"):
        read(tmp_path, LANGSMITH, "langsmith")


def test_a_sources_own_options_come_on_top(tmp_path: Path) -> None:
    """They are laid over the tables that read votes, conditions one by one."""
    mapping = {"use": "langsmith", "key": "user_score", "where": {"score": 1}}
    assert len(read(tmp_path, LANGSMITH, mapping)[0]) == 1
    mapping = {"use": "dify", "rating": "feedback_rating", "up": ["👍"]}
    assert len(read(tmp_path, DIFY, mapping)[0]) == 2


@pytest.mark.parametrize("name", FORMATS)
def test_every_format_is_on_the_page_and_can_be_configured(name: str, tmp_path: Path) -> None:
    """docs/mappings.md tells of each; its file is what a configuration would say."""
    page = (Path(__file__).parents[3] / "docs" / "mappings.md").read_text(encoding="utf-8")
    assert f"| `{name}` |" in page
    options = dict.fromkeys(FORMATS[name].needs, "x")
    config = SourceConfig(name="s", connector="file", mapping={"use": name, **options})
    parser_for(config, tmp_path)
    tables = [dict(table) for table in FORMATS[name].with_options(options)]
    parser_for(SourceConfig(name="s", connector="file", mapping=tables), tmp_path)
