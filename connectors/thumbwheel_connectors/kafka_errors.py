"""What Kafka can refuse, in this project's errors."""

import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from thumbwheel.errors import SourceError, UnavailableError

__all__ = ["answering", "failed_attempts", "lost_events", "refused_login"]


@contextmanager
def answering(servers: str) -> Iterator[None]:
    """Turn what kafka-python raises in this block into `SourceError` or `UnavailableError`."""
    from kafka.errors import (
        AuthorizationError,
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
    except KafkaError as error:
        raise UnavailableError(
            f"Kafka at {servers} does not answer any more: {error}; run again when it does, "
            "nothing is lost"
        ) from error


@contextmanager
def failed_attempts() -> Iterator[list[Exception]]:
    """Collect why connections failed in this block: kafka-python tries again, and only logs it.

    What it logs of other threads' connections is among them.
    """
    log = logging.getLogger("kafka.net.manager")
    level, was_heard = log.level, log.isEnabledFor(logging.WARNING)
    reasons: list[Exception] = []

    def keep(record: logging.LogRecord) -> bool:
        arguments = record.args if isinstance(record.args, tuple) else ()
        reasons.extend(argument for argument in arguments if isinstance(argument, Exception))
        return was_heard

    log.addFilter(keep)
    if not was_heard:
        log.setLevel(logging.WARNING)
    try:
        yield reasons
    finally:
        log.setLevel(level)
        log.removeFilter(keep)


def refused_login(reasons: Sequence[Exception]) -> str | None:
    """Return, in words, the first reason that is about a user, a password or their mechanism."""
    from kafka.errors import SaslAuthenticationFailedError, UnsupportedSaslMechanismError

    for reason in reasons:
        if isinstance(reason, SaslAuthenticationFailedError | UnsupportedSaslMechanismError):
            return str(reason.args[0]) if reason.args else type(reason).__name__
    return None


def lost_events(what: str) -> SourceError:
    """Return the error for an offset that is no longer in its partition."""
    return SourceError(
        f"{what}: events were deleted before they had been read, or the topic was made anew; to go "
        'on with what is left, set auto_offset_reset = "earliest" in the options of this source'
    )
