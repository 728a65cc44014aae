"""Sixty kinds of secrets, planted wherever a record can hold one: none is kept, readable or not."""

import json

import duckdb
import pytest
from storing import Quiet

from projects import configuration
from thumbwheel.cli import main
from thumbwheel.config import load_config
from thumbwheel.ingest import ingest_all, replay_dead_letters
from thumbwheel.plugin import PluginManager
from thumbwheel.store import Store

HEX = "0123456789abcdef"
WORD = "Qw3rTy7uIoP9aSdFgH1jKlZxCvBnM5qWeRtY8uIoPaSdFgHjKlZx"

# (what is planted, what of it must not be found)
PLANTED = {
    "mail": ("maria.lopez@example.com", "maria.lopez"),
    "mail in a sentence": ("mail me:maria.lopez@example.com.Thanks", "maria.lopez"),
    "(at)": ("maria.lopez (at) example.com", "maria.lopez"),
    "[at] [dot]": ("maria.lopez[at]example[dot]com", "maria.lopez"),
    "at dot": ("maria.lopez at example dot com", "maria.lopez"),
    "AT DOT": ("maria.lopez AT example DOT com", "maria.lopez"),
    "_at_": ("maria_at_example_dot_com", "maria_at"),
    " @ ": ("maria.lopez @ example.com", "maria.lopez"),
    "[.]": ("maria.lopez@example[.]com", "maria.lopez"),
    "%40": ("maria.lopez%40example.com", "maria.lopez"),
    "%2540": ("maria.lopez%2540example.com", "maria.lopez"),
    "&#64;": ("maria.lopez&#64;example.com", "maria.lopez"),
    "&#x40;": ("maria.lopez&#x40;example.com", "maria.lopez"),
    "&commat;": ("maria.lopez&commat;example&period;com", "maria.lopez"),
    "escaped": ("maria.lopez\\u0040example.com", "maria.lopez"),
    "\\x40": ("maria.lopez\\x40example.com", "maria.lopez"),
    "fullwidth sign": ("maria.lopez\uff20example.com", "maria.lopez"),
    "fullwidth": ("\uff4d\uff41\uff52\uff49\uff41\uff20example.com", "\uff4d\uff41\uff52"),
    "small sign": ("maria.lopez\ufe6bexample.com", "maria.lopez"),
    "zero width": ("maria.lopez\u200b@exam\u200bple.com", "maria.lopez"),
    "soft hyphen": ("maria.lopez@exam\u00adple.com", "maria.lopez"),
    "international": ("+49 30 12345678", "12345678"),
    "US number": ("(212) 555-0123 ext", "555-0123"),
    "German number": ("030 / 12345678", "12345678"),
    "fullwidth number": ("\uff0b\uff14\uff19 30 12345678", "12345678"),
    "escaped number": ("%2B49%2030%2012345678", "12345678"),
    "card": ("4111 1111 1111 1111", "4111 1111"),
    "card in one": ("5500005555555559", "5500005555"),
    "fullwidth card": ("\uff14\uff11\uff11\uff111111 1111 1111", "1111 1111"),
    "IBAN": ("DE89 3704 0044 0532 0130 00", "3704 0044"),
    "SSN": ("my ssn is 536-90-4399", "536-90"),
    "IP": ("from 8.8.4.4 today", "8.8.4.4"),
    "MAC": ("at 00:1A:2B:3C:4D:5E", "1A:2B:3C"),
    "bitcoin": ("1A1zP1eP5QGefi2DMPTfTL5SLmv7DivfNa", "1A1zP1eP5"),
    "AWS": ("AKIAIOSFODNN7EXAMPLE", "IOSFODNN7"),
    "AWS hidden": ("AKIA\u200bIOSFODNN7EXAMPLE", "IOSFODNN7"),
    "AWS secret": ("aws_secret_access_key=" + WORD[:40], WORD[:40]),
    "Google": ("AIza" + WORD[:35], WORD[:35]),
    "OpenAI": ("sk-proj-" + WORD[:40], WORD[:40]),
    "OpenAI old": ("sk-" + WORD[:48], WORD[:48]),
    "Anthropic": ("sk-ant-" + WORD[:40], WORD[:40]),
    "OpenRouter": ("sk-or-v1-" + HEX * 4, HEX * 4),
    "Hugging Face": ("hf_" + WORD[:34], WORD[:34]),
    "Groq": ("gsk_" + WORD[:48], WORD[:48]),
    "GitHub": ("ghp_" + WORD[:36], WORD[:36]),
    "GitHub fine": ("github_pat_" + WORD[:40], WORD[:40]),
    "GitLab": ("glpat-" + WORD[:20], WORD[:20]),
    "Slack": ("xoxb-" + "12345678901-" + WORD[:20], WORD[:20]),
    "Slack hook": ("https://hooks.slack.com/services/T000/B000/" + WORD[:20], WORD[:20]),
    "Stripe": ("sk_live_" + WORD[:24], WORD[:24]),
    "Twilio": ("AC" + HEX * 2, HEX * 2),
    "SendGrid": ("SG." + WORD[:22] + "." + WORD[:43], WORD[:43]),
    "Mailgun": ("key-" + HEX * 2, HEX * 2),
    "Telegram": ("123456789:AA" + WORD[:33], WORD[:33]),
    "npm": ("npm_" + WORD[:36], WORD[:36]),
    "Databricks": ("dapi" + HEX * 2, HEX * 2),
    "DigitalOcean": ("dop_v1_" + HEX * 4, HEX * 4),
    "JWT": ("eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0NTY3ODkwIn0.c2lnbmF0dXJl", "eyJzdWIi"),
    "bearer": ("Authorization: Bearer " + WORD[:30], WORD[:30]),
    "basic": ("Authorization: Basic dXNlcjpodW50ZXIyMjI=", "dXNlcjpodW50"),
    "password": ("postgres://admin:hunter2swordfish@db.example.com/x", "hunter2swordfish"),
    "private key": ("-----BEGIN RSA PRIVATE KEY-----\n" + WORD[:40] + "\n", WORD[:40]),
}


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
    with duckdb.connect(str(config.layout.store), read_only=True) as connection:
        names = connection.sql("SELECT table_name FROM duckdb_tables()").fetchall()
        texts = [connection.table(name).select("COLUMNS(*)::VARCHAR") for (name,) in names]
        rows = [repr([[str(v) for v in row] for row in text.fetchall()]) for text in texts]
        reasons = connection.sql("SELECT DISTINCT reason FROM dead_letters").fetchall()
    kept = "\n".join(rows)
    assert [kind for kind, (_, part) in PLANTED.items() if part in kept] == []
    # Nor is a reason one of a kind, as it would be with a value in it.
    assert len(reasons) < 60


def test_none_is_in_any_file_nor_shown(stored, capfd, monkeypatch):
    """By bytes, every file of the home is looked at, and what commands show."""
    config, log = stored
    files = b"".join(path.read_bytes() for path in config.home.rglob("*") if path.is_file())
    monkeypatch.chdir(config.base_dir)
    for arguments in (["status"], ["dead-letters", "list"]):
        with pytest.raises(SystemExit):
            main(arguments)
    shown = capfd.readouterr()
    kept = log + files + (shown.out + shown.err).encode()
    assert [kind for kind, (_, part) in PLANTED.items() if part.encode() in kept] == []
