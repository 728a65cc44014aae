"""docs/http.md says what is so: its examples run, its options are the connector's own."""

import json
import re
import shlex
import subprocess
import tomllib
from dataclasses import fields
from inspect import getdoc
from pathlib import Path
from typing import Any

import pytest
from http_senders import logged_ids
from pydantic import TypeAdapter

from thumbwheel.config import SourceConfig
from thumbwheel.process import guarded
from thumbwheel.process.guarded import GuardedProtocol
from thumbwheel_connectors.http import app, openapi, server
from thumbwheel_connectors.http.connector import HttpConnector

PAGE = (Path(__file__).parents[3] / "docs" / "http.md").read_text(encoding="utf-8")
SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"


def block(language):
    text, *_ = re.findall(rf"^```{language}\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
    return text


@pytest.fixture
def receive(tmp_path):
    """Listen with the options of the page's example, and others: (connector, url)."""
    receivers = []

    def make(**others):
        (source,) = tomllib.loads(block("toml"))["sources"]
        options = SourceConfig(**source).options | {"port": 0} | others
        adapter = TypeAdapter(HttpConnector)
        connector = adapter.validate_python(options, context={"base_dir": tmp_path})
        receivers.append(connector.listen())
        return connector, receivers[-1].url

    yield make
    for receiver in receivers:
        receiver.close()


def test_the_example_receives_what_the_example_sends(receive, monkeypatch):
    """The curl command of the page is accepted by a receiver with the configuration of the page."""
    monkeypatch.setenv("THUMBWHEEL_KEYS", "0123456789abcdef")
    connector, url = receive()
    assert connector.log.name == "received"
    command = block("sh").replace("http://127.0.0.1:8766", url).replace("\\\n", "")
    command = command.replace("$KEY", "0123456789abcdef")
    done = subprocess.run(
        [*shlex.split(command), "--silent", "--fail"], capture_output=True, check=True
    )
    assert json.loads(done.stdout) == {"accepted": 1}
    assert logged_ids(connector) == ["vote-1"]


def test_the_signing_example_is_accepted(receive, monkeypatch):
    """The page's Python sends an event that a receiver of webhooks takes."""
    monkeypatch.setenv("TEST_SECRETS", SECRET)
    connector, url = receive(keys_env=None, webhook_secrets_env="TEST_SECRETS")
    namespace: dict[str, Any] = {"__name__": "docs"}
    exec(compile(block("python"), "docs/http.md", "exec"), namespace)  # noqa: S102
    event = {"generation_id": "7f3a", "correction": "Use git reset."}
    assert namespace["send"](f"{url}/v1/feedback", SECRET, event) == 1
    (event_id,) = logged_ids(connector)
    assert re.fullmatch(r"webhook/msg_[0-9a-f]{32}/0", event_id)


def test_every_option_is_in_the_table_and_in_the_docstring():
    """The page's table lists exactly the options; `thumbwheel plugins` finds each explained."""
    table = PAGE.split("| option |")[1].split("\n\n")[0]
    documented = re.findall(r"^\| `(\w+)` \|", table, re.MULTILINE)
    assert documented == [field.name for field in fields(HttpConnector)]
    assert re.findall(r"^ {4}(\w+): ", getdoc(HttpConnector) or "", re.MULTILINE) == documented


def test_every_answer_is_in_the_table():
    """The page and the OpenAPI document know the same answers."""
    table = PAGE.split("| answer |")[1].split("\n\n")[0]
    documented = {
        code
        for row in re.findall(r"^\| (\d.*?) \|", table, re.M)
        for code in re.findall(r"\b\d{3}\b", row)
    }
    described = openapi.describe(1)["paths"]["/v1/feedback"]["post"]["responses"]
    assert documented == set(described)


def test_the_limits_are_those_in_force():
    """Numbers in the prose are the code's."""
    assert f"up\nto {openapi.MAX_BATCH:,}" in PAGE
    assert f"within {server._BODY_SECONDS:.0f} seconds" in PAGE
    assert f"within {GuardedProtocol.message_seconds:.0f} seconds" in PAGE
    assert f"within {GuardedProtocol.head_seconds:.0f}" in PAGE
    assert f"more than {guarded._MAX_CONNECTIONS} connections" in PAGE
    assert f"{guarded._MAX_OF_ADDRESS} of one address" in PAGE
    assert f"than {app._MAX_HELD_BYTES >> 20} MiB of bodies" in PAGE
