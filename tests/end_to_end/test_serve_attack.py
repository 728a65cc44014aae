"""Who opens connections and finishes nothing keeps nobody out of `thumbwheel serve`."""

import json
import resource
import socket
import threading
import time
from contextlib import suppress
from urllib.parse import urlsplit

import pytest
import requests
from serving import configuration, launched, source, started, wait_until

ATTACKERS = 1100
FILES = 1024

VOTE = {"generation_id": "g", "score": 1}


@pytest.fixture
def many_files():
    """The attackers are in this process: it needs a file for each."""
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(before[0], min(before[1], 8192)), before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, before)


class Attack:
    """Connections that say only so much; those that are closed are opened again."""

    def __init__(self, url: str, words: bytes) -> None:
        address = urlsplit(url)
        self._address = (address.hostname, address.port)
        self._words, self._stop = words, threading.Event()
        self._connections: list[socket.socket] = []
        self._open()
        self._thread = threading.Thread(target=self._keep_on)
        self._thread.start()

    def _open(self) -> None:
        while len(self._connections) < ATTACKERS and not self._stop.is_set():
            with suppress(OSError):
                connection = socket.create_connection(self._address, timeout=0.05)
                self._connections.append(connection)
                connection.sendall(self._words)

    def _keep_on(self) -> None:
        while not self._stop.wait(0.2):
            for connection in list(self._connections):
                connection.setblocking(False)
                try:
                    closed = connection.recv(1) == b""
                except BlockingIOError:
                    closed = False
                except OSError:
                    closed = True
                if closed:
                    connection.close()
                    self._connections.remove(connection)
            self._open()

    def end(self) -> None:
        self._stop.set()
        self._thread.join()
        for connection in self._connections:
            connection.close()


@pytest.mark.usefixtures("many_files")
def test_a_neighbour_is_served_within_two_seconds(tmp_path):
    """Half-sent requests and silent connections to both doors, with no more files than usual."""
    web = source("web", "http", log="received", port=0, allow_anonymous=True)
    lines = source("export", "file", path="events/*.jsonl")
    (tmp_path / "thumbwheel.toml").write_text(configuration(web, lines))
    (tmp_path / "events").mkdir()
    (tmp_path / "events" / "first.jsonl").touch()
    config, home = tmp_path / "thumbwheel.toml", tmp_path / "home"
    with launched(config, home) as process:
        owner = started(process, config, home)
        resource.prlimit(process.pid, resource.RLIMIT_NOFILE, (FILES, FILES))
        told = map(json.loads, owner.log.read_text().splitlines())
        url = next(line["url"] for line in told if line["event"] == "receiving")
        half = b"POST /v1/query HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9\r\nX"
        attacks = [Attack(owner.url, half), Attack(url, b"")]
        try:
            slowest = 0.0
            for number in range(10):
                for ask in (
                    lambda: requests.get(f"{owner.url}/livez", timeout=5),
                    lambda: owner.get("/v1/sources"),
                    lambda: requests.post(f"{url}/v1/feedback", json=VOTE, timeout=5),
                ):
                    begun = time.monotonic()
                    assert ask().ok
                    slowest = max(slowest, time.monotonic() - begun)
                line = json.dumps({"prompt": f"q {number}", "completion": "a", "score": 1})
                (tmp_path / "events" / f"{number}.jsonl").write_text(line + "\n")
                time.sleep(0.1)
            wait_until(lambda: owner.received("export") == 10, 10)
            assert slowest < 2
        finally:
            for attack in attacks:
                attack.end()
        wait_until(lambda: owner.received("web") == 10, 10)
        assert owner.stop() == 0
        assert "Too many open files" not in owner.log.read_text()
