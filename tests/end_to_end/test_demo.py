"""The demo: it promotes on clean votes, refuses on noise, and survives a kill."""

import json
import signal

import pytest
from serving import wait_until


def report(directory, world):
    (path,) = (directory / "thumbwheel-demo" / world / "home" / "cycles").glob("*/report.json")
    return json.loads(path.read_text())


@pytest.fixture(scope="module")
def workspace(tmp_path_factory):
    """One directory for all demos, so that they share the base model."""
    return tmp_path_factory.mktemp("demo")


def test_the_demo_promotes_a_model_that_learned_the_preference(workspace, thumbwheel):
    """Killed once on the way, it ends with a polite, still right @champion; again does nothing."""
    process = thumbwheel.start("demo", cwd=workspace)
    cycles = workspace / "thumbwheel-demo" / "seed-0" / "home" / "cycles"
    wait_until(lambda: process.poll() is not None or any(cycles.glob("*/pairs.json")), 600)
    assert process.poll() is None
    process.send_signal(signal.SIGKILL)
    process.communicate()

    code, out, err = thumbwheel("demo", cwd=workspace)
    assert code == 0, err
    assert not err
    assert "Promoted" in out
    assert "thumbwheel ui" in out
    metrics = report(workspace, "seed-0")["evaluation"]["metrics"]
    style, right = metrics["preferred_style"], metrics["right_answer"]
    assert style["champion"]["value"] < 0.5
    assert style["candidate"]["value"] >= 0.85
    assert right["candidate"]["value"] >= right["champion"]["value"] - 0.03
    assert metrics["win_rate"]["candidate"]["low"] > 0.6
    code, out, err = thumbwheel(
        "history", "-c", "thumbwheel-demo/seed-0/thumbwheel.toml", cwd=workspace
    )
    assert code == 0, err
    assert "1 look in the last 365 days" in out

    code, out, err = thumbwheel("demo", cwd=workspace)
    assert code == 0, err
    assert "Nothing is new" in out


def test_the_demo_refuses_what_noise_taught(workspace, thumbwheel):
    """With half of the votes flipped there is nothing to learn, and the summary says so."""
    code, out, err = thumbwheel("demo", "--noise", "0.5", cwd=workspace)
    assert code == 0, err
    assert "Refused: not enough evidence" in out
    assert "the base model stays" in " ".join(out.split())
    told = report(workspace, "seed-0-noise-0.5")
    assert told["decision"]["verdict"] == "not enough evidence"
    assert told["evaluation"]["judge"] is None, "such votes teach no judge"
