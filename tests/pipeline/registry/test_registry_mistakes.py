"""What can be wrong with MLflow or an adapter: one clear error each."""

import socket
import sqlite3
import subprocess
import sys
import threading
import time
from contextlib import closing
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest
from candidates import PROJECT, a_candidate, a_registry, free_port, open_client

from thumbwheel.errors import (
    ConfigError,
    InputError,
    ModelError,
    UnavailableError,
)
from thumbwheel.registry import serve


@pytest.mark.parametrize(
    ("uri", "message"),
    [
        ("mlruns", "'mlruns' is not supported"),
        ("file:///tmp/mlruns", "file://… is not supported"),
        ("sqlite://", "sqlite://… is not supported"),
        ("postgresql://me:secret@host/db", "postgresql://… is not supported"),
    ],
)
def test_a_wrong_uri_is_refused(tmp_path: Path, uri: str, message: str) -> None:
    """Only SQLite and HTTP are spoken, and a password never reaches the message."""
    with pytest.raises(ConfigError, match=message) as caught:
        a_registry(tmp_path, uri)
    assert "secret" not in str(caught.value)


def test_a_server_that_is_down_is_unavailable(tmp_path: Path) -> None:
    """A refused connection ends after a few retries, and the password stays out of the message."""
    registry = a_registry(tmp_path, f"http://me:secret@127.0.0.1:{free_port()}/mlflow")
    with pytest.raises(
        UnavailableError, match=r"MLflow at http://127\.0\.0\.1:\d+/mlflow"
    ) as caught:
        registry.champion_version()
    assert "secret" not in str(caught.value)
    assert "\n" not in str(caught.value)


class _Answer(BaseHTTPRequestHandler):
    """A web server that is no MLflow: the path's first part is the status it answers."""

    def do_GET(self) -> None:
        self.send_response(int(self.path.split("/")[1]))
        self.send_header("Content-Length", "2")
        self.end_headers()
        self.wfile.write(b"hi")

    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.mark.parametrize(
    ("status", "message"),
    [
        (200, "not as an MLflow server"),
        (404, "not as an MLflow server"),
        (401, "refused access; set MLFLOW_TRACKING_USERNAME"),
        (403, "refused access; set MLFLOW_TRACKING_USERNAME"),
    ],
)
def test_another_service_at_the_address_is_named(tmp_path: Path, status: int, message: str) -> None:
    """What answers but is no MLflow, or wants a login, is a configuration error."""
    with HTTPServer(("127.0.0.1", 0), _Answer) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        registry = a_registry(tmp_path, f"http://127.0.0.1:{server.server_port}/{status}")
        with pytest.raises(ConfigError, match=message):
            registry.champion_version()
        with pytest.raises((ConfigError, UnavailableError), match="MLflow at"):
            registry.champion_at_a_glance()
        server.shutdown()


def test_a_silent_server_holds_a_glance_for_seconds(tmp_path: Path) -> None:
    """What takes a connection and says nothing is given up soon, and MLflow is not imported."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        started = time.monotonic()
        with pytest.raises(UnavailableError, match="does not answer"):
            a_registry(
                tmp_path, f"http://127.0.0.1:{server.getsockname()[1]}"
            ).champion_at_a_glance()
        assert time.monotonic() - started < 10


def test_an_unreadable_database_is_a_configuration_error(home: Path) -> None:
    """A file that is no database, or cannot be one, is told at once and in one line."""
    (home / "text.db").write_text("not a database" * 100)
    for path, message in [
        (home / "text.db", "file is not a database"),
        (home, "unable to open database file"),
        (home / "text.db" / "mlflow.db", "File exists"),
    ]:
        registry = a_registry(home, f"sqlite:///{path}")
        with pytest.raises(ConfigError, match=message) as caught:
            registry.register(a_candidate(home, "c1"))
        assert "\n" not in str(caught.value)


def come_from_the_future(database: Path) -> None:
    with closing(sqlite3.connect(database)) as connection, connection:
        connection.execute("UPDATE alembic_version SET version_num = 'from_the_future'")


def test_a_database_of_another_mlflow_is_named(home: Path) -> None:
    """A schema that this MLflow does not know asks for an upgrade."""
    come_from_the_future(home / "mlflow.db")
    with pytest.raises(ConfigError, match=r"made by another MLflow; .*mlflow db upgrade"):
        a_registry(home).champion_version()


def test_a_deleted_experiment_is_named(home: Path) -> None:
    """MLflow keeps the name of a deleted experiment; the message says how to get it back."""
    registry = a_registry(home)
    client = open_client(registry)
    client.delete_experiment(client.create_experiment(PROJECT))
    with pytest.raises(ConfigError, match="mlflow experiments restore --experiment-id"):
        registry.register(a_candidate(home, "c1"))


def test_an_incomplete_adapter_is_refused(home: Path) -> None:
    """Without its safetensors file an adapter is not registered."""
    candidate = a_candidate(home, "c1")
    (candidate.adapter / "adapter_model.safetensors").unlink()
    with pytest.raises(ModelError, match=r"no readable adapter_model\.safetensors"):
        a_registry(home).register(candidate)


def test_serve_says_what_is_wrong(home: Path) -> None:
    """A missing database, a taken port and a server that cannot start each get their line."""
    with (
        pytest.raises(ConfigError, match="there is no MLflow database"),
        serve(f"sqlite:///{home / 'absent.db'}", home, free_port()),
    ):
        pass
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        with (
            pytest.raises(InputError, match=r"cannot be opened on 127\.0\.0\.1"),
            serve(f"sqlite:///{home / 'mlflow.db'}", home, taken.getsockname()[1]),
        ):
            pass
    (home / "text.db").write_text("not a database" * 100)
    with (
        pytest.raises(ConfigError, match="file is not a database"),
        serve(f"sqlite:///{home / 'text.db'}", home, free_port()),
    ):
        pass
    come_from_the_future(home / "mlflow.db")
    with (
        pytest.raises(UnavailableError, match=r"ended at once; it said: .*from_the_future"),
        serve(f"sqlite:///{home / 'mlflow.db'}", home, free_port()),
    ):
        pass


def test_mlflow_is_silent_and_comes_late(home: Path) -> None:
    """Importing the room does not import MLflow, and making a database prints nothing."""
    code = """
import sys
from pathlib import Path
from thumbwheel.registry import Registry
assert "mlflow" not in sys.modules and "sqlalchemy" not in sys.modules
folder = Path(sys.argv[1])
registry = Registry(f"sqlite:///{folder}/new.db", "p", None, folder)
assert registry.champion_version() is None
assert not (folder / "new.db").exists() and "mlflow" not in sys.modules
sys.path.insert(0, sys.argv[2])
from candidates import a_candidate
registry.register(a_candidate(folder, "c1"))
"""
    done = subprocess.run(
        [sys.executable, "-c", code, home, Path(__file__).parents[1]],
        capture_output=True,
        text=True,
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
