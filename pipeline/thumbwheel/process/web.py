"""An ASGI application served in a thread of this process."""

import ipaddress
import logging
import resource
import socket
import threading
from functools import partial
from typing import Any

from thumbwheel.errors import SourceError

__all__ = ["LOOPBACK_NAMES", "BackgroundServer", "is_loopback", "raise_file_limit"]

LOOPBACK_NAMES = frozenset({"localhost", "127.0.0.1", "[::1]"})
"""What a machine calls itself in the header `Host`."""


# So many may have been accepted before the first of them can be refused.
_BACKLOG = 128

_MOST_FILES = 65_536


def raise_file_limit() -> None:
    """Let the process open as many files as it may, up to a limit that suffices."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    most = _MOST_FILES if hard == resource.RLIM_INFINITY else min(hard, _MOST_FILES)
    if soft != resource.RLIM_INFINITY and soft < most:
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))


def is_loopback(host: str) -> bool:
    """Tell whether only this machine reaches an address."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


class BackgroundServer:
    """Serves an application until it is closed.

    Args:
        app: The ASGI application.
        host: The address to listen on.
        port: The port; 0 takes a free one.
        grace_seconds: How long requests that were begun may take to finish when it closes.
        message_seconds: How long a request may take to come in, if not 20 seconds.

    Attributes:
        url: Where it listens.

    Raises:
        SourceError: The address cannot be listened on.
    """

    def __init__(
        self,
        app: Any,
        host: str,
        port: int,
        grace_seconds: int,
        message_seconds: float | None = None,
    ) -> None:
        import uvicorn

        from thumbwheel.process.guarded import GuardedProtocol

        self._socket = _listen(host, port)
        port = self._socket.getsockname()[1]
        self.url = f"http://{f'[{host}]' if ':' in host else host}:{port}"
        settings = uvicorn.Config(
            app,
            http=partial(GuardedProtocol, message_seconds=message_seconds),  # type: ignore[arg-type]
            backlog=_BACKLOG,
            ws="none",
            lifespan="off",
            log_config=None,
            log_level=logging.WARNING,
            access_log=False,
            proxy_headers=False,
            server_header=False,
            timeout_graceful_shutdown=grace_seconds,
        )
        self._server = uvicorn.Server(settings)
        self._thread = threading.Thread(
            target=self._server.run, args=([self._socket],), name="http", daemon=True
        )
        self._thread.start()

    def stop(self, seconds: float) -> bool:
        """Stop listening; return whether all that was begun has been answered in so many seconds.

        What a thread is at work on cannot be cancelled: somebody else has to end it.
        """
        self._server.should_exit = True
        self._thread.join(seconds)
        return not self._thread.is_alive()

    def close(self) -> None:
        """Stop listening, and wait until the requests that were begun have been answered."""
        self._server.should_exit = True
        self._thread.join()
        self._socket.close()


def _listen(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family, backlog=_BACKLOG)
    except (OSError, OverflowError) as error:
        reason = getattr(error, "strerror", None) or error
        raise SourceError(
            f"cannot listen on {host}:{port}: {reason}; stop what listens there, or set another "
            "`host` or `port`"
        ) from error
