"""One exchange with an endpoint over HTTP: the key, the tries, and what went wrong."""

import os
import time
from collections.abc import Mapping
from typing import Any

import requests
from requests.adapters import HTTPAdapter
from urllib3.exceptions import ConnectTimeoutError, NewConnectionError, ReadTimeoutError
from urllib3.response import BaseHTTPResponse
from urllib3.util import Retry

from thumbwheel.config import EndpointConfig
from thumbwheel.endpoint.reply import RequestFailedError
from thumbwheel.errors import ConfigError, UnavailableError

__all__ = ["Transport"]

_CONNECT_SECONDS = 10.0
_MAX_TRIES = 4
_BACKOFF_SECONDS = 0.5
_LONGEST_PAUSE_SECONDS = 60.0
_WORTH_ANOTHER_TRY = (408, 429, 500, 502, 503, 504, 529)
_MAX_BODY_BYTES = 8 << 20


class Transport:
    """Posts to an endpoint, from several threads if need be.

    A request that meets a refused connection, a timeout, 429 or a server's error is tried up to
    four times, with growing pauses or those that the server asks for.

    Raises:
        ConfigError: The environment variable for the key is not set.
    """

    def __init__(self, config: EndpointConfig) -> None:
        self._config = config
        self._url = config.url.rstrip("/").removesuffix("/chat/completions") + "/chat/completions"
        self._session = requests.Session()
        # As `auth`, so that a password for the same host in ~/.netrc does not take the key's place.
        self._session.auth = _Bearer(_read_key(config))
        adapter = HTTPAdapter(pool_maxsize=config.max_concurrency, max_retries=_retries())
        self._session.mount("http://", adapter)
        self._session.mount("https://", adapter)

    def close(self) -> None:
        """Close the connections."""
        self._session.close()

    def post(self, payload: Mapping[str, Any]) -> tuple[int, bytes]:
        """Return the status and body of the answer, after as many tries as are worth it.

        Raises:
            RequestFailedError: No answer came, or not a whole one.
            UnavailableError: Nobody listens.
            ConfigError: The address, the model or the key is wrong.
        """
        seconds = self._config.timeout_seconds
        try:
            response = self._session.post(
                self._url,
                json=payload,
                timeout=(min(_CONNECT_SECONDS, seconds), seconds),
                allow_redirects=False,
                stream=True,
            )
            with response:
                self._check(response.status_code)
                return response.status_code, _body(response, time.monotonic() + seconds)
        except (requests.exceptions.InvalidURL, requests.exceptions.InvalidSchema) as error:
            raise ConfigError(
                f"`endpoint.url` is {self._config.url!r}, which is no address to connect to"
            ) from error
        except requests.RequestException as error:
            if _nobody_listens(error):
                raise UnavailableError(
                    f"the endpoint {self._config.url} cannot be reached ({_cause(error)}); start "
                    "it, or mend `endpoint.url`"
                ) from error
            if _timed_out(error):
                raise RequestFailedError(f"did not answer within {seconds:g} seconds") from error
            raise RequestFailedError(f"broke off its answer ({_cause(error)})") from error

    def _check(self, status: int) -> None:
        """Stop at what is as wrong for every other request."""
        url, key_name = self._config.url, self._config.api_key_env
        if status in (401, 403) and key_name is None:
            raise ConfigError(
                f"the endpoint {url} wants a key; set `endpoint.api_key_env` to the name of an "
                "environment variable that holds it"
            )
        if status in (401, 403):
            raise ConfigError(
                f"the endpoint {url} refuses the key in the environment variable {key_name}; put "
                "one there that may use the model"
            )
        if status == 404 or 300 <= status < 400:
            raise ConfigError(
                f"the endpoint has nothing at {self._url} for the model {self._config.model!r} "
                f"(status {status}); mend `endpoint.url`, which mostly ends in /v1, or "
                "`endpoint.model`"
            )


class _Bearer(requests.auth.AuthBase):
    def __init__(self, key: str | None) -> None:
        self._key = key

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        if self._key is not None:
            request.headers["Authorization"] = f"Bearer {self._key}"
        return request


class _PatientRetry(Retry):
    """Pauses for as long as the server asks, within reason."""

    def get_retry_after(self, response: BaseHTTPResponse) -> float | None:
        asked = super().get_retry_after(response)
        return None if asked is None else min(asked, _LONGEST_PAUSE_SECONDS)


def _retries() -> Retry:
    return _PatientRetry(
        total=_MAX_TRIES - 1,
        # What timed out once will hardly be faster, and every try costs the whole time.
        read=1,
        allowed_methods=None,
        status_forcelist=_WORTH_ANOTHER_TRY,
        backoff_factor=_BACKOFF_SECONDS,
        backoff_jitter=_BACKOFF_SECONDS,
        backoff_max=_LONGEST_PAUSE_SECONDS,
        raise_on_status=False,
    )


def _read_key(config: EndpointConfig) -> str | None:
    name = config.api_key_env
    if name is None:
        return None
    key = os.environ.get(name, "").strip()
    if not key:
        raise ConfigError(
            f"the environment variable {name}, which `endpoint.api_key_env` names, is not set; "
            f"export it with the key of {config.url}"
        )
    if not (key.isascii() and key.isprintable()):
        raise ConfigError(
            f"the key in the environment variable {name} has characters that no key has; copy it "
            "again"
        )
    return key


def _body(response: requests.Response, deadline: float) -> bytes:
    body = bytearray()
    for chunk in response.iter_content(1 << 16):
        body += chunk
        if len(body) > _MAX_BODY_BYTES:
            raise RequestFailedError(f"answered with more than {_MAX_BODY_BYTES >> 20} MiB")
        if time.monotonic() > deadline:
            raise RequestFailedError("sent its answer in drops for longer than the timeout")
    return bytes(body)


def _nobody_listens(error: requests.RequestException) -> bool:
    kinds = (
        requests.exceptions.ConnectTimeout,
        requests.exceptions.SSLError,
        requests.exceptions.ProxyError,
    )
    reason = _last_failure(error)
    return isinstance(error, kinds) or isinstance(reason, NewConnectionError | ConnectTimeoutError)


def _timed_out(error: requests.RequestException) -> bool:
    return isinstance(error, requests.exceptions.ReadTimeout) or isinstance(
        _last_failure(error), ReadTimeoutError
    )


def _last_failure(error: requests.RequestException) -> object:
    """Return what urllib3 gave up on."""
    cause = error.args[0] if error.args else None
    return getattr(cause, "reason", cause)


def _cause(error: BaseException) -> str:
    while error.__cause__ or error.__context__:
        error = error.__cause__ or error.__context__  # type: ignore[assignment]
    return " ".join(str(error).split()) or type(error).__name__
