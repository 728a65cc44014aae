"""docs/data.md says what is so: its commands and its example run, its tables name what is there."""

import json
import re
import shlex
import shutil
from dataclasses import fields
from datetime import UTC, datetime
from io import StringIO
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from cycle_reports import data_report
from rich.console import Console

from projects import configuration
from thumbwheel.cli import main
from thumbwheel.cli.current import current_pairs
from thumbwheel.cli.show.progress import StageDisplay
from thumbwheel.config import load_config
from thumbwheel.cycle.journal import CycleJournal, CyclePlan
from thumbwheel.pairs import votes_on
from thumbwheel.pairs.dataset import write_dataset
from thumbwheel.types import Provenance, SourceCounts

PAGE = (Path(__file__).parents[3] / "docs" / "data.md").read_text(encoding="utf-8")
CONFIG = configuration("[dataset]\nheld_out = 0.5\n", source="app")


def blocks(language):
    fenced = re.findall(r"^```(\w*)\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
    return [text for of, text in fenced if of == language]


@pytest.fixture
def project(tmp_path, monkeypatch, capfd):
    """The current directory: a project with 24 answers and a cycle that has made its dataset."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "thumbwheel.toml").write_text(CONFIG)
    events = [
        {
            "event_id": f"vote-{4700 + number}",
            "prompt": f"question {number // 2} of the users",
            "completion": f"answer {number % 2}",
            "score": 1 if number % 2 else -1,
            "rater_id": f"r{number}",
        }
        for number in range(24)
    ]
    (tmp_path / "events.jsonl").write_text("".join(json.dumps(event) + "\n" for event in events))
    run("ingest")
    settings = load_config(tmp_path / "thumbwheel.toml")
    display = StageDisplay(Console(file=StringIO()))
    with current_pairs(settings, display) as (snapshot, pairing):
        journal = CycleJournal(tmp_path / "home" / "cycles" / "c0ffee")
        plan = CyclePlan(
            "c0ffee", datetime.now(UTC), "s", snapshot.digest, None, data_report(snapshot.digest)
        )
        journal.begin(plan, Path(shutil.copytree(snapshot.path, tmp_path / "snapshot")))
        votes = votes_on(snapshot.path, pairing.pairs)
        dataset = journal.path / "dataset"
        write_dataset(pairing.pairs, votes, dataset, settings.dataset, Provenance(snapshot="s"))
    capfd.readouterr()
    return tmp_path


def run(*arguments):
    with pytest.raises(SystemExit) as stop:
        main(arguments)
    assert stop.value.code == 0, arguments


@pytest.mark.slow
def test_every_example_runs(project, capfd):
    """The page's commands run one after the other, and its Python on what they have written."""
    lines = [line for block in blocks("") for line in block.splitlines()]
    assert len(lines) == 7
    for line in lines:
        command, _, target = line.partition(" > ")
        program, *arguments = shlex.split(command)
        assert program == "thumbwheel"
        run(*arguments)
        out = capfd.readouterr().out
        assert out
        if target:
            json.loads(out)
    (example,) = blocks("python")
    exec(compile(example, "docs/data.md", "exec"), {})  # noqa: S102
    assert (project / "preview" / "test.parquet").exists()
    votes = (project / "votes" / "train.jsonl").read_text().splitlines()
    exported = {json.loads(line)["prompt"][0]["content"] for line in votes}
    dataset = project / "home" / "cycles" / "c0ffee" / "dataset"
    held_out = pq.read_table(dataset / "eval.parquet", columns=["prompt"])["prompt"].to_pylist()
    assert held_out
    assert not exported & {prompt[0]["content"] for prompt in held_out}


@pytest.mark.slow
def test_the_tables_name_what_is_there(project):
    """Files and columns of a dataset are those on disk; what is lost when received is counted."""
    dataset = project / "home" / "cycles" / "c0ffee" / "dataset"
    section = PAGE.split("\n## A dataset on disk\n")[1].split("\n## ")[0]
    rows = re.findall(r"^\| (`.*?) \| (.*) \|$", section, re.MULTILINE)
    named = {name for files, _ in rows for name in re.findall(r"`([\w.]+)`", files)}
    assert named == {path.name for path in dataset.iterdir()}
    for files, text in rows:
        for name in re.findall(r"`(\w+\.parquet)`", files):
            columns = set(pq.read_schema(dataset / name).names)
            assert columns <= set(re.findall(r"`(\w+)`", text))
    (received,) = re.findall(r"^\| received \| (.*) \|$", PAGE, re.MULTILINE)
    kept = {"source", "received", "stored"}
    assert len(received.split(", ")) == len({f.name for f in fields(SourceCounts)} - kept)
