"""Fixtures of the connector tests."""

import gc
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from brokers import FORGOTTEN_SOCKETS, Broker, noida

from thumbwheel.types import EventLog, Record
from thumbwheel_connectors.kafka.connector import KafkaConnector

pytest.register_assert_rewrite("thumbwheel.conformance")


@pytest.fixture(scope="session")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Broker]:
    """A real broker; tests share it and use topics of their own."""
    with noida(tmp_path_factory.mktemp("broker")) as running:
        yield running


@pytest.fixture
def own_broker(tmp_path: Path) -> Iterator[Broker]:
    """A real broker for one test, which may stop it."""
    with noida(tmp_path) as running:
        yield running


@pytest.fixture
def topic(request: pytest.FixtureRequest) -> str:
    """A topic name of its own for each test; the test creates it."""
    return request.node.name.replace("[", "-").replace("]", "")


@pytest.fixture
def connect(broker: Broker, topic: str) -> Callable[..., KafkaConnector]:
    """Make a connector for the test's topic on the shared broker; options may be given."""

    def make(**options: object) -> KafkaConnector:
        address = {"topics": topic, "bootstrap_servers": broker.address, "timeout_seconds": 3}
        return KafkaConnector(**(address | options))

    return make


@pytest.fixture(autouse=True)
def _forgotten_sockets(request: pytest.FixtureRequest) -> Iterator[None]:
    """Let sockets that kafka-python forgot be collected here, not in another test."""
    yield
    marks = request.node.iter_markers("filterwarnings")
    if any(FORGOTTEN_SOCKETS in mark.args for mark in marks):
        gc.collect()


Drain = Callable[..., tuple[list[Record], str | None]]


@pytest.fixture
def drain() -> Drain:
    """Read a log until it is caught up: (records, the last cursor)."""

    def read(
        log: EventLog, max_records: int = 1000, *, close: bool = True
    ) -> tuple[list[Record], str | None]:
        records: list[Record] = []
        cursor = None
        try:
            while (batch := log.poll(max_records)) is not None:
                assert 0 < len(batch.records) <= max_records
                assert 0.0 <= batch.progress <= 1.0
                records += batch.records
                cursor = batch.cursor
                log.acknowledge(cursor)
        finally:
            if close:
                log.close()
        return records, cursor

    return read
