"""A cycle beside `thumbwheel serve`: it takes its snapshot from the owner of the store."""

import json

import pytest
from serving import serving, wait_until

from thumbwheel.config import VotePolicy
from thumbwheel.store import Store


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")
def test_a_cycle_runs_while_serve_holds_the_store(project, thumbwheel):
    """It turns to its end without reading a source, on the snapshot that a store alone gives."""
    config = project / "thumbwheel.toml"
    text = config.read_text()
    config.write_text(text + "[serve]\nport = 0\n")
    with serving(config, project / "home") as owner:
        wait_until(lambda: owner.stored() == 80)
        code, out, err = thumbwheel("cycle", cwd=project)
        assert code == 0, err
        assert not err
        assert "Decision" in out
        assert "ingest" not in out
        code, out, err = thumbwheel("status", cwd=project)
        assert code == 0, err
        assert "export: caught up" in out
        assert owner.stop() == 0
    (report,) = (project / "home" / "cycles").glob("*/report.json")
    data = json.loads(report.read_text())["data"]

    config.write_text(text.replace('home = "home"', 'home = "alone"'))
    code, _, err = thumbwheel("ingest", cwd=project)
    assert code == 0, err
    with Store(project / "alone" / "store.duckdb") as store:
        snapshot = store.snapshot(project / "snapshot", VotePolicy())
    assert (data["digest"], data["n_completions"]) == (snapshot.digest, 80)
