"""Ingestion from Kafka is killed again and again, and still stores every event exactly once."""

import json
import random
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import duckdb
from brokers import Broker

SEED = 20
PARTITIONS = 3
EVENTS_BEFORE = 4000
EVENTS_MEANWHILE = 1000
KILLS = 5
MAX_RUNS = 30
START_SECONDS = 60.0

CONFIG = """
project = "kill"
home = "home"
[model]
path = "model"
[[sources]]
name = "thumbs"
connector = "kafka"
batch_size = {batch_size}
[sources.options]
topics = "{topic}"
bootstrap_servers = "{address}"
[[plugins]]
use = "best_worst"
"""


def event(number: int) -> bytes:
    return json.dumps(
        {
            "event_id": f"e{number}",
            "prompt": f"question {number % 100}",
            "completion": f"answer {number}",
            "rater_id": f"r{number % 50}",
            "score": 1 if number % 2 else -1,
        }
    ).encode()


class Feed:
    """Produces events, some of them twice, and poison between, and remembers what."""

    def __init__(self, broker: Broker, topic: str, rng: random.Random) -> None:
        self._broker, self._topic, self._rng = broker, topic, rng
        self.event_ids: set[str] = set()
        self.poison: list[bytes] = []
        self.produced = 0

    def produce(self, numbers: Sequence[int]) -> None:
        by_partition: list[list[bytes]] = [[] for _ in range(PARTITIONS)]
        for number in numbers:
            values = [event(number)] * (2 if self._rng.random() < 0.02 else 1)
            self.event_ids.add(f"e{number}")
            if self._rng.random() < 0.01:
                values.append(b"\xffpoison %d" % number)
                self.poison.append(values[-1])
            for value in values:
                self._rng.choice(by_partition).append(value)
            self.produced += len(values)
        for partition, values in enumerate(by_partition):
            self._broker.produce(self._topic, values, partition)


def start_ingest(config: Path) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-m", "thumbwheel", "ingest", "--config", str(config)],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )


def wait_for_first_commit(process: subprocess.Popen[bytes], store: Path) -> None:
    """Wait until the process has written to the store, or has ended."""
    log = store.with_name(store.name + ".wal")
    before = log.stat().st_size if log.exists() else 0
    deadline = time.monotonic() + START_SECONDS
    while process.poll() is None and not (log.exists() and log.stat().st_size != before):
        assert time.monotonic() < deadline, "nothing was ever stored"
        time.sleep(0.002)


def check_balance(store: Path) -> int:
    """Check that rows, counters and cursor tell the same; return how many records were read."""
    with duckdb.connect(str(store)) as connection:
        ((events, ids),) = connection.execute(
            "SELECT count(*), count(DISTINCT event_id) FROM events"
        ).fetchall()
        ((dead, positions),) = connection.execute(
            "SELECT count(*), count(DISTINCT position) FROM dead_letters"
        ).fetchall()
        rows = connection.execute(
            "SELECT cursor, received, stored, dead_letters, duplicates FROM sources"
        ).fetchall()
    if not rows:
        assert (events, dead) == (0, 0)
        return 0
    ((cursor, received, stored, dead_letters, duplicates),) = rows
    assert (events, dead) == (ids, positions) == (stored, dead_letters)
    assert received == stored + dead_letters + duplicates
    (offsets,) = json.loads(cursor)["topics"].values()
    assert sum(offsets.values()) == received
    return received


def test_no_kill_loses_or_doubles_an_event(broker, topic, tmp_path):
    """SIGKILL at random moments, while producing goes on: each event and each poison once."""
    rng = random.Random(SEED)
    config, store = tmp_path / "thumbwheel.toml", tmp_path / "home" / "store.duckdb"
    options = {"topic": topic, "address": broker.address}
    config.write_text(CONFIG.format(batch_size=10, **options))
    broker.create_topic(topic, PARTITIONS)
    feed = Feed(broker, topic, random.Random(SEED))
    feed.produce(range(EVENTS_BEFORE))

    def produce_meanwhile() -> None:
        last = EVENTS_BEFORE + EVENTS_MEANWHILE
        for start in range(EVENTS_BEFORE, last, 50):
            feed.produce(range(start, min(start + 50, last)))
            time.sleep(0.2)

    producing = threading.Thread(target=produce_meanwhile)
    producing.start()
    received = [0]
    interrupted = 0
    for _ in range(MAX_RUNS):
        if interrupted == KILLS:
            break
        process = start_ingest(config)
        if rng.random() < 0.9:
            wait_for_first_commit(process, store)
        time.sleep(rng.uniform(0.0, 0.15))
        process.kill()
        output, _ = process.communicate()
        assert process.returncode in (0, -signal.SIGKILL), output.decode()
        if store.exists():
            received.append(check_balance(store))
            interrupted += process.returncode != 0 and received[-1] > received[-2]
    producing.join()
    assert interrupted == KILLS
    assert received == sorted(received)

    config.write_text(CONFIG.format(batch_size=1000, **options))
    last = subprocess.run(
        [sys.executable, "-m", "thumbwheel", "ingest", "--config", str(config)],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert last.returncode == 0, last.stdout + last.stderr
    assert check_balance(store) == feed.produced
    with duckdb.connect(str(store)) as connection:
        stored = [row[0] for row in connection.execute("SELECT event_id FROM events").fetchall()]
        dead = [
            bytes(row[0]) for row in connection.execute("SELECT raw FROM dead_letters").fetchall()
        ]
    assert len(stored) == EVENTS_BEFORE + EVENTS_MEANWHILE
    assert set(stored) == feed.event_ids
    assert Counter(dead) == Counter(feed.poison)
    assert dead
