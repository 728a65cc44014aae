"""Sixty kinds of secrets, planted wherever a record can hold one: none is kept, readable or not."""

import json

import duckdb
import pytest
from storing import Quiet

from planted_secrets import PLANTED, leaked, tables_in
from projects import configuration
from thumbwheel.cli import main
from thumbwheel.config import load_config
from thumbwheel.ingest import ingest_all, replay_dead_letters
from thumbwheel.plugin import PluginManager
from thumbwheel.store import Store


def records(secret):
    """Yield the secret in events, and in every way a record can be wrong."""
    text = f"see {secret} please"
    answer = {"q": "How?", "a": "So."}
    yield {"q": text, "a": f"No, {text} indeed", "rating": "up", "why": text, "better": text}
    yield answer | {"rating": text}
    yield answer | {"rating": secret}
    yield answer | {"rating": [text]}
    yield answer | {"rating": "up", "at": secret}
    yield answer | {"rating": "up", "why": {text: text}}
    yield {"q": {text: 1}, "a": "So.", "rating": "up"}
    yield {"q": [{"role": secret, "content": text}], "a": "So.", "rating": "up"}
    yield {"q": [{"role": "user", "content": [{"type": secret}]}], "a": "So.", "rating": "up"}
    yield {"q": None, "a": text, "rating": "up"}
    yield {"rating": "up", secret: secret}


def test_sixty_kinds():
    """So many are planted."""
    assert len(PLANTED) >= 60


@pytest.fixture(scope="module")
def stored(tmp_path_factory):
    """A store of all of them, read, read again as dead letters, and shown."""
    folder = tmp_path_factory.mktemp("planted")
    keys = (
        'mapping = { prompt = "q", completion = "a", comment = "why", correction = "better", '
        'occurred_at = "at", anonymous = [] }'
    )
    (folder / "thumbwheel.toml").write_text(configuration(keys=keys, plugins=["redact"]))
    lines = [json.dumps(r, ensure_ascii=False) for s, _ in PLANTED.values() for r in records(s)]
    lines += [f"no JSON {json.dumps(secret, ensure_ascii=False)}" for secret, _ in PLANTED.values()]
    (folder / "events.jsonl").write_text("\n".join(lines) + "\n")
    config = load_config(folder / "thumbwheel.toml")
    plugins = PluginManager(config.plugins, config.base_dir)
    with Store(config.layout.store) as store:
        (counts,) = ingest_all(config, plugins, store, Quiet())
        replay_dead_letters(config, plugins, store)
        log = b"".join(path.read_bytes() for path in config.home.rglob("*") if path.is_file())
    assert (counts.received, counts.stored) == (len(lines), len(PLANTED))
    return config, log


def test_none_is_in_any_table(stored):
    """By SQL, every column of every table is looked at, reasons and positions too."""
    config, _ = stored
    kept = tables_in(config.layout.store)
    with duckdb.connect(str(config.layout.store), read_only=True) as connection:
        reasons = connection.sql("SELECT DISTINCT reason FROM dead_letters").fetchall()
    assert [kind for kind, (_, part) in PLANTED.items() if part in kept] == []
    # Nor is a reason one of a kind, as it would be with a value in it.
    assert len(reasons) < 60


def test_none_is_in_any_file_nor_shown(stored, capfd, monkeypatch):
    """By bytes, every file of the home is looked at, and what commands show."""
    config, log = stored
    monkeypatch.chdir(config.base_dir)
    for arguments in (["status"], ["dead-letters", "list"]):
        with pytest.raises(SystemExit):
            main(arguments)
    shown = capfd.readouterr()
    assert leaked(config.home, shown.out, shown.err) == []
    assert [kind for kind, (_, part) in PLANTED.items() if part.encode() in log] == []
