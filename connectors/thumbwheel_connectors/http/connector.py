"""Events that others send over HTTP: webhooks, or an application's own requests."""

from collections.abc import Callable, Sequence
from typing import Annotated, Self

from pydantic import AfterValidator, Field, model_validator
from pydantic.dataclasses import dataclass

from thumbwheel.config import ConfigPath
from thumbwheel.errors import SourceError
from thumbwheel.events import EventParser
from thumbwheel.process.web import is_loopback
from thumbwheel.types import EventLog, Receiver
from thumbwheel_connectors.http.erasure import erase_lines
from thumbwheel_connectors.http.log import SegmentLog, parse_cursor

__all__ = ["HttpConnector"]


def _rate(value: str) -> str:
    from limits import parse_many

    try:
        (_,) = parse_many(value)
    except ValueError as error:
        raise ValueError('must be like "5000/second" or "100000/minute"') from error
    return value


@dataclass(frozen=True, config={"extra": "forbid"})
class HttpConnector:
    """Receive events on `POST /v1/feedback` and `/v1/generations`.

    They are in Thumbwheel's event format, or what the source's mapping reads. What is answered with
    202 can be read and is on disk, in the connector's own log, and is read from there like any
    other source. Who may send is said by `keys_env`, `webhook_secrets_env`, or both.

    Args:
        log: The directory of the log; it is made when it is not there.
        host: The address to listen on.
        port: The port to listen on.
        keys_env: The environment variable with the bearer key; while keys are changed, with
            several, separated by commas.
        webhook_secrets_env: The environment variable with the Standard Webhooks secret
            (`whsec_...`); while secrets are changed, with several, separated by commas.
        allow_anonymous: Take events from every program on this machine, without a key.
        max_body_bytes: The largest body of a request.
        rate_limit: How many events one key may send in a time, such as `100000/minute`.
    """

    log: ConfigPath
    host: str = "127.0.0.1"
    port: Annotated[int, Field(ge=0, lt=1 << 16)] = 8766
    keys_env: Annotated[str, Field(min_length=1)] | None = None
    webhook_secrets_env: Annotated[str, Field(min_length=1)] | None = None
    allow_anonymous: bool = False
    max_body_bytes: Annotated[int, Field(ge=1024, le=64 * 1024 * 1024)] = 1024 * 1024
    rate_limit: Annotated[str, AfterValidator(_rate)] = "5000/second"

    @model_validator(mode="after")
    def _access(self) -> Self:
        if self.allow_anonymous:
            if self.keys_env or self.webhook_secrets_env:
                raise ValueError(
                    "`allow_anonymous` lets everybody in: leave it out, or `keys_env` and "
                    "`webhook_secrets_env`"
                )
            if not is_loopback(self.host):
                raise ValueError(
                    "`allow_anonymous` needs a `host` that only this machine reaches: 127.0.0.1"
                )
        return self

    def open(self, cursor: str | None) -> EventLog:
        """Go on behind `cursor` in the log, whether or not anybody receives.

        Raises:
            SourceError: The cursor is another connector's, or the log is not the one it was
                written for.
        """
        return SegmentLog(self.log, parse_cursor(cursor))

    def forget(self, is_forgotten: Callable[[Sequence[bytes]], Sequence[bool]]) -> int:
        """Remove events from the log; return how many.

        Args:
            is_forgotten: Flags, of some events in their order, those to remove.

        Raises:
            SourceError: The log cannot be read or written.
            BusyError: A receiver writes to it.
        """
        return erase_lines(self.log, is_forgotten)

    def listen(
        self,
        parser: EventParser | None = None,
        keep: Callable[[Sequence[bytes]], Sequence[bytes]] | None = None,
    ) -> Receiver:
        """Listen in a thread of this process.

        Args:
            parser: Reads the log later; what it cannot read is answered with 422.
            keep: Returns events as they may be kept in the log; None keeps them as they are.

        Raises:
            SourceError: Nobody is allowed to send, a key is not set or too short, the log cannot
                be written, or the address is taken.
            BusyError: Another receiver writes to this log.
        """
        if not (self.keys_env or self.webhook_secrets_env or self.allow_anonymous):
            raise SourceError(
                "nobody may send to this source: set `keys_env`, or `webhook_secrets_env`, or on "
                "a machine of your own `allow_anonymous = true`"
            )
        from thumbwheel_connectors.http.auth import Gatekeeper, read_keys, read_webhooks
        from thumbwheel_connectors.http.server import HttpReceiver

        return HttpReceiver(
            self.log,
            self.host,
            self.port,
            Gatekeeper(
                keys=read_keys(self.keys_env) if self.keys_env else (),
                webhooks=(
                    read_webhooks(self.webhook_secrets_env) if self.webhook_secrets_env else ()
                ),
            ),
            parser=parser or EventParser(),
            keep=keep,
            max_body_bytes=self.max_body_bytes,
            rate_limit=self.rate_limit,
        )
