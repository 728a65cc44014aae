"""`init --from` and `ingest --dry-run`: what a file would be read as, before anything is stored."""

import csv
import json
import os
import tomllib
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from projects import configuration
from thumbwheel.cli.commands.cycles import cycle_commands
from thumbwheel.cli.commands.store import store_commands
from thumbwheel.config import load_config
from thumbwheel.ingest.guess import guess

ASKED = {"question": "Capital?", "answer": "Lima."}


def mapping_of(*records: dict[str, Any]) -> Any:
    return guess(records).mapping


def init(folder: Path, file: str) -> tuple[str, dict[str, Any]]:
    """Return what the command says, and the source that it writes."""
    os.chdir(folder)
    result = CliRunner().invoke(cycle_commands, ["init", "out/t.toml", "--from", file])
    assert result.exit_code == 0, result.output
    (source,) = tomllib.loads(Path("out/t.toml").read_text())["sources"]
    load_config(folder / "out" / "t.toml")
    return " ".join(result.output.split()), source


@pytest.mark.parametrize(
    ("ratings", "expected"),
    [
        (["up", "down"], {}),
        ([True, False], {}),
        ([1, 0, 1], {"up": [1], "down": [0]}),
        (["1", "0"], {"up": [1], "down": [0]}),
        ([1, -1], {}),
        ([1, 5, 3], {"scale": {"down": 1, "up": 5}}),
        ([-25, 0, -3.5], {"scale": {"down": -25, "up": 0}}),
        ([0.2, 0.9], {"scale": {"down": 0, "up": 1}}),
        (["Good", "bad"], {"up": ["Good"], "down": ["bad"]}),
        (["👍", "👎", None], {"up": ["👍"], "down": ["👎"]}),
    ],
)
def test_what_ratings_mean(ratings: list[Any], expected: dict[str, Any]) -> None:
    """The values decide: words and 0/1 are sorted to their sides, numbers get a scale."""
    mapping = mapping_of(*({**ASKED, "thumb": rating} for rating in ratings))
    keys = {"prompt": "question", "completion": "answer", "rating": "thumb"}
    assert mapping == {**keys, **expected}


def test_keys_are_found_by_their_names() -> None:
    """Also within objects, in any case; two columns of flags; guests; ids that come twice."""
    record = {"Request": {"userId": "guest", "query": "q"}, "reply": "a", "event_id": 1}
    mapping = mapping_of({**record, "thumbs_up": 1, "thumbs_down": 0, "timestamp": 1772366400})
    assert mapping == {
        "prompt": "Request.query",
        "completion": "reply",
        "rater": "Request.userId",
        "event_id": "event_id",
        "occurred_at": "timestamp",
        "up": "thumbs_up",
        "down": "thumbs_down",
        "anonymous": ["guest"],
    }
    assert "event_id" not in mapping_of(record, record)


def test_what_is_not_known_is_asked() -> None:
    """A rating of neither side, no rating, and times that fit two ways are for people."""
    found = guess([{**ASKED, "rating": "meh", "time": "03/04/2026"}])
    assert any("'meh'" in line for line in found.questions)
    assert any("both fit" in line for line in found.questions)
    assert any("set `rating`" in line for line in guess([ASKED]).questions)
    dated = mapping_of({**ASKED, "rating": "up", "time": "31/04/2026".replace("31", "25")})
    assert dated["time_format"] == "%d/%m/%Y"


@pytest.mark.parametrize(
    ("record", "expected"),
    [
        ({"prompt": "q", "completion": "a", "score": 1}, None),
        ({"prompt": "q", "completion": "a", "score": 0}, {"use": "events", "up": [1], "down": [0]}),
        ({"prompt": "q", "chosen": "a", "rejected": "b"}, "preference_pairs"),
        (
            {"request": {}, "response": {}, "rating": "up"},
            {"use": "openai_chat", "rating": "rating"},
        ),
        (
            {
                "messages": [
                    {"role": "assistant", "content": "a", "feedback": {"rating": "thumbsUp"}}
                ]
            },
            {"use": "openai_chat", "rating": "feedback.rating", "up": ["thumbsUp"], "down": []},
        ),
        (
            {"run_id": "r", "key": "thumb", "score": 1, "feedback_source": {"type": "api"}},
            {"use": "langsmith", "key": "thumb"},
        ),
        (
            {"event": "survey sent", "distinct_id": "u"}
            | {"properties": {"$survey_response_a": "1", "$survey_response_b": "no"}},
            {"use": "posthog", "question": "a"},
        ),
        (
            {"quality": [{"value": 4}], "quality-suggestion": 4, "external_id": 1, "metadata": ""},
            {"use": "argilla", "question": "quality", "scale": {"down": 1, "up": 5}},
        ),
        (
            {"fields": {}, "responses": {"quality": [{"value": 4, "user_id": "a"}]}},
            {"use": "argilla", "question": "quality", "scale": {"down": 1, "up": 5}},
        ),
    ],
)
def test_known_formats_are_recognised(record: dict[str, Any], expected: Any) -> None:
    """By their keys; what a project names itself is taken from the sample."""
    assert mapping_of(record) == expected


def test_init_from_a_file(tmp_path: Path) -> None:
    """It shows what was read and writes a configuration that reads it, encoding included."""
    with (tmp_path / "f.csv").open("w", newline="", encoding="cp1252") as file:
        writer = csv.writer(file, delimiter=";")
        writer.writerows(
            [["question", "answer", "thumb", "user"], ["Où ?", "Ici\x1b[1m", "1", "u1"]]
        )
        writer.writerow(["Où ?", "Là", "0", "u2"])
    output, source = init(tmp_path, "f.csv")
    assert "all records, 2: 2 events, 2 of them votes; nothing was stored" in output
    assert "user Où ? answer Ici␛[1m vote up by u1, at no time" in output
    assert source["options"] == {"path": "../f.csv", "encoding": "cp1252"}
    assert source["mapping"]["rater"] == "user"
    assert (source["mapping"]["up"], source["mapping"]["down"]) == ([1], [0])


def test_init_from_a_wrapped_export(tmp_path: Path) -> None:
    """Where the records lie is found too."""
    record = {"user_query": "q", "ai_response": "a", "feedback_rating_raw": "like"}
    (tmp_path / "d.json").write_text(json.dumps({"feedback_data": [record]}, indent=1))
    output, source = init(tmp_path, "d.json")
    assert "Dify" in output
    assert source["options"]["records"] == "feedback_data"
    assert source["mapping"] == {"use": "dify"}


def test_a_dry_run_stores_nothing(tmp_path: Path) -> None:
    """Ten events, what is left out, what is unreadable, and what looks wrong."""
    records = [{"prompt": "q", "completion": f"a{n}", "rating": n % 2} for n in range(12)]
    records += [{"kind": "ping"}, {"prompt": "q", "completion": "a", "rating": "odd"}]
    (tmp_path / "events.jsonl").write_text("".join(json.dumps(r) + "\n" for r in records))
    keys = "mapping = { scale = { down = -1, up = 1 }, where = { prompt = { present = true } } }"
    config = tmp_path / "thumbwheel.toml"
    config.write_text(configuration(keys=keys))
    result = CliRunner().invoke(store_commands, ["ingest", "--dry-run", "--config", str(config)])
    assert result.exit_code == 0, result.output
    output = " ".join(result.output.split())
    assert "all records, 14: 12 events, 12 of them votes; nothing was stored" in output
    assert "1 × left out: `where` does not hold" in output
    assert "1 × unreadable: rating 'odd' is not a number on the `scale`" in output
    assert "all 12 votes are 0 or 1" in output
    assert "10 user q" in output
    assert "11 user q" not in output
    assert not (tmp_path / "home").exists()


@pytest.mark.parametrize(
    ("n_repeated", "prompt", "expected"),
    [
        (0, "Correct this:\n{}", None),
        (3, "Correct this:\n{}", True),
        (60, "Correct this:\n{}", None),
    ],
)
def test_answers_that_repeat_a_text_now_and_then(
    tmp_path: Path, n_repeated: int, prompt: str, expected: bool | None
) -> None:
    """They are let in; where they are many the prompt holds the answer, and is a dead letter."""
    records = [
        {"question": prompt.format(f"text {n}"), "answer": f"text {n}" if n < n_repeated else "no"}
        for n in range(60)
    ]
    (tmp_path / "f.jsonl").write_text("".join(json.dumps(r) + "\n" for r in records))
    output, source = init(tmp_path, "f.jsonl")
    assert source["mapping"].get("prefilled") is expected
    assert ("3 answers repeat the end of their prompt" in output) == bool(expected)
