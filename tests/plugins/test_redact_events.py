"""`redact` on events: every column, the counts, and what then lies in the store."""

import json
import re
from pathlib import Path

import duckdb
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from storing import Quiet

from projects import configuration
from thumbwheel.config import PluginConfig, load_config
from thumbwheel.errors import PluginError
from thumbwheel.ingest import ingest_all
from thumbwheel.plugin import PluginManager
from thumbwheel.store import Store
from thumbwheel.tables import EVENTS
from thumbwheel_plugins.redact import Redact

EMAIL = "a@example.com"
PAGE = (Path(__file__).parents[2] / "docs" / "privacy.md").read_text()

CALL = {
    "tool_calls": [
        {
            "type": "function",
            "function": {"name": "mail", "arguments": {"to": [EMAIL], "card": 4111111111111111}},
        }
    ],
    "name": "bot",
}


def row(**values):
    return {
        "event_id": EMAIL,
        "generation_id": f"g {EMAIL}",
        "prompt": [
            {"role": "user", "content": f"I am {EMAIL}", "extra": None},
            {"role": "assistant", "content": "", "extra": json.dumps(CALL)},
        ],
        "completion": f"Hello {EMAIL}",
        "model_version": "1",
        "is_vote": True,
        "rater_id": EMAIL,
        "score": 1.0,
        "comment": f"not {EMAIL}",
        "correction": f"Dear {EMAIL}",
        "metadata": json.dumps({"user": {"mail": EMAIL, "n": 1.5}}),
        **values,
    }


def table(*rows):
    return pa.Table.from_pylist(rows, schema=EVENTS)


def counts(events):
    return json.loads(events.schema.metadata[b"thumbwheel.counts"])


def test_every_text_and_no_identity():
    """All texts are redacted, JSON is still JSON, and what ties events together stays."""
    events = Redact().process_events(table(row()))
    (redacted,) = events.to_pylist()
    user, assistant = redacted.pop("prompt")
    assert user == {"role": "user", "content": "I am <EMAIL_ADDRESS>", "extra": None}
    function = json.loads(assistant["extra"])["tool_calls"][0]["function"]
    arguments = {"card": "<CREDIT_CARD>", "to": ["<EMAIL_ADDRESS>"]}
    assert function == {"name": "mail", "arguments": arguments}
    assert json.loads(redacted.pop("metadata")) == {"user": {"mail": "<EMAIL_ADDRESS>", "n": 1.5}}
    texts = {name: redacted.pop(name) for name in ("completion", "comment", "correction")}
    assert texts == {
        "completion": "Hello <EMAIL_ADDRESS>",
        "comment": "not <EMAIL_ADDRESS>",
        "correction": "Dear <EMAIL_ADDRESS>",
    }
    assert redacted.items() <= table(row()).to_pylist()[0].items()
    assert counts(events) == {"CREDIT_CARD": 1, "EMAIL_ADDRESS": 6}


def test_tables_of_any_shape():
    """Slices, several pieces, votes without an answer and no events at all keep their schema."""
    vote = {"event_id": "v", "generation_id": "g", "is_vote": True, "score": None}
    whole = table(row(), vote, row(prompt=[]), vote, row())
    expected = Redact().process_events(whole).to_pylist()
    pieces = pa.concat_tables([whole.slice(0, 2), whole.slice(2, 1), whole.slice(3)])
    assert Redact().process_events(pieces).to_pylist() == expected
    assert Redact().process_events(whole.slice(1, 3)).to_pylist() == expected[1:4]
    empty = Redact().process_events(table())
    assert empty.schema.equals(EVENTS)
    assert counts(empty) == {}


def test_a_text_that_comes_again_counts_again():
    """Counts are of what was replaced, not of different texts; a second pass replaces nothing."""
    once = Redact().process_events(table(*[row()] * 3))
    assert counts(once) == {"CREDIT_CARD": 3, "EMAIL_ADDRESS": 18}
    twice = Redact().process_events(once)
    assert twice.to_pylist() == once.to_pylist()
    assert counts(twice) == {}


JSON = st.recursive(
    st.sampled_from([EMAIL, f"x {EMAIL}", "y", 4111111111111111, 1.5, None, True]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from([EMAIL, f"{EMAIL} b@example.com", "k", "<EMAIL_ADDRESS>"]), inner
        )
    ),
    max_leaves=8,
)


@given(JSON)
@settings(max_examples=200, deadline=None)
def test_nothing_survives_in_json(value):
    """However deep it is, as a text, a key or a number; the rest keeps its shape and its size."""
    events = Redact().process_events(table(row(metadata=json.dumps({"k": value}))))
    text = events["metadata"][0].as_py()
    assert EMAIL not in text
    assert "4111111111111111" not in text
    assert _size(json.loads(text)) == _size({"k": value})


def _size(value):
    if isinstance(value, dict | list):
        return 1 + sum(map(_size, value.values() if isinstance(value, dict) else value))
    return 1


CANARY = "tweety.of.the.mine@example.com"
CONFIG = configuration(plugins=[])


@pytest.fixture
def config(tmp_path):
    """A configuration with the plugin as docs/privacy.md shows it, and events with a canary."""
    (block,) = re.findall(r"```toml\n(.*?)```", PAGE, re.DOTALL)
    (tmp_path / "thumbwheel.toml").write_text(CONFIG + block)
    call = {"function": {"name": "mail", "arguments": json.dumps({"to": CANARY})}}
    records = [
        {
            "event_id": str(number),
            "prompt": [
                {"role": "user", "content": f"I am {CANARY}"},
                {"role": "assistant", "content": None, "tool_calls": [call]},
                {"role": "tool", "tool_call_id": "1", "content": "sent"},
            ],
            "completion": f"Hello {CANARY}",
            "score": 1,
            "comment": f"by {CANARY}",
            "correction": f"Dear {CANARY}",
            "metadata": {"mail": [CANARY]},
        }
        for number in range(50)
    ]
    lines = "".join(json.dumps(record) + "\n" for record in records)
    broken = json.dumps({"completion": f"no prompt for {CANARY}"}) + f"\nnot JSON {CANARY}\n"
    (tmp_path / "events.jsonl").write_text(lines + broken)
    return load_config(tmp_path / "thumbwheel.toml")


def ingest(config, plugins):
    """Return how many events were stored, and all the bytes that were on disk before the close."""
    manager = PluginManager(plugins, config.base_dir)
    with Store(config.layout.store) as store:
        (source,) = ingest_all(config, manager, store, Quiet())
        return source.stored, files(config)


def files(config):
    return b"".join(path.read_bytes() for path in config.home.rglob("*") if path.is_file())


def rows(config):
    with duckdb.connect(str(config.layout.store), read_only=True) as connection:
        names = connection.sql("SELECT table_name FROM duckdb_tables()").fetchall()
        texts = [connection.table(name).select("COLUMNS(*)::VARCHAR") for (name,) in names]
        return repr([text.fetchall() for text in texts]).encode()


def test_no_canary_in_the_store(config):
    """Of what the plugin replaces nothing is in the log of the store, its file or its rows."""
    stored, log = ingest(config, config.plugins)
    assert stored == 50
    assert b"EMAIL_ADDRESS" in log
    assert rows(config).count(b"Dear <EMAIL_ADDRESS>") == 50
    assert b"tweety" not in log + files(config) + rows(config)
    with Store(config.layout.store) as store:
        letters = [store.dead_letter(number)[1] for number in (1, 2)]
        (counted,) = store.plugin_counts()
    assert letters == [
        b'{"completion":"no prompt for <EMAIL_ADDRESS>"}',
        b"not JSON <EMAIL_ADDRESS>",
    ]
    # Six texts of each event.
    assert (counted.plugin, counted.what, counted.n) == ("redact", "EMAIL_ADDRESS", 50 * 6)


def test_the_canary_would_be_seen(config):
    """The test above can fail: without the plugin the canary is in all of them."""
    stored, log = ingest(config, [PluginConfig(use="best_worst")])
    assert stored == 50
    assert [b"tweety" in kept for kept in (log, files(config), rows(config))] == [True] * 3


def test_when_it_fails_nothing_is_stored(config, monkeypatch):
    """A text that cannot be searched stops ingestion before anything of its batch is stored."""
    monkeypatch.setattr("presidio_analyzer.pattern_recognizer.REGEX_TIMEOUT_SECONDS", 1e-9)
    events = Path(config.base_dir, "events.jsonl")
    text = "8.8.8.8 " * 500
    with events.open("a") as file:
        file.write(json.dumps({"prompt": "p", "completion": text}) + "\n")
    with pytest.raises(PluginError, match="could not search a text"):
        ingest(config, config.plugins)
    assert b"8.8.8.8" not in files(config)
    with Store(config.layout.store) as store:
        assert store.source_counts() == []


def test_the_example_of_the_page():
    """The text shown before becomes the one shown after."""
    before, after = re.findall(r"```text\n(.*?)\n```", PAGE, re.DOTALL)
    assert Redact().redact_text(before) == after
