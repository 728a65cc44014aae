"""The command line starts quickly: it imports what a command needs when the command runs."""

import subprocess
import sys
from pathlib import Path

import pytest

from projects import configuration
from thumbwheel.config import load_config
from thumbwheel.store import Store

pytestmark = pytest.mark.slow  # each command line is a process

START = """
import sys
from thumbwheel.cli import main
try:
    main(sys.argv[1:])
except SystemExit:
    sys.stderr.write(" ".join(sys.modules))
"""


def loaded_by(arguments: str, folder: Path) -> set[str]:
    """Return the modules that a command loads."""
    done = subprocess.run(
        [sys.executable, "-c", START, *arguments.split()],
        cwd=folder,
        capture_output=True,
        text=True,
        check=True,
    )
    return set(done.stderr.split())


@pytest.mark.parametrize("argument", ["--help", "--version", "cycle --help", "init config.toml"])
def test_what_shows_little_imports_little(argument, tmp_path):
    """Neither the engine, nor what it stands on."""
    loaded = loaded_by(argument, tmp_path)
    assert "thumbwheel.cli.app" in loaded
    engine = {name for name in loaded if name.startswith("thumbwheel.")}
    assert {name for name in engine if not name.startswith("thumbwheel.cli")} <= {
        "thumbwheel.errors",
        "thumbwheel.process",
        "thumbwheel.process.extras",
    }
    assert not loaded & {"pyarrow", "numpy", "duckdb", "scipy", "requests", "pluggy"}


def test_status_does_without_what_it_does_not_show(tmp_path):
    """Imports are most of its time: neither what reads records nor what runs queries is needed."""
    (tmp_path / "thumbwheel.toml").write_text(configuration())
    (tmp_path / "home").mkdir()
    with Store(tmp_path / "home" / "store.duckdb") as store:
        store.standing(load_config(tmp_path / "thumbwheel.toml").vote_policy)
    loaded = loaded_by("status", tmp_path)
    assert "thumbwheel.store" in loaded
    assert not loaded & {
        "thumbwheel.events",
        "thumbwheel.ingest",
        "thumbwheel.plugin",
        "thumbwheel.store.query.process",
        "fsspec",
        "psutil",
        "pyarrow.compute",
        "pyarrow.parquet",
        "requests",
        "ssl",
    }
