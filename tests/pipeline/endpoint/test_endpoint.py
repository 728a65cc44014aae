"""The client of an endpoint, against a real server: what is tried again, told, or ends the run.

The server runs a tiny model and misbehaves on request, see chat_server.py.
"""

import logging
import socket

import pytest
from chat_server import KEY

from thumbwheel.config import EndpointConfig
from thumbwheel.endpoint import Endpoint, RequestFailedError, estimate_tokens
from thumbwheel.errors import ConfigError, UnavailableError

CHAT = [{"role": "user", "content": "a question with a secret in it"}]


def test_an_answer_is_the_models_and_its_tokens_are_counted(server):
    """One request gives one text; usage adds up, at the configured prices."""
    prices = {"usd_per_million_input_tokens": 1.0, "usd_per_million_output_tokens": 10.0}
    with Endpoint(server.config(**prices)) as endpoint:
        first, second = endpoint.ask(CHAT, 64), endpoint.ask(CHAT, 64)
        assert len(first.text) == 16
        assert first.text != second.text
        assert (endpoint.usage.requests, endpoint.usage.input_tokens) == (2, 200)
        assert endpoint.usage.usd == pytest.approx(2 * (100 * 1 + 10 * 10) / 1e6)
    assert server.requests[0] == {"model": "tiny", "messages": CHAT, "max_tokens": 64}


def test_what_may_pass_is_tried_again(server):
    """429 and 503 are met with another try, and the third one is answered."""
    server.next.extend(["429", "503"])
    with Endpoint(server.config()) as endpoint:
        assert endpoint.ask(CHAT, 64).text
    assert len(server.requests) == 3


def test_what_does_not_pass_is_given_up_after_four_tries(server):
    """A server in trouble costs one request, told with its own words; the next one is answered."""
    server.next.extend(["500"] * 4)
    with Endpoint(server.config()) as endpoint:
        with pytest.raises(RequestFailedError, match="status 500: status 500"):
            endpoint.ask(CHAT, 64)
        assert endpoint.ask(CHAT, 64).text
    assert len(server.requests) == 5


@pytest.mark.parametrize(
    ("fate", "message"),
    [
        ("400", "answered with status 400"),
        ("cut", "more than 64 tokens"),
        ("null", "without a text"),
        ("no json", "something else than a chat completion"),
    ],
)
def test_an_answer_that_is_none_is_told(server, fate, message):
    """What another try would not mend is reported at once."""
    server.next.append(fate)
    with Endpoint(server.config()) as endpoint, pytest.raises(RequestFailedError, match=message):
        endpoint.ask(CHAT, 64)
    assert len(server.requests) == 1


def test_a_slow_answer_is_tried_once_more(server):
    """A timeout is one request's failure, after two tries."""
    server.next.extend(["slow", "slow"])
    with (
        Endpoint(server.config(timeout_seconds=0.2)) as endpoint,
        pytest.raises(RequestFailedError, match=r"within 0\.2 seconds"),
    ):
        endpoint.ask(CHAT, 64)
    assert len(server.requests) == 2


def test_a_newer_name_of_the_limit_is_learned(server):
    """Where `max_tokens` is refused in favour of another name, that one is used from then on."""
    server.next.append("new names")
    with Endpoint(server.config()) as endpoint:
        endpoint.ask(CHAT, 64)
        endpoint.ask(CHAT, 64)
    assert [sorted(request)[0] for request in server.requests] == [
        "max_tokens",
        "max_completion_tokens",
        "max_completion_tokens",
    ]


def test_many_at_once_keep_their_order(server):
    """Results come in the order of the items, a failure among them, never more than allowed."""
    server.next.extend(["slow", "answer", "400"])

    def ask(number):
        try:
            return number, endpoint.ask(CHAT, 64).text
        except RequestFailedError as error:
            return number, error

    with Endpoint(server.config(max_concurrency=3)) as endpoint:
        results = list(endpoint.each(ask, range(12)))
    assert [number for number, _ in results] == list(range(12))
    assert sum(isinstance(result, RequestFailedError) for _, result in results) == 1
    assert 2 <= server.most_at_once <= 3


def test_an_endpoint_that_only_fails_ends_the_run(server):
    """After ten failed requests in a row nothing more is asked."""
    server.next.extend(["cut"] * 30)

    def ask(number):
        try:
            endpoint.ask(CHAT, 64)
        except RequestFailedError:
            return

    with (
        Endpoint(server.config(max_concurrency=1)) as endpoint,
        pytest.raises(UnavailableError, match="10 requests in a row; the last time it wrote"),
    ):
        list(endpoint.each(ask, range(100)))
    assert len(server.requests) < 14


def test_a_wrong_key_is_told_without_showing_it(server, monkeypatch):
    """A refused key names the environment variable; neither key nor text is in message or log."""
    monkeypatch.setenv("TINY_KEY", "sk-wrong")
    with Endpoint(server.config()) as endpoint, pytest.raises(ConfigError) as error:
        endpoint.ask(CHAT, 64)
    assert "TINY_KEY" in str(error.value)
    assert "sk-" not in str(error.value)
    with (
        Endpoint(server.config(api_key_env=None)) as endpoint,
        pytest.raises(ConfigError, match="wants a key"),
    ):
        endpoint.ask(CHAT, 64)


def test_a_missing_key_is_told_before_anything_is_sent(server, monkeypatch):
    """An environment variable that is not set is an error of the configuration."""
    monkeypatch.delenv("TINY_KEY")
    with pytest.raises(ConfigError, match=r"TINY_KEY.*is not set"):
        Endpoint(server.config())


def test_a_wrong_address_is_told(server):
    """404 is about the address or the model, and ends the run."""
    config = server.config(url=server.url.removesuffix("/v1"))
    with Endpoint(config) as endpoint, pytest.raises(ConfigError, match="ends in /v1"):
        endpoint.ask(CHAT, 64)


def test_nobody_listening_is_told(server):
    """A refused connection is the endpoint's absence, not this request's failure."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{sock.getsockname()[1]}/v1"
        config = EndpointConfig(url=url, model="tiny")
        with Endpoint(config) as endpoint, pytest.raises(UnavailableError, match="refused"):
            endpoint.ask(CHAT, 64)


def test_texts_are_never_logged(server, caplog):
    """At the most talkative level, no log record holds what was asked or answered."""
    caplog.set_level(logging.DEBUG)
    server.next.extend(["500", "answer", "400"])
    with Endpoint(server.config()) as endpoint:
        text = endpoint.ask(CHAT, 64).text
        with pytest.raises(RequestFailedError):
            endpoint.ask(CHAT, 64)
    assert "secret" not in caplog.text
    assert text not in caplog.text
    assert KEY not in caplog.text


def test_tokens_are_estimated_from_bytes():
    """Four bytes are a token, so that signs of three bytes count more than letters."""
    assert estimate_tokens("") == 0
    assert estimate_tokens("four letters") == 3
    assert estimate_tokens("你好世界") == 3
