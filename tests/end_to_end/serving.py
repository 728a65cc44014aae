"""A running `thumbwheel serve`, for tests."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import requests

__all__ = ["Serving", "configuration", "launched", "serving", "source", "started", "wait_until"]

_START_SECONDS = 60.0
_PATIENCE_SECONDS = 60.0


@dataclass
class Serving:
    """The process, how to reach it, and what it wrote to stderr."""

    process: subprocess.Popen[str]
    url: str
    token: str
    log: Path

    def get(self, path: str, **options: Any) -> requests.Response:
        return self.request("GET", path, **options)

    def request(self, method: str, path: str, **options: Any) -> requests.Response:
        headers = {"Authorization": f"Bearer {self.token}"} | options.pop("headers", {})
        return requests.request(method, self.url + path, headers=headers, timeout=60, **options)

    def stored(self) -> int:
        """Return how many events are stored, parked votes included."""
        return sum(source["stored"] + source["parked"] for source in self.sources().values())

    def received(self, *sources: str) -> int:
        """Return how many records have been received, from these sources or from all."""
        return sum(
            counts["received"]
            for name, counts in self.sources().items()
            if not sources or name in sources
        )

    def sources(self) -> dict[str, dict[str, Any]]:
        """Return the balance of every source that was read, by its name."""
        return {counts["source"]: counts for counts in self.get("/v1/sources").json()}

    def state(self, source: str) -> dict[str, Any]:
        """Return how a source fares."""
        states = self.get("/v1/sources/states").json()
        (state,) = [state for state in states if state["source"] == source]
        return state

    def query(self, sql: str) -> list[Any]:
        """Return the first column of what a SELECT gives."""
        rows = self.request("POST", "/v1/query", json={"sql": sql}).content
        column: list[Any] = pa.ipc.open_stream(rows).read_all()[0].to_pylist()
        return column

    def stop(self) -> int:
        """Send SIGTERM and return the exit code."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(_PATIENCE_SECONDS)


def wait_until(condition: Callable[[], bool], seconds: float = _PATIENCE_SECONDS) -> None:
    """Wait for something that must come; fail when it does not."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.05)


def configuration(*sources: str, home: Path | str = "home") -> str:
    """Return a configuration that serves these sources on a free port."""
    head = f'project = "served"\nhome = "{home}"\nmodel.path = "model"\nserve.port = 0\n'
    return "".join([head, *sources, '[[plugins]]\nuse = "all_pairs"\n'])


def source(name: str, connector: str, batch_size: int = 10_000, **options: object) -> str:
    """Return a source of a configuration, whose ids mean the same as those of all others."""
    lines = [f"options.{key} = {json.dumps(value)}\n" for key, value in options.items()]
    named = f'[[sources]]\nname = "{name}"\nconnector = "{connector}"\n'
    return "".join([named, f'batch_size = {batch_size}\nids = "shared"\n', *lines])


@contextmanager
def launched(config: Path, home: Path, **environment: str) -> Iterator[subprocess.Popen[str]]:
    """Launch `thumbwheel serve`, and kill it at the end if it still runs."""
    (home / "serve.json").unlink(missing_ok=True)
    with _log(config).open("a") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", "thumbwheel", "serve", "--config", str(config)],
            env={**os.environ, "OMP_NUM_THREADS": "1", **environment},
            stdout=output,
            stderr=output,
            text=True,
        )
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def started(process: subprocess.Popen[str], config: Path, home: Path) -> Serving:
    """Wait until a launched process serves."""
    note, log = home / "serve.json", _log(config)
    deadline = time.monotonic() + _START_SECONDS
    while not note.exists():
        assert process.poll() is None, log.read_text()
        assert time.monotonic() < deadline, log.read_text()
        time.sleep(0.02)
    told = json.loads(note.read_text())
    return Serving(process, told["url"], told["token"], log)


@contextmanager
def serving(config: Path, home: Path, **environment: str) -> Iterator[Serving]:
    """Run `thumbwheel serve`, and kill it at the end if it still runs."""
    with launched(config, home, **environment) as process:
        yield started(process, config, home)


def _log(config: Path) -> Path:
    return config.parent / "serve.log"
