"""HTTP connections that nobody can hold open, or fill, against the others."""

import asyncio
import resource
import threading
from collections import Counter
from collections.abc import Iterable
from typing import Any, Self

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

__all__ = ["GuardedProtocol"]

_MAX_CONNECTIONS = 500
_MAX_OF_ADDRESS = 250
_RESERVED_FILES = 256
_MAX_OVERHEAD_BYTES = 128 * 1024


class _OpenConnections:
    """How many there are in this process, whichever server they came to."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._count = 0

    def add(self, n: int) -> None:
        with self._lock:
            self._count += n

    def are_too_many(self) -> bool:
        """Tell whether the files that the store and the sources need could run out."""
        most, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
        return most != resource.RLIM_INFINITY and self._count > max(32, most - _RESERVED_FILES)


_open = _OpenConnections()


class GuardedProtocol(HttpToolsProtocol):
    """uvicorn's protocol with the limits that it leaves to a proxy in front.

    - The headers of a request have to be complete within `head_seconds`, the whole of it within
      `message_seconds`, also of one that was refused already. A connection on which none begins is
      closed after `head_seconds`. An answer has to be read without a stop of `read_seconds`.
    - What is not body (headers, chunk sizes, trailers) may take `_MAX_OVERHEAD_BYTES`.
    - A server has at most `_MAX_CONNECTIONS`, of one address `_MAX_OF_ADDRESS`, and
      `_RESERVED_FILES` of the process's files are left to others. Where one more comes, the one
      that the server has waited for longest makes room, of the address with most of them. Only
      where the server waits for none of them, the new one is refused.

    Args:
        *args: uvicorn's.
        message_seconds: How long a request may take to come in.
        **kwargs: uvicorn's.
    """

    head_seconds = 5.0
    message_seconds = 20.0
    read_seconds = 20.0

    def __init__(self, *args: Any, message_seconds: float | None = None, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if message_seconds is not None:
            self.message_seconds = message_seconds
        self._deadline: asyncio.TimerHandle | None = None
        self._read_deadline: asyncio.TimerHandle | None = None
        self._overhead = 0
        self._waiting_since = 0.0

    @property
    def is_waiting(self) -> bool:
        """Whether the server waits for the client, and not the client for the server."""
        return self.cycle is None or self.cycle.response_complete or self.cycle.more_body

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Begin to wait for a request, or refuse the connection."""
        super().connection_made(transport)
        _open.add(1)
        self._waiting_since = self.loop.time()
        if self._has_room():
            self._set_deadline(self.head_seconds)
        else:
            self._drop()

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop waiting."""
        _open.add(-1)
        self._unset_deadline()
        self.resume_writing()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Count what is not body."""
        self._overhead += len(data)
        super().data_received(data)
        if self._overhead > _MAX_OVERHEAD_BYTES:
            self.transport.abort()

    def on_message_begin(self) -> None:
        """Begin to wait for the rest of a request."""
        self._waiting_since = self.loop.time()
        self._set_deadline(self.head_seconds)
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        """Begin to wait for the body."""
        self._set_deadline(self._waiting_since + self.message_seconds - self.loop.time())
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        """Take the body out of the count."""
        self._overhead -= len(body)
        super().on_body(body)

    def on_message_complete(self) -> None:
        """Stop waiting: from here on it is the server that others wait for."""
        self._unset_deadline()
        self._overhead = 0
        super().on_message_complete()

    def on_response_complete(self) -> None:
        """Wait again, for the next request."""
        self._waiting_since = self.loop.time()
        super().on_response_complete()

    def pause_writing(self) -> None:
        """Begin to wait for the client to read."""
        super().pause_writing()
        self._read_deadline = self.loop.call_later(self.read_seconds, self.transport.abort)

    def resume_writing(self) -> None:
        """Go on: the client reads."""
        if self._read_deadline is not None:
            self._read_deadline.cancel()
            self._read_deadline = None
        super().resume_writing()

    def _has_room(self) -> bool:
        """Tell whether there is room for this connection, when need be by dropping another."""
        others: set[Self] = {other for other in self.connections if other is not self}  # type: ignore[misc]
        neighbours = [other for other in others if other.address == self.address]
        if len(neighbours) >= _MAX_OF_ADDRESS:
            return _drop_longest(neighbours)
        if len(others) >= _MAX_CONNECTIONS or _open.are_too_many():
            waiting = [other for other in others if other.is_waiting]
            most = Counter(other.address for other in waiting).most_common(1)
            return _drop_longest(o for o in waiting if o.address == most[0][0])
        return True

    @property
    def address(self) -> str | None:
        """Where the client is."""
        return self.client[0] if self.client else None

    def _drop(self) -> None:
        # uvicorn would do so later: until then it counts.
        self.connections.discard(self)
        self.transport.abort()

    def _set_deadline(self, seconds: float) -> None:
        self._unset_deadline()
        self._deadline = self.loop.call_later(seconds, self.transport.abort)

    def _unset_deadline(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None


def _drop_longest(connections: Iterable[GuardedProtocol]) -> bool:
    """Drop the one that the server has waited for longest; tell whether it waited for any."""
    waiting = [connection for connection in connections if connection.is_waiting]
    if not waiting:
        return False
    min(waiting, key=lambda connection: connection._waiting_since)._drop()  # noqa: SLF001
    return True
