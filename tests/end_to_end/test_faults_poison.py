"""Poison over all sources at once: dead letters or 4xx, and the neighbours are stored all the same.

The memory of `thumbwheel serve` and of the processes that parse for it stays below MOST_MEMORY.
"""

import gzip
import http.client
import json
import threading
from collections import Counter
from contextlib import ExitStack, closing, suppress
from pathlib import Path

import psutil
import pytest
from brokers import tansu
from http_senders import connect, head, read_to_end
from serving import configuration, serving, source, wait_until
from traffic_load import HttpTraffic, KafkaTraffic, answer, post, read_store, steady_port, vote

MIB = 1 << 20
MOST_MEMORY = 1000 * MIB
TIMES = 5
SLOW_CLIENTS = 10
GOOD_LINES = 500
GENERATIONS = 100
BATCH_SIZE = 1000

POISON = {
    "bad UTF-8": b'{"event_id": "p", "generation_id": "g", "score": 1, "comment": "\xff\xfe"}',
    "deep list": b"[" * 10_000 + b"]" * 10_000,
    "deep metadata": b'{"generation_id": "g", "score": 1, "metadata": '
    + b'{"a":' * 10_000
    + b"1"
    + b"}" * 10_001,
    "NaN": b'{"event_id": "p", "generation_id": "g", "score": NaN}',
    "huge score": b'{"event_id": "p", "generation_id": "g", "score": 1' + b"0" * 5000 + b"}",
    "huge time": b'{"generation_id": "g", "score": 1, "occurred_at": 1' + b"0" * 5000 + b"}",
    "NUL": b"\x00" * 100,
    "NUL behind": b'{"event_id": "p", "generation_id": "g", "score": 1}\x00',
    "lone surrogate": b'{"event_id": "p", "generation_id": "g", "score": 1, "comment": "\\ud800"}',
}
LARGE = b'{"generation_id": "g", "score": 1, "comment": "' + b"x" * 20 * MIB + b'"}'
NUL_IN_TEXT = "a \x00 in a text is a character like any other"


def peak_memory(process: psutil.Process) -> int:
    """Return the most bytes a process has held at once."""
    status = Path(f"/proc/{process.pid}/status").read_text()
    return int(status.partition("VmHWM:")[2].split()[0]) * 1024


def write_files(folder: Path) -> tuple[list[str], list[bytes]]:
    """Write lines, poison among them, and a bomb; return the good events' ids and the poison."""
    poison = list(POISON.values()) * TIMES
    good = [f"f{number}" for number in range(GOOD_LINES)]
    lines = [json.dumps(vote(name, 0)).encode() for name in good]
    between = len(lines) // len(poison)
    for index, raw in enumerate(poison):
        lines.insert(index * (between + 1), raw)
    lines.insert(len(lines) // 2, LARGE)
    folder.mkdir()
    (folder / "lines.jsonl").write_bytes(b"\n".join(lines) + b"\n")
    before, behind = (json.dumps(vote(name, 0)).encode() for name in ("before", "behind"))
    zeros = gzip.compress(b"0" * MIB) * 200
    bomb = gzip.compress(before + b"\n") + zeros + gzip.compress(b"\n" + behind + b"\n")
    (folder / "bomb.jsonl.gz").write_bytes(bomb)
    return [*good, "before", "behind"], poison


def send_poison(port: int) -> Counter[int]:
    """Send all poison by HTTP; return how often each status was answered."""
    statuses = Counter(post(port, raw) for raw in [*POISON.values(), b""] * TIMES)
    for _ in range(TIMES):
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
        with closing(connection):
            bomb = gzip.compress(b"0" * MIB) * 20
            packed = {"Content-Type": "application/json", "Content-Encoding": "gzip"}
            connection.request("POST", "/v1/feedback", bomb, packed)
            statuses[connection.getresponse().status] += 1
        statuses[_status_of_large(port, head(len(LARGE)), LARGE)] += 1
        chunked = head(0).replace(b"Content-Length: 0", b"Transfer-Encoding: chunked")
        body = b"%x\r\n%s\r\n0\r\n\r\n" % (len(LARGE), LARGE)
        statuses[_status_of_large(port, chunked, body)] += 1
    return statuses


def _status_of_large(port: int, start: bytes, body: bytes) -> int:
    """Send what is refused before it has been read, and read the answer meanwhile."""
    with connect(f"http://127.0.0.1:{port}") as connection:
        connection.sendall(start)

        def send() -> None:
            with suppress(OSError):
                connection.sendall(body)

        sending = threading.Thread(target=send)
        sending.start()
        try:
            return int(connection.recv(12).split()[1])
        finally:
            connection.close()
            sending.join()


class SlowClients:
    """Clients that send a byte of a body now and then, and never all of it."""

    def __init__(self, port: int, stack: ExitStack) -> None:
        url = f"http://127.0.0.1:{port}"
        self._connections = [stack.enter_context(connect(url)) for _ in range(SLOW_CLIENTS)]
        for connection in self._connections:
            connection.sendall(head(1000))
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._trickle)
        self._thread.start()
        stack.callback(self._thread.join)
        stack.callback(self._ended.set)

    def _trickle(self) -> None:
        while not self._ended.wait(0.5):
            for connection in self._connections:
                with suppress(OSError):
                    connection.sendall(b" ")

    def answers(self) -> list[bytes]:
        """Wait until all have been turned away; return the first line of what each was told."""
        return [read_to_end(connection)[:12] for connection in self._connections]


@pytest.fixture
def broker(tmp_path):
    """A broker that takes messages of 20 MiB."""
    with tansu(tmp_path) as running:
        yield running


def test_poison_harms_no_neighbour(tmp_path, broker):
    """Every poison is a dead letter or a 4xx, every good event is stored, memory is bounded."""
    port = steady_port()
    config, store = tmp_path / "thumbwheel.toml", tmp_path / "home" / "store.duckdb"
    thumbs = source("topic", "kafka", BATCH_SIZE, topics="thumbs", bootstrap_servers=broker.address)
    received = source("app", "http", log="received", port=port, allow_anonymous=True)
    config.write_text(configuration(thumbs, received, source("files", "file", path="events")))
    topic = KafkaTraffic(broker, "thumbs", partitions=2, seed=1)
    topic.produce(2 * BATCH_SIZE)
    in_files, poison_in_files = write_files(tmp_path / "events")
    with serving(config, tmp_path / "home") as owner, ExitStack() as stack:
        app = HttpTraffic(port, n_senders=2, n_generations=GENERATIONS, pause=0.01)
        stack.callback(app.close)
        slow = SlowClients(port, stack)
        with topic.flowing(0.05):
            poison = [*POISON.values(), None] * TIMES
            broker.produce("thumbs", poison)
            broker.produce("thumbs", [LARGE] * 2, partition=1, max_request_size=64 * MIB)
            nul = answer(-1, completion=NUL_IN_TEXT)
            broker.produce("thumbs", [json.dumps(nul).encode()])
            statuses = send_poison(port)
            assert slow.answers() == [b"HTTP/1.1 408"] * SLOW_CLIENTS
        topic.close()
        app.finish()
        n_topic = topic.produced + len(poison) + 2 + 1
        n_files = len(in_files) + len(poison_in_files) + 2
        wait_until(
            lambda: (
                owner.received("topic") == n_topic
                and owner.received("app") == len(app.acknowledged)
                and owner.received("files") == n_files
            )
        )
        states = owner.get("/v1/sources/states").json()
        assert {state["error"] for state in states} == {None}
        serve = psutil.Process(owner.process.pid)
        peaks = [peak_memory(process) for process in (serve, *serve.children(recursive=True))]
        assert sum(peaks) < MOST_MEMORY
        sql = "SELECT completion FROM events WHERE event_id = 'a-1'"
        assert owner.query(sql) == [NUL_IN_TEXT]
        assert owner.stop() == 0

    assert app.refused == []
    refused = {400: (len(POISON) + 1) * TIMES, 413: 2 * TIMES, 415: TIMES}
    assert statuses == Counter(refused)
    rows = read_store(store)
    assert sorted(rows["topic"].event_ids) == sorted([*topic.event_ids, "a-1"])
    expected = [*topic.poison, *(raw or b"" for raw in poison), LARGE, LARGE]
    assert Counter(rows["topic"].dead_letters) == Counter(expected)
    assert sorted(rows["app"].event_ids) == sorted(app.acknowledged)
    assert rows["app"].dead_letters == []
    assert sorted(rows["files"].event_ids) == sorted(in_files)
    cut = [raw for raw in rows["files"].dead_letters if len(raw) > 4 * MIB]
    assert sorted(raw[:20] for raw in cut) == [b"0" * 20, LARGE[:20]]
    whole = [raw for raw in rows["files"].dead_letters if len(raw) <= 4 * MIB]
    assert Counter(whole) == Counter(poison_in_files)
