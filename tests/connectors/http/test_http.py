"""The HTTP receiver's routes: what is taken, what is refused and how, what is in the log."""

import gzip
import json

import pytest
import requests
from fastapi.openapi.models import OpenAPI
from http_senders import JSON, answer, events, logged_ids, vote
from pydantic import TypeAdapter, ValidationError

from thumbwheel.errors import SourceError
from thumbwheel.events import EventParser
from thumbwheel.events.wire import WireEvent, WireMessage
from thumbwheel_connectors.http.connector import HttpConnector

FEEDBACK, GENERATIONS = "/v1/feedback", "/v1/generations"


@pytest.fixture(scope="module")
def shared(tmp_path_factory):
    """A receiver that tests share which look at answers only, or at what they sent themselves."""
    connector = HttpConnector(tmp_path_factory.mktemp("http") / "log", port=0, allow_anonymous=True)
    receiver = connector.listen()
    yield connector, receiver.url
    receiver.close()


@pytest.fixture
def url(shared):
    return shared[1]


def post(url, body, **headers):
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    return requests.post(url, data=content, headers=JSON | headers, timeout=10)


@pytest.fixture
def receive(tmp_path):
    """Make a connector with a log of its own, and listen: (connector, url)."""
    receivers = []

    def make(**options):
        connector = HttpConnector(tmp_path / "log", port=0, allow_anonymous=True, **options)
        receivers.append(connector.listen())
        return connector, receivers[-1].url

    yield make
    for receiver in receivers:
        receiver.close()


def test_one_event_and_a_batch_are_in_the_log_when_answered(receive):
    """202 says how many; the log holds each as it was sent, in order, on a line of its own."""
    connector, url = receive()
    response = post(url + FEEDBACK, vote(1) | {"comment": "two\nlines", "own key": 7})
    assert (response.status_code, response.json()) == (202, {"accepted": 1})
    response = post(url + GENERATIONS, [answer(2), answer(3)])
    assert (response.status_code, response.json()) == (202, {"accepted": 2})
    sent = [vote(1) | {"comment": "two\nlines", "own key": 7}, answer(2), answer(3)]
    assert [event | {"received_at": 0} for event in events(connector)] == [
        event | {"received_at": 0} for event in sent
    ]
    assert all(event["received_at"] > 1.7e9 for event in events(connector))


def test_a_retry_names_its_events_alike(receive):
    """Events without an id are named after the request's key and route, else after the content."""
    connector, url = receive()
    nameless = {"generation_id": "g", "score": 1}
    for headers in ({"webhook-id": "msg_1"}, {"Idempotency-Key": "key 1"}, {}):
        post(url + FEEDBACK, [nameless, nameless | {"score": -1}], **headers)
        post(url + FEEDBACK, [nameless, nameless | {"score": -1}], **headers)
    post(url + FEEDBACK, b' { "generation_id":"g",\n"score":1, "event_id":null}')
    answered = {"prompt": "p", "completion": "c"}
    post(url + GENERATIONS, answered, **{"webhook-id": "msg_1"})
    post(url + GENERATIONS, answered | {"event_id": "own"}, **{"webhook-id": "msg_1"})
    ids = logged_ids(connector)
    assert ids[0:4] == ["feedback/msg_1/0", "feedback/msg_1/1"] * 2
    assert ids[4:8] == ["feedback/key 1/0", "feedback/key 1/1"] * 2
    contents = [
        json.dumps(event, separators=(",", ":")).encode()
        for event in (nameless, nameless | {"score": -1})
    ]
    by_content = EventParser().parse_batch(contents).events["event_id"].to_pylist()
    assert ids[8:12] == by_content * 2
    assert ids[13:] == ["generations/msg_1/0", "own"]


MALFORMED = {
    "empty": (b"", 400),
    "text": (b"hello", 400),
    "cut": (b'{"generation_id": "g", ', 400),
    "two values": (b'{"generation_id": "g", "score": 1}{}', 400),
    "bad UTF-8": (b'{"generation_id": "\xff\xfe", "score": 1}', 400),
    "UTF-16": ('{"generation_id": "g", "score": 1}'.encode("utf-16"), 400),
    "NUL": (b'{"generation_id": "g\x00", "score": 1}', 400),
    "lone surrogate": (b'{"generation_id": "g\\ud800", "score": 1}', 400),
    "deep": (b'{"metadata": ' + b"[" * 100_000, 400),
    "deep and closed": (b"[" * 5000 + b"]" * 5000, 400),
    "NaN": (b'{"generation_id": "g", "score": NaN}', 400),
    "million digits": (b'{"generation_id": "g", "score": ' + b"9" * 1_000_000 + b"}", 400),
    "infinite": (b'{"generation_id": "g", "score": 1e400}', 422),
    "out of range": (b'{"generation_id": "g", "score": 7}', 422),
    "a text": (b'"text"', 422),
    "null": (b"null", 422),
    "no events": (b"[]", 422),
    "an array in an array": (b'[[{"generation_id": "g", "score": 1}]]', 422),
    "an answer alone": (b'{"prompt": "p", "completion": "c"}', 422),
    "no answer named": (b'{"score": 1}', 422),
}


@pytest.mark.parametrize(("body", "status"), MALFORMED.values(), ids=MALFORMED.keys())
def test_what_is_no_event_is_refused(shared, body, status):
    """4xx with one line that says why; nothing of it is in the log; the next request is fine."""
    connector, url = shared
    before = logged_ids(connector)
    response = post(url + FEEDBACK, body)
    assert response.status_code == status, response.text
    assert list(response.json()) == ["error"]
    assert "\n" not in response.json()["error"]
    assert len(response.json()["error"]) < 300
    assert post(url + FEEDBACK, vote(1)).status_code == 202
    assert logged_ids(connector) == [*before, "e1"]


def test_one_broken_event_refuses_its_batch(receive):
    """422 names the event by its index, and not one of the others is taken."""
    connector, url = receive()
    batch = [vote(number) for number in range(5)]
    batch[3] = batch[3] | {"score": "x" * 10_000}
    response = post(url + FEEDBACK, batch)
    assert response.status_code == 422
    assert "event 3 (counted from 0) is not valid: `score`: " in response.json()["error"]
    assert "xx" not in response.json()["error"]
    assert events(connector) == []


@pytest.mark.parametrize("body", [vote(1), {"generation_id": "g", "comment": "so"}])
def test_generations_wants_answers(url, body):
    """A vote on the wrong route is said to be one, not stored as half an answer."""
    response = post(url + GENERATIONS, body)
    assert (response.status_code, "`prompt` and `completion`" in response.text) == (422, True)


@pytest.mark.parametrize(
    "said", [{"score": 0.5}, {"withdrawn": True}, {"comment": "so"}, {"correction": "no"}]
)
def test_feedback_is_a_vote_or_words(url, said):
    """Each kind of feedback is enough by itself."""
    assert post(url + FEEDBACK, {"generation_id": "g"} | said).status_code == 202


def test_sizes_are_limited(receive):
    """413 for a body or a batch that is too large, announced or not; at the limit it is taken."""
    connector, url = receive(max_body_bytes=100_000)
    largest = json.dumps(vote(1) | {"comment": ""}).encode()
    largest = largest.replace(b'""', b'"%s"' % (b"c" * (100_000 - len(largest))))
    assert len(largest) == 100_000
    assert post(url + FEEDBACK, largest).status_code == 202
    huge = b" " * 20 * 1024 * 1024
    for body in (largest + b" ", huge, iter([largest, b" "]), iter([huge] * 3)):
        response = requests.post(url + FEEDBACK, data=body, headers=JSON, timeout=30)
        assert (response.status_code, "100000 bytes" in response.text) == (413, True)
    most = [{"generation_id": "g", "score": 1}] * 1001
    assert post(url + FEEDBACK, most[:1000]).json() == {"accepted": 1000}
    assert post(url + FEEDBACK, most).status_code == 413
    assert len(events(connector)) == 1001


@pytest.mark.parametrize(
    "headers",
    [
        {"Content-Encoding": "gzip"},
        {"Content-Encoding": "zstd"},
        {"Content-Type": "text/plain"},
        {"Content-Type": "application/x-www-form-urlencoded"},
        {"Content-Type": ""},
    ],
)
def test_only_plain_json_is_taken(url, headers):
    """415: nothing is unpacked, so a bomb stays what it is; a form cannot be sent across sites."""
    bomb = gzip.compress(b"[" + b" " * 50_000_000)
    response = post(url + FEEDBACK, bomb, **headers)
    assert response.status_code == 415
    assert list(response.json()) == ["error"]


def test_more_than_the_rate_is_refused(receive):
    """429 with Retry-After once the events, not the requests, are more than allowed."""
    connector, url = receive(rate_limit="10/day")
    assert post(url + FEEDBACK, [vote(number) for number in range(8)]).status_code == 202
    refused = post(url + FEEDBACK, [vote(number) for number in range(8, 11)])
    assert refused.status_code == 429
    assert 1 <= int(refused.headers["Retry-After"]) <= 86_400
    assert post(url + FEEDBACK, [vote(number) for number in range(8, 10)]).status_code == 202
    assert post(url + FEEDBACK, vote(10)).status_code == 429
    assert post(url + FEEDBACK, [vote(number) for number in range(11)]).status_code == 413
    assert len(events(connector)) == 10


@pytest.mark.parametrize("key", ["k" * 257, "schl\xfcssel"])
def test_a_key_that_is_no_name_is_refused(url, key):
    """400, because it would become part of an id that is stored."""
    headers = JSON | {"Idempotency-Key": key.encode("latin-1")}
    response = requests.post(url + FEEDBACK, data=json.dumps(vote(1)), headers=headers, timeout=10)
    assert (response.status_code, "256 printable" in response.text) == (400, True)


def test_other_paths_and_methods_say_where_to_go(url):
    """404 and 405 have the same shape as every other error, and nothing is redirected."""
    for path, method, status in (
        ("/", "GET", 404),
        ("/v1/feedback/", "POST", 404),
        ("/v1/feedback", "GET", 405),
        ("/v1/feedback", "PUT", 405),
    ):
        response = requests.request(method, url + path, timeout=10, allow_redirects=False)
        assert response.status_code == status
        assert "/docs" in response.json()["error"]


def test_the_openapi_document_is_right(url):
    """It is an OpenAPI document; its examples are accepted, its properties are the format's."""
    document = requests.get(url + "/openapi.json", timeout=10).json()
    OpenAPI.model_validate(document)
    for path in (FEEDBACK, GENERATIONS):
        content = document["paths"][path]["post"]["requestBody"]["content"]["application/json"]
        for example in content["examples"].values():
            assert post(url + path, example["value"]).status_code == 202
    schemas = document["components"]["schemas"]
    assert set(schemas["Event"]["properties"]) == set(WireEvent.__annotations__)
    assert set(schemas["Message"]["properties"]) == set(WireMessage.__annotations__)
    assert all(key["description"] for key in schemas["Event"]["properties"].values())


def test_the_page_for_people_needs_no_network(url):
    """/docs shows both routes and loads nothing from elsewhere; /livez answers."""
    page = requests.get(url + "/docs", timeout=10)
    assert page.headers["Content-Type"].startswith("text/html")
    assert all(path in page.text for path in (FEEDBACK, GENERATIONS, "gen-7f3a"))
    assert "<script" not in page.text
    assert "src=" not in page.text
    assert requests.get(url + "/livez", timeout=10).text == "ok"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"rate_limit": "many"}, "must be like"),
        ({"rate_limit": "1/second; 5/minute"}, "must be like"),
        ({"allow_anonymous": True, "host": "0.0.0.0"}, "only this machine reaches"),  # noqa: S104
        ({"allow_anonymous": True, "keys_env": "KEYS"}, "lets everybody in"),
        ({"port": 70_000}, "less than 65536"),
        ({"ports": 1}, "nexpected keyword"),
    ],
)
def test_wrong_options_are_refused(tmp_path, options, message):
    """What contradicts itself or is misspelt is found when the configuration is read."""
    with pytest.raises(ValidationError, match=message):
        TypeAdapter(HttpConnector).validate_python({"log": tmp_path} | options)


def test_nobody_may_send_by_default(tmp_path):
    """Without keys, secrets or `allow_anonymous` nothing listens; the log can still be read."""
    connector = HttpConnector(tmp_path / "log")
    with pytest.raises(SourceError, match="nobody may send"):
        connector.listen()
    assert events(connector) == []
    assert not (tmp_path / "log").exists()
