"""A client of an OpenAI-compatible endpoint: one chat completion a request.

What concerns one request (a timeout, a refusal, an answer that is cut off) is told apart from what
concerns all of them (nobody listens, the key is wrong), so that a long run loses one answer and not
the run. What is sent and what comes back is never logged, nor part of an error.

- `client`: the endpoint in use: ask, ask many at once, count what it takes.
- `transport`: the key, the tries, and what became of one exchange over HTTP.
- `reply`: the answer in a body, or why there is none.
"""

from thumbwheel.endpoint.client import Endpoint, Usage, estimate_tokens, usd
from thumbwheel.endpoint.reply import Reply, RequestFailedError

__all__ = ["Endpoint", "Reply", "RequestFailedError", "Usage", "estimate_tokens", "usd"]
