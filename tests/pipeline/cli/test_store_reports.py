"""What the commands around the store show, on a terminal and to other programs."""

import json
import os
from datetime import UTC, datetime
from io import StringIO

import pyarrow as pa
import pytest
from rich.console import Console

from projects import configuration
from thumbwheel.cli import main
from thumbwheel.cli.options import neutralise
from thumbwheel.cli.show.plugins import print_plugins
from thumbwheel.cli.show.store import json_lines, print_dead_letters, print_rows, print_status
from thumbwheel.store import Quarantined, Standing, StoredDeadLetter
from thumbwheel.types import VoteCounts
from thumbwheel.types.fates import Quarantine

pytestmark = pytest.mark.slow  # plugins run in a process of their own

CONFIG = configuration()
HOSTILE = "a\x1b]0;title\x07b"
SHOWN = "a␛]0;title␇b"


def printed(show, *arguments, width=80):
    output = StringIO()
    show(Console(file=output, width=width), *arguments)
    return output.getvalue()


@pytest.fixture
def run(tmp_path, monkeypatch, capfd):
    """Run a command in a directory with one unreadable record; return (code, out, err)."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "thumbwheel.toml").write_text(CONFIG)
    (tmp_path / "events.jsonl").write_bytes(b"\x1b[2Jno JSON \xe2\x80\xae\n")

    def call(*arguments):
        with pytest.raises(SystemExit) as stop:
            main(arguments)
        captured = capfd.readouterr()
        return stop.value.code, captured.out, captured.err

    assert call("ingest")[0] == 0
    return call


def test_rows_that_fit_are_a_table():
    """A few columns stand side by side, long values are cut, and more rows are told of."""
    rows = pa.table({"id": [1, 2], "text": ["x" * 500, HOSTILE]})
    text = printed(print_rows, rows, 1)
    assert "id" in text.splitlines()[1]
    assert "text" in text.splitlines()[1]
    assert "x" * 500 not in text
    assert "1 row (the first; --max-rows shows more)" in text
    text = printed(print_rows, rows, 2)
    assert SHOWN in text
    assert "2 rows\n" in text


def test_rows_that_do_not_fit_are_shown_field_by_field():
    """Twenty columns in eighty signs would be unreadable: each value gets a line of its own."""
    columns = {f"column_{number}": [f"value {number}"] for number in range(20)}
    rows = pa.table({**columns, "raw": [HOSTILE.encode()], "prompt": [[{"role": "user"}]]})
    lines = printed(print_rows, rows, 1).splitlines()
    assert lines[0].startswith("row 1 ")
    assert lines[20].split() == ["column_19", "value", "19"]
    assert SHOWN in lines[21]
    assert '[{"role":"user"}]' in lines[22]


def test_rows_as_json():
    """Every row is a line of strict JSON with its values whole."""
    rows = pa.table(
        {
            "text": ["é" * 1000],
            "raw": [b"\xff bytes"],
            "at": pa.array([datetime(2026, 1, 2, tzinfo=UTC)], pa.timestamp("us", "UTC")),
            "score": [float("nan")],
            "prompt": [[{"role": "user", "raw": b"\xff"}]],
        }
    )
    (line,) = json_lines(rows)
    row = json.loads(line, parse_constant=pytest.fail)
    assert row.pop("prompt") == [{"role": "user", "raw": "_w=="}]
    assert list(row.values()) == ["é" * 1000, "� bytes", "2026-01-02T00:00:00Z", None]


def test_reasons_and_positions_cannot_steer_the_terminal():
    """What came from outside is shown with pictures of its control signs."""
    letter = StoredDeadLetter(1, "s", HOSTILE, HOSTILE, datetime.now(UTC), 1)
    counts = VoteCounts(9, 0, 0, 0, 1, quarantined=8)
    flooding = [Quarantined(HOSTILE, 8, Quarantine.FLOOD)]
    votes = Standing(counts, flooding, [], datetime.now(UTC))
    texts = [
        printed(print_dead_letters, [letter], None, width=200),
        printed(print_status, [], [], [], votes, [(HOSTILE, 1, HOSTILE)], "none", [], width=200),
    ]
    for text, times in zip(texts, (2, 3), strict=True):
        assert text.count(SHOWN) == times
        assert "\x1b" not in text
    assert "9: 1 count, 8 of raters who are left out\n" in texts[1]
    assert "left out: 8 votes of" in texts[1]


def test_what_turns_a_text_round_is_neutral_everywhere(capfd):
    """No direction and no control character of eight bits is written, whatever a command prints."""
    with open(os.dup(1), "w", encoding="utf-8") as stream:
        neutralise(stream).write("a\u202eb\u2066c\u009bd é\n")
    assert capfd.readouterr().out == "a�b�c�d é\n"
    (line,) = json_lines(pa.table({"a": ["\u202e\u009b\x7fé"]}))
    assert line == '{"a":"\\u202e\\u009b\\u007fé"}\n'.encode()
    assert json.loads(line) == {"a": "\u202e\u009b\x7fé"}


def test_mappings_are_listed():
    """`thumbwheel plugins` shows each mapping with its own options, and the shared ones once."""
    text = printed(print_plugins, [], width=200).partition("mappings")[2]
    for name in ("keys", "langfuse", "open_webui", "openai_chat", "tensorzero"):
        assert f"\n{name} " in text
    assert "score_name: str = 'user-feedback'" in text
    assert text.count("withdrawn: ") == 1


def test_dead_letters_of_a_source(run):
    """A source that is not there is a mistake; one without dead letters is good news."""
    code, out, err = run("dead-letters", "list", "--source", "exprot")
    assert (code, out) == (2, "")
    assert err == "error: there is no source 'exprot'; the sources are export\n"
    code, out, _ = run("dead-letters", "list", "--source", "export")
    assert (code, "events.jsonl:1" in out) == (0, True)


def test_a_dead_letter_as_it_came(run, monkeypatch):
    """With --raw a program gets the very bytes; without, signs for what would steer a terminal."""
    for options, shown in (
        (["--raw"], b"\x1b[2Jno JSON \xe2\x80\xae"),
        ([], "␛[2Jno JSON �".encode()),
    ):
        read, write = os.pipe()
        with os.fdopen(read, "rb") as reader:
            with os.fdopen(write, "w") as writer, monkeypatch.context() as patch:
                patch.setattr("sys.stdout", writer)
                assert run("dead-letters", "show", "1", *options)[0] == 0
            assert reader.read() == shown


def test_large_results_are_for_programs(run):
    """A table has an end; JSON lines go on, and say when there are more."""
    code, _, err = run("query", "--max-rows", "2000", "SELECT 1")
    assert (code, err) == (2, "error: a table shows at most 1,000 rows; --json writes more\n")
    code, out, err = run("query", "--json", "--max-rows", "2", "SELECT * FROM range(3)")
    assert (code, out) == (0, '{"range":0}\n{"range":1}\n')
    assert err == "the first 2 rows; --max-rows writes more\n"
