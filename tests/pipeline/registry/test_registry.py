"""The registry, against real SQLite databases and a real MLflow server."""

import json
import shutil
import subprocess
import sys
import urllib.request
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from candidates import PROJECT, a_candidate, a_look, a_registry, free_port, open_client
from safetensors.numpy import load_file

from thumbwheel.errors import (
    ModelError,
    StaleEvidenceError,
    ThumbwheelError,
    UnavailableError,
)
from thumbwheel.registry import Registry, serve


def test_a_candidate_becomes_one_run_and_one_version(home: Path) -> None:
    """Registering leaves a run with all numbers and files, and a version with at most 5 tags."""
    registry = a_registry(home)
    version = registry.register(a_candidate(home, "c1"))
    client = open_client(registry)
    found = client.get_model_version(PROJECT, version)
    assert found.tags == {
        "gate": "passed",
        "candidate_id": "c1",
        "baseline_version": "base",
        "cycle": "cycle-c1",
        "verdict": "better",
    }
    assert found.description.startswith("Better than the base model.")
    run = client.get_run(found.run_id)
    assert run.info.status == "FINISHED"
    assert len(run.data.params) == 151
    assert run.data.metrics["preference_accuracy/difference_low"] == 0.1
    assert "odd _name/candidate" in run.data.metrics
    assert run.data.metrics["verdict/better"] == 1
    files = {file.path for file in client.list_artifacts(found.run_id)}
    assert files == {"decision.json", "evaluation.json", "evidence.html"}
    evaluation = json.loads(
        Path(client.download_artifacts(found.run_id, "evaluation.json")).read_text()
    )
    assert evaluation["metrics"]["broken"]["candidate"]["value"] is None
    decision = json.loads(
        Path(client.download_artifacts(found.run_id, "decision.json")).read_text()
    )
    assert decision["test"]["p_value"] is None, "nobody is to climb on it"
    assert list(Path.cwd().iterdir()) == [], "nothing is written into the working directory"


def test_the_long_description_is_cut_and_still_links_to_the_run(home: Path) -> None:
    """A description above MLflow's limit of 5000 characters is cut at a line."""
    registry = a_registry(home)
    text = "Verdict.\n\n" + "One line of evidence.\n" * 400
    long = replace(a_candidate(home, "c1"), description=text)
    found = open_client(registry).get_model_version(PROJECT, registry.register(long))
    assert len(found.description) <= 5000
    assert f"runs/{found.run_id}/artifacts/evidence.html" in found.description
    assert found.description.endswith("One line of evidence.")


def test_the_champion_comes_back_as_it_was_registered(home: Path, tmp_path: Path) -> None:
    """Promotion moves the alias; the downloaded adapter holds the weights, and no pickle."""
    registry = a_registry(home)
    assert registry.champion(tmp_path / "cache") is None
    version = registry.register(a_candidate(home, "c1"))
    assert registry.champion_version() is None, "registering alone promotes nothing"
    assert registry.champion_at_a_glance() is None
    registry.promote(version, expected_champion=None)
    assert registry.champion_at_a_glance() == version
    registry.promote(version, expected_champion=None)
    champion = registry.champion(tmp_path / "cache")
    assert champion is not None
    assert (champion.version, champion.cycle_id) == (version, "cycle-c1")
    assert {file.name for file in champion.adapter.iterdir()} == {
        "adapter_config.json",
        "adapter_model.safetensors",
        "manifest.json",
    }
    weights = load_file(champion.adapter / "adapter_model.safetensors")
    assert np.all(weights["lora_A"] == 2.0)


def test_a_verified_copy_is_used_again_and_a_damaged_one_is_not(home: Path, tmp_path: Path) -> None:
    """The cache answers without the artifact store, and mends itself from it."""
    registry = a_registry(home)
    registry.promote(registry.register(a_candidate(home, "c1")), None)
    first = registry.champion(tmp_path / "cache")
    assert first is not None
    (first.adapter / "adapter_model.safetensors").write_bytes(b"damaged")
    mended = registry.champion(tmp_path / "cache")
    assert mended == first
    assert np.all(load_file(first.adapter / "adapter_model.safetensors")["lora_A"] == 2.0)
    shutil.rmtree(home / "artifacts")
    assert registry.champion(tmp_path / "cache") == first


@pytest.mark.parametrize(
    ("tamper", "message"),
    [
        (lambda b: (b / "adapter_model.safetensors").write_bytes(b"x"), "differs from its SHA-256"),
        (lambda b: (b / "adapter_config.json").unlink(), "lacks adapter_config.json"),
        (lambda b: (b / "adapter_model.bin").write_bytes(b"x"), "'adapter_model.bin'"),
        (lambda b: (b / "extra.json").write_text("{}"), "does not list"),
        (lambda b: (b / "manifest.json").write_text('{"files": {}}'), "the registered one"),
        (lambda b: (b / "manifest.json").unlink(), "has no manifest.json"),
        (shutil.rmtree, "cannot be downloaded"),
    ],
)
def test_a_tampered_bundle_is_refused(
    home: Path, tmp_path: Path, tamper: Any, message: str
) -> None:
    """Whatever is changed in the artifact store, the champion is not served."""
    registry = a_registry(home)
    registry.promote(registry.register(a_candidate(home, "c1")), None)
    (manifest,) = home.rglob("manifest.json")
    tamper(manifest.parent)
    with pytest.raises(ModelError, match=message) as caught:
        registry.champion(tmp_path / "cache")
    assert "\n" not in str(caught.value)
    assert not any((tmp_path / "cache").iterdir()), "nothing unverified stays on disk"


def test_a_champion_of_other_origin_is_refused(home: Path, tmp_path: Path) -> None:
    """An alias set by hand to a version made elsewhere is named, with what to do."""
    registry = a_registry(home)
    registry.register(a_candidate(home, "c1"))
    client = open_client(registry)
    foreign = client.create_model_version(PROJECT, "/elsewhere/model")
    client.set_registered_model_alias(PROJECT, "champion", foreign.version)
    with pytest.raises(ModelError, match="was not registered by thumbwheel"):
        registry.champion(tmp_path / "cache")


def test_only_what_passed_the_gate_is_promoted(home: Path) -> None:
    """A version with `gate=failed` never becomes champion."""
    registry = a_registry(home)
    version = registry.register(a_candidate(home, "c1", promote=False))
    with pytest.raises(ThumbwheelError, match="has not passed the gate"):
        registry.promote(version, None)
    assert registry.champion_version() is None


def test_stale_evidence_is_refused(home: Path) -> None:
    """A champion that moved since the comparison stays."""
    registry = a_registry(home)
    first = registry.register(a_candidate(home, "c1"))
    second = registry.register(a_candidate(home, "c2"))
    registry.promote(first, None)
    with pytest.raises(StaleEvidenceError, match="the champion is now 1"):
        registry.promote(second, None)
    assert registry.champion_version() == first
    registry.promote(second, first)
    assert registry.champion_version() == second


def test_a_doubled_version_is_dropped(home: Path) -> None:
    """Two versions of one candidate, as a retried request makes them, become one again."""
    registry = a_registry(home)
    first = registry.register(a_candidate(home, "c1"))
    client = open_client(registry)
    one = client.get_model_version(PROJECT, first)
    client.create_model_version(PROJECT, one.source, tags=one.tags, model_id=one.model_id)
    assert registry.register(a_candidate(home, "c1")) == first
    assert len(client.search_model_versions(f"name = '{PROJECT}'")) == 1


KILLED_AT_EVERY_WRITE = """
import os, sys
from pathlib import Path

sys.path.insert(0, sys.argv[2])
from candidates import a_candidate, a_registry, open_client
from killing import die_at_write

home = Path(sys.argv[1])


def attempt(candidate_id, fatal_write):
    child = os.fork()
    if child == 0:
        die_at_write(fatal_write)
        a_registry(home).register(a_candidate(home, candidate_id))
        os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


open_client(a_registry(home.parent / "other"))  # imports MLflow once, for all children
for write in range(1, 100):
    if attempt(f"c{write}", write) == 0:
        break
    assert attempt(f"c{write}", None) == 0
"""


def test_killed_at_any_write_a_candidate_is_registered_once(home: Path) -> None:
    """A kill -9 before each database commit in turn, then again: one run, one version each."""
    (home.parent / "other").mkdir()
    shutil.copy(home / "mlflow.db", home.parent / "other")
    done = subprocess.run(
        [sys.executable, "-c", KILLED_AT_EVERY_WRITE, home, Path(__file__).parents[1]],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    client = open_client(a_registry(home))
    versions = client.search_model_versions(f"name = '{PROJECT}'")
    runs = client.search_runs([client.get_experiment_by_name(PROJECT).experiment_id])
    expected = sorted(path.name for path in home.glob("c*"))
    assert len(expected) > 8
    assert sorted(found.tags["candidate_id"] for found in versions) == expected
    assert sorted(found.data.tags["candidate_id"] for found in runs) == expected
    assert {found.info.status for found in runs} == {"FINISHED"}
    for found in versions:
        model = client.get_logged_model(found.source.removeprefix("models:/"))
        assert model.status == "READY"


def test_through_a_real_server(home: Path, tmp_path: Path) -> None:
    """Register, promote, download, enter looks over HTTP; the server ends with the block."""
    local = a_registry(home)
    before = local.register(a_candidate(home, "c0"))
    with serve(f"sqlite:///{home / 'mlflow.db'}", home / "artifacts", free_port()) as server:
        remote = Registry(server.url, PROJECT, "over http", home / "unused")
        version = remote.register(a_candidate(home, "c1"))
        assert remote.register(a_candidate(home, "c1")) == version
        assert remote.champion_version() is None
        remote.promote(version, None)
        champion = remote.champion(tmp_path / "cache")
        assert champion is not None
        assert champion.version == version
        assert not (home / "unused").exists(), "the server keeps the files"
        looks = [remote.ledger(print).enter(a_look(name)) for name in ("c1", "c2", "c1")]
        assert looks == [1, 2, 1]
        for name in (before, version):
            run_id = remote.run_page(server.url, name).rpartition("/")[2]
            page = f"{server.url}/get-artifact?path=evidence.html&run_id={run_id}"
            with urllib.request.urlopen(page) as answer:
                assert b"<title>Evidence" in answer.read(), "the page shows the evidence"
        for manifest in list((home / "artifacts").rglob("manifest.json")):
            shutil.rmtree(manifest.parent)
        with pytest.raises(ModelError, match=r"has no manifest\.json|cannot be downloaded"):
            remote.champion(tmp_path / "another cache")
    assert server.process.poll() is not None
    with pytest.raises(UnavailableError, match="does not answer; start the server"):
        remote.champion_version()
