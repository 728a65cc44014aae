"""`thumbwheel serve` holds the store, and everybody else asks it without knowing."""

import json
import re
import signal
import socket
import stat
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from urllib.parse import urlsplit

import pytest
import requests
from serving import launched, serving, started, wait_until

from projects import configuration
from thumbwheel.store import Store

JSON = "application/json"

SECRET = "a secret that is in an answer"

CONFIG = configuration("[serve]\nport = 0\n", project="served", path="events/*.jsonl")


def answer(number, **values):
    return {
        "event_id": f"a{number}",
        "generation_id": f"g{number}",
        "prompt": f"question {number // 2}",
        "completion": f"answer {number}. {SECRET}",
        "score": 1 if number % 2 else -1,
        "rater_id": "r",
        **values,
    }


def write(folder, name, *records):
    lines = [r if isinstance(r, bytes) else json.dumps(r).encode() for r in records]
    (folder / "events").mkdir(exist_ok=True)
    with (folder / "events" / name).open("ab") as file:
        file.writelines(line + b"\n" for line in lines)


@pytest.fixture
def served(tmp_path):
    """A configuration with one watched folder, and a first file in it."""
    (tmp_path / "thumbwheel.toml").write_text(CONFIG)
    vote = {"event_id": "v", "generation_id": "unknown", "score": 1, "rater_id": "r"}
    write(tmp_path, "1.jsonl", *(answer(n) for n in range(10)), vote, b"no JSON", answer(0))
    return tmp_path


def untimed(results):
    return [re.sub(r"\d+\.\d s", "", out) for _, out, _ in results]


def test_commands_ask_the_owner(served, thumbwheel):
    """While it runs, commands show what they show without it; ingest says why it does not run."""
    config = served / "thumbwheel.toml"
    commands = (
        ["pairs"],
        ["query", "SELECT source, count(*) AS n FROM events GROUP BY source"],
        ["dead-letters", "list"],
    )
    with serving(config, served / "home") as owner:
        wait_until(lambda: owner.stored() == 11)
        asked = [thumbwheel(*command, cwd=served) for command in commands]
        code, out, err = thumbwheel("status", cwd=served)
        assert code == 0, err
        assert re.search(r"export +13 +10 +1 +1 +1 *\n", out), out
        assert "export: caught up" in out
        code, _, err = thumbwheel("ingest", cwd=served)
        assert (code, "reads the sources all the time" in err) == (3, True)
        code, _, err = thumbwheel("rebuild", cwd=served)
        assert (code, "stop it" in err) == (3, True)
        assert owner.stop() == 0
    alone = [thumbwheel(*command, cwd=served) for command in commands]
    assert [code for code, _, _ in alone] == [0, 0, 0]
    assert untimed(asked) == untimed(alone)


def test_what_comes_while_it_runs_is_stored(served):
    """A line appended, a new file, and the answer that a parked vote waited for."""
    with serving(served / "thumbwheel.toml", served / "home") as owner:
        wait_until(lambda: owner.stored() == 11)
        assert owner.get("/v1/votes").json()["parked"] == 1
        wait_until(lambda: parked_metric(owner) == 1, 10)
        write(served, "1.jsonl", answer(10))
        write(served, "2.jsonl", answer(11, generation_id="unknown"))
        wait_until(lambda: owner.stored() == 13)
        assert owner.get("/v1/votes").json()["parked"] == 0
        wait_until(lambda: parked_metric(owner) == 0, 10)
        (counts,) = owner.get("/v1/sources").json()
        received = counts.pop("received")
        assert received == 15
        assert received == sum(count for count in counts.values() if isinstance(count, int))


def parked_metric(owner):
    page = owner.get("/metrics").text
    (value,) = re.findall(
        r'^thumbwheel_votes_parked\{source="export"\} ([\d.]+)$', page, re.MULTILINE
    )
    return float(value)


def test_the_token_is_needed_and_private(served):
    """Without it nothing but the probes answers; the note that holds it is the user's alone."""
    with serving(served / "thumbwheel.toml", served / "home") as owner:
        paths = owner.get("/openapi.json").json()["paths"] | {"/openapi.json": ["get"]}
        probes = {"/livez", "/readyz"}
        assert probes < paths.keys()
        for path, methods in paths.items():
            url = owner.url + path.replace("{letter_id}", "1")
            for method in methods:
                for token in ("", "Bearer wrong", "Bearer é", f"Basic {owner.token}"):
                    answered = requests.request(
                        method, url, headers={"Authorization": token.encode()}, timeout=10
                    )
                    assert answered.status_code == (200 if path in probes else 401), path
                foreign = owner.request(method, path, headers={"Host": "evil.example"})
                assert foreign.status_code == 400, path
        mode = (served / "home" / "serve.json").stat().st_mode
        assert stat.S_IMODE(mode) == 0o600


def test_bodies_are_bounded_and_strangers_have_none(served):
    """No byte of a body is waited for without the token, and none beyond the limit with it."""
    with serving(served / "thumbwheel.toml", served / "home") as owner:
        address = urlsplit(owner.url)
        start = "POST /v1/query HTTP/1.1\r\nHost: localhost\r\nContent-Length: "
        for head in (
            f"{start}100\r\n",
            f"{start}{10**15}\r\nAuthorization: Bearer {owner.token}\r\n",
        ):
            with socket.create_connection((address.hostname, address.port), 10) as connection:
                connection.sendall(f"{head}\r\n".encode())
                answer = connection.recv(100)
            assert answer.split()[1] in {b"401", b"413"}, answer
        endless = (b"x" * 2**16 for _ in range(100))
        refused = owner.request("POST", "/v1/query", data=endless, headers={"Content-Type": JSON})
        assert refused.status_code == 413
        nested = owner.request(
            "POST", "/v1/query", data=b"[" * 10**6, headers={"Content-Type": JSON}
        )
        assert (nested.status_code, "JSON" in nested.json()["error"]) == (400, True)


def test_a_token_from_the_environment_and_an_owner_elsewhere(served, tmp_path, thumbwheel):
    """A project that only knows `serve.url` and the token asks the owner; a wrong token is told."""
    with serving(served / "thumbwheel.toml", served / "home", THUMBWHEEL_TOKEN="t0ken") as owner:
        wait_until(lambda: owner.stored() == 11)
        assert owner.token == "t0ken"
        away = tmp_path / "away"
        away.mkdir()
        text = CONFIG.replace("port = 0", f'url = "{owner.url}"\ntoken_env = "ELSEWHERE"')
        (away / "thumbwheel.toml").write_text(text)
        code, _, err = thumbwheel("query", "SELECT 1 AS one", cwd=away)
        assert (code, "ELSEWHERE" in err) == (2, True)
        code, _, err = thumbwheel("query", "SELECT 1", cwd=away, ELSEWHERE="wrong")
        assert (code, "refuses the token" in err) == (2, True)
        code, out, err = thumbwheel("pairs", cwd=away, ELSEWHERE="t0ken")
        assert (code, "10 rated answers" in out) == (0, True), err
        owner.stop()
        code, _, err = thumbwheel("pairs", cwd=away, ELSEWHERE="t0ken")
        assert (code, "does not answer" in err) == (4, True)


def test_queries_cannot_do_harm(served, thumbwheel):
    """SQL that writes, reads files or runs for ever is refused with the reason."""
    with serving(served / "thumbwheel.toml", served / "home") as owner:
        wait_until(lambda: owner.stored() == 11)
        for sql in ("DELETE FROM events", "SELECT * FROM read_csv('/etc/passwd')", "SELEC 1"):
            code, out, err = thumbwheel("query", sql, cwd=served)
            assert (code, out.strip(), err.startswith("error:")) == (2, "", True), sql
        slow = {"sql": "SELECT count(*) FROM range(1e12::BIGINT) a, range(100) b"}
        refused = owner.request("POST", "/v1/query", json=slow | {"timeout_seconds": 0.2})
        assert refused.status_code == 400
        assert owner.stored() == 11


def test_nothing_that_is_asked_holds_off_the_end(served):
    """SIGTERM ends it although a query hears no interrupt, and the query is told of a failure."""
    deaf = "SELECT levenshtein(repeat('ab', 300000), repeat('ba', 300000))"
    with (
        serving(served / "thumbwheel.toml", served / "home") as owner,
        ThreadPoolExecutor(2) as pool,
    ):
        wait_until(lambda: owner.stored() == 11)
        asked = pool.submit(owner.request, "POST", "/v1/query", json={"sql": deaf})
        time.sleep(1)
        assert owner.get("/livez").status_code == 200
        started = time.monotonic()
        assert owner.stop() == 0
        assert time.monotonic() - started < 20
        assert asked.exception() is not None or asked.result().status_code >= 500


HANGS = """
import os, signal, time
from thumbwheel.serve import service
service._LAST_SECONDS = 0.3
with service._Service(None, None)._ended_by_signals():
    os.kill(os.getpid(), signal.SIGTERM)
    while True:
        time.sleep(1)
"""


def test_what_never_ends_is_ended():
    """Whatever hangs at the end, the process is gone after a while."""
    ended = subprocess.run([sys.executable, "-c", HANGS], timeout=60)
    assert ended.returncode == -signal.SIGALRM


def test_it_waits_for_a_command_that_has_the_store_open(served):
    """`status` or `query` hold the file for a moment: serve says that it waits, and begins then."""
    config, home = served / "thumbwheel.toml", served / "home"
    home.mkdir()
    store = Store(home / "store.duckdb")
    with launched(config, home) as process:
        wait_until(lambda: "waiting for a command" in (served / "serve.log").read_text())
        store.close()
        owner = started(process, config, home)
        wait_until(lambda: owner.stored() == 11)


def test_a_second_owner_is_one_clear_error(served, thumbwheel):
    """Two processes never hold one store."""
    with serving(served / "thumbwheel.toml", served / "home") as owner:
        code, _, err = thumbwheel("serve", cwd=served)
        assert code == 3
        assert "runs on" in err
        assert "Traceback" not in err
        assert owner.get("/livez").json()["status"] == "ok"


def test_dead_letters_are_shown_and_replayed(served, thumbwheel):
    """A record of an unknown rating becomes an event when the mapping has learnt it."""
    config = served / "thumbwheel.toml"
    rated = b'{"prompt": "p", "completion": "c", "rating": "superb"}'
    write(served, "1.jsonl", rated)
    mapped = '[sources.mapping]\nup = ["good"]\n[[plugins]]'
    config.write_text(CONFIG.replace("[[plugins]]", mapped))
    with serving(config, served / "home") as owner:
        wait_until(lambda: owner.received() == 14)
        newest = owner.get("/v1/dead-letters", params={"limit": 1}).json()[0]
        assert "superb" in newest["reason"]
        code, out, err = thumbwheel("dead-letters", "show", newest["id"], cwd=served)
        assert (code, out.encode(), "1.jsonl:14" in err) == (0, rated, True)
        replayed = owner.request("POST", "/v1/dead-letters/replay", json={}).json()
        assert replayed["export"]["stored"] == 0
    config.write_text(CONFIG.replace("[[plugins]]", mapped.replace("good", "superb")))
    code, out, err = thumbwheel("dead-letters", "replay", cwd=served)
    assert code == 0, err
    assert re.search(r"export +1 +0 +0 +2 *\n", out), out
    code, out, _ = thumbwheel("status", cwd=served)
    assert re.search(r"export +14 +11 +0 +1 +2 *\n", out), out


def test_metrics_tell_the_balance(served):
    """Prometheus gets the balance, dead letters by class of reason, state, lag and size."""
    with serving(served / "thumbwheel.toml", served / "home") as owner:
        wait_until(lambda: owner.stored() == 11)
        page = owner.get("/metrics").text
        expected = {
            'thumbwheel_records_received_total{source="export"}': 13,
            'thumbwheel_events_stored_total{source="export"}': 11,
            'thumbwheel_events_duplicate_total{source="export"}': 1,
            'thumbwheel_dead_letters{source="export"}': 1,
            'thumbwheel_dead_letters_by_reason_total{reason="invalid JSON",source="export"}': 1,
            'thumbwheel_source_up{source="export"}': 1,
            'thumbwheel_batch_seconds_count{source="export"}': 1,
        }
        found = dict(re.findall(r"^(\w+\{.*\}) ([\d.]+)$", page, re.MULTILINE))
        assert {name: float(found[name]) for name in expected} == expected
        assert re.search(r"^thumbwheel_store_bytes [1-9]", page, re.MULTILINE)


def test_logs_are_json_without_bodies(served):
    """Every line is JSON, and nothing of what users wrote is in any."""
    with serving(served / "thumbwheel.toml", served / "home") as owner:
        wait_until(lambda: owner.stored() == 11)
        owner.request("POST", "/v1/query", json={"sql": "SELECT broken"})
        assert owner.stop() == 0
        lines = owner.log.read_text().splitlines()
    assert [json.loads(line)["event"] for line in lines] == ["serving", "stopping", "stopped"]
    assert SECRET not in owner.log.read_text()


def test_a_receiver_that_may_take_from_nobody_is_told_at_the_start(served, thumbwheel):
    """Without a key it does not listen: one line, and the exit code of wrong input."""
    config = served / "thumbwheel.toml"
    receiver = '[[sources]]\nname = "web"\nconnector = "http"\noptions.log = "log"\n'
    keys = 'options.keys_env = "KEYS_OF_NOBODY"\n'
    for options, named in (("", "keys_env"), (keys, "KEYS_OF_NOBODY")):
        config.write_text(CONFIG + receiver + options)
        code, _, err = thumbwheel("serve", cwd=served)
        assert (code, named in err, len(err.splitlines())) == (2, True, 1), err


def test_a_source_that_cannot_be_read_is_told_at_the_start(served, thumbwheel):
    """A wrong path ends it with one line; so does a port that is taken."""
    config = served / "thumbwheel.toml"
    config.write_text(CONFIG.replace("events/*.jsonl", "nowhere.jsonl"))
    code, _, err = thumbwheel("serve", cwd=served)
    assert (code, "nowhere.jsonl" in err, len(err.splitlines())) == (2, True, 1)
    config.write_text(CONFIG)
    with serving(config, served / "home") as owner:
        port = owner.url.rpartition(":")[2]
        other = served / "other"
        other.mkdir()
        write(other, "1.jsonl", answer(1))
        (other / "thumbwheel.toml").write_text(CONFIG.replace("port = 0", f"port = {port}"))
        code, _, err = thumbwheel("serve", cwd=other)
        assert (code, f"127.0.0.1:{port}" in err, len(err.splitlines())) == (2, True, 1)
