"""The endpoint in use: ask once, ask many times at once, and count what it takes."""

import math
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Self, TypeVar

from thumbwheel.config import EndpointConfig
from thumbwheel.endpoint.reply import Reply, RequestFailedError, read_problem, read_reply
from thumbwheel.errors import UnavailableError

__all__ = ["Endpoint", "Usage", "estimate_tokens", "usd"]

_MAX_FAILED_IN_A_ROW = 10

_Item = TypeVar("_Item")
_Result = TypeVar("_Result")


@dataclass(frozen=True, slots=True)
class Usage:
    """What the answered requests took so far, as the endpoint counts, at the configured prices."""

    requests: int
    input_tokens: int
    output_tokens: int
    usd: float


def estimate_tokens(text: str) -> int:
    """Return about how many tokens a text has: in most languages a token is some four bytes."""
    return math.ceil(len(text.encode("utf-8", "replace")) / 4)


def usd(config: EndpointConfig, input_tokens: int, output_tokens: int) -> float:
    """Return what so many tokens cost at the configured prices."""
    return (
        input_tokens * config.usd_per_million_input_tokens
        + output_tokens * config.usd_per_million_output_tokens
    ) / 1e6


class Endpoint:
    """An endpoint in use, from several threads if need be.

    Args:
        config: Where it is, which model answers, and how it is to be treated.

    Raises:
        ConfigError: The environment variable for the key is not set.
    """

    def __init__(self, config: EndpointConfig) -> None:
        from thumbwheel.endpoint.transport import Transport  # what it imports takes a moment

        self.config = config
        self._transport = Transport(config)
        self._limit_name = "max_tokens"
        self._lock = threading.Lock()
        self._replies = self._input_tokens = self._output_tokens = 0
        self._failed_in_a_row = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self._transport.close()

    @property
    def usage(self) -> Usage:
        """What it took so far."""
        with self._lock:
            n_input, n_output = self._input_tokens, self._output_tokens
            return Usage(self._replies, n_input, n_output, usd(self.config, n_input, n_output))

    def ask(self, messages: Sequence[Mapping[str, Any]], max_tokens: int) -> Reply:
        """Return the model's answer to a chat, drawn with the endpoint's own sampling.

        Args:
            messages: In OpenAI's form.
            max_tokens: A longer answer counts as failed, because its end is missing.

        Raises:
            RequestFailedError: There is no whole answer to this request.
            UnavailableError: Nobody listens, or request after request failed.
            ConfigError: The key, the model or the address is wrong.
        """
        try:
            reply = read_reply(self._post(messages, max_tokens), max_tokens)
        except RequestFailedError as error:
            with self._lock:
                self._failed_in_a_row += 1
                hopeless = self._failed_in_a_row >= _MAX_FAILED_IN_A_ROW
            if hopeless:
                raise UnavailableError(
                    f"the endpoint {self.config.url} failed {_MAX_FAILED_IN_A_ROW} requests in a "
                    f"row; the last time it {error}"
                ) from error
            raise
        with self._lock:
            self._failed_in_a_row = 0
            self._replies += 1
            self._input_tokens += reply.input_tokens
            self._output_tokens += reply.output_tokens
        return reply

    def each(
        self, function: Callable[[_Item], _Result], items: Iterable[_Item]
    ) -> Iterator[_Result]:
        """Call a function that asks for each item, several at once; results come in order.

        At most `max_concurrency` calls run at a time. The first exception ends it: no further call
        begins, and those under way are waited for.
        """
        n = self.config.max_concurrency
        pending: deque[Future[_Result]] = deque()
        with ThreadPoolExecutor(n, thread_name_prefix="endpoint") as pool:
            try:
                for item in items:
                    pending.append(pool.submit(function, item))
                    if len(pending) >= 2 * n:
                        yield pending.popleft().result()
                while pending:
                    yield pending.popleft().result()
            finally:
                for future in pending:
                    future.cancel()

    def _post(self, messages: Sequence[Mapping[str, Any]], max_tokens: int) -> bytes:
        limit_name = self._limit_name
        status, body = self._transport.post(
            {"model": self.config.model, "messages": messages, limit_name: max_tokens}
        )
        if status == 200:
            return body
        problem = read_problem(body)
        if status == 400 and limit_name == "max_tokens" and "max_completion_tokens" in problem:
            # OpenAI's newer models know the limit by this name only, most other servers by that.
            self._limit_name = "max_completion_tokens"
            return self._post(messages, max_tokens)
        raise RequestFailedError(f"answered with status {status}" + (problem and f": {problem}"))
