"""`thumbwheel serve` is killed twenty times under load, and every event is stored exactly once."""

import random
import signal
import time
from collections import Counter
from contextlib import ExitStack, closing
from typing import Any

import psutil
from brokers import noida
from serving import configuration, launched, serving, source, started, wait_until
from traffic_load import (
    HttpTraffic,
    KafkaTraffic,
    read_store,
    steady_port,
    wait_for_load,
    whole_lines,
)

SEED = 3
KILLS = 20
STARTS_KILLED = 4
PARTITIONS = 3
BACKLOG = 4000


def kill(process):
    """Kill it, and wait until what it had started has ended too; return how many those were."""
    children = psutil.Process(process.pid).children(recursive=True)
    process.kill()
    process.wait()
    assert process.returncode == -signal.SIGKILL
    wait_until(lambda: all(map(is_over, children)))
    return len(children)


def is_over(process):
    """Tell whether a process has ended; whoever inherited it may not have asked how yet."""
    try:
        return process.status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


def check_balance(folder, read):
    """Check that rows, counters and cursors tell the same, and nothing read before is gone."""
    rows = read_store(folder / "home" / "store.duckdb")
    for name, kept in rows.items():
        assert kept.received >= read[name]
        read[name] = kept.received
    if "topic" in rows:
        assert sum(rows["topic"].cursor["topics"]["thumbs"].values()) == read["topic"]
    if "app" in rows:
        assert whole_lines(folder / "received", rows["app"].cursor) == read["app"]
    return rows


def test_no_kill_loses_or_doubles_an_event(tmp_path):
    """SIGKILL at random moments, start-up among them: each event, vote and poison is there once."""
    chance = random.Random(SEED)
    config, home, port = tmp_path / "thumbwheel.toml", tmp_path / "home", steady_port()
    n_children = 0
    read: Counter[Any] = Counter()
    with ExitStack() as stack:
        broker = stack.enter_context(noida(tmp_path))
        topic = stack.enter_context(closing(KafkaTraffic(broker, "thumbs", PARTITIONS, SEED)))
        topic.produce(BACKLOG)
        app = HttpTraffic(port, n_senders=3, n_generations=BACKLOG, pause=0.01)
        stack.enter_context(closing(app))
        with topic.flowing(0.1):
            for number in range(KILLS):
                # Large batches are parsed in processes of their own, which must not outlive it.
                size = 2000 if number % 4 == 0 else 100
                thumbs = source(
                    "topic", "kafka", size, topics="thumbs", bootstrap_servers=broker.address
                )
                received = source(
                    "app", "http", 100, log="received", port=port, allow_anonymous=True
                )
                config.write_text(configuration(thumbs, received))
                with launched(config, home) as process:
                    if number % (KILLS // STARTS_KILLED) == 1:
                        time.sleep(chance.uniform(0.0, 2.0))
                    else:
                        owner = started(process, config, home)
                        wait_for_load(owner, app, "topic", read["topic"])
                        time.sleep(chance.uniform(0.0, 0.6))
                    n_children += kill(process)
                check_balance(tmp_path, read)
        with serving(config, home) as owner:
            app.finish()
            wait_until(lambda: owner.received("topic") == topic.produced)
            wait_until(lambda: owner.received("app") == whole_lines(tmp_path / "received"))
            assert owner.get("/v1/votes").json()["parked"] == 0
            assert owner.stop() == 0
    rows = check_balance(tmp_path, read)
    assert n_children > 0
    assert app.refused == []
    assert sorted(rows["app"].event_ids) == sorted(app.acknowledged) == sorted(app.sent)
    assert rows["app"].dead_letters == []
    assert sorted(rows["topic"].event_ids) == sorted(topic.event_ids)
    assert Counter(rows["topic"].dead_letters) == Counter(topic.poison)
    assert read["topic"] == topic.produced
