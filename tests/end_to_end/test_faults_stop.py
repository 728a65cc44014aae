"""`thumbwheel serve` is told to end under load: it ends well, and leaves nothing behind."""

import json
import signal
import socket
from collections import Counter
from contextlib import ExitStack
from typing import Any

import pytest
from brokers import noida
from serving import configuration, serving, source, wait_until
from traffic_load import (
    NO_LIMIT,
    HttpTraffic,
    KafkaTraffic,
    post,
    read_store,
    steady_port,
    vote,
    wait_for_load,
    whole_lines,
)

ROUNDS = 3
LIMIT_SECONDS = 30
BACKLOG = 1000
PARTITIONS = 2
BURST_REQUESTS = 10
BURST_VOTES = 500


@pytest.fixture
def broker(tmp_path):
    with noida(tmp_path) as running:
        yield running


@pytest.fixture
def topic(broker):
    traffic = KafkaTraffic(broker, "thumbs", PARTITIONS, seed=1)
    traffic.produce(BACKLOG)
    yield traffic
    traffic.close()


@pytest.fixture
def port():
    return steady_port()


@pytest.fixture
def config(tmp_path, broker, port):
    path = tmp_path / "thumbwheel.toml"
    topic = source("topic", "kafka", 100, topics="thumbs", bootstrap_servers=broker.address)
    app = source(
        "app", "http", 50, log="received", port=port, allow_anonymous=True, rate_limit=NO_LIMIT
    )
    path.write_text(configuration(topic, app))
    return path


def burst(port, number):
    """Send a burst of large batches; return the ids of the votes, all of them acknowledged."""
    names = []
    for request in range(BURST_REQUESTS):
        votes = [vote(f"b{number}-{request}-{index}", index) for index in range(BURST_VOTES)]
        assert post(port, votes) == 202
        names += [event["event_id"] for event in votes]
    return names


def check_prefixes(topic, rows):
    """What is stored of each partition is all of its beginning, up to the cursor, and no more."""
    ids = set()
    poison: Counter[Any] = Counter()
    for partition, offset in rows.cursor["topics"]["thumbs"].items():
        for value in topic.log[int(partition)][:offset]:
            if value.startswith(b"{"):
                ids.add(json.loads(value)["event_id"])
            else:
                poison[value] += 1
    assert rows.received == sum(rows.cursor["topics"]["thumbs"].values())
    assert set(rows.event_ids) == ids
    assert Counter(rows.dead_letters) == poison


def test_sigterm_under_load_stores_what_was_acknowledged(tmp_path, topic, config, port):
    """Exit 0 in time, the log read to its end, Kafka up to the cursor; the next start goes on."""
    home, acknowledged, sent = tmp_path / "home", [], []
    for number in range(ROUNDS):
        with ExitStack() as stack:
            owner = stack.enter_context(serving(config, home))
            stack.enter_context(topic.flowing(0.02))
            app = HttpTraffic(port, n_senders=3, n_generations=BACKLOG, prefix=f"{number}-")
            stack.callback(app.close)
            wait_for_load(owner, app, "topic", owner.received("topic"))
            names = burst(port, number)
            left = whole_lines(tmp_path / "received") - owner.received("app")
            owner.process.send_signal(signal.SIGTERM)
            assert owner.process.wait(LIMIT_SECONDS) == 0
        acknowledged += app.acknowledged + names
        sent += app.sent + names
        assert left > 0
        assert app.refused == []
        rows = read_store(home / "store.duckdb")
        assert set(acknowledged) <= set(rows["app"].event_ids) <= set(sent)
        assert rows["app"].received == whole_lines(tmp_path / "received")
        check_prefixes(topic, rows["topic"])
    with serving(config, home) as owner:
        wait_until(lambda: owner.received("topic") == topic.produced)
        assert owner.stop() == 0
    rows = read_store(home / "store.duckdb")
    assert sorted(rows["topic"].event_ids) == sorted(topic.event_ids)
    assert set(acknowledged) <= set(rows["app"].event_ids) <= set(sent)


def test_sigterm_ends_in_time_although_others_hang(tmp_path, broker, topic, config, port):
    """A broker that answers nothing and a client that never finishes do not keep it from ending."""
    with serving(config, tmp_path / "home") as owner, ExitStack() as stack:
        wait_until(lambda: owner.received("topic") == topic.produced)
        slow = stack.enter_context(socket.create_connection(("127.0.0.1", port)))
        slow.sendall(
            b"POST /v1/feedback HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
            b"Content-Length: 1000\r\n\r\n{"
        )
        names = burst(port, 0)
        broker.process.send_signal(signal.SIGSTOP)
        stack.callback(broker.process.send_signal, signal.SIGCONT)
        owner.process.send_signal(signal.SIGTERM)
        assert owner.process.wait(LIMIT_SECONDS) == 0
    rows = read_store(tmp_path / "home" / "store.duckdb")
    assert sorted(rows["app"].event_ids) == sorted(names)
    assert sorted(rows["topic"].event_ids) == sorted(topic.event_ids)
