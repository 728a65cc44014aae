"""What Kafka can refuse, in this project's errors."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from thumbwheel.errors import SourceError, UnavailableError

if TYPE_CHECKING:
    from kafka import TopicPartition

__all__ = ["answering", "client_that_notes", "lost_events", "named", "refused_login"]


@contextmanager
def answering(servers: str) -> Iterator[None]:
    """Turn what kafka-python raises in this block into `SourceError` or `UnavailableError`."""
    from kafka.errors import (
        AuthorizationError,
        CorruptRecordError,
        KafkaError,
        LogTruncationError,
        SaslAuthenticationFailedError,
    )

    try:
        yield
    except (AuthorizationError, SaslAuthenticationFailedError) as error:
        raise SourceError(
            f"Kafka at {servers} refuses: {error}; mend the user or its rights"
        ) from error
    except LogTruncationError as error:
        raise lost_events(f"a partition was truncated by its broker ({error})") from error
    except CorruptRecordError as error:
        raise UnavailableError(
            f"Kafka at {servers} sent a damaged batch, {error.args[0]}; run again, nothing is "
            "lost; when it stays damaged, check the disk of the broker that leads it"
        ) from error
    except KafkaError as error:
        raise UnavailableError(
            f"Kafka at {servers} does not answer any more: {error}; run again when it does, "
            "nothing is lost"
        ) from error


def client_that_notes(failures: list[Exception], **options: Any) -> Any:
    """Return a consumer's client that adds to `failures` why a connection could not be made.

    kafka-python tries again until its time is over, and then raises that its time is over.

    Args:
        failures: What it adds to, while it lives.
        options: What kafka-python gives a client.
    """
    from kafka.net.compat import KafkaNetClient
    from kafka.net.manager import KafkaConnectionManager
    from kafka.net.selector import NetworkSelector

    class Manager(KafkaConnectionManager):  # type: ignore[misc]
        def get_connection(self, *args: Any, **kwargs: Any) -> Any:
            connection = super().get_connection(*args, **kwargs)
            if not connection.init_future.is_done:
                connection.init_future.add_errback(failures.append)
            return connection

    net = NetworkSelector(**options)
    return KafkaNetClient(net=net, manager=Manager(net, **options), **options)


def refused_login(failures: Sequence[Exception]) -> str | None:
    """Return, in words, the first failure that is about a user, a password or their mechanism."""
    from kafka.errors import SaslAuthenticationFailedError, UnsupportedSaslMechanismError

    for failure in failures:
        if isinstance(failure, SaslAuthenticationFailedError | UnsupportedSaslMechanismError):
            return str(failure.args[0]) if failure.args else type(failure).__name__
    return None


def lost_events(what: str) -> SourceError:
    """Return the error for an offset that is no longer in its partition."""
    return SourceError(
        f"{what}: events were deleted before they had been read, or the topic was made anew; to go "
        'on with what is left, set auto_offset_reset = "earliest" in the options of this source'
    )


def named(partition: "TopicPartition") -> str:
    """Return a partition's name as positions and errors give it."""
    return f"{partition.topic}[{partition.partition}]"
