"""docs/annotation.md and docs/ai-pairs.md say what is so: their commands and examples run."""

import json
import re
import shlex
import tomllib

import pytest
import typer
from answered_cycle import answered_cycle, fill_csv
from chat_server import KEY, serving
from filled_tasks import fill_label_studio
from more_pairs import EXAMPLE, ingest, make_project, run
from test_annotation import thumbs
from typer.core import TyperGroup

from thumbwheel.cli.commands.labelling import annotate_commands
from thumbwheel.config import EndpointConfig, load_config
from thumbwheel.endpoint import client, transport
from thumbwheel.labelling.model import FAILURE_MODES, asking, writing
from thumbwheel.labelling.people import sample
from thumbwheel.store import production

DOCS = EXAMPLE.parents[1]
ANNOTATION = (DOCS / "annotation.md").read_text(encoding="utf-8")
AI_PAIRS = (DOCS / "ai-pairs.md").read_text(encoding="utf-8")

pytestmark = pytest.mark.usefixtures("one_thread")


def blocks(page, language):
    return re.findall(rf"^```{language}\n(.*?)^```", page, re.MULTILINE | re.DOTALL)


def test_the_example_is_a_whole_configuration():
    """It loads, and has a source of each origin."""
    settings = load_config(EXAMPLE)
    assert [source.origin for source in settings.sources] == ["users", "annotators", "ai"]


def test_the_tables_of_configuration_are_those_of_the_example():
    """Each block of TOML on the pages stands in the example with the same values."""
    example = tomllib.loads(EXAMPLE.read_text(encoding="utf-8"))
    for text in blocks(ANNOTATION, "toml") + blocks(AI_PAIRS, "toml"):
        for section, value in tomllib.loads(text).items():
            if isinstance(value, list):
                assert all(item in example[section] for item in value)
            else:
                assert value.items() <= example[section].items()


def test_the_commands_run(tmp_path, monkeypatch, tiny_model):
    """Every command on both pages does what the page says, against a real endpoint."""
    monkeypatch.setenv("TINY_KEY", KEY)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.chdir(tmp_path)
    with serving(tiny_model) as server:
        config = make_project(tmp_path, tiny_model, server.url)
        answered_cycle(ingest(config, list(thumbs(5))), 3)
        for line in "".join(blocks(AI_PAIRS, "sh") + blocks(ANNOTATION, "sh")).splitlines():
            words = shlex.split(line, comments=True)
            if words[1:2] == ["ingest"]:
                ingest(config)
            elif words and words[1] != "decide":  # which test_decide.py does
                if "export.json" in words:
                    fill_label_studio(tmp_path / "tasks").rename(tmp_path / "export.json")
                if "compare/filled.csv" in words:
                    fill_csv(tmp_path / "compare", lambda one, other: "tie")
                run(*words[1:])
    assert json.loads((tmp_path / "annotations" / "first.jsonl").read_bytes().splitlines()[0])
    assert (tmp_path / "annotations" / "second.jsonl").read_bytes().count(b'"score": 0') == 2 * 3
    assert (tmp_path / "ai" / "pairs.jsonl").read_bytes().count(b"\n") == 5 * 4


def test_every_fault_is_in_the_table():
    """The table lists the faults in their order, with what becomes of the length."""
    table = AI_PAIRS.split("| `--mode` |")[1].split("\n\n")[0]
    rows = re.findall(r"^\| `([\w -]+)` \| (\w+) \|$", table, re.MULTILINE)
    assert rows == [(mode.name, mode.length) for mode in FAILURE_MODES.values()]


def test_every_option_of_the_endpoint_is_in_the_table():
    """The table lists exactly the options, with their defaults."""
    table = AI_PAIRS.split("| option |")[1].split("\n\n")[0]
    rows = re.findall(r"^\| `(\w+)` \| (\w+) \|", table, re.MULTILINE)
    assert rows == [
        (name, "required" if field.is_required() else shown(field.default))
        for name, field in EndpointConfig.model_fields.items()
    ]


def shown(default):
    return "none" if default is None else f"{default:g}"


def test_the_numbers_are_those_in_force():
    """Numbers in the prose are the code's."""
    assert f"{sample._POOL:,} prompts are drawn" in ANNOTATION
    assert f"more than {production._LONGEST:,} characters" in ANNOTATION
    assert f"reading at {sample._WORDS_PER_MINUTE} words a minute" in ANNOTATION
    assert f"within a factor of {asking._MAX_LENGTH_RATIO}" in AI_PAIRS
    assert (writing._MAX_REPLIES, transport._MAX_TRIES, client._MAX_FAILED_IN_A_ROW) == (3, 4, 10)


def test_the_defaults_are_those_in_force():
    """The options that the pages name exist, with the defaults they give."""
    group = typer.main.get_command(annotate_commands)
    assert isinstance(group, TyperGroup)
    annotate = group.commands["annotate"]
    assert isinstance(annotate, TyperGroup)
    drawn = {p.name: p.default for p in annotate.commands["sample"].params}
    assert (drawn["n"], drawn["completions"], drawn["hourly_rate"]) == (200, 3, 30.0)
    shown = {p.name: p.default for p in annotate.commands["compare"].params}
    assert (shown["n"], shown["per_prompt"], shown["seed"], shown["cycle"]) == (200, 1, 0, "latest")
    written = {p.name: p.default for p in group.commands["write-pairs"].params}
    assert written["limit"] == 100
