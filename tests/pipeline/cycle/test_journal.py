"""What a cycle left on disk, read again by this version and as earlier ones wrote it."""

import json
from dataclasses import asdict

from cycle_reports import data_report, training_report

from thumbwheel.cycle.journal import CycleJournal
from thumbwheel.types import (
    CycleReport,
    DatasetManifest,
    Decision,
    Estimate,
    EvalReport,
    MetricReport,
    PluginInfo,
)


def a_report() -> CycleReport:
    """Return a report with every part in it."""
    half, more = Estimate(0.5, 0.4, 0.6, 60), Estimate(0.75, 0.65, 0.85, 60)
    metrics = {
        name: MetricReport(name, half, more, Estimate(0.25, 0.05, 0.45, 60), more)
        for name in ("preference_accuracy", "margin_gain")
    }
    dataset = DatasetManifest(
        snapshot="5na9",
        plugins=[PluginInfo("all_pairs", "thumbwheel", "1.2", ["make_pairs"], {"n": 3})],
        digest="da7a",
        n_pairs=3,
        n_train=2,
        n_train_prompts=2,
        n_eval=1,
        n_eval_prompts=1,
    )
    return CycleReport(
        cycle_id="c0ffee",
        project="small",
        started_at="2026-01-01T00:00:00+00:00",
        outcome="promoted",
        champion_before=None,
        model_version="1",
        data=data_report("5na9", votes=7, parked=1),
        dataset=dataset,
        training=training_report(steps=3),
        evaluation=EvalReport("base", 0.95, 60, 90, metrics),
        decision=Decision(True, ()),
    )


def test_a_report_is_read_as_it_was_written(tmp_path):
    """Every part has its type again."""
    journal = CycleJournal(tmp_path)
    journal.write("report", a_report())
    assert json.loads((tmp_path / "report.json").read_text())["dataset"]["digest"] == "da7a"
    read = journal.report
    assert read is not None
    assert json.dumps(asdict(read)) == json.dumps(asdict(a_report()))
    assert isinstance(read.dataset.plugins[0], PluginInfo)


def test_reports_of_earlier_versions_are_read(tmp_path):
    """`margin_gain` was `win_rate`, counts of votes were fewer, and raters had names."""
    journal = CycleJournal(tmp_path)
    journal.write("report", a_report())
    path = tmp_path / "report.json"
    told = json.loads(path.read_text())
    metrics = told["evaluation"]["metrics"]
    metrics["win_rate"] = {**metrics.pop("margin_gain"), "name": "win_rate"}
    metrics["preference_accuracy"]["p_value"] = 0.01
    del told["data"]["votes"]["over_budget"]
    told["data"]["quarantined"] = [{"rater_id": "r", "n_votes": 4, "reason": "burst"}]
    path.write_text(json.dumps(told))
    read = journal.report
    assert read is not None
    assert list(read.evaluation.metrics) == ["preference_accuracy", "margin_gain"]
    assert read.evaluation.metrics["margin_gain"].name == "margin_gain"
    assert read.evaluation.metrics["margin_gain"].candidate.value == 0.75
    assert read.data.votes.over_budget == 0
