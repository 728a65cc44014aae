"""`thumbwheel audit`: from stored events to a page, a table and an exit code."""

import json
import random

import pytest
from typer.testing import CliRunner

from thumbwheel.cli.commands.audit import audit_commands
from thumbwheel.cli.commands.store import store_commands
from thumbwheel.errors import LimitError

pytestmark = pytest.mark.slow  # plugins run in a process of their own


@pytest.fixture
def project(tmp_path, monkeypatch):
    """Stored events of 60 prompts whose longer answer got the thumb up."""
    monkeypatch.chdir(tmp_path)
    chance = random.Random(0)
    words = ["tea", "milk", "sugar", "river", "stone", "cloud", "window"]
    with open("events.jsonl", "w") as file:
        for prompt in range(60):
            for score, length in ((1, 30), (-1, 10)):
                answer = " ".join(chance.choices(words, k=length + chance.randrange(5)))
                event = {
                    "prompt": f"{prompt} {words[prompt % 7]}?",
                    "completion": answer,
                    "rater_id": f"r{prompt % 9}",
                    "score": score,
                }
                file.write(json.dumps(event) + "\n")
    (tmp_path / "thumbwheel.toml").write_text(
        """
project = "tea"
home = "home"
[model]
path = "model"
[[sources]]
name = "export"
connector = "file"
options.path = "events.jsonl"
[[plugins]]
use = "all_pairs"
[pairs]
balance = []
[audit]
max_auc = 0.6
max_near_duplicates = 1.0
"""
    )
    assert CliRunner().invoke(store_commands, ["ingest"]).exit_code == 0
    return tmp_path


def test_a_limit_that_does_not_hold_ends_with_its_own_exit_code(project):
    """The longer side always wins: table and page are there, then exit code 7 and the reason."""
    ran = CliRunner().invoke(audit_commands, ["--html", "pages/audit.html"])
    assert isinstance(ran.exception, LimitError), ran.output
    assert ran.exception.exit_code == 7
    assert str(ran.exception).startswith("max_auc is 0.6, and 1.000 was found; ")
    assert "✗ max_auc 0.6: 1.000" in ran.output
    assert "✓ max_near_duplicates" in ran.output
    page = (project / "pages" / "audit.html").read_text(encoding="utf-8")
    assert "Style alone tells chosen from rejected with an AUC of 1.00" in page


def test_without_a_limit_the_audit_only_reports(project):
    """The same pairs without limits, or with length meant to differ, are no error."""
    config = project / "thumbwheel.toml"
    config.write_text(config.read_text().replace("max_auc = 0.6", 'intended = ["length"]'))
    ran = CliRunner().invoke(audit_commands, [])
    assert ran.exit_code == 0, ran.output
    assert "length (meant to differ)" in ran.output
    assert (project / "audit.html").exists()
