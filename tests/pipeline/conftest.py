"""What several tests of the engine share."""

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from chat_server import ChatServer


@pytest.fixture(scope="module")
def one_thread() -> Iterator[None]:
    """A model this small gains nothing from threads, and waits for them on a busy machine."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def home(tmp_path: Path, fresh_database: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home with an empty MLflow database; the working directory is elsewhere and empty."""
    home = tmp_path / "home of a project"
    home.mkdir()
    shutil.copy(fresh_database, home / "mlflow.db")
    (tmp_path / "cwd").mkdir()
    monkeypatch.chdir(tmp_path / "cwd")
    return home


@pytest.fixture(scope="module")
def running(tiny_model: Path) -> "Iterator[ChatServer]":
    """An endpoint with the tiny model behind it; take `server` in a test."""
    from chat_server import serving

    with serving(tiny_model) as server:
        yield server


@pytest.fixture
def server(running: "ChatServer", monkeypatch: pytest.MonkeyPatch) -> "ChatServer":
    """The endpoint, well-behaved, with its key set and short pauses between tries."""
    from chat_server import KEY

    from thumbwheel.endpoint import transport

    running.reset()
    monkeypatch.setenv("TINY_KEY", KEY)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setattr(transport, "_BACKOFF_SECONDS", 0.01)
    return running
