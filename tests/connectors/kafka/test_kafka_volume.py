"""The Kafka connector under volume: lag, limits of memory, large and compressed messages."""

import time
from contextlib import closing
from dataclasses import replace

import pytest
from brokers import FORGOTTEN_SOCKETS, free_port, front, tansu, values

from thumbwheel.types import Lag
from thumbwheel_connectors.kafka import connector as kafka_module
from thumbwheel_connectors.kafka.connector import KafkaConnector

MIB = 1 << 20

pytestmark = pytest.mark.filterwarnings(FORGOTTEN_SOCKETS)


@pytest.fixture(scope="module")
def limiting_broker(tmp_path_factory):
    """A broker that heeds fetch limits and takes messages of 20 MiB."""
    with tansu(tmp_path_factory.mktemp("tansu")) as running:
        yield running


@pytest.fixture
def small_fetches(monkeypatch):
    """Fetches of 2 MiB, less than the broker would send by itself."""
    monkeypatch.setattr(kafka_module, "_FETCH_BYTES", 2 * MIB)


@pytest.fixture
def connect_limiting(limiting_broker, topic):
    return KafkaConnector(topics=topic, bootstrap_servers=limiting_broker.address)


def test_lag_is_what_is_left(broker, topic, connect):
    """Records left of all partitions, and how old the last ones are that were read."""
    broker.create_topic(topic, partitions=2)
    begin = time.time()
    broker.produce(topic, values(0, 30), 0)
    broker.produce(topic, values(30, 50), 1)
    log = connect().open(None)
    lags = []
    while (batch := log.poll(15)) is not None:
        lags.append(batch.lag)
    ages = [lag.seconds for lag in lags[:-1]]
    log.close()
    assert [lag.records for lag in lags] == sorted((lag.records for lag in lags), reverse=True)
    assert lags[0].records == 35
    assert lags[-1] == Lag(0, 0.0)
    assert all(0.0 <= age <= time.time() - begin for age in ages)


def test_lag_counts_what_came_since_the_round_began(broker, topic, connect):
    """A fetch tells how far the topic has grown, and so does the lag."""
    broker.create_topic(topic)
    broker.produce(topic, values(0, 10))
    log = connect().open(None)
    broker.produce(topic, values(10, 40))
    assert log.poll(10).lag.records == 30
    log.close()


def test_markers_of_transactions_are_no_lag(broker, topic, connect):
    """Behind the last record of a transaction nothing is left, though its marker has an offset."""
    broker.create_topic(topic)
    with broker.transaction(topic, values(0, 5), commit=True):
        pass
    log = connect().open(None)
    assert log.poll(10).lag == Lag(0, 0.0)
    log.close()


@pytest.mark.usefixtures("small_fetches")
def test_a_fetch_is_bounded(limiting_broker, topic, connect_limiting):
    """However many records are asked for, they come a few MiB at a time."""
    limiting_broker.create_topic(topic)
    limiting_broker.produce(topic, [bytes(MIB // 4)] * 80)
    log = connect_limiting.open(None)
    sizes = []
    while (batch := log.poll(1_000_000)) is not None:
        sizes.append(sum(len(record.raw) for record in batch.records))
    log.close()
    assert sum(sizes) == 20 * MIB
    assert max(sizes) <= 2 * MIB


@pytest.mark.usefixtures("small_fetches")
def test_what_a_fetch_leaves_is_no_batch_of_its_own(limiting_broker, topic, connect_limiting):
    """The rest of one fetch and the beginning of the next are one batch, and one commit."""
    limiting_broker.create_topic(topic)
    limiting_broker.produce(topic, [bytes(1024)] * 6000)
    with closing(connect_limiting.open(None)) as log:
        sizes = [len(batch.records) for batch in iter(lambda: log.poll(1500), None)]
    assert sum(sizes) == 6000
    assert min(sizes[:-1]) >= 750
    assert max(sizes) <= 1500


@pytest.mark.usefixtures("small_fetches")
def test_nothing_is_fetched_ahead_without_bound(tmp_path):
    """While nobody polls, no more than one fetch comes in: back-pressure needs no pausing."""
    port = free_port()
    with tansu(tmp_path, port) as plain, front(port, plain.port) as sizes:
        broker = replace(plain, address=f"127.0.0.1:{port}")
        broker.create_topic("thumbs")
        broker.produce("thumbs", [bytes(MIB // 4)] * 80)
        connector = KafkaConnector(topics=("thumbs",), bootstrap_servers=broker.address)
        with closing(connector.open(None)) as log:
            sizes.clear()
            assert log.poll(1) is not None
            time.sleep(0.5)
            assert MIB < sum(sizes) <= 3 * MIB


def test_a_message_of_20_mib_is_read(limiting_broker, topic, connect_limiting, drain):
    """A message larger than a fetch comes whole, and its neighbours too."""
    messages = [b"before", bytes(20 * MIB), b"behind"]
    limiting_broker.create_topic(topic)
    limiting_broker.produce(topic, messages, max_request_size=32 * MIB)
    records, _ = drain(connect_limiting.open(None))
    assert [record.raw for record in records] == messages


@pytest.mark.parametrize("codec", ["gzip", "lz4", "snappy", "zstd"])
def test_compressed_messages_are_read(broker, topic, connect, codec):
    """Each codec of Kafka; a restart inside a compressed batch begins at the right record."""
    broker.create_topic(topic)
    broker.produce(topic, values(0, 50), compression_type=codec, linger_ms=200)
    seen, cursor = [], None
    while True:
        log = connect().open(cursor)
        batch = log.poll(20)
        log.close()
        if batch is None:
            break
        cursor = batch.cursor
        seen += batch.records
    assert [record.raw for record in seen] == values(0, 50)
    assert [record.position for record in seen] == [f"{topic}[0]@{n}" for n in range(50)]
