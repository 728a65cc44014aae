"""Events from Kafka topics."""

import logging
import os
import re
import ssl
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal, Self

from pydantic import AfterValidator, BeforeValidator, Field, model_validator
from pydantic.dataclasses import dataclass

from thumbwheel.config import ConfigPath
from thumbwheel.errors import SourceError
from thumbwheel.types import EventLog
from thumbwheel_connectors.kafka.errors import client_that_notes, refused_login
from thumbwheel_connectors.kafka.log import KafkaLog, parse_cursor
from thumbwheel_connectors.kafka.probe import why_silent

if TYPE_CHECKING:
    from kafka import KafkaConsumer

__all__ = ["KafkaConnector"]

_METADATA_MAX_AGE_MS = 60_000
# What a fetch brings in is all that is buffered while nobody polls. One partition alone may fill a
# batch; a larger message comes nevertheless.
_PARTITION_FETCH_BYTES = 4 << 20
_FETCH_BYTES = 16 << 20
_SERVER = re.compile(r"(\[[0-9a-fA-F:.]+\]|[^\s:,]+):\d{1,5}")


def _servers(value: str) -> str:
    servers = [server.strip() for server in value.split(",")]
    if not all(
        _SERVER.fullmatch(server) and int(server.rpartition(":")[2]) < 1 << 16 for server in servers
    ):
        raise ValueError("must be HOST:PORT, or several of them with commas between")
    return ",".join(servers)


def _listed(value: object) -> object:
    return [value] if isinstance(value, str) else value


@dataclass(frozen=True, config={"extra": "forbid"})
class KafkaConnector:
    """Read whole topics, every partition, from the first event on.

    Offsets are kept in the store, in the same transaction as the events, and never read from
    Kafka. Only committed transactions are read.

    Args:
        topics: A topic, or a list of topics. A record's value is one JSON object.
        bootstrap_servers: HOST:PORT of a broker, or several with commas between.
        group_id: Commit offsets to Kafka under this name too, for lag dashboards only.
        auto_offset_reset: Where to go on when the next offset is no longer in the topic (retention
            deleted it, or the topic was made anew): `none` stops with an error, `earliest` goes on
            with what is left.
        tombstones: What a record without a value is: a dead letter, or with `records` the object
            `{"tombstone": true, "key": ..., "timestamp": ...}`, which a mapping can read.
        timeout_seconds: How long a broker may stay silent before it counts as down.
        security_protocol: PLAINTEXT, SSL, SASL_PLAINTEXT or SASL_SSL.
        sasl_mechanism: PLAIN, SCRAM-SHA-256 or SCRAM-SHA-512.
        sasl_username: The user to log in as.
        sasl_password_env: The environment variable that holds the password.
        ssl_cafile: The certificate authority (PEM), when it is not one the system trusts.
        ssl_certfile: The client's certificate (PEM).
        ssl_keyfile: The client's private key (PEM, not encrypted).
    """

    needs_extra: ClassVar[str] = "kafka"

    topics: Annotated[
        tuple[Annotated[str, Field(pattern=r"^[A-Za-z0-9._-]{1,249}$")], ...],
        BeforeValidator(_listed),
        Field(min_length=1),
    ]
    bootstrap_servers: Annotated[str, AfterValidator(_servers)] = "127.0.0.1:9092"
    group_id: Annotated[str, Field(min_length=1)] | None = None
    auto_offset_reset: Literal["none", "earliest"] = "none"
    tombstones: Literal["dead_letters", "records"] = "dead_letters"
    timeout_seconds: Annotated[float, Field(ge=1, le=300)] = 10.0
    security_protocol: Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"] = "PLAINTEXT"
    sasl_mechanism: Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"] | None = None
    sasl_username: str | None = None
    sasl_password_env: str | None = None
    ssl_cafile: ConfigPath | None = None
    ssl_certfile: ConfigPath | None = None
    ssl_keyfile: ConfigPath | None = None

    @model_validator(mode="after")
    def _security(self) -> Self:
        sasl = (self.sasl_mechanism, self.sasl_username, self.sasl_password_env)
        if self.security_protocol.startswith("SASL"):
            if None in sasl:
                raise ValueError(
                    f"security_protocol {self.security_protocol} needs `sasl_mechanism`, "
                    "`sasl_username` and `sasl_password_env`"
                )
        elif sasl != (None, None, None):
            raise ValueError("the sasl options need security_protocol SASL_SSL or SASL_PLAINTEXT")
        files = (self.ssl_cafile, self.ssl_certfile, self.ssl_keyfile)
        if not self.security_protocol.endswith("SSL") and files != (None, None, None):
            raise ValueError("the ssl options need security_protocol SSL or SASL_SSL")
        if self.ssl_keyfile and not self.ssl_certfile:
            raise ValueError("`ssl_keyfile` needs `ssl_certfile`")
        return self

    def open(self, cursor: str | None) -> EventLog:
        """Connect, and go on behind `cursor`.

        Raises:
            SourceError: A topic, an offset, the password or a certificate is not there.
            UnavailableError: No broker answers in time.
        """
        offsets = parse_cursor(cursor)
        consumer = self._connect()
        try:
            return KafkaLog(
                consumer,
                topics=self.topics,
                offsets=offsets,
                skip_lost=self.auto_offset_reset == "earliest",
                tells_tombstones=self.tombstones == "records",
                timeout_ms=self._timeout_ms,
            )
        except BaseException:
            consumer.close(autocommit=False)
            raise

    @property
    def _timeout_ms(self) -> int:
        return int(self.timeout_seconds * 1000)

    def _connect(self) -> "KafkaConsumer":
        from kafka import KafkaConsumer
        from kafka.errors import KafkaError

        from thumbwheel_connectors.kafka.records import decode_quickly

        # It logs every failed attempt as an error; what matters is raised.
        if (log := logging.getLogger("kafka")).level == logging.NOTSET:
            log.setLevel(logging.CRITICAL)
        settings = self._security_settings()
        clients: list[Any] = []
        failures: list[Exception] = []

        def remembered_client(**options: Any) -> Any:
            clients.append(client_that_notes(failures, **options))
            return clients[-1]

        try:
            consumer = KafkaConsumer(
                bootstrap_servers=self.bootstrap_servers.split(","),
                client_id="thumbwheel",
                group_id=self.group_id,
                enable_auto_commit=False,
                auto_offset_reset="none",
                allow_auto_create_topics=False,
                isolation_level="read_committed",
                bootstrap_timeout_ms=self._timeout_ms,
                request_timeout_ms=self._timeout_ms,
                # Less than `KafkaLog` waits for it, so that an empty answer is an answer.
                fetch_max_wait_ms=250,
                max_partition_fetch_bytes=_PARTITION_FETCH_BYTES,
                fetch_max_bytes=_FETCH_BYTES,
                metadata_max_age_ms=_METADATA_MAX_AGE_MS,
                kafka_client=remembered_client,
                **settings,
            )
        except KafkaError as error:
            # A consumer that cannot connect leaves its client's thread and files behind.
            for client in clients:
                client.close()
            if (refusal := refused_login(failures)) is not None:
                raise SourceError(
                    f"Kafka at {self.bootstrap_servers} refuses the user {self.sasl_username!r} "
                    f"({refusal}); mend `sasl_mechanism`, `sasl_username`, or the password in "
                    f"{self.sasl_password_env}"
                ) from error
            raise why_silent(
                self.bootstrap_servers, self.security_protocol, settings.get("ssl_context")
            ) from error
        decode_quickly(consumer)
        return consumer

    def _security_settings(self) -> dict[str, Any]:
        settings: dict[str, Any] = {"security_protocol": self.security_protocol}
        if self.sasl_mechanism and self.sasl_password_env:
            password = os.environ.get(self.sasl_password_env)
            if not password:
                raise SourceError(
                    f"the environment variable {self.sasl_password_env}, which `sasl_password_env` "
                    "names, is not set; export it with the password"
                )
            settings["sasl_mechanism"] = self.sasl_mechanism
            settings["sasl_plain_username"] = self.sasl_username
            settings["sasl_plain_password"] = password
        if self.security_protocol.endswith("SSL"):
            try:
                context = ssl.create_default_context(cafile=self.ssl_cafile)
                if self.ssl_certfile:
                    context.load_cert_chain(self.ssl_certfile, self.ssl_keyfile, _no_password)
            except (OSError, ValueError) as error:
                files = (self.ssl_cafile, self.ssl_certfile, self.ssl_keyfile)
                named = ", ".join(str(file) for file in files if file)
                raise SourceError(f"cannot use the certificates {named}: {error}") from error
            settings["ssl_context"] = context
        return settings


def _no_password() -> str:
    raise ValueError("the private key is encrypted, which is not supported")
