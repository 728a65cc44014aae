"""Who sends to the HTTP receiver in tests, over real sockets."""

import json
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import requests

from thumbwheel.types import Record
from thumbwheel_connectors.http.connector import HttpConnector

__all__ = [
    "JSON",
    "Flood",
    "answer",
    "connect",
    "events",
    "head",
    "logged_ids",
    "read",
    "read_to_end",
    "receiving_process",
    "vote",
]

JSON = {"Content-Type": "application/json"}

_PROCESS = """
import sys, threading
from pathlib import Path
from thumbwheel_connectors.http.connector import HttpConnector

receiver = HttpConnector(Path(sys.argv[1]), port=0, allow_anonymous=True).listen()
print(receiver.url, flush=True)
threading.Event().wait()
"""


def vote(number: int) -> dict[str, object]:
    return {"event_id": f"e{number}", "generation_id": f"g{number}", "score": 1}


def answer(number: int) -> dict[str, object]:
    return {"event_id": f"a{number}", "prompt": f"question {number}", "completion": "answer"}


def events(connector: HttpConnector) -> list[dict[str, Any]]:
    """Return what is in the log."""
    return [json.loads(record.raw) for record in read(connector)]


def logged_ids(connector: HttpConnector) -> list[str]:
    return [event["event_id"] for event in events(connector)]


def read(connector: HttpConnector) -> list[Record]:
    log = connector.open(None)
    records: list[Record] = []
    try:
        while (batch := log.poll(1000)) is not None:
            records += batch.records
    finally:
        log.close()
    return records


def connect(url: str) -> socket.socket:
    """Open a connection that can be used wrongly."""
    address = urlsplit(url)
    return socket.create_connection((address.hostname, address.port), timeout=20)


def head(length: int, *lines: str) -> bytes:
    """Return the head of a request for a body of `length` bytes."""
    start = ("POST /v1/feedback HTTP/1.1", "Host: localhost", "Content-Type: application/json")
    return "\r\n".join([*start, f"Content-Length: {length}", *lines, "", ""]).encode()


def read_to_end(connection: socket.socket) -> bytes:
    """Return what comes until the server ends the connection, politely or not."""
    pieces = []
    with suppress(ConnectionResetError):
        while piece := connection.recv(65536):
            pieces.append(piece)
    return b"".join(pieces)


@contextmanager
def receiving_process(log: Path) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """Receive in a process of its own; it is killed at the end."""
    process = subprocess.Popen(
        [sys.executable, "-c", _PROCESS, str(log)], stdout=subprocess.PIPE, text=True
    )
    try:
        assert process.stdout is not None
        yield process, process.stdout.readline().strip()
    finally:
        process.kill()
        process.communicate()


class Flood:
    """Several clients that send one event after the other until told to stop.

    Attributes:
        acknowledged: The ids answered with 202.
        sent: All ids, answered or not.
        statuses: Every status that came.
    """

    def __init__(self, url: str, clients: int = 8, prefix: str = "") -> None:
        self.acknowledged: list[str] = []
        self.sent: list[str] = []
        self.statuses: set[int] = set()
        self._url, self._prefix = url, prefix
        self._stop = threading.Event()
        self._threads = [
            threading.Thread(target=self._send, args=(client,)) for client in range(clients)
        ]
        for thread in self._threads:
            thread.start()

    def _send(self, client: int) -> None:
        number = 0
        with requests.Session() as session:
            while not self._stop.is_set():
                number += 1
                name = f"{self._prefix}{client}-{number}"
                self.sent.append(name)
                body = {"event_id": name, "generation_id": "g", "score": 1, "comment": "c" * 500}
                try:
                    response = session.post(f"{self._url}/v1/feedback", json=body, timeout=10)
                except (requests.ConnectionError, requests.exceptions.ChunkedEncodingError):
                    return
                self.statuses.add(response.status_code)
                if response.status_code == 202:
                    self.acknowledged.append(name)

    def stop(self) -> None:
        self._stop.set()
        self.join()

    def join(self) -> None:
        for thread in self._threads:
            thread.join()
