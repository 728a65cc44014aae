"""Settings of every test, what wings share, and which tests `make quick` leaves out."""

import os
import signal
from pathlib import Path

import pytest
from hypothesis import settings

# As the command line sets it: torch's threads block instead of spinning while they wait.
# This must stand before torch is imported.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

# Nothing is fetched, and no library counts its users; huggingface_hub reads it when imported.
os.environ.setdefault("HF_HUB_OFFLINE", "1")

# A shell makes what it starts in the background deaf to Ctrl-C, and the processes of tests with it.
signal.signal(signal.SIGINT, signal.default_int_handler)

# Other tests run beside, so time says nothing about a test.
settings.register_profile("shared machine", deadline=None)
settings.load_profile("shared machine")

# Whoever asks for one of these waits for a broker, a server, processes or a model.
SLOW_FIXTURES = {
    "broker",
    "followed",
    "fresh_database",
    "load",
    "own_broker",
    "running",
    "tiny_model",
    "tracking",
}
# Here, even a test that asks for none of them does.
SLOW_FOLDERS = {"end_to_end", "forgetting", "http", "kafka", "registry", "training"}


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark what is slow by its fixtures and its folder, so that nobody has to remember it."""
    for item in items:
        fixtures = set(getattr(item, "fixturenames", ()))
        folders = set(item.nodeid.partition("::")[0].split("/"))
        if fixtures & SLOW_FIXTURES or folders & SLOW_FOLDERS:
            item.add_marker("slow")


@pytest.fixture(scope="session")
def tiny_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny base model for whoever only reads it; who changes one makes a copy."""
    from tiny import build_tiny_model

    return build_tiny_model(tmp_path_factory.mktemp("models") / "tiny")


@pytest.fixture(scope="session")
def fresh_database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An MLflow database without content: making one takes seconds, copying it none."""
    from candidates import a_registry, open_client

    folder = tmp_path_factory.mktemp("fresh")
    open_client(a_registry(folder))
    return folder / "mlflow.db"
