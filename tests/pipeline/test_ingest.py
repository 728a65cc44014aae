"""Ingestion: batches, cursors, dead letters, and plugins that change events before storage."""

import json

import duckdb
import pytest

from thumbwheel.config import load_config
from thumbwheel.errors import PluginError
from thumbwheel.ingest import ingest_all
from thumbwheel.manager import PluginManager

CONFIG = """
project = "p"
home = "home"
model.path = "model"
[[sources]]
name = "export"
connector = "file"
batch_size = 2
options.path = "events.jsonl"
[[plugins]]
use = "best_worst"
"""

REDACT = """
import pyarrow as pa
import pyarrow.compute as pc
from pydantic.dataclasses import dataclass
from thumbwheel.authoring import hookimpl

@dataclass(frozen=True)
class Redact:
    @hookimpl
    def process_events(self, events):
        if "poison" in events["completion"].to_pylist():
            raise ValueError("cannot redact this")
        keep = pc.not_equal(events["completion"], "drop me")
        masked = pc.replace_substring(events["completion"], "secret", "***")
        return events.set_column(3, "completion", masked).filter(keep)
"""


class Watcher:
    def __init__(self):
        self.lines = []

    def stage(self, name):
        self.lines.append(name)

    def progress(self, share, note=""):
        assert 0 <= share <= 1

    def done(self, summary):
        self.lines.append(summary)


@pytest.fixture
def run(tmp_path):
    """Write events, ingest them, and return (counts, stored completions, what was shown)."""
    (tmp_path / "redact.py").write_text(REDACT)

    def ingest(*completions, plugins=""):
        with (tmp_path / "events.jsonl").open("a") as file:
            for text in completions:
                record = {"event_id": text, "prompt": "q", "completion": text, "score": 1}
                file.write((json.dumps(record) if text != "broken" else "{") + "\n")
        (tmp_path / "thumbwheel.toml").write_text(CONFIG + plugins)
        config = load_config(tmp_path / "thumbwheel.toml")
        watcher = Watcher()
        (counts,) = ingest_all(config, PluginManager(config.plugins, config.base_dir), watcher)
        return counts, stored(config), watcher.lines

    def stored(config):
        with duckdb.connect(str(config.store_path)) as connection:
            return connection.execute(
                "SELECT completion, completion_id FROM events ORDER BY arrival"
            ).fetchall()

    run = ingest
    run.stored = stored
    return run


def test_batches_go_on_where_the_last_run_stopped(run):
    """All records are stored in order over several batches; a second run reads only what is new."""
    counts, rows, lines = run("a", "b", "broken", "c", "d")
    assert (counts.received, counts.stored, counts.dead_letters) == (5, 4, 1)
    assert [text for text, _ in rows] == ["a", "b", "c", "d"]
    assert lines == ["ingest export", "5 records: 4 new, 1 unreadable"]
    counts, rows, _ = run("e", "a")
    assert (counts.received, counts.stored, counts.duplicates) == (2, 1, 1)
    assert [text for text, _ in rows] == ["a", "b", "c", "d", "e"]


def test_process_events_changes_what_is_stored(run):
    """Redacted text is stored and identified as redacted; what a plugin drops is counted."""
    plugins = '[[plugins]]\nuse = "redact.py:Redact"\n'
    counts, rows, _ = run("my secret", "drop me", "my ***", plugins=plugins)
    assert (counts.received, counts.stored, counts.dropped) == (3, 2, 1)
    assert [text for text, _ in rows] == ["my ***", "my ***"]
    assert rows[0][1] == rows[1][1], "the identity is that of the redacted text"


def test_a_failing_processor_fails_closed(run, tmp_path):
    """When a plugin raises, nothing of its batch is stored, and the same records come again."""
    plugins = '[[plugins]]\nuse = "redact.py:Redact"\n'
    with pytest.raises(PluginError, match=r"Redact\.process_events .* cannot redact this"):
        run("a", "b", "c", "poison", plugins=plugins)
    config = load_config(tmp_path / "thumbwheel.toml")
    assert [text for text, _ in run.stored(config)] == ["a", "b"]
    counts, rows, _ = run()
    assert counts.received == 2
    assert [text for text, _ in rows] == ["a", "b", "c", "poison"]
