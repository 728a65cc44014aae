"""What the HTTP receiver keeps in its log is redacted before it is written, and read alike."""

from contextlib import closing
from typing import Any

import pytest
import requests

from planted_secrets import PLANTED
from thumbwheel.config import PluginConfig, SourceConfig
from thumbwheel.errors import PluginError
from thumbwheel.events import MalformedRecordError
from thumbwheel.ingest import parser_for
from thumbwheel.ingest.received import keeping
from thumbwheel.plugin import PluginManager
from thumbwheel_connectors.http.connector import HttpConnector

MAPPING: dict[str, Any] = {
    "prompt": "q",
    "completion": "a",
    "rating": "thumb",
    "rater": "user",
    "event_id": "id",
    "occurred_at": "at",
    "anonymous": [],
}
# Presidio takes it for the number of a card.
CARD_LIKE_TIME = 1772366400000005
RECORD: dict[str, Any] = {
    "q": "How?",
    "a": "So.",
    "thumb": "up",
    "user": "maria@example.com",
    "id": "x",
}


def kept(tmp_path, *records, **mapping):
    """Send records to a receiver that redacts; return its answers, its log and what is read."""
    source = SourceConfig(name="app", connector="http", mapping=mapping or None)
    parser = parser_for(source, tmp_path)
    plugins = PluginManager([PluginConfig(use="redact")], tmp_path)
    connector = HttpConnector(tmp_path / "log", port=0, allow_anonymous=True)
    with closing(connector.listen(parser, keeping(plugins, parser))) as receiver:
        url = f"{receiver.url}/v1/feedback"
        answers = [requests.post(url, json=record, timeout=60) for record in records]
    log = b"".join(path.read_bytes() for path in (tmp_path / "log").glob("*.jsonl"))
    return answers, log, parser.parse_batch(log.splitlines()).events.to_pylist()


@pytest.mark.parametrize("is_mapped", [True, False])
def test_no_planted_secret_is_in_the_log(tmp_path, is_mapped):
    """In texts, in keys that nobody reads and in the names of keys, of either format."""
    batch: list[dict[str, Any]] = [
        {"q": f"see {secret} please", "a": f"No, {secret}", "extra": {secret: [secret]}}
        | {"thumb": "up", "user": f"u{n}", "id": f"e{n}"}
        for n, (secret, _) in enumerate(PLANTED.values())
    ]
    names = {"q": "prompt", "a": "completion", "user": "rater_id", "id": "event_id"}
    if not is_mapped:
        batch = [
            {names.get(key, key): value for key, value in record.items()} | {"score": 1}
            for record in batch
        ]
    (answer,), log, events = kept(tmp_path, batch, **(MAPPING if is_mapped else {}))
    assert answer.json() == {"accepted": len(PLANTED)}
    assert [kind for kind, (_, part) in PLANTED.items() if part.encode() in log] == []
    assert [event["rater_id"] for event in events] == [f"u{n}" for n in range(len(PLANTED))]
    assert {event["score"] for event in events} == {1.0}


def test_ids_and_times_are_what_they_were(tmp_path):
    """Two raters that are called by their addresses stay two, and a time stays one."""
    others = RECORD | {"user": "bob@example.com", "id": "y", "at": CARD_LIKE_TIME}
    records = [RECORD | {"why": "4111 1111 1111 1111"}, others, RECORD | {"q": "to a@example.com"}]
    _, log, events = kept(tmp_path, *records, **MAPPING)
    assert [e["rater_id"] for e in events] == [r["user"] for r in records]
    assert [e["event_id"] for e in events] == ["x", "y", "x"]
    assert events[1]["occurred_at"].year == 2026
    assert b"4111" not in log
    assert b"to a@" not in log


class _Failing:
    """Plugins of which one changes what must stay, or fails."""

    def __init__(self, change):
        self._change = change

    def has(self, hook):
        return True

    def process_dead_letters(self, letters):
        import pyarrow as pa

        raws = [self._change(raw) for raw in letters["raw"].to_pylist()]
        return pa.table([raws, letters["reason"]], schema=letters.schema)


def _fails(raw):
    raise PluginError("stopped")


@pytest.mark.parametrize(
    ("change", "error"),
    [(lambda raw: raw.replace(b"up", b"down"), MalformedRecordError), (_fails, PluginError)],
)
def test_what_cannot_be_kept_alike_is_not_kept(tmp_path, change, error):
    """Rather than a vote that says something else, or a text that was not looked at."""
    parser = parser_for(SourceConfig(name="app", connector="http", mapping=MAPPING), tmp_path)
    keep = keeping(_Failing(change), parser)  # type: ignore[arg-type]
    assert keep is not None
    with pytest.raises(error):
        keep([b'{"q":"How?","a":"So.","thumb":"up","user":"u"}'])
    connector = HttpConnector(tmp_path / "log", port=0, allow_anonymous=True)
    with closing(connector.listen(parser, keep)) as receiver:
        answer = requests.post(f"{receiver.url}/v1/feedback", json=RECORD, timeout=60)
    assert answer.status_code == (422 if error is MalformedRecordError else 503)
    assert not list((tmp_path / "log").glob("*.jsonl"))
