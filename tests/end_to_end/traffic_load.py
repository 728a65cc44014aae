"""Traffic for `thumbwheel serve` in tests, remembered event by event; and what the store holds."""

import http.client
import json
import random
import socket
import threading
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import duckdb
from brokers import Broker
from kafka import KafkaProducer
from serving import Serving, wait_until

__all__ = [
    "NO_LIMIT",
    "HttpTraffic",
    "KafkaTraffic",
    "SourceRows",
    "answer",
    "post",
    "read_store",
    "steady_port",
    "vote",
    "wait_for_load",
    "whole_lines",
]

NO_LIMIT = "1000000/second"
"""A receiver's rate limit that no test reaches."""

_RETRY_SECONDS = 0.05
_STEP = 50
_BATCH = 10


def steady_port() -> int:
    """Return a port that stays free while nobody listens on it.

    It is not one of those that the system gives to clients: a client that tries again and again to
    reach nobody on such a port is some day connected to itself, and the port is taken.
    """
    for port in random.SystemRandom().sample(range(10_000, 30_000), 100):
        with socket.socket() as listener:
            try:
                listener.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
    raise RuntimeError("no port is free")


def answer(number: int, **values: object) -> dict[str, object]:
    """Return an answer, a generation of its own."""
    return {
        "event_id": f"a{number}",
        "generation_id": f"g{number}",
        "prompt": f"question {number % 100}",
        "completion": f"answer {number}",
        "model_version": "1",
        **values,
    }


def vote(name: str, generation: int, **values: object) -> dict[str, object]:
    """Return a vote on the answer of that number."""
    return {
        "event_id": name,
        "generation_id": f"g{generation}",
        "rater_id": name,
        "score": 1 if len(name) % 2 else -1,
        **values,
    }


class KafkaTraffic:
    """Produces answers with a vote, a few of them twice, and poison between them.

    Attributes:
        log: By partition, what was produced, in the order of its offsets.
        event_ids: The ids of the events, each once.
        poison: What is no event.
    """

    def __init__(self, broker: Broker, topic: str, partitions: int, seed: int) -> None:
        broker.create_topic(topic, partitions)
        self.log: list[list[bytes]] = [[] for _ in range(partitions)]
        self.event_ids: list[str] = []
        self.poison: list[bytes] = []
        self._address, self._topic, self._random = broker.address, topic, random.Random(seed)
        self._producer = KafkaProducer(bootstrap_servers=broker.address)

    @property
    def produced(self) -> int:
        """How many records there are."""
        return sum(map(len, self.log))

    def produce(self, count: int) -> None:
        """Produce `count` new events and what comes with them; the broker has them then."""
        for number in range(len(self.event_ids), len(self.event_ids) + count):
            event = answer(number, score=1 if number % 2 else -1, rater_id=f"r{number % 50}")
            self.event_ids.append(f"a{number}")
            values = [json.dumps(event).encode()] * (2 if self._random.random() < 0.02 else 1)
            if self._random.random() < 0.01:
                values.append(b"\xffpoison %d" % number)
                self.poison.append(values[-1])
            for value in values:
                partition = self._random.randrange(len(self.log))
                self.log[partition].append(value)
                self._producer.send(self._topic, value, partition=partition)
        self._producer.flush()

    @contextmanager
    def flowing(self, pause: float) -> Iterator[None]:
        """Produce a few events after each pause, in seconds, while the block runs."""
        ended = threading.Event()

        def flow() -> None:
            while not ended.wait(pause):
                self.produce(_STEP)

        thread = threading.Thread(target=flow)
        thread.start()
        try:
            yield
        finally:
            ended.set()
            thread.join()

    def close(self) -> None:
        """Disconnect."""
        self._producer.close()

    def reconnect(self) -> None:
        """Go on with a broker that was started anew."""
        self._producer = KafkaProducer(bootstrap_servers=self._address)


class HttpTraffic:
    """Senders that each send one request after the other: single votes, and now and then a batch.

    What was not answered with 202 is sent again, unchanged, until it is.

    Args:
        port: Where the receiver listens, when it does.
        n_senders: How many there are.
        n_generations: The votes are on answers of numbers below this.
        prefix: What the ids begin with.
        pause: Seconds between two requests of a sender.

    Attributes:
        sent: The ids of all votes, answered or not.
        acknowledged: The ids answered with 202.
        refused: What else was answered than 202 and "send it again".
    """

    def __init__(
        self,
        port: int,
        *,
        n_senders: int,
        n_generations: int,
        prefix: str = "",
        pause: float = 0.0,
    ) -> None:
        self.sent: list[str] = []
        self.acknowledged: list[str] = []
        self.refused: list[tuple[int, bytes]] = []
        self._port, self._n_generations, self._pause = port, n_generations, pause
        self._stop, self._finish = threading.Event(), threading.Event()
        self._threads = [
            threading.Thread(target=self._send, args=(f"{prefix}s{number}",))
            for number in range(n_senders)
        ]
        for thread in self._threads:
            thread.start()

    def finish(self) -> None:
        """Send nothing new, and wait until all that was sent is acknowledged."""
        self._finish.set()
        self._join()

    def close(self) -> None:
        """Send nothing more, not even what was not answered."""
        self._stop.set()
        self._join()

    def _join(self) -> None:
        for thread in self._threads:
            thread.join()

    def _send(self, sender: str) -> None:
        chance = random.Random(sender)
        number = 0
        connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=30)
        with closing(connection):
            while not (self._stop.is_set() or self._finish.wait(self._pause)):
                count = _BATCH if chance.random() < 0.2 else 1
                names = [f"{sender}-{number + index}" for index in range(count)]
                number += count
                votes = [vote(name, chance.randrange(self._n_generations)) for name in names]
                self.sent += names
                body = json.dumps(votes if count > 1 else votes[0])
                while not self._is_acknowledged(connection, body):
                    if self._stop.wait(_RETRY_SECONDS):
                        return
                self.acknowledged += names

    def _is_acknowledged(self, connection: http.client.HTTPConnection, body: str) -> bool:
        try:
            connection.request("POST", "/v1/feedback", body, {"Content-Type": "application/json"})
            response = connection.getresponse()
            said = response.read()
        except (OSError, http.client.HTTPException):
            connection.close()
            return False
        if response.status not in (202, 429, 503):
            self.refused.append((response.status, said))
        return response.status == 202


def wait_for_load(owner: Serving, app: HttpTraffic, source: str, received: int) -> None:
    """Wait until more is acknowledged by HTTP than now, and more is received from a source."""
    acknowledged = len(app.acknowledged)
    wait_until(lambda: len(app.acknowledged) > acknowledged and owner.received(source) > received)


def post(port: int, body: object, route: str = "feedback") -> int:
    """Send one request, and return the status it is answered with."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    with closing(connection):
        content = body if isinstance(body, bytes) else json.dumps(body)
        connection.request("POST", f"/v1/{route}", content, {"Content-Type": "application/json"})
        return connection.getresponse().status


@dataclass(frozen=True)
class SourceRows:
    """What the store's file holds of one source: its rows, and what it says of them."""

    event_ids: Sequence[str]
    dead_letters: Sequence[bytes]
    cursor: dict[str, Any]
    received: int
    duplicates: int


def read_store(path: Path) -> dict[str, SourceRows]:
    """Read a store that nobody holds, as it was left, and check that it balances.

    received = stored + duplicates + dead letters + dropped + expired holds for every source, the
    rows are as many as the counters say, and no event and no dead letter is there twice.
    """
    if not path.exists():
        return {}
    found = {}
    # Read-only, so that the write-ahead log stays for the one who has to recover from it.
    with closing(duckdb.connect(str(path), read_only=True)) as connection:

        def column(query: str, *values: object) -> list[Any]:
            return [value for (value,) in connection.execute(query, list(values)).fetchall()]

        rows = connection.execute(
            "SELECT source, cursor, received, stored, duplicates, dead_letters, dropped, expired "
            "FROM sources"
        ).fetchall()
        assert set(column("SELECT DISTINCT source FROM events")) <= {row[0] for row in rows}
        for source, cursor, received, stored, duplicates, dead_letters, dropped, expired in rows:
            ids = column("SELECT event_id FROM events WHERE source = ?", source)
            letters = column("SELECT raw FROM dead_letters WHERE source = ?", source)
            positions = column("SELECT position FROM dead_letters WHERE source = ?", source)
            assert (stored, dead_letters) == (len(ids), len(letters))
            assert received == stored + duplicates + dead_letters + dropped + expired
            assert len(set(ids)) == len(ids)
            assert len(set(positions)) == len(positions)
            found[source] = SourceRows(
                ids, [bytes(raw) for raw in letters], json.loads(cursor), received, duplicates
            )
    return found


def whole_lines(log: Path, cursor: dict[str, int] | None = None) -> int:
    """Count the events in a receiver's log, as far as a cursor has come or all of them."""
    count = 0
    for segment in sorted(log.glob("*.jsonl")):
        content = segment.read_bytes()
        if cursor is not None and int(segment.stem) >= cursor["segment"]:
            return count + content[: cursor["offset"]].count(b"\n")
        count += content.count(b"\n")
    return count
