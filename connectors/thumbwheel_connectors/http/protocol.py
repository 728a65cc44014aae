"""HTTP connections that cannot be held open, or filled, by who never finishes a request."""

import asyncio
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

__all__ = ["GuardedProtocol"]

_MAX_CONNECTIONS = 500
_MAX_OVERHEAD_BYTES = 128 * 1024
_MESSAGE_SECONDS = 20.0


class GuardedProtocol(HttpToolsProtocol):
    """uvicorn's protocol with the limits that it leaves to a proxy in front.

    - A request has to be complete, headers and body, within `message_seconds`, also one that was
      refused already. A connection on which none begins is closed after the same time.
    - What is not body (headers, chunk sizes, trailers) may take `_MAX_OVERHEAD_BYTES`.
    - There are at most `_MAX_CONNECTIONS`, so that files can still be opened in this process.
    """

    message_seconds = _MESSAGE_SECONDS

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._deadline: asyncio.TimerHandle | None = None
        self._overhead = 0

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Begin to wait for a request, or refuse the connection."""
        super().connection_made(transport)
        if len(self.connections) > _MAX_CONNECTIONS:
            transport.abort()
        else:
            self._set_deadline()

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop waiting."""
        self._unset_deadline()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Count what is not body."""
        self._overhead += len(data)
        super().data_received(data)
        if self._overhead > _MAX_OVERHEAD_BYTES:
            self.transport.abort()

    def on_message_begin(self) -> None:
        """Begin to wait for the rest of a request."""
        self._set_deadline()
        super().on_message_begin()

    def on_body(self, body: bytes) -> None:
        """Take the body out of the count."""
        self._overhead -= len(body)
        super().on_body(body)

    def on_message_complete(self) -> None:
        """Stop waiting: from here on it is the server that others wait for."""
        self._unset_deadline()
        self._overhead = 0
        super().on_message_complete()

    def _set_deadline(self) -> None:
        self._unset_deadline()
        self._deadline = self.loop.call_later(self.message_seconds, self.transport.abort)

    def _unset_deadline(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None
