"""Who may send events: bearer keys, Standard Webhooks signatures, or this machine alone."""

import base64
import binascii
import hmac
import os
from collections.abc import Sequence

from standardwebhooks import Webhook, WebhookVerificationError
from starlette.datastructures import Headers
from starlette.exceptions import HTTPException

from thumbwheel.errors import SourceError
from thumbwheel.process.web import LOOPBACK_NAMES

__all__ = ["Gatekeeper", "read_keys", "read_webhooks"]

_MIN_KEY_CHARACTERS = 16
_MIN_SECRET_BYTES = 24
_SECRET_PREFIX = "whsec_"  # noqa: S105 - what secrets begin with


class Gatekeeper:
    """Names the sender of a request, or refuses it with 401.

    A name stands for whoever shares a rate limit: each key is one, all webhooks are one.

    Args:
        keys: Bearer keys.
        webhooks: The webhook secrets in force. Without these and without keys, everybody who
            reaches the server is let in.
    """

    def __init__(self, keys: Sequence[str] = (), webhooks: Sequence[Webhook] = ()) -> None:
        self._keys = [key.encode() for key in keys]
        self._webhooks = webhooks

    def admit(self, headers: Headers) -> str | None:
        """Return the sender, or None when `verify` has to tell by the body.

        Raises:
            HTTPException: 401, the request can be refused without its body.
        """
        if not self._keys and not self._webhooks:
            return _admit_anonymous(headers)
        if self._keys and (given := headers.get("authorization")) is not None:
            return self._check_key(given)
        if self._webhooks and "webhook-signature" in headers:
            return None
        wanted = ["`Authorization: Bearer KEY`"] * bool(self._keys)
        wanted += ["a Standard Webhooks signature"] * bool(self._webhooks)
        raise _unauthorized(
            f"the request says nothing about who sends it: add {', or '.join(wanted)}"
        )

    def verify(self, headers: Headers, body: bytes | bytearray) -> str:
        """Return the sender of a signed body.

        Raises:
            HTTPException: 401, no secret in force has signed it within the last five minutes.
        """
        # The library signs text; bytes that are none cannot be JSON either.
        try:
            text = body.decode()
        except UnicodeDecodeError as error:
            raise HTTPException(400, "the body is not UTF-8") from error
        reason = ""
        for webhook in self._webhooks:
            try:
                webhook.verify(text, dict(headers), json_parse=False)
            except WebhookVerificationError as error:
                reason = str(error).lower()
            except ValueError:
                reason = "malformed signature"
            else:
                return "webhooks"
        raise _unauthorized(
            f"the webhook's signature is refused ({reason}): check the secret and the clock of "
            "the sender"
        )

    def _check_key(self, authorization: str) -> str:
        scheme, _, key = authorization.partition(" ")
        given = key.strip().encode("utf-8", "replace")
        # Every key is compared, so that the time does not tell which one came close.
        matches = [hmac.compare_digest(given, known) for known in self._keys]
        if scheme.lower() != "bearer" or not any(matches):
            raise _unauthorized("the bearer key is not one in force: check it")
        return f"key {matches.index(True)}"


def _admit_anonymous(headers: Headers) -> str:
    # A web page whose own name was made to point to this machine must not get in by its visitor.
    name = headers.get("host", "").lower()
    if name.rpartition(":")[0] not in LOOPBACK_NAMES and name not in LOOPBACK_NAMES:
        raise _unauthorized("without keys, only requests to 127.0.0.1 or localhost are let in")
    return "anonymous"


def _unauthorized(message: str) -> HTTPException:
    return HTTPException(401, message, {"WWW-Authenticate": "Bearer"})


def read_keys(variable: str) -> tuple[str, ...]:
    """Return the bearer keys in an environment variable.

    Raises:
        SourceError: It is not set, or a key is short or cannot stand in a header.
    """
    keys = _read(variable, "keys_env")
    for number, key in enumerate(keys, start=1):
        if len(key) < _MIN_KEY_CHARACTERS:
            raise SourceError(
                f"key {number} in the environment variable {variable} has {len(key)} characters; "
                f"at least {_MIN_KEY_CHARACTERS} are needed: openssl rand -hex 32"
            )
        if not (key.isascii() and key.isprintable()) or " " in key:
            raise SourceError(
                f"key {number} in the environment variable {variable} holds characters that "
                "cannot stand in a header; use letters and digits: openssl rand -hex 32"
            )
    return keys


def read_webhooks(variable: str) -> tuple[Webhook, ...]:
    """Return a verifier for each webhook secret in an environment variable.

    Raises:
        SourceError: It is not set, or a secret is not a Standard Webhooks secret.
    """
    webhooks = []
    for number, secret in enumerate(_read(variable, "webhook_secrets_env"), start=1):
        encoded = secret.removeprefix(_SECRET_PREFIX)
        try:
            # Not every tool keeps the padding, and not every version of Python takes too much.
            key = base64.b64decode(encoded + "=" * (-len(encoded) % 4), validate=True)
        except (binascii.Error, ValueError):
            key = b""
        if encoded == secret or len(key) < _MIN_SECRET_BYTES:
            raise SourceError(
                f"secret {number} in the environment variable {variable} is not "
                f"{_SECRET_PREFIX} and the base64 of at least {_MIN_SECRET_BYTES} bytes: "
                f"echo {_SECRET_PREFIX}$(openssl rand -base64 32)"
            )
        webhooks.append(Webhook(key))
    return tuple(webhooks)


def _read(variable: str, option: str) -> tuple[str, ...]:
    values = [value.strip() for value in os.environ.get(variable, "").split(",")]
    values = [value for value in values if value]
    if not values:
        raise SourceError(
            f"the environment variable {variable} is not set; set it, or change `{option}`"
        )
    return tuple(values)
