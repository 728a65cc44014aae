"""The receiver's ASGI application: what a request goes through until its events are in the log.

The routes are Starlette's, because an event a request is the common case, and a framework that
reads signatures and builds models would take longer over it than all the rest together.
"""

import asyncio
import logging
import math
import time
from collections.abc import Callable, Sequence
from typing import Literal

from limits import RateLimitItem, parse
from limits.aio.storage import MemoryStorage
from limits.aio.strategies import SlidingWindowCounterRateLimiter
from starlette.applications import Starlette
from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import HTMLResponse, JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from thumbwheel.errors import ThumbwheelError
from thumbwheel.events import EventParser, MalformedRecordError
from thumbwheel_connectors.http.auth import Gatekeeper
from thumbwheel_connectors.http.events import Kind, parse_body, to_lines
from thumbwheel_connectors.http.openapi import MAX_BATCH, MAX_KEY, describe, docs_page
from thumbwheel_connectors.http.writer import GroupCommit

__all__ = ["make_app"]

_log = logging.getLogger("thumbwheel.http")

_MAX_HELD_BYTES = 128 * 1024 * 1024
_ROUTING = {
    404: "there is nothing at this path; events go to /v1/feedback and /v1/generations, see /docs",
    405: "events are sent with POST, see /docs",
}


def make_app(
    gatekeeper: Gatekeeper,
    log: GroupCommit,
    *,
    parser: EventParser,
    keep: Callable[[Sequence[bytes]], Sequence[bytes]] | None,
    max_body_bytes: int,
    rate_limit: str,
    body_seconds: float,
) -> Starlette:
    """Return the application.

    Args:
        gatekeeper: Who may send.
        log: Where the events go.
        parser: Reads them there: what it cannot read is refused.
        keep: Returns lines as they may be kept.
        max_body_bytes: The largest body.
        rate_limit: Events of one sender in a time, in the notation of `limits`.
        body_seconds: How long a body may take to come in.
    """
    intake = _Intake(gatekeeper, log, parser, keep, max_body_bytes, parse(rate_limit), body_seconds)
    document = describe(max_body_bytes, own_format=parser.reads_own_format)

    async def feedback(request: Request) -> Response:
        return await intake.take(request, "feedback")

    async def generations(request: Request) -> Response:
        return await intake.take(request, "generations")

    def admit(request: Request) -> None:
        if gatekeeper.admit(request.headers) is None:
            gatekeeper.verify(request.headers, b"")

    async def openapi(request: Request) -> Response:
        admit(request)
        return JSONResponse(document)

    async def docs(request: Request) -> Response:
        admit(request)
        return HTMLResponse(docs_page(document))

    async def livez(request: Request) -> Response:
        return PlainTextResponse("ok")

    app = Starlette(
        routes=[
            Route("/v1/feedback", feedback, methods=["POST"]),
            Route("/v1/generations", generations, methods=["POST"]),
            Route("/openapi.json", openapi),
            Route("/docs", docs),
            Route("/livez", livez),
        ],
        exception_handlers={HTTPException: _refused, Exception: _failed},
    )
    app.router.redirect_slashes = False
    return app


class _Intake:
    """Takes requests in; `_held` bytes of bodies are in memory at the moment."""

    def __init__(
        self,
        gatekeeper: Gatekeeper,
        log: GroupCommit,
        parser: EventParser,
        keep: Callable[[Sequence[bytes]], Sequence[bytes]] | None,
        max_body_bytes: int,
        rate_limit: RateLimitItem,
        body_seconds: float,
    ) -> None:
        self._gatekeeper, self._log, self._parser, self._keep = gatekeeper, log, parser, keep
        self._max_body_bytes, self._body_seconds = max_body_bytes, body_seconds
        self._rate_limit = rate_limit
        self._limiter = SlidingWindowCounterRateLimiter(MemoryStorage())
        self._held = 0

    async def take(self, request: Request, kind: Kind) -> Response:
        sender = self._gatekeeper.admit(request.headers)
        # Who sends a webhook has signed its id, and not the route: at another one it is a repeat.
        named: Kind | Literal["webhook"] = "webhook" if sender is None else kind
        _check_headers(request.headers, self._max_body_bytes)
        body = bytearray()
        try:
            await self._read(request, body)
            if sender is None:
                sender = self._gatekeeper.verify(request.headers, body)
            events = parse_body(body)
            await self._check_count(len(events), sender)
            key = _request_key(request.headers)
            name = f"{named}/{key}" if key else None
            lines = to_lines(events, kind, name, round(time.time(), 3), self._parser)
            await self._log.append(b"\n".join([*await self._kept(lines), b""]))
        except asyncio.CancelledError as error:
            # Only the server's own end does this, after its grace.
            raise _unavailable("the receiver is stopping; send it again", retry_after=5) from error
        except OSError as error:
            message = "the events could not be written to disk; send them again"
            raise _unavailable(message, retry_after=5) from error
        finally:
            self._held -= len(body)
        return JSONResponse({"accepted": len(events)}, 202)

    async def _read(self, request: Request, body: bytearray) -> None:
        try:
            async with asyncio.timeout(self._body_seconds):
                async for chunk in request.stream():
                    body += chunk
                    self._held += len(chunk)
                    if len(body) > self._max_body_bytes:
                        raise _too_large(self._max_body_bytes)
                    if self._held > _MAX_HELD_BYTES:
                        message = "too much is being received at once; send it again"
                        raise _unavailable(message, retry_after=1)
        except TimeoutError as error:
            raise HTTPException(
                408,
                f"the body was not complete within {self._body_seconds:g} seconds; "
                "send smaller batches",
                {"Connection": "close"},
            ) from error
        except ClientDisconnect as error:
            raise HTTPException(400, "the connection ended before the body did") from error

    async def _kept(self, lines: Sequence[bytes]) -> Sequence[bytes]:
        """Return the lines as plugins let them be kept; nothing is kept where one fails."""
        if self._keep is None:
            return lines
        try:
            return await asyncio.to_thread(self._keep, lines)
        except MalformedRecordError as error:
            raise HTTPException(422, f"nothing was taken: {error}") from error
        except ThumbwheelError as error:
            _log.error("events are refused with 503, a plugin failed: %s", error)
            message = "the events could not be redacted; send them again"
            raise _unavailable(message, retry_after=5) from error

    async def _check_count(self, count: int, sender: str) -> None:
        if count == 0:
            raise HTTPException(422, "the batch is empty; send at least one event")
        if count > (most := min(MAX_BATCH, self._rate_limit.amount)):
            raise HTTPException(
                413, f"the batch has {count} events; send at most {most} in a request"
            )
        if not await self._limiter.hit(self._rate_limit, sender, cost=count):
            window = await self._limiter.get_window_stats(self._rate_limit, sender)
            seconds = max(1, math.ceil(window.reset_time - time.time()))
            raise HTTPException(
                429,
                f"more than {self._rate_limit}: send fewer events at a time, or raise `rate_limit`",
                {"Retry-After": str(seconds)},
            )


def _check_headers(headers: Headers, max_body_bytes: int) -> None:
    if headers.get("content-encoding", "identity").strip().lower() != "identity":
        raise HTTPException(415, "a compressed body is not taken; send it without Content-Encoding")
    # Anything else, a web page may send across sites without being asked whether it may.
    if headers.get("content-type", "").partition(";")[0].strip().lower() != "application/json":
        raise HTTPException(415, "send the body as JSON, with Content-Type: application/json")
    if int(headers.get("content-length", "0")) > max_body_bytes:
        raise _too_large(max_body_bytes)


def _too_large(max_body_bytes: int) -> HTTPException:
    return HTTPException(
        413, f"the body is larger than {max_body_bytes} bytes; send fewer events in a request"
    )


def _request_key(headers: Headers) -> str | None:
    """Return what is the same when a request is sent again, if the sender says so."""
    key = headers.get("webhook-id") or headers.get("idempotency-key")
    if key is not None and not (key.isascii() and key.isprintable() and len(key) <= MAX_KEY):
        raise HTTPException(
            400, f"the id in the header must be at most {MAX_KEY} printable ASCII characters"
        )
    return key


def _unavailable(message: str, retry_after: int) -> HTTPException:
    return HTTPException(503, message, {"Retry-After": str(retry_after)})


async def _refused(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)  # noqa: S101 - registered for nothing else
    message = _ROUTING.get(error.status_code, error.detail)
    return JSONResponse({"error": message}, error.status_code, error.headers)


async def _failed(request: Request, error: Exception) -> Response:
    return JSONResponse({"error": "the receiver failed; its own log tells why"}, 500)
