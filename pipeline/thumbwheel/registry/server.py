"""MLflow's web interface over a local database, for as long as someone looks at it."""

import os
import re
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from thumbwheel.errors import ConfigError, InputError, UnavailableError
from thumbwheel.registry.connection import SETTINGS, Connection, check_database

__all__ = ["Server", "serve"]

_HOST = "127.0.0.1"


@dataclass(frozen=True, slots=True)
class Server:
    """A running server: its address and its process."""

    url: str
    process: subprocess.Popen[bytes]

    def wait(self) -> None:
        """Return when the server has ended."""
        self.process.wait()


@contextmanager
def serve(
    tracking_uri: str, artifact_root: Path, port: int, timeout: float = 120
) -> Iterator[Server]:
    """Run `mlflow server` on a SQLite database while the block runs, on the loopback address.

    Args:
        tracking_uri: `sqlite:///PATH`, of a database that exists.
        artifact_root: Where the files of experiments that are made in the page go.
        port: The port to listen on.
        timeout: Seconds that the server may take to come up.

    Yields:
        The server, once it answers.

    Raises:
        ConfigError: There is no such database, or it cannot be opened.
        InputError: The port is taken.
        UnavailableError: The server ended or did not answer in time.
    """
    connection = Connection(tracking_uri)
    if connection.database is None or not connection.database.is_file():
        raise ConfigError(
            f"there is no MLflow database at {connection.shown} yet; "
            "run a cycle first, or open the address of your MLflow server"
        )
    check_database(connection.database)
    _check_port(port)
    url = f"http://{_HOST}:{port}"
    with tempfile.TemporaryFile() as output:
        process = _start(f"sqlite:///{connection.database}", artifact_root, port, output)
        try:
            _await_health(url, process, output, timeout)
            yield Server(url, process)
        finally:
            _stop(process)


def _check_port(port: int) -> None:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((_HOST, port))
        except (OSError, OverflowError) as error:
            raise InputError(
                f"port {port} cannot be opened on {_HOST}: {error}; choose another port"
            ) from error


def _start(uri: str, artifact_root: Path, port: int, output: IO[bytes]) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "mlflow", "server", "--host", _HOST, "--port", str(port)]
    # One worker: each takes 250 MB, and SQLite admits one writer at a time anyway.
    command += ["--workers", "1", "--backend-store-uri", uri]
    command += ["--artifacts-destination", str(artifact_root.absolute())]
    return subprocess.Popen(  # noqa: S603 - no shell, and every argument is ours
        command,
        stdin=subprocess.DEVNULL,
        stdout=output,
        stderr=subprocess.STDOUT,
        # The job runner serves MLflow's LLM judges and takes three more processes.
        env={**os.environ, **SETTINGS, "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"},
        # A group of its own, so that the worker it forks can be ended with it.
        start_new_session=True,
    )


def _await_health(
    url: str, process: subprocess.Popen[bytes], output: IO[bytes], timeout: float
) -> None:
    from urllib.request import urlopen

    deadline = time.monotonic() + timeout
    while process.poll() is None and time.monotonic() < deadline:
        try:
            with urlopen(f"{url}/health", timeout=5):  # noqa: S310 - http on the loopback address
                return
        except OSError:
            time.sleep(0.2)
    what = f"did not answer within {timeout:g} s" if process.poll() is None else "ended at once"
    raise UnavailableError(
        f"the MLflow server on port {url.rpartition(':')[2]} {what}; it said: {_last_words(output)}"
    )


def _last_words(output: IO[bytes]) -> str:
    output.seek(0)
    lines = [line.strip() for line in output.read().decode(errors="replace").splitlines()]
    said = [line for line in lines if line] or ["nothing"]
    errors = [line for line in said if re.search(r"(Error|Exception): ", line)]
    return (errors or said)[-1][:200]


def _stop(process: subprocess.Popen[bytes]) -> None:
    for number in (signal.SIGTERM, signal.SIGKILL):
        try:
            os.killpg(process.pid, number)
            process.wait(timeout=10)
        except ProcessLookupError:
            return
        except subprocess.TimeoutExpired:
            continue
