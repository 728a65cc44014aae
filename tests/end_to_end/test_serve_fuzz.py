"""Bodies that were changed at random, over every route of `thumbwheel serve` and of a receiver.

`THUMBWHEEL_FUZZ_BODIES` sets how many; 10,000 take some minutes.
"""

import json
import os
import random
from collections import Counter

import pyarrow as pa
import pytest
import requests
from serving import configuration, serving, source, wait_until

from thumbwheel.config import VotePolicy
from thumbwheel.store import Store
from thumbwheel.store.remote import arrow_bytes

BODIES = int(os.environ.get("THUMBWHEEL_FUZZ_BODIES", "300"))

POLICY = VotePolicy().model_dump(mode="json")
FATES = [{"fate": "not_paired", "detail": None, "completion_ids": ["0" * 32]}]
EVENT = {"event_id": "e", "generation_id": "g", "prompt": "q", "completion": "a", "score": 1}

OWNER = {
    "/v1/accounts": {"fates": FATES, "policy": POLICY},
    "/v1/dead-letters/replay": {"source": "web"},
    "/v1/events/state": {"event_id": "e"} | POLICY,
    "/v1/production/pool": {"size": 3} | POLICY,
    "/v1/production/prompts": {"prompt_ids": ["0" * 32]} | POLICY,
    "/v1/query": {"sql": "SELECT 1 AS one", "max_rows": 3, "timeout_seconds": 2.0},
    "/v1/snapshot": POLICY,
    "/v1/votes/standing": POLICY,
}
RECEIVER = {"/v1/feedback": [EVENT], "/v1/generations": EVENT}
ODD: list[object] = [
    None, True, -1, 1e308, 10**30, 0.5, "", "\x00", "\ud800", "é" * 300, [], {}, [[]], {"a": {}},
    "'; DROP TABLE events; --", "9" * 5000,
]  # fmt: skip
ARROW = arrow_bytes(
    pa.table({name: ["x" * 32] * 5 for name in ("completion_id", "fate", "detail")})
)


def changed(value: object, rng: random.Random) -> object:
    """Return a value of JSON with something odd in one place of it."""
    if isinstance(value, dict) and value and rng.random() < 0.9:
        name = rng.choice(sorted(value))
        if rng.random() < 0.15:
            return {key: value[key] for key in value if key != name}
        return value | {name: changed(value[name], rng)}
    if isinstance(value, list) and value and rng.random() < 0.8:
        index = rng.randrange(len(value))
        return [*value[:index], changed(value[index], rng), *value[index + 1 :]]
    return rng.choice(ODD)


def mutated(body: object, rng: random.Random) -> bytes:
    """Return a body that is no more what it was: as JSON, as bytes, or as something else."""
    content = json.dumps(changed(body, rng)).encode()
    kind = rng.random()
    if kind < 0.5:
        return content
    if kind < 0.55:
        return rng.choice([b"[" * 100_000, b'{"a":' * 50_000, b"\xff" * 99, b"", b"\x1f\x8b\x08"])
    given = bytearray(ARROW if kind < 0.65 else content)
    for _ in range(rng.randint(0 if kind < 0.65 else 1, 6)):
        place = rng.randrange(len(given))
        match rng.randrange(3):
            case 0:
                given[place] = rng.randrange(256)
            case 1:
                del given[place : place + rng.randint(1, 9)]
            case _:
                given[place:place] = given[place : place + 9] or b"\x00"
        if not given:
            break
    return bytes(given)


@pytest.fixture
def config(tmp_path):
    """A receiver that takes from everybody, behind an owner."""
    web = source("web", "http", log="received", port=0, allow_anonymous=True)
    (tmp_path / "thumbwheel.toml").write_text(configuration(web))
    return tmp_path / "thumbwheel.toml"


def receiver_url(log):
    told = map(json.loads, log.read_text().splitlines())
    return next(line["url"] for line in told if line["event"] == "receiving")


def test_mutated_bodies_do_no_harm(config):
    """None of them ends the process or is answered with a failure, and the store stays whole."""
    rng = random.Random(7)
    answers: Counter[int] = Counter()
    with serving(config, config.parent / "home") as owner, requests.Session() as session:
        url = receiver_url(owner.log)
        paths = owner.get("/openapi.json").json()["paths"]
        assert {path for path, methods in paths.items() if "post" in methods} == OWNER.keys()
        session.headers["Authorization"] = f"Bearer {owner.token}"
        kinds = ("application/json", "application/vnd.apache.arrow.stream", "text/plain", "")
        for number in range(BODIES):
            base, routes = rng.choice(((owner.url, OWNER), (url, RECEIVER)))
            path = rng.choice(sorted(routes))
            body, kind = mutated(routes[path], rng), rng.choices(kinds, (8, 1, 1, 1))[0]
            answer = session.post(
                base + path, data=body, headers={"Content-Type": kind} if kind else {}, timeout=60
            )
            answers[answer.status_code] += 1
            assert answer.status_code < 500, (number, path, body[:300], answer.text)
        for name in ("0", "-1", "9" * 30, "x", "%00"):
            assert owner.get(f"/v1/dead-letters/{name}").status_code in {400, 404, 422}
        received = requests.post(f"{url}/v1/feedback", json=EVENT | {"event_id": "!"}, timeout=10)
        assert received.status_code == 202
        wait_until(lambda: owner.query("SELECT count(*) FROM events WHERE event_id = '!'") == [1])
        assert owner.stop() == 0
        assert "Traceback" not in owner.log.read_text()
        assert "exception" not in owner.log.read_text()
    assert answers[422] > answers[200] > 0 < answers[400]
    with Store(config.parent / "home" / "store.duckdb") as store:
        store.verify()
