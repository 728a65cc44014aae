"""What a request has to pass before anything of it is read: its token, and the size of its body."""

import hmac
from collections.abc import Mapping

from fastapi import HTTPException
from starlette.datastructures import Headers
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

__all__ = ["MAX_BODY_BYTES", "PROBES", "Door"]

PROBES = frozenset({"/livez", "/readyz"})
"""The paths that need no token."""

MAX_BODY_BYTES = 1024 * 1024
"""The largest body where no other is set."""


class Door:
    """Refuses a request without the token, and stops one whose body grows too large.

    A framework reads bodies before it looks at who sends them; so this stands in front of it.

    Args:
        app: What is behind the door.
        token: The bearer token.
        largest: The largest body in bytes, by path, where it is not `MAX_BODY_BYTES`.
    """

    def __init__(self, app: ASGIApp, token: str, largest: Mapping[str, int]) -> None:
        self._app, self._token, self._largest = app, token.encode(), largest

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let the request in, or answer it."""
        headers = Headers(scope=scope)
        most = self._largest.get(scope["path"], MAX_BODY_BYTES)
        refusal = None
        if scope["path"] not in PROBES and not self._has_token(headers):
            refusal = JSONResponse(
                {"error": "a bearer token is needed"},
                401,
                {"WWW-Authenticate": "Bearer", "Connection": "close"},
            )
        elif _announced(headers) > most:
            refusal = _too_large(most)
        if refusal is not None:
            await refusal(scope, receive, send)
            return
        await self._app(scope, _limited(receive, most), send)

    def _has_token(self, headers: Headers) -> bool:
        scheme, _, given = headers.get("authorization", "").partition(" ")
        matches = hmac.compare_digest(given.strip().encode("utf-8", "replace"), self._token)
        return matches and scheme.lower() == "bearer"


def _announced(headers: Headers) -> int:
    given = headers.get("content-length", "0")
    return int(given[:20]) if given.isascii() and given.isdigit() else 0


def _limited(receive: Receive, most: int) -> Receive:
    size = 0

    async def receive_limited() -> Message:
        nonlocal size
        message = await receive()
        size += len(message.get("body", b""))
        if size > most:
            raise HTTPException(413, _words(most), {"Connection": "close"})
        return message

    return receive_limited


def _too_large(most: int) -> JSONResponse:
    return JSONResponse({"error": _words(most)}, 413, {"Connection": "close"})


def _words(most: int) -> str:
    return f"the body is larger than {most:,} bytes"
