"""Ingestion: batches, cursors, dead letters, plugins that change events, and building anew."""

import json
import os
import signal
from datetime import UTC, datetime, timedelta

import duckdb
import psutil
import pytest
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from projects import configuration
from thumbwheel.config import load_config
from thumbwheel.errors import BusyError, DataError, PluginError
from thumbwheel.events import EventParser
from thumbwheel.events.parallel import Parsing
from thumbwheel.ingest import expire_parked, ingest_all, rebuild
from thumbwheel.plugin import PluginManager
from thumbwheel.store import Store

CONFIG = configuration(keys="batch_size = 2", plugins=["best_worst"])

REDACT = """
import time
import pyarrow as pa
import pyarrow.compute as pc
from pydantic.dataclasses import dataclass
from thumbwheel.authoring import hookimpl

@dataclass(frozen=True)
class Redact:
    @hookimpl
    def process_events(self, events):
        if "poison" in events["completion"].to_pylist():
            time.sleep(0.2)  # meanwhile the batches behind it have been read
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

    def warn(self, message):
        self.lines.append(message)


def manager(config):
    return PluginManager(config.plugins, config.base_dir)


def stored(config):
    with duckdb.connect(str(config.layout.store)) as connection:
        return connection.execute(
            "SELECT completion, completion_id FROM events ORDER BY arrival"
        ).fetchall()


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
        with Store(config.layout.store) as store:
            (counts,) = ingest_all(config, manager(config), store, watcher)
        return counts, stored(config), watcher.lines

    return ingest


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
    assert [text for text, _ in stored(config)] == ["a", "b"]
    counts, rows, _ = run()
    assert counts.received == 2
    assert [text for text, _ in rows] == ["a", "b", "c", "poison"]


def test_nothing_is_stored_behind_a_batch_that_failed(run, tmp_path):
    """Batches are read ahead; those behind one that failed wait for it, or they would be a gap."""
    plugins = '[[plugins]]\nuse = "redact.py:Redact"\n'
    with pytest.raises(PluginError):
        run("poison", "a", "b", "c", "d", "e", "f", "g", plugins=plugins)
    config = load_config(tmp_path / "thumbwheel.toml")
    assert stored(config) == []
    counts, _, _ = run()
    assert counts.received == counts.stored == 8


def spawned(others):
    """Return the processes that were spawned since, by those that there were before."""
    children = [child for child in psutil.Process().children() if child not in others]
    return [child for child in children if "spawn_main" in str(child.cmdline())]


@pytest.mark.slow
def test_large_batches_are_parsed_in_workers_and_survive_their_death():
    """A worker is used, has ended with the block, and one that is killed loses no batch."""
    raws = [b'{"event_id": "%d", "prompt": "p", "completion": "c"}' % n for n in range(2000)]
    others = psutil.Process().children()
    with Parsing() as parsing:
        assert len(parsing.submit(EventParser(), raws).result().events) == 2000
        (worker,) = spawned(others)
        os.kill(worker.pid, signal.SIGKILL)
        worker.wait(10)
        for _ in range(2):
            assert len(parsing.submit(EventParser(), raws).result().events) == 2000
        workers = spawned(others)
    psutil.wait_procs(workers, 10)
    assert not any(worker.is_running() for worker in workers)


def test_parked_votes_expire_by_policy(tmp_path):
    """A vote without its answer is deleted after the configured time, counted, and stays out."""
    vote = {"event_id": "v", "generation_id": "g", "score": 1}
    (tmp_path / "events.jsonl").write_text(json.dumps(vote) + "\n")
    (tmp_path / "thumbwheel.toml").write_text(CONFIG + "[store]\nexpire_parked_days = 1e-9\n")
    config = load_config(tmp_path / "thumbwheel.toml")
    with Store(config.layout.store) as store:
        (received,) = ingest_all(config, manager(config), store, Watcher())
        assert received.stored == 1
        now = datetime.now(UTC)
        assert expire_parked(config, store, now + timedelta(hours=23)) == 0
        assert expire_parked(config, store, now + timedelta(hours=25)) == 1
        with (tmp_path / "events.jsonl").open("a") as file:
            file.write(json.dumps(vote) + "\n")
        ingest_all(config, manager(config), store, Watcher())
        (counts,) = store.source_counts()
    assert (counts.received, counts.expired, counts.duplicates) == (2, 1, 1)
    assert counts.stored == counts.parked == 0


def test_a_jump_of_the_clock_expires_nothing(tmp_path):
    """A clock that leaps ahead and comes back deletes no vote; an overdue one goes a day later."""
    (tmp_path / "events.jsonl").write_text('{"generation_id": "g", "score": 1}\n')
    (tmp_path / "thumbwheel.toml").write_text(CONFIG + "[store]\nexpire_parked_days = 90\n")
    config = load_config(tmp_path / "thumbwheel.toml")
    with Store(config.layout.store) as store:
        ingest_all(config, manager(config), store, Watcher())
        start = datetime.now(UTC)
        looks = [(day, 0) for day in (1, 500, 500.5, 2, 3, 30, 91)] + [(92.5, 1)]
        for day, expired in looks:
            assert expire_parked(config, store, start + timedelta(days=day)) == expired, day


def test_a_store_is_built_anew_from_its_sources(run, tmp_path):
    """The new store holds the same; the old file is kept beside it; a broken one is no obstacle."""
    run("a", "b", "broken", "c")
    config = load_config(tmp_path / "thumbwheel.toml")
    before = stored(config)
    rebuilt = rebuild(config, manager(config), Watcher())
    assert stored(config) == before
    assert rebuilt.old is not None
    assert rebuilt.old.is_file()
    config.layout.store.write_bytes(b"no database " * 1000)
    rebuild(config, manager(config), Watcher())
    assert stored(config) == before
    (counts,) = rebuilt.sources
    assert (counts.received, counts.stored, counts.dead_letters) == (4, 3, 1)


def test_building_anew_never_loses_events_by_itself(run, tmp_path):
    """When the sources hold less than a whole store, it is kept, unless that is what is wanted."""
    run("a", "b", "c")
    (tmp_path / "events.jsonl").write_text('{"event_id": "d", "prompt": "q", "completion": "d"}\n')
    config = load_config(tmp_path / "thumbwheel.toml")
    with pytest.raises(DataError, match="2 of export"):
        rebuild(config, manager(config), Watcher())
    assert [text for text, _ in stored(config)] == ["a", "b", "c"]
    assert [path.name for path in config.home.glob("*.duckdb*")] == ["store.duckdb"]
    rebuild(config, manager(config), Watcher(), force=True)
    assert [text for text, _ in stored(config)] == ["d"]


def test_a_store_in_use_is_not_built_anew(run, tmp_path):
    """While somebody has the store open, rebuilding waits for them."""
    run("a")
    config = load_config(tmp_path / "thumbwheel.toml")
    with Store(config.layout.store), pytest.raises(BusyError):
        rebuild(config, manager(config), Watcher())


def test_spans_tell_of_batches_and_not_of_their_content(run, monkeypatch):
    """With OpenTelemetry's SDK each commit is a span: the source and how many records."""
    exporter = InMemorySpanExporter()
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    monkeypatch.setattr("thumbwheel.ingest.pipeline._tracer", provider.get_tracer("test"))
    run("a", "b", "c")
    told = [(span.name, dict(span.attributes)) for span in exporter.get_finished_spans()]
    assert told == [
        ("ingest.batch", {"source": "export", "records": 2}),
        ("ingest.batch", {"source": "export", "records": 1}),
    ]
