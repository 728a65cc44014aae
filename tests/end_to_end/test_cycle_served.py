"""A cycle beside `thumbwheel serve`: it takes its snapshot from the owner of the store."""

import json

import pytest
import requests
from serving import serving, wait_until

from planted_secrets import PLANTED, leaked
from thumbwheel.config import VotePolicy
from thumbwheel.store import Store

WEB = """
[[sources]]
name = "web"
connector = "http"
options = { log = "home/received", port = 0, allow_anonymous = true }
[[plugins]]
use = "redact"
[serve]
port = 0
"""


def plant(project):
    """Put a secret of each kind into answers of the app, and send each to the receiver too."""
    path = project / "feedback.jsonl"
    records = [json.loads(line) for line in path.read_text().splitlines()]
    secrets = [secret for secret, _ in PLANTED.values()]
    for record, secret in zip(records, secrets, strict=False):
        record["answer"] += f" {secret}"
    path.write_text("".join(json.dumps(record) + "\n" for record in records))
    return [
        {"prompt": f"Who is {secret}", "completion": f"It is {secret}.", "comment": secret}
        for secret in secrets
    ]


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")
def test_a_cycle_runs_while_serve_holds_the_store(project, thumbwheel):
    """It turns to its end without reading a source, on the snapshot that a store alone gives.

    No secret is anywhere in what it leaves: tables, the receiver's log, datasets, answers, the
    adapter, pages, MLflow's files and database, and what was printed.
    """
    config = project / "thumbwheel.toml"
    text = config.read_text() + WEB
    sent = plant(project)
    config.write_text(text)
    with serving(config, project / "home") as owner:
        told = [json.loads(line) for line in owner.log.read_text().splitlines()]
        url = next(line["url"] for line in told if line["event"] == "receiving")
        answer = requests.post(f"{url}/v1/generations", json=sent, timeout=60)
        assert answer.json() == {"accepted": len(sent)}
        wait_until(lambda: owner.stored() == 80 + len(sent))
        code, out, err = thumbwheel("cycle", "--train-anyway", cwd=project)
        assert code == 0, err
        assert not err
        assert "Decision" in out
        assert "ingest" not in out
        code, shown, err = thumbwheel("status", cwd=project)
        assert code == 0, err
        assert "export: caught up" in shown
        assert owner.stop() == 0
    (report,) = (project / "home" / "cycles").glob("*/report.json")
    data = json.loads(report.read_text())["data"]
    assert list((project / "home").rglob("*.safetensors"))
    assert leaked(project / "home", out, shown, owner.log.read_text()) == []

    config.write_text(text.replace('home = "home"', 'home = "alone"'))
    code, _, err = thumbwheel("ingest", cwd=project)
    assert code == 0, err
    with Store(project / "alone" / "store.duckdb") as store:
        snapshot = store.snapshot(project / "snapshot", VotePolicy())
    assert (data["digest"], data["n_completions"]) == (snapshot.digest, 80)
