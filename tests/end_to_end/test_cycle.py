"""The whole wheel, in real processes: resumed after kills, never twice, one at a time."""

import json
import signal
import time
from typing import Any

import pytest
from feedback import feedback
from mlflow import MlflowClient

STAGES = ["pairs", "training", "evaluation", "decision", "registered", "report"]


def stage_files(project):
    (cycle,) = (project / "home" / "cycles").glob("[!.]*/")
    return {path.stem: path.stat().st_mtime_ns for path in cycle.glob("*.json")}


def versions(project):
    client = MlflowClient(f"sqlite:///{project / 'home' / 'mlflow.db'}")
    return client.search_model_versions("name = 'tiny'")


def kill_when(process, condition):
    """Kill the process as soon as the condition holds; tell whether it was still running."""
    deadline = time.monotonic() + 300
    while process.poll() is None and time.monotonic() < deadline:
        if condition():
            process.send_signal(signal.SIGKILL)
            process.communicate()
            return True
        time.sleep(0.01)
    process.communicate()
    return False


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")
def test_a_cycle_killed_at_every_stage_goes_on(project, thumbwheel):
    """Kills in training, evaluation and registration cost no finished stage and double nothing."""

    def exists(pattern):
        return lambda: any((project / "home").glob(pattern))

    moments = {
        "in training": exists("cycles/*/training/*/checkpoint-*/trainer_state.json"),
        "after training": exists("cycles/*/training.json"),
        "after evaluation": exists("cycles/*/evaluation.json"),
        "in registration": exists("mlartifacts/*/*/artifacts/*"),
        "after registration": exists("cycles/*/registered.json"),
    }
    kept: dict[str, Any] = {}
    killed = []
    for moment, condition in moments.items():
        process = thumbwheel.start("cycle", cwd=project)
        if kill_when(process, condition):
            killed.append(moment)
        now = stage_files(project)
        for stage in STAGES:
            if stage in kept:
                assert now[stage] == kept[stage], f"{stage} was done again after {moment}"
        kept = now
        if "report" in kept:
            break
    assert len(killed) >= 3, f"only killed {killed}"
    code, out, err = thumbwheel("cycle", cwd=project)
    assert code == 0, err
    assert "going on with the interrupted cycle" in out or "Nothing is new" in out
    assert "report" in stage_files(project)
    assert len(versions(project)) == 1


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")
def test_once_twice_and_with_news(project, thumbwheel):
    """A cycle decides and registers; a second has nothing to do; news start another."""
    code, out, err = thumbwheel("cycle", cwd=project)
    assert code == 0, err
    assert not err
    assert "pairs trained on" in out
    assert "Decision" in out
    assert len(versions(project)) == 1
    report = json.loads(next((project / "home" / "cycles").glob("*/report.json")).read_text())
    assert report["dataset"]["n_eval_prompts"] >= 10

    code, out, _ = thumbwheel("cycle", cwd=project)
    assert code == 0
    assert "Nothing is new" in out
    assert len(versions(project)) == 1
    assert not (project / "home" / "cycles" / ".snapshot").exists()

    with (project / "feedback.jsonl").open("a") as file:
        file.writelines(json.dumps(record) + "\n" for record in feedback(8, first=100))
    code, out, err = thumbwheel("cycle", cwd=project)
    assert code == 0, err
    assert "16 records: 16 new" in out
    assert len(versions(project)) == 2

    code, out, _ = thumbwheel("show", report["cycle_id"][:6], cwd=project)
    assert code == 0
    assert report["cycle_id"] in out
    assert "preference_accuracy" in out
    code, out, _ = thumbwheel("status", cwd=project)
    assert code == 0
    assert "96" in out
    assert out.count(report["cycle_id"]) == 1


def test_a_second_cycle_at_the_same_time_is_refused(project, thumbwheel):
    """While one cycle runs, another says so and exits with its own code."""
    first = thumbwheel.start("cycle", cwd=project)
    try:
        deadline = time.monotonic() + 120
        while not (project / "home" / "cycles").exists() and time.monotonic() < deadline:
            time.sleep(0.02)
        code, _, err = thumbwheel("cycle", cwd=project)
        assert first.poll() is None, "the first cycle was still running"
        assert code == 3
        assert "another cycle is running" in err
        assert len(err.splitlines()) == 1
    finally:
        first.kill()
        first.communicate()
