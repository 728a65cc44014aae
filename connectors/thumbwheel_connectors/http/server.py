"""The receiver: a server in a thread, the log behind it, and the lock on that log."""

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path

from thumbwheel.errors import SourceError
from thumbwheel.events import EventParser
from thumbwheel.process.locks import only_one
from thumbwheel.process.web import BackgroundServer
from thumbwheel_connectors.http.app import make_app
from thumbwheel_connectors.http.auth import Gatekeeper
from thumbwheel_connectors.http.writer import GroupCommit, SegmentWriter

__all__ = ["HttpReceiver"]

_BODY_SECONDS = 10.0
_GRACE_SECONDS = 3


class HttpReceiver:
    """Receives until it is closed.

    Args:
        directory: The log.
        host: The address to listen on.
        port: The port; 0 takes a free one.
        gatekeeper: Who may send.
        parser: Reads the log; by default, as Thumbwheel's event format.
        keep: Returns lines as they may be kept in the log; by default, as they are.
        max_body_bytes: The largest body.
        rate_limit: Events of one sender in a time, in the notation of `limits`.
        body_seconds: How long a body may take to come in.

    Attributes:
        url: Where it listens.

    Raises:
        SourceError: The log cannot be written, or the address cannot be listened on.
        BusyError: Another receiver writes to the log.
    """

    def __init__(
        self,
        directory: Path,
        host: str,
        port: int,
        gatekeeper: Gatekeeper,
        *,
        parser: EventParser | None = None,
        keep: Callable[[Sequence[bytes]], Sequence[bytes]] | None = None,
        max_body_bytes: int,
        rate_limit: str,
        body_seconds: float = _BODY_SECONDS,
    ) -> None:
        with ExitStack() as stack:
            try:
                writer = SegmentWriter(directory)
                stack.enter_context(
                    only_one(
                        directory / "receiver.lock",
                        f"another process receives into {directory}; stop it, or set another `log`",
                    )
                )
            except OSError as error:
                raise SourceError(
                    f"the log {directory} cannot be written: {error.strerror or error}; check "
                    "`log` and the rights on it"
                ) from error
            log = GroupCommit(writer)
            stack.callback(log.close)
            app = make_app(
                gatekeeper,
                log,
                parser=parser or EventParser(),
                keep=keep,
                max_body_bytes=max_body_bytes,
                rate_limit=rate_limit,
                body_seconds=body_seconds,
            )
            self._web = BackgroundServer(app, host, port, _GRACE_SECONDS)
            self._stack = stack.pop_all()
        self.url = self._web.url

    def close(self) -> None:
        """Stop listening, answer what was begun, and leave the log; within some ten seconds."""
        self._web.close()
        self._stack.close()
