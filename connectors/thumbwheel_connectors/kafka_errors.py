"""What Kafka can refuse, in this project's errors."""

from collections.abc import Iterator
from contextlib import contextmanager

from thumbwheel.errors import SourceError, UnavailableError

__all__ = ["answering", "lost_events"]


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


def lost_events(what: str) -> SourceError:
    """Return the error for an offset that is no longer in its partition."""
    return SourceError(
        f"{what}: events were deleted before they had been read, or the topic was made anew; to go "
        'on with what is left, set auto_offset_reset = "earliest" in the options of this source'
    )
