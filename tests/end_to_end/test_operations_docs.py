"""docs/operations.md says what is so, and the commands of all pages for operators exist."""

import json
import os
import pty
import re
import select
import shlex
import signal
import subprocess
import sys
import tomllib
from datetime import UTC, datetime
from io import StringIO
from pathlib import Path

import pytest
import typer
from rich.console import Console
from serving import serving, wait_until
from typer.core import TyperGroup

from projects import configuration
from thumbwheel.cli.app import app
from thumbwheel.cli.show.store import print_status
from thumbwheel.config import Config
from thumbwheel.store import Standing
from thumbwheel.types import SourceCounts, VoteCounts

ROOT = Path(__file__).parents[2]
PAGES = {name: (ROOT / name).read_text() for name in ("README.md", "deploy/README.md")}
PAGE = (ROOT / "docs" / "operations.md").read_text(encoding="utf-8")
PAGES["docs/operations.md"] = PAGE

CONFIG = configuration("[serve]\nport = 0\n", project="served")
SECRET = "what a user wrote"


@pytest.fixture
def project(tmp_path):
    """A configuration, and a file with a vote that waits, an event and an unreadable record."""
    (tmp_path / "thumbwheel.toml").write_text(CONFIG)
    vote = {"generation_id": "unknown", "score": 1, "rater_id": "r"}
    event = {"prompt": SECRET, "completion": SECRET, "score": 1}
    lines = [json.dumps(vote), json.dumps(event), SECRET]
    (tmp_path / "events.jsonl").write_text("\n".join(lines) + "\n")
    return tmp_path


def blocks(language: str, page: str) -> list[str]:
    fenced = re.findall(r"^```(\w*)\n(.*?)^```", page, re.MULTILINE | re.DOTALL)
    return [text for of, text in fenced if of == language]


def table(title: str) -> str:
    """Return the rows of the page's table whose head begins so."""
    _, _, rest = PAGE.partition(f"| {title} |")
    return rest.partition("\n\n")[0]


def command_lines() -> list[list[str]]:
    """Return every command that the pages name, as it would be typed."""
    lines = []
    for page in PAGES.values():
        for block in blocks("", page):
            lines += re.findall(r"^thumbwheel (.*)$", block, re.MULTILINE)
        lines += re.findall(r"`(?:opentelemetry-instrument )?thumbwheel ([^`\n]+)`", page)
    typed = [shlex.split(line, comments=True) for line in lines]
    return [words[: words.index(">")] if ">" in words else words for words in typed]


def test_the_configuration_is_valid():
    """The page's sections are accepted, the lines that are commented out too."""
    (block,) = blocks("toml", PAGE)
    settings = tomllib.loads(block.replace("# url", "url").replace("# names", "names"))
    config = Config.model_validate(tomllib.loads(CONFIG) | settings)
    assert config.serve.url == "http://thumbwheel.internal:8765"
    unset = Config.model_validate(tomllib.loads(CONFIG) | {"serve": {}}).serve
    examples = {"url", "names"}
    assert config.serve.model_dump(exclude=examples) == unset.model_dump(exclude=examples)


def test_every_command_can_be_typed(tmp_path, monkeypatch):
    """Commands, arguments and options that the pages name are those of the command line."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "export.csv").touch()
    lines = command_lines()
    assert len(lines) >= 20
    for words in lines:
        command, rest = typer.main.get_command(app), words
        while isinstance(command, TyperGroup) and rest and rest[0] in command.commands:
            command, rest = command.commands[rest[0]], rest[1:]
        assert not isinstance(command, TyperGroup) or not rest, words
        if not isinstance(command, TyperGroup) and rest:
            command.make_context("thumbwheel", rest)


def test_the_balance_is_what_status_shows():
    """The terms of the page's equation are the columns of `thumbwheel status`."""
    (equation,) = re.findall(r"^ {4}(received = .*)$", PAGE, re.MULTILINE)
    terms = re.findall(r"[a-z]+(?: [a-z]+)*", equation)
    counts = SourceCounts("s", 34, 1, 2, 3, 4, 5, 13, 6)
    output = StringIO()
    console = Console(file=output, width=200)
    standing = Standing(VoteCounts(0, 0, 0, 0, 0), [], [], datetime.now(UTC))
    print_status(console, [counts], [], [], standing, [], "none", [])
    head = next(line for line in output.getvalue().splitlines() if "received" in line)
    shown = re.split(r"  +", head.strip())
    assert sorted(shown) == sorted(["source", *terms])


def test_what_is_watched(project):
    """Paths and metrics of the tables are those that are served; logs hold no user's words."""
    with serving(project / "thumbwheel.toml", project / "home") as owner:
        wait_until(lambda: owner.received() == 3)
        page = owner.get("/metrics").text
        exposed = {
            name.removesuffix("_created")
            for name in re.findall(r"^# TYPE (\w+) ", page, re.MULTILINE)
        }
        assert set(re.findall(r"`(thumbwheel_\w+)`", table("metric"))) == exposed
        for path in re.findall(r"^\| `(/\w[\w.]*)`", table("path"), re.MULTILINE):
            assert owner.get(path).status_code == 200, path
        assert owner.get("/metrics", headers={"Authorization": ""}).status_code == 401
        assert owner.stop() == 0
        log = owner.log.read_text()
    assert [json.loads(line)["event"] for line in log.splitlines()][-1] == "stopped"
    assert SECRET not in log


def test_serve_on_a_terminal(project):
    """It says in plain text how it is stopped and where it listens, and Ctrl-C ends it with 0."""
    terminal, theirs = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-m", "thumbwheel", "serve"],
        cwd=project,
        env={**os.environ, "NO_COLOR": "1", "OMP_NUM_THREADS": "1"},
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
    )
    os.close(theirs)
    shown = b""
    try:
        note = project / "home" / "serve.json"
        wait_until(lambda: note.exists() or process.poll() is not None)
        process.send_signal(signal.SIGINT)
        assert process.wait(60) == 0
        while select.select([terminal], [], [], 0)[0]:
            try:
                shown += os.read(terminal, 1 << 16)
            except OSError:  # nobody has the other end any more
                break
    finally:
        process.kill()
        process.wait()
        os.close(terminal)
    text = shown.decode()
    assert "Ctrl-C" in text
    assert re.search(r"http://127\.0\.0\.1:\d+", text)
    assert "Traceback" not in text
    assert len(text.splitlines()) <= 8
