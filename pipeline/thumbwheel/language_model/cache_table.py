"""The table of a model cache, in SQLite: outputs under their keys, each with a checksum.

All raise `sqlite3.Error`, where the file is damaged too.
"""

import hashlib
import sqlite3
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

__all__ = ["Output", "find", "insert", "prune", "remove", "set_up"]

_VERSION = 1
_SCHEMA = (
    "CREATE TABLE IF NOT EXISTS outputs (key BLOB PRIMARY KEY, prompt TEXT NOT NULL, "
    "completion TEXT NOT NULL, text TEXT, value BLOB NOT NULL, used INTEGER NOT NULL, "
    "sum BLOB NOT NULL)",
    "CREATE INDEX IF NOT EXISTS outputs_prompt ON outputs (prompt)",
    "CREATE INDEX IF NOT EXISTS outputs_completion ON outputs (completion)",
    "CREATE INDEX IF NOT EXISTS outputs_used ON outputs (used)",
    f"PRAGMA user_version = {_VERSION}",
)
_PRUNED_TO = 0.8
_DAY = 24 * 60 * 60
_KEYS_AT_ONCE = 500


@dataclass(frozen=True, slots=True)
class Output:
    """What a model made of a prompt.

    Attributes:
        key: A hash of everything it depends on.
        prompt: The prompt's identity, see `events.identity`.
        completion: The identity of the completion that it is, or is about.
        text: What was written, or None where it is numbers.
        value: What else there is.
    """

    key: bytes
    prompt: str
    completion: str
    text: str | None
    value: bytes


def set_up(connection: sqlite3.Connection) -> None:
    """Prepare a connection, and a file that is new."""
    # First, because this is a file's first page read.
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = NORMAL")
    connection.execute("PRAGMA secure_delete = ON")
    if version == 0:
        with connection:
            connection.execute("BEGIN IMMEDIATE")
            for statement in _SCHEMA:
                connection.execute(statement)
    elif version != _VERSION:
        raise sqlite3.DatabaseError(f"it is of version {version}, not {_VERSION}")


def find(
    connection: sqlite3.Connection, keys: Sequence[bytes]
) -> dict[bytes, tuple[str | None, bytes]]:
    """Return the text and the value of each output that is there, and note that they are used."""
    found, stale = {}, []
    now = int(time.time())
    for start in range(0, len(keys), _KEYS_AT_ONCE):
        some = keys[start : start + _KEYS_AT_ONCE]
        marks = ", ".join("?" * len(some))
        for key, text, value, used, check in connection.execute(
            f"SELECT key, text, value, used, sum FROM outputs WHERE key IN ({marks})",  # noqa: S608
            some,
        ):
            if _checksum(key, text, value) != check:
                raise sqlite3.DatabaseError("an output does not have its checksum")
            found[key] = (text, value)
            if used < now - _DAY:
                stale.append((now, key))
    if stale:
        with connection:
            connection.execute("BEGIN IMMEDIATE")
            connection.executemany("UPDATE outputs SET used = ? WHERE key = ?", stale)
    return found


def insert(connection: sqlite3.Connection, outputs: Sequence[Output]) -> None:
    """Write all outputs or none; of one that is there already, the earlier stays."""
    now = int(time.time())
    rows = [
        (
            *(it.key, it.prompt, it.completion, it.text, it.value, now),
            _checksum(it.key, it.text, it.value),
        )
        for it in outputs
    ]
    with connection:
        connection.execute("BEGIN IMMEDIATE")
        connection.executemany("INSERT OR IGNORE INTO outputs VALUES (?, ?, ?, ?, ?, ?, ?)", rows)


def prune(connection: sqlite3.Connection, max_bytes: int) -> None:
    """Remove what was used the longest ago when there is more than `max_bytes`."""
    if _n_bytes(connection) <= max_bytes:
        return
    (n_outputs,) = connection.execute("SELECT COUNT(*) FROM outputs").fetchone()
    while n_outputs > 0 and _n_bytes(connection) > _PRUNED_TO * max_bytes:
        some = n_outputs // 20 + 1
        with connection:
            connection.execute(
                "DELETE FROM outputs WHERE rowid IN "
                "(SELECT rowid FROM outputs ORDER BY used, rowid LIMIT ?)",
                [some],
            )
        n_outputs -= some


def _n_bytes(connection: sqlite3.Connection) -> int:
    """Return how much of the file is in use; what was removed leaves room for others."""
    pages, free, size = (
        int(connection.execute(f"PRAGMA {name}").fetchone()[0])
        for name in ("page_count", "freelist_count", "page_size")
    )
    return (pages - free) * size


def remove(
    connection: sqlite3.Connection,
    prompts: Iterable[str],
    completions: Iterable[str],
    tells: Callable[[str], bool],
) -> int:
    """Remove outputs, see `ModelCache.forget`, and return their number."""
    connection.execute("BEGIN IMMEDIATE")
    before = connection.total_changes
    texts = connection.execute("SELECT rowid, text FROM outputs WHERE text IS NOT NULL")
    told = [(rowid,) for rowid, text in texts if tells(text)]
    connection.executemany("DELETE FROM outputs WHERE rowid = ?", told)
    for column, values in (("prompt", prompts), ("completion", completions)):
        connection.executemany(
            f"DELETE FROM outputs WHERE {column} = ?",  # noqa: S608
            [(value,) for value in values],
        )
    return connection.total_changes - before


def _checksum(key: bytes, text: str | None, value: bytes) -> bytes:
    digest = hashlib.blake2b(value, digest_size=8, key=key)
    digest.update(b"" if text is None else text.encode())
    return digest.digest()
