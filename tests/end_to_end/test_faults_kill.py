"""`thumbwheel serve` is killed twenty times under load, and every event is stored exactly once."""

import random
import signal
import time
from collections import Counter

import psutil
from brokers import noida
from serving import launched, serving, started, wait_until
from traffic_load import HttpTraffic, KafkaTraffic, read_store, steady_port, whole_lines

SEED = 3
KILLS = 20
PARTITIONS = 3
BACKLOG = 4000

CONFIG = """
project = "kill"
home = "home"
[model]
path = "model"
[serve]
port = 0
[[sources]]
name = "topic"
connector = "kafka"
batch_size = {batch_size}
options.topics = "thumbs"
options.bootstrap_servers = "{address}"
[[sources]]
name = "app"
connector = "http"
batch_size = 100
options.log = "received"
options.port = {port}
options.allow_anonymous = true
[[plugins]]
use = "all_pairs"
"""


def is_over(process: psutil.Process) -> bool:
    """Tell whether a process has ended; whoever inherited it may not have asked how yet."""
    try:
        return process.status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


def test_no_kill_loses_or_doubles_an_event(tmp_path):
    """SIGKILL at random moments, start-up among them: each event, vote and poison is there once."""
    chance = random.Random(SEED)
    config, home = tmp_path / "thumbwheel.toml", tmp_path / "home"
    received_log, store = tmp_path / "received", home / "store.duckdb"
    port = steady_port()
    children_seen = 0
    read = Counter()
    with noida(tmp_path) as broker:
        topic = KafkaTraffic(broker, "thumbs", PARTITIONS, SEED)
        topic.produce(BACKLOG)
        app = HttpTraffic(port, n_senders=3, n_generations=BACKLOG, pause=0.01)
        try:
            with topic.flowing(0.1):
                for number in range(KILLS):
                    # Large batches are parsed in processes of their own, which must not outlive it.
                    size = 2000 if number % 4 == 0 else 100
                    settings = {"address": broker.address, "port": port, "batch_size": size}
                    config.write_text(CONFIG.format(**settings))
                    acknowledged = len(app.acknowledged)
                    with launched(config, home) as process:
                        if number % 5 == 4:
                            time.sleep(chance.uniform(0.0, 2.0))
                        else:
                            owner = started(process, config, home)
                            wait_until(
                                lambda: (
                                    len(app.acknowledged) > acknowledged
                                    and owner.received("topic") > read["topic"]
                                )
                            )
                            time.sleep(chance.uniform(0.0, 0.6))
                        children = psutil.Process(process.pid).children(recursive=True)
                        process.kill()
                        process.wait()
                    assert process.returncode == -signal.SIGKILL
                    children_seen += len(children)
                    wait_until(lambda: all(map(is_over, children)))
                    rows = read_store(store)
                    for name, source in rows.items():
                        assert source.received >= read[name]
                        read[name] = source.received
                    if "topic" in rows:
                        offsets = rows["topic"].cursor["topics"]["thumbs"]
                        assert sum(offsets.values()) == read["topic"]
                    if "app" in rows:
                        assert whole_lines(received_log, rows["app"].cursor) == read["app"]
            with serving(config, home) as owner:
                app.finish()
                wait_until(
                    lambda: (
                        owner.received("topic") == topic.produced
                        and owner.received("app") == whole_lines(received_log)
                    )
                )
                assert owner.get("/v1/votes").json()["parked"] == 0
                assert owner.stop() == 0
        finally:
            app.stop()
            topic.close()
    rows = read_store(store)
    assert app.refused == []
    assert sorted(rows["app"].event_ids) == sorted(app.acknowledged) == sorted(app.sent)
    assert sorted(rows["topic"].event_ids) == sorted(topic.event_ids)
    assert Counter(rows["topic"].dead_letters) == Counter(topic.poison)
    assert rows["app"].dead_letters == []
    assert children_seen
    print(
        KILLS, "kills", children_seen, "children", "kafka", topic.produced, len(topic.event_ids),
        len(topic.poison), "http", len(app.acknowledged), rows["app"].received,
        rows["app"].duplicates, app.repeated,
    )
