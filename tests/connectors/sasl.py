"""SASL for a broker that has none: the exchange by which a listener of Kafka lets clients in."""

import socket
import struct
import time
from collections.abc import Mapping

from kafka.protocol.metadata import ApiVersionsRequest
from kafka.protocol.sasl import (
    SaslAuthenticateRequest,
    SaslAuthenticateResponse,
    SaslHandshakeRequest,
    SaslHandshakeResponse,
)
from scramp import ScramException, ScramMechanism

__all__ = ["SaslLogin"]

_UNSUPPORTED_MECHANISM, _FAILED = 33, 58


class SaslLogin:
    """Lets clients in who prove that they know a user's password: the `log_in` of `brokers.front`.

    Args:
        mechanism: PLAIN, SCRAM-SHA-256 or SCRAM-SHA-512.
        passwords: By user.

    Attributes:
        users: Who has logged in so far.
    """

    def __init__(self, mechanism: str, passwords: Mapping[str, str]) -> None:
        self.users: list[str] = []
        self._mechanism = mechanism
        self._passwords = passwords

    def __call__(self, client: socket.socket, broker: socket.socket) -> bool:
        exchange: _Plain | _Scram = _Plain(self._passwords)
        if self._mechanism != "PLAIN":
            exchange = _Scram(ScramMechanism(self._mechanism), self._passwords)
        while exchange.user is None:
            frame = _receive(client)
            api, version = struct.unpack_from(">hh", frame)
            if api == ApiVersionsRequest.API_KEY:
                _send(broker, frame)
                _send(client, _receive(broker))
                continue
            if api == SaslHandshakeRequest.API_KEY:
                request = SaslHandshakeRequest.decode(frame, version=version, header=True)
                error = 0 if request.mechanism == self._mechanism else _UNSUPPORTED_MECHANISM
                answer = SaslHandshakeResponse(error_code=error, mechanisms=[self._mechanism])
            elif api == SaslAuthenticateRequest.API_KEY:
                request = SaslAuthenticateRequest.decode(frame, version=version, header=True)
                error, words = 0, b""
                try:
                    words = exchange.answer(request.auth_bytes)
                except (ValueError, LookupError, ScramException):
                    error = _FAILED
                answer = SaslAuthenticateResponse(
                    error_code=error,
                    error_message="invalid credentials" if error else None,
                    auth_bytes=words,
                    session_lifetime_ms=0,
                )
            else:
                return False
            answer.API_VERSION = version
            answer.with_header(correlation_id=request.header.correlation_id)
            client.sendall(answer.encode(header=True, framed=True))
            if error:
                # As Kafka does, so that the client reads why before it is cut off.
                time.sleep(0.1)
                return False
        self.users.append(exchange.user)
        return True


class _Plain:
    """RFC 4616."""

    def __init__(self, passwords: Mapping[str, str]) -> None:
        self.user: str | None = None
        self._passwords = passwords

    def answer(self, words: bytes) -> bytes:
        _, user, password = words.decode().split("\0")
        if self._passwords[user] != password:
            raise ValueError
        self.user = user
        return b""


class _Scram:
    """RFC 5802."""

    def __init__(self, mechanism: ScramMechanism, passwords: Mapping[str, str]) -> None:
        self.user: str | None = None
        self._named = ""
        self._mechanism = mechanism
        self._passwords = passwords
        self._server = mechanism.make_server(self._known)

    def answer(self, words: bytes) -> bytes:
        if not self._named:
            self._server.set_client_first(words.decode())
            return str(self._server.get_server_first()).encode()
        self._server.set_client_final(words.decode())
        self.user = self._named
        return str(self._server.get_server_final()).encode()

    def _known(self, user: str) -> tuple[bytes, bytes, bytes, int]:
        self._named = user
        known: tuple[bytes, bytes, bytes, int] = self._mechanism.make_auth_info(
            self._passwords[user], iteration_count=4096
        )
        return known


def _receive(connection: socket.socket) -> bytes:
    (size,) = struct.unpack(">i", _exactly(connection, 4))
    return _exactly(connection, size)


def _exactly(connection: socket.socket, size: int) -> bytes:
    received = b""
    while len(received) < size:
        piece = connection.recv(size - len(received))
        if not piece:
            raise ConnectionError
        received += piece
    return received


def _send(connection: socket.socket, frame: bytes) -> None:
    connection.sendall(struct.pack(">i", len(frame)) + frame)
