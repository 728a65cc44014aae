"""Sixty kinds of secrets, and all that is kept in a folder where none of them may be found."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import duckdb
import pyarrow.parquet as pq

__all__ = ["PLANTED", "leaked", "tables_in"]

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


def leaked(folder: Path, *texts: str) -> list[str]:
    """Return the kinds that are found in the files of a folder, or in texts besides.

    By bytes, and in tables, which are packed, by what they hold.
    """
    kept = "".join(texts).encode() + b"".join(_kept(folder))
    return [kind for kind, (_, part) in PLANTED.items() if part.encode() in kept]


def _kept(folder: Path) -> Iterator[bytes]:
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        yield path.read_bytes()
        if path.suffix == ".parquet":
            yield repr(pq.read_table(path).to_pylist()).encode()
        elif path.suffix == ".duckdb":
            yield tables_in(path).encode()
        elif path.suffix == ".db":
            with closing(sqlite3.connect(path)) as database:
                yield "".join(database.iterdump()).encode()


def tables_in(store: Path) -> str:
    """Return every column of every table of a store, reasons and positions too."""
    with duckdb.connect(str(store), read_only=True) as connection:
        names = connection.sql("SELECT table_name FROM duckdb_tables()").fetchall()
        texts = [connection.table(name).select("COLUMNS(*)::VARCHAR") for (name,) in names]
        return "\n".join(repr([[str(v) for v in row] for row in text.fetchall()]) for text in texts)
