"""The Kafka connector's logins: a user and a password, by each mechanism, over TLS."""

import ssl
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import trustme
from brokers import FORGOTTEN_SOCKETS, Broker, free_port, front, tansu, values
from sasl import SaslLogin

from thumbwheel.errors import SourceError
from thumbwheel_connectors.kafka.connector import KafkaConnector

pytestmark = pytest.mark.filterwarnings(FORGOTTEN_SOCKETS)

MECHANISMS = ["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"]
PASSWORD = "the password, with a comma"


@pytest.fixture(scope="module")
def ca() -> trustme.CA:
    return trustme.CA()


@pytest.fixture(scope="module")
def ca_file(ca: trustme.CA, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("certificates") / "ca.pem"
    ca.cert_pem.write_to_path(path)
    return path


@pytest.fixture(scope="module")
def listening(
    ca: trustme.CA, ca_file: Path, tmp_path_factory: pytest.TempPathFactory
) -> Callable[[str], AbstractContextManager[tuple[Broker, SaslLogin]]]:
    """Run a broker that lets the user `thumbwheel` in by one mechanism, with three events in it."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    ca.issue_cert("127.0.0.1").configure_cert(context)

    @contextmanager
    def run(mechanism: str) -> Iterator[tuple[Broker, SaslLogin]]:
        port = free_port()
        login = SaslLogin(mechanism, {"thumbwheel": PASSWORD})
        settings = {
            "security_protocol": "SASL_SSL",
            "ssl_context": ssl.create_default_context(cafile=ca_file),
            "sasl_mechanism": mechanism,
            "sasl_plain_username": "thumbwheel",
            "sasl_plain_password": PASSWORD,
        }
        with (
            tansu(tmp_path_factory.mktemp("tansu"), port) as plain,
            front(port, plain.port, context, login),
        ):
            broker = replace(plain, address=f"127.0.0.1:{port}", settings=settings)
            broker.create_topic("thumbs")
            broker.produce("thumbs", values(0, 3))
            login.users.clear()
            yield broker, login

    return run


@pytest.fixture
def connector(ca_file: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., KafkaConnector]:
    """Make a connector with the right password; options may be given."""
    monkeypatch.setenv("THUMBWHEEL_TEST_PASSWORD", PASSWORD)

    def make(broker: Broker, **options: Any) -> KafkaConnector:
        right: dict[str, Any] = {
            "topics": "thumbs",
            "bootstrap_servers": broker.address,
            "timeout_seconds": 1,
            "security_protocol": "SASL_SSL",
            "ssl_cafile": ca_file,
            "sasl_username": "thumbwheel",
            "sasl_password_env": "THUMBWHEEL_TEST_PASSWORD",
        }
        return KafkaConnector(**(right | options))

    return make


@pytest.mark.parametrize("mechanism", MECHANISMS)
def test_a_user_logs_in_and_reads(mechanism, listening, connector, drain):
    """By each mechanism, the user and the password from the environment open the topic."""
    with listening(mechanism) as (broker, login):
        records, _ = drain(connector(broker, sasl_mechanism=mechanism).open(None))
    assert [record.raw for record in records] == values(0, 3)
    assert set(login.users) == {"thumbwheel"}


@pytest.mark.parametrize("mechanism", MECHANISMS)
def test_a_wrong_password_is_told(mechanism, listening, connector, monkeypatch):
    """The message names the user and the variable to mend, and never the password."""
    monkeypatch.setenv("THUMBWHEEL_TEST_PASSWORD", "another")
    with listening(mechanism) as (broker, login), pytest.raises(SourceError) as caught:
        connector(broker, sasl_mechanism=mechanism).open(None)
    assert "refuses the user 'thumbwheel' (Sasl" in str(caught.value)
    assert "invalid credentials); mend" in str(caught.value)
    assert "the password in THUMBWHEEL_TEST_PASSWORD" in str(caught.value)
    assert "another" not in str(caught.value)
    assert not login.users


def test_a_mechanism_that_is_not_offered_is_told(listening, connector):
    """A broker that wants another mechanism is not one that is down."""
    with (
        listening("SCRAM-SHA-512") as (broker, _),
        pytest.raises(SourceError, match=r"UnsupportedSaslMechanism.*mend `sasl_mechanism`"),
    ):
        connector(broker, sasl_mechanism="PLAIN").open(None)
