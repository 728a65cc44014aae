"""The HTTP receiver in trouble: kill -9, full disks, slow and hostile clients, its own end."""

import json
import random
import select
import socket
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import requests
from http_senders import (
    JSON,
    Flood,
    connect,
    events,
    head,
    logged_ids,
    read_to_end,
    receiving_process,
    vote,
)
from small_disk import small_disk

from thumbwheel.errors import BusyError, SourceError
from thumbwheel.events import EventParser
from thumbwheel.process import guarded
from thumbwheel.process.guarded import GuardedProtocol
from thumbwheel_connectors.http import app
from thumbwheel_connectors.http.auth import Gatekeeper
from thumbwheel_connectors.http.connector import HttpConnector
from thumbwheel_connectors.http.server import HttpReceiver
from thumbwheel_connectors.http.writer import SegmentWriter

KILLS = 4
DISK_BYTES = 2 * 1024 * 1024


@pytest.fixture
def connector(tmp_path):
    return HttpConnector(tmp_path / "log", port=0, allow_anonymous=True)


@pytest.fixture
def url(connector):
    """Where the connector's receiver listens."""
    receiver = connector.listen()
    yield receiver.url
    receiver.close()


def post(url, body, **options):
    return requests.post(
        url + "/v1/feedback", data=json.dumps(body), headers=JSON, timeout=10, **options
    )


def wait_until(condition):
    deadline = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < deadline, "it never came true"
        time.sleep(0.005)


def test_no_kill_loses_what_was_acknowledged(connector):
    """SIGKILL at random moments under load: every 202 is in the log, and every line is an event."""
    rng = random.Random(KILLS)
    acknowledged, sent = set(), set()
    for run in range(KILLS):
        with receiving_process(connector.log) as (process, url):
            flood = Flood(url, prefix=f"{run}-")
            wait_until(lambda flood=flood: len(flood.acknowledged) > 20)
            time.sleep(rng.uniform(0, 0.3))
            process.kill()
            flood.join()
        acknowledged.update(flood.acknowledged)
        sent.update(flood.sent)
    log = connector.open(None)
    raws = []
    while (batch := log.poll(100)) is not None:
        raws += [record.raw for record in batch.records]
    log.close()
    logged = EventParser().parse_batch(raws).events["event_id"].to_pylist()
    assert acknowledged <= set(logged) <= sent
    assert len(logged) == len(set(logged))
    assert len(list(connector.log.glob("*.jsonl"))) == KILLS


def test_reading_goes_on_after_a_restart(connector):
    """A cursor from before the restart gives what was received after it."""
    receiver = connector.listen()
    post(receiver.url, [vote(1), vote(2)])
    receiver.close()
    log = connector.open(None)
    cursor = log.poll(10).cursor
    log.close()
    receiver = connector.listen()
    post(receiver.url, vote(3))
    receiver.close()
    log = connector.open(cursor)
    assert [json.loads(record.raw)["event_id"] for record in log.poll(10).records] == ["e3"]
    log.close()


@pytest.fixture
def disk(tmp_path):
    """A file system of two megabytes."""
    with small_disk(tmp_path / "disk", DISK_BYTES) as disk:
        yield disk.path


def test_a_full_disk_refuses_and_goes_on(disk, caplog):
    """503 while there is no space, 202 again when there is, and every 202 is in the log."""
    connector = HttpConnector(disk / "log", port=0, allow_anonymous=True)
    ballast = disk / "ballast"
    ballast.write_bytes(bytes(DISK_BYTES * 3 // 4))
    receiver = connector.listen()
    acknowledged: list[Any] = []
    for _ in range(2):
        flood = Flood(receiver.url, prefix=f"{len(acknowledged)}-")
        wait_until(lambda flood=flood: 503 in flood.statuses)
        before = len(flood.acknowledged)
        ballast.unlink()
        wait_until(lambda flood=flood, before=before: len(flood.acknowledged) > before + 20)
        flood.stop()
        assert flood.statuses == {202, 503}
        acknowledged += flood.acknowledged
        # What is left of the space, and then one more try in which not a byte can be written.
        ballast.touch()
        with pytest.raises(OSError, match="No space left"):
            ballast.write_bytes(bytes(DISK_BYTES))
    segments = len(list(connector.log.glob("*.jsonl")))
    for _ in range(10):
        refused = post(receiver.url, vote(1) | {"comment": "c" * 10_000})
        assert (refused.status_code, refused.headers["Retry-After"]) == (503, "5")
        assert list(refused.json()) == ["error"]
    assert len(list(connector.log.glob("*.jsonl"))) <= segments + 2
    receiver.close()
    logged = logged_ids(connector)
    assert set(acknowledged) <= set(logged)
    messages = [record.getMessage() for record in caplog.records]
    assert any("No space left on device" in message for message in messages)
    assert len([message for message in messages if "cannot be written" in message]) < 50


def test_closing_under_load_answers_what_was_begun(connector):
    """Nobody is cut off between being stored and being told, and the port is free again."""
    receiver = connector.listen()
    flood = Flood(receiver.url)
    wait_until(lambda: len(flood.acknowledged) > 50)
    receiver.close()
    flood.join()
    assert set(logged_ids(connector)) == set(flood.acknowledged)
    assert flood.statuses == {202}
    address = receiver.url.removeprefix("http://").split(":")
    socket.create_server((address[0], int(address[1]))).close()


def test_closing_does_not_wait_for_who_never_ends(connector, caplog):
    """A body that trickles is answered with 503, an idle connection is closed; no traceback."""
    receiver = connector.listen()
    with connect(receiver.url) as idle, connect(receiver.url) as slow:
        slow.sendall(head(1000) + b"{")
        assert post(receiver.url, vote(1)).status_code == 202
        closing = threading.Thread(target=receiver.close)
        closing.start()
        assert read_to_end(idle) == b""
        assert read_to_end(slow).startswith(b"HTTP/1.1 503 ")
        closing.join(20)
        assert not closing.is_alive()
    assert not any(record.exc_info for record in caplog.records)
    assert logged_ids(connector) == ["e1"]


def test_a_port_in_use_is_one_clear_error(connector, url, tmp_path):
    """It names the address and what to set; the log is not held afterwards."""
    port = int(url.rpartition(":")[2])
    other = HttpConnector(tmp_path / "other", port=port, allow_anonymous=True)
    with pytest.raises(SourceError, match=f"cannot listen on 127.0.0.1:{port}: Address already"):
        other.listen()
    HttpConnector(tmp_path / "other", port=0, allow_anonymous=True).listen().close()


def test_a_log_has_one_receiver(connector, url):
    """A second one is refused, and the first goes on."""
    with pytest.raises(BusyError, match="another process receives into"):
        connector.listen()
    assert post(url, vote(1)).status_code == 202


@pytest.fixture
def hasty(tmp_path, monkeypatch):
    """A receiver with little patience: (connector, url)."""
    monkeypatch.setattr(GuardedProtocol, "message_seconds", 1.0)
    monkeypatch.setattr(GuardedProtocol, "head_seconds", 1.0)
    connector = HttpConnector(tmp_path / "log", port=0, allow_anonymous=True)
    receiver = HttpReceiver(
        connector.log,
        "127.0.0.1",
        0,
        Gatekeeper(),
        max_body_bytes=100_000,
        rate_limit="1000000/second",
        body_seconds=0.3,
    )
    yield connector, receiver.url
    receiver.close()


def test_slow_bodies_end_with_408(hasty):
    """The connection is closed, nothing is taken, and the others do not notice."""
    connector, url = hasty
    with connect(url) as slow:
        slow.sendall(head(1000) + b'{"generation_id": ')
        assert post(url, vote(1)).status_code == 202
        answer = read_to_end(slow)
    assert answer.startswith(b"HTTP/1.1 408 ")
    assert b"\r\nconnection: close\r\n" in answer
    assert b'{"error":"the body was not complete within 0.3 seconds' in answer
    assert logged_ids(connector) == ["e1"]


def test_requests_that_never_end_are_cut_off(hasty):
    """Whoever holds a connection without finishing a request loses it, answered already or not."""
    _, url = hasty
    beginnings = [b"", b"POST", head(1000)[:-2], head(1000, "Content-Encoding: gzip") + b"x"]
    connections = [connect(url) for _ in beginnings]
    for connection, beginning in zip(connections, beginnings, strict=True):
        connection.sendall(beginning)
    assert [read_to_end(connection)[:12] for connection in connections] == [
        b"",
        b"",
        b"",
        b"HTTP/1.1 415",
    ]
    for connection in connections:
        connection.close()


CHUNKED = head(0).replace(b"Content-Length: 0", b"Transfer-Encoding: chunked")


@pytest.mark.parametrize(
    ("start", "endless"),
    [(head(10)[:-2], b"X: " + b"x" * 1000 + b"\r\n"), (CHUNKED, b"1\r\n \r\n")],
    ids=["headers", "chunks"],
)
def test_what_is_not_body_cannot_fill_the_memory(url, start, endless):
    """Headers and the sizes of chunks end the connection when there are too many of them."""
    with connect(url) as connection:
        connection.sendall(start)
        with pytest.raises(ConnectionError):
            connection.sendall(endless * (50_000_000 // len(endless)))
    assert post(url, vote(1)).status_code == 202


def test_bodies_in_memory_are_limited(hasty, monkeypatch):
    """503 when too much is held at once, and 202 again when those who held it are gone."""
    connector, url = hasty
    monkeypatch.setattr(app, "_MAX_HELD_BYTES", 150_000)
    large = vote(1) | {"comment": "c" * 90_000}
    with connect(url) as slow:
        slow.sendall(head(99_999) + b"x" * 90_000)
        wait_until(lambda: post(url, large).status_code == 503)
        read_to_end(slow)
    assert post(url, large).status_code == 202
    assert logged_ids(connector)[-1] == "e1"


@pytest.mark.parametrize("limit", ["_MAX_CONNECTIONS", "_MAX_OF_ADDRESS"])
def test_who_says_nothing_makes_room(connector, url, monkeypatch, limit):
    """Of too many connections those go that were silent longest, and a neighbour is served."""
    monkeypatch.setattr(guarded, limit, 20)
    connections = [connect(url) for _ in range(30)]
    wait_until(lambda: len(select.select(connections, [], [], 0)[0]) >= 10)
    # Those that came at nearly the same moment may be taken for each other.
    assert not {*select.select(connections, [], [], 0)[0]} & {*connections[20:]}
    started = time.monotonic()
    assert post(url, vote(1)).status_code == 202
    assert time.monotonic() - started < 2
    assert select.select([connections[-1]], [], [], 0)[0] == []
    for connection in connections:
        connection.close()
    assert logged_ids(connector) == ["e1"]


def test_who_waits_for_the_server_is_not_dropped(connector, url, monkeypatch):
    """A request that is being answered stays while a hundred others come."""
    monkeypatch.setattr(guarded, "_MAX_CONNECTIONS", 5)
    append = SegmentWriter.append

    def slowly(*given):
        time.sleep(0.5)
        return append(*given)

    monkeypatch.setattr(SegmentWriter, "append", slowly)
    with ThreadPoolExecutor(1) as pool:
        asked = pool.submit(post, url, vote(1))
        time.sleep(0.2)
        connections = [connect(url) for _ in range(100)]
        assert asked.result().status_code == 202
        for connection in connections:
            connection.close()


def test_garbage_is_answered_and_closed(url):
    """Bytes that are no HTTP, and random ones, never reach the log or the neighbours."""
    rng = random.Random(0)
    for garbage in (b"\x16\x03\x01\x02", b"GET / HTTP/9.9\r\n\r\n", rng.randbytes(5000)):
        with connect(url) as connection:
            connection.sendall(garbage)
            connection.shutdown(socket.SHUT_WR)
            assert read_to_end(connection).startswith((b"HTTP/1.1 400 ", b""))
    assert post(url, vote(1)).status_code == 202


def test_a_client_that_hangs_up_is_forgotten(connector, url, caplog):
    """Half a body and gone: nothing is taken, nothing is logged but perhaps a line."""
    for _ in range(5):
        with connect(url) as connection:
            connection.sendall(head(1000) + b'{"generation_id": ')
    assert post(url, vote(1)).status_code == 202
    assert [event["event_id"] for event in events(connector)] == ["e1"]
    assert not any(record.exc_info for record in caplog.records)
