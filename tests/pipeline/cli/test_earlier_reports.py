"""A home whose cycles were reported by an earlier version, in words, is shown as it was."""

import json
from dataclasses import asdict
from pathlib import Path

import pytest

from projects import configuration
from thumbwheel.cli import main
from thumbwheel.cycle.journal import CycleJournal
from thumbwheel.evidence.review import evidence_page
from thumbwheel.types.fates import Fate, FateCount

REPORT = Path(__file__).with_name("report_of_an_earlier_version.json").read_text("utf-8")
CONFIG = configuration(project="thumbwheel-demo", source="app")
SCREEN = "one side is more than 1.25 times as long as the other"


def today(report):
    """Return the report as it is written now: what its words say, as values."""
    completions = [
        FateCount(Fate.IN_TRAINING, 1124),
        FateCount(Fate.SCREENED, 663, SCREEN),
        FateCount(Fate.HELD_OUT, 514),
        FateCount(Fate.NOT_PAIRED, 199),
        FateCount(Fate.STYLE_BALANCE, 38),
        FateCount(Fate.OVER_PROMPT_CAP, 15, "6"),
        FateCount(Fate.OVER_RATER_CAP, 7),
    ]
    dropped = [
        FateCount(Fate.SCREENED, 1881, SCREEN, "length_match"),
        FateCount(Fate.OVER_PROMPT_CAP, 137, "6", "draw"),
        FateCount(Fate.STYLE_BALANCE, 82, None, "draw"),
        FateCount(Fate.OVER_RATER_CAP, 33, None, "draw"),
    ]
    counts = {"completions": completions, "dropped_pairs": dropped}
    written = {name: [asdict(count) for count in of] for name, of in counts.items()}
    return report | {"dataset": report["dataset"] | written}


@pytest.fixture
def shown(tmp_path, monkeypatch, capfd):
    """Show a report and return (what `thumbwheel show` prints, its evidence page)."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "150")
    (tmp_path / "thumbwheel.toml").write_text(CONFIG)

    def show(report):
        journal = CycleJournal(tmp_path / "home" / "cycles" / report["cycle_id"])
        journal.path.mkdir(parents=True, exist_ok=True)
        plan = {name: report[name] for name in ("cycle_id", "started_at", "data")}
        journal.write("plan", plan | {"shape": "s", "snapshot": "d", "champion": None})
        journal.write("report", report)
        with pytest.raises(SystemExit) as stop:
            main(["show"])
        assert stop.value.code == 0
        typed = journal.report
        assert typed is not None
        return capfd.readouterr().out, evidence_page(typed, [], [])

    return show


def test_a_report_in_words_is_shown_like_one_in_values(shown):
    """Every line is the same on the terminal and on the evidence page."""
    report = json.loads(REPORT)
    out, page = shown(report)
    lines = [" ".join(line.split()) for line in out.splitlines()]
    assert f"− its pairs were dropped: {SCREEN} 663" in lines
    assert "− no plugin paired it 199" in lines
    assert "− more than 6 pairs of its prompt 137" in lines
    assert "pairs proposed 3,394" in lines
    assert "in a training pair" not in out
    assert "dataset › completions › in a training pair" in page
    assert "dataset › dropped_pairs › more than 6 pairs of its prompt" in page
    assert shown(today(report)) == (out, page)
