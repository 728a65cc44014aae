"""`thumbwheel history`: the error budget and the looks that were taken."""

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from candidates import PROJECT, a_look

from projects import configuration
from thumbwheel.cli import main
from thumbwheel.cli.show.history import make_history
from thumbwheel.config import GateConfig
from thumbwheel.registry import Registry
from thumbwheel.types import Promotion, Verdict

NOW = datetime(2026, 11, 28, 13, tzinfo=UTC)


@pytest.fixture
def run(tmp_path, capfd, monkeypatch):
    """Return a command line in a project's folder: arguments -> (exit code, what it printed)."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "150")
    Path("thumbwheel.toml").write_text(configuration(project=PROJECT, source="app"))

    def run(*arguments):
        with pytest.raises(SystemExit) as ended:
            main(list(arguments))
        return ended.value.code or 0, capfd.readouterr().out

    return run


def test_a_project_without_looks(run):
    """Before the first cycle there is a whole budget, and no database is made to say so."""
    code, out = run("history")
    assert code == 0
    assert "spent 0% of 5%, 0 looks in the last 365 days" in out
    assert "at a level of 0.094%" in out
    assert "none yet" in out
    assert not Path("home").exists()


def test_looks_are_shown_and_p_values_are_not(run, fresh_database):
    """Each look with its verdict, level and version, the latest first, for people and as JSON."""
    home = Path("home").absolute()
    home.mkdir()
    (home / "mlflow.db").write_bytes(fresh_database.read_bytes())
    registry = Registry(f"sqlite:///{home / 'mlflow.db'}", PROJECT, None, home / "mlartifacts")
    ledger = registry.ledger(print)
    ledger.enter(a_look("aaa111", p_value=0.123456, level=0.002))
    ledger.enter(a_look("bbb222", p_value=0.123456))
    ledger.enter(Promotion("aaa111", NOW, "7", None))
    code, out = run("history")
    assert code == 0
    assert out.index("bbb222") < out.index("aaa111")
    (row,) = [line for line in out.splitlines() if "aaa111" in line]
    assert row.split() == ["2026-11-28", "12:30", "aaa111", "7", "not", "better", "yes", "0.2%"]
    code, text = run("history", "--json")
    told = json.loads(text)
    assert [(look["cycle"], look["promoted"]) for look in told["looks"]] == [
        ("bbb222", False),
        ("aaa111", True),
    ]
    assert "0.1234" not in out + text
    assert "p_value" not in text


def test_a_spent_budget_says_when_more_is_free():
    """Nothing is left: the next level is 0 until the look is more than a year old."""
    made = make_history([a_look("a", level=0.05)], [], {"a": "3"}, GateConfig(), NOW)
    assert made.next_level == 0
    assert made.free_again is not None
    assert made.free_again.date() == (NOW + timedelta(days=365)).date()
    assert (made.looks[0].version, made.looks[0].verdict) == ("3", Verdict.NOT_BETTER)
