"""The command line starts quickly: it imports what a command needs when the command runs."""

import subprocess
import sys

import pytest

pytestmark = pytest.mark.slow  # each command line is a process

START = """
import sys
from thumbwheel.cli import main
try:
    main(sys.argv[1:])
except SystemExit:
    sys.stderr.write(" ".join(sys.modules))
"""


@pytest.mark.parametrize("argument", ["--help", "--version", "cycle --help", "init config.toml"])
def test_what_shows_little_imports_little(argument, tmp_path):
    """Neither the engine, nor what it stands on."""
    done = subprocess.run(
        [sys.executable, "-c", START, *argument.split()],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
    )
    loaded = set(done.stderr.split())
    assert "thumbwheel.cli.app" in loaded
    engine = {name for name in loaded if name.startswith("thumbwheel.")}
    assert {name for name in engine if not name.startswith("thumbwheel.cli")} <= {
        "thumbwheel.errors",
        "thumbwheel.process",
        "thumbwheel.process.extras",
    }
    assert not loaded & {"pyarrow", "numpy", "duckdb", "scipy", "requests", "pluggy"}
