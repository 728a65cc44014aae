"""The Kafka connector over TLS, against a broker that wants client certificates."""

import ssl
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import trustme
from brokers import FORGOTTEN_SOCKETS, Broker, free_port, front, tansu, values

from thumbwheel.errors import SourceError, UnavailableError
from thumbwheel_connectors.kafka.connector import KafkaConnector

pytestmark = pytest.mark.filterwarnings(FORGOTTEN_SOCKETS)


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of PEM files: two authorities, and certificates with their keys."""
    folder = tmp_path_factory.mktemp("certificates")
    ours, another = trustme.CA(), trustme.CA(organization_name="Another")
    ours.cert_pem.write_to_path(folder / "ca.pem")
    another.cert_pem.write_to_path(folder / "another-ca.pem")
    for name, ca in (("server", ours), ("client", ours), ("stranger", another)):
        certificate = ca.issue_cert("127.0.0.1")
        certificate.cert_chain_pems[0].write_to_path(folder / f"{name}.pem")
        certificate.private_key_pem.write_to_path(folder / f"{name}-key.pem")
    return folder


@pytest.fixture(scope="module")
def server_context(certificates: Path) -> ssl.SSLContext:
    """What the front takes connections with: every client needs a certificate of `ca`."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=certificates / "ca.pem")
    context.verify_mode = ssl.CERT_REQUIRED
    context.load_cert_chain(certificates / "server.pem", certificates / "server-key.pem")
    return context


@pytest.fixture(scope="module")
def secure_broker(
    certificates: Path, server_context: ssl.SSLContext, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Broker]:
    """A broker behind mutual TLS, with three events in the topic `thumbs`."""
    ours = ssl.create_default_context(cafile=certificates / "ca.pem")
    ours.load_cert_chain(certificates / "client.pem", certificates / "client-key.pem")
    port = free_port()
    with (
        tansu(tmp_path_factory.mktemp("tansu"), port) as plain,
        front(port, plain.port, server_context),
    ):
        settings = {"security_protocol": "SSL", "ssl_context": ours}
        broker = replace(plain, address=f"127.0.0.1:{port}", settings=settings)
        broker.create_topic("thumbs")
        broker.produce("thumbs", values(0, 3))
        yield broker


@pytest.fixture
def secure(secure_broker, certificates):
    """Make a connector with the right certificates; options may be given."""

    def make(**options: object) -> KafkaConnector:
        right = {
            "topics": "thumbs",
            "bootstrap_servers": secure_broker.address,
            "timeout_seconds": 1,
            "security_protocol": "SSL",
            "ssl_cafile": certificates / "ca.pem",
            "ssl_certfile": certificates / "client.pem",
            "ssl_keyfile": certificates / "client-key.pem",
        }
        return KafkaConnector(**(right | options))

    return make


def test_mutual_tls_reads(secure, drain):
    """With the authority and the client's certificate, events are read over TLS."""
    records, _ = drain(secure().open(None))
    assert [record.raw for record in records] == values(0, 3)


def test_a_broker_of_another_authority_is_refused(secure, certificates):
    """A certificate that `ssl_cafile` does not vouch for is one line that says so."""
    with pytest.raises(SourceError, match=r"is not trusted \(self-signed cert.*mend `ssl_cafile`"):
        secure(ssl_cafile=certificates / "another-ca.pem").open(None)


def test_another_host_name_is_refused(secure, secure_broker):
    """A certificate for another host is no certificate, whoever signed it."""
    server = secure_broker.address.replace("127.0.0.1", "localhost")
    with pytest.raises(SourceError, match=r"Hostname mismatch.*or the host name in `bootstrap_ser"):
        secure(bootstrap_servers=server).open(None)


def test_a_client_without_a_certificate_is_told(secure):
    """A broker that asks for a certificate and gets none: the options to set are named."""
    with pytest.raises(SourceError, match=r"CERTIFICATE_REQUIRED.*set or mend `ssl_certfile`"):
        secure(ssl_certfile=None, ssl_keyfile=None).open(None)


def test_a_certificate_the_broker_does_not_know_is_told(secure, certificates):
    """A certificate of another authority is refused by the broker, and the message says so."""
    stranger = {"ssl_certfile": certificates / "stranger.pem"}
    with pytest.raises(SourceError, match=r"refuses this client's certificate .*UNKNOWN_CA"):
        secure(**stranger, ssl_keyfile=certificates / "stranger-key.pem").open(None)


def test_a_front_without_a_broker_is_told(certificates, server_context):
    """Something speaks TLS, but nothing answers behind it: that may come back by itself."""
    port = free_port()
    connector = KafkaConnector(
        topics=("thumbs",),
        bootstrap_servers=f"127.0.0.1:{port}",
        timeout_seconds=1,
        security_protocol="SSL",
        ssl_cafile=certificates / "ca.pem",
        ssl_certfile=certificates / "client.pem",
        ssl_keyfile=certificates / "client-key.pem",
    )
    with (
        front(port, free_port(), server_context),
        pytest.raises(UnavailableError, match="as soon as it is secure; start the broker behind"),
    ):
        connector.open(None)


def test_plain_where_tls_is_spoken_is_told(secure_broker):
    """A plain connection to a TLS port gets no answer; the message names what to check."""
    connector = KafkaConnector(
        topics=("thumbs",), bootstrap_servers=secure_broker.address, timeout_seconds=1
    )
    with pytest.raises(UnavailableError, match="not answer PLAINTEXT; check the port, `security"):
        connector.open(None)
