"""The Kafka connector when something is wrong: losses, silence, refusals, wrong options."""

import gc
import logging
import signal
import subprocess
import sys
import threading
from contextlib import closing

import psutil
import pytest
from batches import next_batch
from brokers import FORGOTTEN_SOCKETS, free_port, front, noida, tansu, values
from pydantic import TypeAdapter, ValidationError

from thumbwheel.errors import SourceError, UnavailableError
from thumbwheel_connectors.kafka.connector import KafkaConnector
from thumbwheel_connectors.kafka.log import parse_cursor

pytestmark = pytest.mark.filterwarnings(FORGOTTEN_SOCKETS)


def test_a_topic_made_anew_while_it_is_followed_is_noticed(broker, topic, connect, drain):
    """A log that was caught up does not take the shorter new topic for the old one's end."""
    broker.create_topic(topic)
    broker.produce(topic, values(0, 30))
    log = connect().open(None)
    drain(log, close=False)
    broker.delete_topic(topic)
    broker.create_topic(topic)
    broker.produce(topic, values(50, 55))
    with pytest.raises(SourceError, match=r"goes from offset 0 to 5, .* should go on at 30"):
        drain(log)


def test_offsets_below_the_log_are_refused(broker, topic, connect, drain):
    """Events that retention deleted unread stop the start; `earliest` goes on with what is left."""
    broker.create_topic(topic)
    broker.produce(topic, values(0, 30))
    log = connect().open(None)
    cursor = log.poll(10).cursor
    log.close()
    broker.delete_records(topic, {0: 20})
    with pytest.raises(SourceError, match=r"goes from offset 20 to 30.* should go on at 10: .*set"):
        connect().open(cursor)
    records, _ = drain(connect(auto_offset_reset="earliest").open(cursor))
    assert [record.raw for record in records] == values(20, 30)


@pytest.mark.parametrize("partitions", [2, 1], ids=["as-many-partitions", "fewer-partitions"])
def test_a_topic_made_anew_is_refused(broker, topic, connect, drain, partitions):
    """Offsets beyond the end stop the start; `earliest` reads the new topic from its start."""
    broker.create_topic(topic, partitions=2)
    broker.produce(topic, values(0, 30), 0)
    broker.produce(topic, values(30, 40), 1)
    _, cursor = drain(connect().open(None))
    broker.delete_topic(topic)
    broker.create_topic(topic, partitions=partitions)
    broker.produce(topic, values(50, 55))
    with pytest.raises(SourceError, match="or the topic was made anew; to go on with what is left"):
        drain(connect().open(cursor))
    records, cursor = drain(connect(auto_offset_reset="earliest").open(cursor))
    assert [record.raw for record in records] == values(50, 55)
    assert drain(connect(auto_offset_reset="earliest").open(cursor)) == ([], None)


def test_an_unknown_topic_is_one_clear_line(broker, topic, connect):
    """The error names the topic and the one that was meant, and the broker does not create it."""
    broker.create_topic(topic)
    with pytest.raises(SourceError, match=f"there is no topic '{topic}x'.*did you mean '{topic}'"):
        connect(topics=f"{topic}x").open(None)
    with pytest.raises(SourceError, match=r"there is no topic 'zzz'.*create it, or mend `topics`"):
        connect(topics="zzz").open(None)
    with broker.admin() as admin:
        assert not {f"{topic}x", "zzz"} & set(admin.list_topics())


def test_no_broker_is_one_clear_line(capfd):
    """Nothing listens: an error in bounded time that says where, and no log on the terminal."""
    server = f"127.0.0.1:{free_port()}"
    connector = KafkaConnector(topics=("t",), bootstrap_servers=server, timeout_seconds=1)
    with pytest.raises(UnavailableError, match=f"{server}: Connection refused.*start it") as caught:
        connector.open(None)
    assert "\n" not in str(caught.value)
    assert capfd.readouterr().err == ""


def test_trying_again_and_again_holds_nothing_open():
    """While no broker answers, tries leave no threads and no files behind."""
    connector = KafkaConnector(
        topics=("t",), bootstrap_servers=f"127.0.0.1:{free_port()}", timeout_seconds=1
    )
    process, held = psutil.Process(), []
    for _ in range(3):
        with pytest.raises(UnavailableError):
            connector.open(None)
        gc.collect()
        held.append((threading.active_count(), process.num_fds()))
    assert held[1] == held[2]


def test_the_terminal_stays_clean_without_a_broker():
    """A fresh process prints nothing of kafka-python's own, even with logging set up."""
    script = f"""
import logging
logging.basicConfig()
from thumbwheel.errors import UnavailableError
from thumbwheel_connectors.kafka.connector import KafkaConnector
try:
    KafkaConnector(topics=("t",), bootstrap_servers="127.0.0.1:{free_port()}",
                   timeout_seconds=1).open(None)
except UnavailableError:
    print("unavailable")
"""
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=True
    )
    assert (done.stdout, done.stderr) == ("unavailable\n", "")


def test_a_broker_that_comes_back_is_read_on(tmp_path, drain):
    """Down while a log is open: an error; up again: the stored cursor goes on, nothing twice."""
    port = free_port()
    connector = KafkaConnector(
        topics=("thumbs",), bootstrap_servers=f"127.0.0.1:{port}", timeout_seconds=1
    )
    with noida(tmp_path, port) as broker:
        broker.create_topic("thumbs")
        broker.produce("thumbs", values(0, 10))
        caught_up, fresh = connector.open(None), connector.open(None)
        first, cursor = drain(caught_up, close=False)
    for log in (caught_up, fresh):
        with pytest.raises(UnavailableError, match=r"Kafka at .* does not answer any more"):
            drain(log)
    with pytest.raises(UnavailableError, match="Connection refused"):
        connector.open(cursor)
    with noida(tmp_path, port) as broker:
        broker.produce("thumbs", values(10, 20))
        second, _ = drain(connector.open(cursor))
    assert [record.raw for record in (*first, *second)] == values(0, 20)


def test_a_broker_that_hangs_is_noticed(own_broker, drain):
    """A stopped process takes connections and is silent: an error; awake again, reading goes on."""
    own_broker.create_topic("thumbs")
    own_broker.produce("thumbs", values(0, 10))
    connector = KafkaConnector(
        topics=("thumbs",), bootstrap_servers=own_broker.address, timeout_seconds=1
    )
    log = connector.open(None)
    first, cursor = drain(log, close=False)
    own_broker.process.send_signal(signal.SIGSTOP)
    try:
        with pytest.raises(UnavailableError, match="does not answer any more"):
            drain(log)
        with pytest.raises(UnavailableError, match="takes connections, but does not answer PLAIN"):
            connector.open(cursor)
    finally:
        own_broker.process.send_signal(signal.SIGCONT)
    own_broker.produce("thumbs", values(10, 20))
    second, _ = drain(connector.open(cursor))
    assert [record.raw for record in (*first, *second)] == values(0, 20)


def test_what_came_before_a_damaged_batch_is_handed_out(tmp_path):
    """Its checksum is wrong on the way; an error names the place only behind what was read."""
    port = free_port()
    with (
        tansu(tmp_path, port) as plain,
        front(port, plain.port, changed=lambda data: data.replace(b"whole", b"spoil")),
    ):
        plain.create_topic("thumbs")
        plain.produce("thumbs", values(0, 3))
        plain.produce("thumbs", [b'{"it was": "whole"}'])
        connector = KafkaConnector(topics=("thumbs",), bootstrap_servers=f"127.0.0.1:{port}")
        with closing(connector.open(None)) as log:
            batch = next_batch(log, 100)
            for _ in range(2):
                with pytest.raises(UnavailableError, match=r"batch, thumbs\[0\] at offset 3"):
                    log.poll(100)
    assert [record.raw for record in batch.records] == values(0, 3)
    assert parse_cursor(batch.cursor) == {"thumbs": {0: 3}}


def test_a_port_that_is_no_kafka_is_told_apart(broker, topic):
    """A broker that listens but speaks another protocol is not called down."""
    connector = KafkaConnector(
        topics=topic,
        bootstrap_servers=broker.address,
        security_protocol="SSL",
        timeout_seconds=1,
    )
    with pytest.raises(UnavailableError, match="it takes connections, but does not answer SSL"):
        connector.open(None)


def test_a_password_comes_from_the_environment(broker, topic, connect, drain, monkeypatch):
    """SASL logs in with the named variable; an unset one is an error that names it."""
    broker.create_topic(topic)
    broker.produce(topic, values(0, 3))
    connector = connect(
        security_protocol="SASL_PLAINTEXT",
        sasl_mechanism="PLAIN",
        sasl_username="thumbwheel",
        sasl_password_env="THUMBWHEEL_TEST_PASSWORD",
    )
    monkeypatch.delenv("THUMBWHEEL_TEST_PASSWORD", raising=False)
    with pytest.raises(SourceError, match=r"variable THUMBWHEEL_TEST_PASSWORD.* is not set"):
        connector.open(None)
    monkeypatch.setenv("THUMBWHEEL_TEST_PASSWORD", "secret")
    assert len(drain(connector.open(None))[0]) == 3
    assert "secret" not in repr(connector)


def test_a_missing_certificate_is_named(broker, topic, connect, tmp_path):
    """A certificate file that is not there is an error before any connection."""
    connector = connect(security_protocol="SSL", ssl_cafile=tmp_path / "ca.pem")
    with pytest.raises(SourceError, match=r"cannot use the certificates .*ca\.pem: .*No such file"):
        connector.open(None)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({}, "topics"),
        ({"topics": []}, "topics"),
        ({"topics": "a b"}, "topics"),
        ({"topics": "t", "bootstrap_servers": "localhost"}, "must be HOST:PORT"),
        ({"topics": "t", "bootstrap_servers": "localhost:99999"}, "must be HOST:PORT"),
        ({"topics": "t", "auto_offset_reset": "latest"}, "'none' or 'earliest'"),
        ({"topics": "t", "sasl_username": "u"}, "need security_protocol SASL_SSL"),
        ({"topics": "t", "security_protocol": "SASL_SSL"}, "needs `sasl_mechanism`"),
        ({"topics": "t", "ssl_cafile": "ca.pem"}, "need security_protocol SSL"),
        (
            {"topics": "t", "security_protocol": "SSL", "ssl_keyfile": "key.pem"},
            "needs `ssl_certfile`",
        ),
        ({"topics": "t", "sasl_password": "secret"}, "[Uu]nexpected keyword"),
    ],
)
def test_wrong_options_are_refused(options, message):
    """Options that are unknown, wrong or do not go together are found without a broker."""
    with pytest.raises(ValidationError, match=message):
        TypeAdapter(KafkaConnector).validate_python(options)


def test_a_cursor_of_another_connector_is_refused(connect):
    """A source that changed its connector under its name is told to take a new name."""
    for cursor in ('{"files":{}}', "nonsense", '{"topics":{"t":{"zero":1}}}'):
        with pytest.raises(SourceError, match="give it a new `name`"):
            connect().open(cursor)


def test_logging_that_was_set_up_is_left_alone(broker, topic, connect, monkeypatch):
    """Whoever has set a level for kafka-python's log keeps it."""
    monkeypatch.setattr(logging.getLogger("kafka"), "level", logging.ERROR)
    broker.create_topic(topic)
    connect().open(None).close()
    assert logging.getLogger("kafka").level == logging.ERROR
