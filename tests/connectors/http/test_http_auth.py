"""Who may send to the HTTP receiver: keys, signatures, and nobody else."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import requests
from http_senders import JSON, connect, events, head, logged_ids, read_to_end, vote
from standardwebhooks import Webhook

from thumbwheel.errors import SourceError
from thumbwheel_connectors.http.connector import HttpConnector

OLD_KEY, NEW_KEY = "old-key-0123456789", "new-key-0123456789"
OLD_SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
NEW_SECRET = "whsec_plJ3nmyCDGBKInavdOK15jsl0000000x"


@pytest.fixture
def receive(tmp_path, monkeypatch):
    """Listen with the given keys and secrets: (connector, url)."""
    receivers: list[Any] = []

    def make(keys=None, secrets=None):
        options: dict[str, Any] = {}
        if keys is not None:
            monkeypatch.setenv("TEST_KEYS", keys)
            options["keys_env"] = "TEST_KEYS"
        if secrets is not None:
            monkeypatch.setenv("TEST_SECRETS", secrets)
            options["webhook_secrets_env"] = "TEST_SECRETS"
        log = tmp_path / f"log {len(receivers)}"
        options["allow_anonymous"] = not options
        connector = HttpConnector(log, port=0, **options)
        receivers.append(connector.listen())
        return connector, receivers[-1].url

    yield make
    for receiver in receivers:
        receiver.close()


@pytest.fixture(scope="module")
def webhooks(tmp_path_factory):
    """A receiver of signed requests that tests share: (connector, url)."""
    log = tmp_path_factory.mktemp("webhooks") / "log"
    connector = HttpConnector(log, port=0, webhook_secrets_env="TEST_SECRETS")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TEST_SECRETS", OLD_SECRET)
        receiver = connector.listen()
    yield connector, receiver.url
    receiver.close()


def post(url, headers, body=None):
    content = json.dumps(vote(1)) if body is None else body
    return requests.post(url + "/v1/feedback", data=content, headers=JSON | headers, timeout=10)


def signed(secret, body, at=None, message_id="msg_1"):
    at = at or datetime.now(UTC)
    return {
        "webhook-id": message_id,
        "webhook-timestamp": str(int(at.timestamp())),
        "webhook-signature": Webhook(secret).sign(message_id, at, body),
    }


def test_keys_let_in_while_they_are_changed(receive):
    """Each of several keys is enough; anything else is 401 and stores nothing."""
    connector, url = receive(keys=f"{OLD_KEY}, {NEW_KEY},")
    for key in (OLD_KEY, NEW_KEY):
        assert post(url, {"Authorization": f"Bearer {key}"}).status_code == 202
        assert post(url, {"Authorization": f"bearer  {key}"}).status_code == 202
    for given in ("", "Bearer", f"Basic {OLD_KEY}", f"Bearer {OLD_KEY[:-1]}", "Bearer \xff"):
        response = post(url, {"Authorization": given.encode("latin-1")})
        assert response.status_code == 401, given
        assert response.headers["WWW-Authenticate"] == "Bearer"
        assert list(response.json()) == ["error"]
    assert "Authorization: Bearer KEY" in post(url, {}).json()["error"]
    assert len(events(connector)) == 4


def test_a_stranger_is_refused_before_the_body(receive):
    """401 is there although not one byte of the body has come."""
    _, url = receive(keys=OLD_KEY)
    with connect(url) as connection:
        connection.sendall(head(1000, "Authorization: Bearer nonsense", "Connection: close"))
        assert read_to_end(connection).startswith(b"HTTP/1.1 401 ")


def test_signatures_of_both_secrets_are_valid_during_rotation(receive):
    """Either secret has signed, or both have (as senders do in rotation): 202."""
    connector, url = receive(secrets=f"{OLD_SECRET},{NEW_SECRET}")
    body = '[{"generation_id": "g", "score": 1, "comment": "\u00fc"}]'
    old, new = signed(OLD_SECRET, body), signed(NEW_SECRET, body)
    foreign = signed("whsec_" + "A" * 32, body)
    both = new | {"webhook-signature": f"{foreign['webhook-signature']} {new['webhook-signature']}"}
    for headers in (old, new, both):
        assert post(url, headers, body.encode()).status_code == 202
    assert post(url, foreign, body.encode()).status_code == 401
    assert [event["event_id"] for event in events(connector)] == ["webhook/msg_1/0"] * 3


def test_a_signed_body_at_another_route_is_a_repeat(receive):
    """Who saw a signed request can send it anywhere, and it still counts once."""
    connector, url = receive(secrets=OLD_SECRET)
    body = json.dumps({"prompt": "p", "completion": "c", "score": 1})
    headers = signed(OLD_SECRET, body)
    for route in ("/v1/feedback", "/v1/generations", "/v1/feedback"):
        answered = requests.post(url + route, data=body, headers=JSON | headers, timeout=10)
        assert answered.status_code == 202
    assert {event["event_id"] for event in events(connector)} == {"webhook/msg_1/0"}


def test_the_description_is_for_who_may_send(receive):
    """Neither it nor the page is shown without a key, a signature or this machine's own name."""
    cases: Any = (
        ({"keys": OLD_KEY}, {}, {"Authorization": f"Bearer {OLD_KEY}"}),
        ({"secrets": OLD_SECRET}, {}, signed(OLD_SECRET, "")),
        ({}, {"Host": "evil.example"}, {"Host": "localhost"}),
    )
    for options, without, given in cases:
        _, url = receive(**options)
        for page in ("/openapi.json", "/docs"):
            assert requests.get(url + page, headers=without, timeout=10).status_code == 401
            assert requests.get(url + page, headers=given, timeout=10).status_code == 200


@pytest.mark.parametrize("padding", ["", "=="])
def test_a_secret_is_valid_with_and_without_padding(receive, padding):
    """The base64 of 25 bytes ends in two signs that not every tool writes."""
    secret = "whsec_" + "A" * 34
    connector, url = receive(secrets=secret + padding)
    body = json.dumps(vote(1))
    assert post(url, signed(secret, body), body.encode()).status_code == 202
    assert len(events(connector)) == 1


@pytest.mark.parametrize("minutes", [-6, 6])
def test_a_signature_is_valid_for_five_minutes(webhooks, minutes):
    """An old request cannot be replayed, and one from the future is none."""
    _, url = webhooks
    body = json.dumps(vote(1))
    now = datetime.now(UTC)
    assert post(url, signed(OLD_SECRET, body, now + timedelta(minutes=minutes * 2 / 3))).ok
    late = post(url, signed(OLD_SECRET, body, now + timedelta(minutes=minutes)))
    assert late.status_code == 401
    assert "clock" in late.json()["error"]


@pytest.mark.parametrize(
    "change",
    [
        {"webhook-signature": "v1,AAAA"},
        {"webhook-signature": "v1"},
        {"webhook-signature": "v1,ä".encode("latin-1")},
        {"webhook-signature": "v1,not base64!"},
        {"webhook-signature": ""},
        {"webhook-id": "msg_2"},
        {"webhook-id": None},
        {"webhook-timestamp": "nan"},
        {"webhook-timestamp": "1e99"},
        {"webhook-timestamp": None},
    ],
)
def test_a_changed_signature_is_refused(webhooks, change):
    """Every part of the signature counts; what is malformed is refused like what is forged."""
    connector, url = webhooks
    body = json.dumps({"event_id": "forged", "generation_id": "g", "score": 1})
    assert post(url, signed(OLD_SECRET, body) | change).status_code == 401
    assert "forged" not in logged_ids(connector)


def test_a_changed_body_is_refused(webhooks):
    """The signature is over the body; bytes that are no text are refused as such."""
    _, url = webhooks
    body = json.dumps(vote(1))
    assert post(url, signed(OLD_SECRET, body), body + " ").status_code == 401
    assert post(url, signed(OLD_SECRET, body), b"\xff" + body.encode()).status_code == 400


def test_keys_and_signatures_side_by_side(receive):
    """With both set, either is enough, and neither is the other's."""
    _, url = receive(keys=OLD_KEY, secrets=OLD_SECRET)
    body = json.dumps(vote(1))
    assert post(url, {"Authorization": f"Bearer {OLD_KEY}"}).status_code == 202
    assert post(url, signed(OLD_SECRET, body)).status_code == 202
    assert post(url, {"Authorization": f"Bearer {OLD_SECRET}"}).status_code == 401
    assert post(url, {}).status_code == 401


def test_each_key_has_its_own_rate(tmp_path, monkeypatch):
    """A sender who sends too much is not in the way of another."""
    monkeypatch.setenv("TEST_KEYS", f"{OLD_KEY},{NEW_KEY}")
    connector = HttpConnector(tmp_path, port=0, keys_env="TEST_KEYS", rate_limit="1/day")
    receiver = connector.listen()
    statuses = [
        post(receiver.url, {"Authorization": f"Bearer {key}"}).status_code
        for key in (OLD_KEY, OLD_KEY, NEW_KEY)
    ]
    receiver.close()
    assert statuses == [202, 429, 202]


def test_anonymous_is_this_machine_only(tmp_path):
    """A web page whose name was made to point here cannot send through its visitor's browser."""
    receiver = HttpConnector(tmp_path, port=0, allow_anonymous=True).listen()
    names = ["localhost", "127.0.0.1:8766", "[::1]:8766", "LOCALHOST:1"]
    statuses = [post(receiver.url, {"Host": name}).status_code for name in names]
    strangers = ["evil.example", "evil.example:8766", "127.0.0.1.evil.example", "localhost:1:1"]
    refused = [post(receiver.url, {"Host": name}).status_code for name in strangers]
    receiver.close()
    assert statuses == [202] * len(names)
    assert refused == [401] * len(strangers)


@pytest.mark.parametrize(
    ("option", "value", "message"),
    [
        ("keys_env", None, "TEST_SECRET is not set"),
        ("keys_env", " , ", "TEST_SECRET is not set"),
        ("keys_env", "short", "key 1 in .* has 5 characters; at least 16"),
        ("keys_env", f"{OLD_KEY},with space in it all", "key 2 in .* cannot stand in a header"),
        ("keys_env", "schlüssel-schlüssel", "cannot stand in a header"),
        ("webhook_secrets_env", "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "is not whsec_"),
        ("webhook_secrets_env", "whsec_AAAA", "at least 24 bytes"),
        ("webhook_secrets_env", f"{OLD_SECRET},whsec_!!!!", "secret 2 in"),
    ],
)
def test_weak_or_missing_secrets_are_refused_at_the_start(
    tmp_path, monkeypatch, option, value, message
):
    """One line that names the variable and how to make a good one, never the secret itself."""
    monkeypatch.delenv("TEST_SECRET", raising=False)
    if value is not None:
        monkeypatch.setenv("TEST_SECRET", value)
    options: dict[str, Any] = {option: "TEST_SECRET"}
    connector = HttpConnector(tmp_path / "log", port=0, **options)
    with pytest.raises(SourceError, match=message) as caught:
        connector.listen()
    assert not any(part in str(caught.value) for part in ("MfKQ", "schl", "short", "AAAA"))
