"""Dead letters: records that could not be read, until they can."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime

import pyarrow as pa

from thumbwheel.errors import DataError
from thumbwheel.store.connection import Connection
from thumbwheel.store.values import DeadLetter, StoredDeadLetter

__all__ = [
    "delete_letters",
    "insert_letters",
    "letter_bytes",
    "letters_behind",
    "list_letters",
    "top_reasons",
    "update_reasons",
]

# A time is fetched without its zone, which is UTC: DuckDB needs pytz to hand out one with it.
_DESCRIBED = """
SELECT id, source, position, reason, received_at AT TIME ZONE 'UTC', octet_length(raw)
FROM dead_letters
"""

_LETTERS = pa.schema([("position", pa.string()), ("raw", pa.binary()), ("reason", pa.string())])


def insert_letters(
    connection: Connection, source: str, letters: Sequence[DeadLetter], now: datetime
) -> None:
    """Keep unreadable records, numbered in their order."""
    if not letters:
        return
    rows = [(letter.position, letter.raw, letter.reason) for letter in letters]
    columns = zip(*rows, strict=True)
    connection.register("letters", pa.table([list(c) for c in columns], schema=_LETTERS))
    connection.execute(
        "INSERT INTO dead_letters "
        "SELECT nextval('dead_letter_ids'), ?, position, raw, reason, ? FROM letters",
        [source, now],
    )


def list_letters(connection: Connection, source: str | None, limit: int) -> list[StoredDeadLetter]:
    """Return dead letters of one source, or of all, the newest first."""
    rows = connection.execute(
        f"{_DESCRIBED} WHERE source = ? OR ? IS NULL ORDER BY id DESC LIMIT ?",
        [source, source, limit],
    ).fetchall()
    return [_described(row) for row in rows]


def letter_bytes(connection: Connection, letter_id: int) -> tuple[StoredDeadLetter, bytes]:
    """Return a dead letter and its bytes.

    Raises:
        DataError: There is none with this id.
    """
    rows = connection.execute(f"{_DESCRIBED} WHERE id = ?", [letter_id]).fetchall()
    if not rows:
        raise DataError(f"there is no dead letter {letter_id}; it may have been replayed")
    ((raw,),) = connection.execute(
        "SELECT raw FROM dead_letters WHERE id = ?", [letter_id]
    ).fetchall()
    return _described(rows[0]), raw


def letters_behind(
    connection: Connection, source: str, after_id: int, limit: int
) -> list[tuple[int, bytes]]:
    """Return (id, bytes) of the next dead letters of a source, ids ascending."""
    rows: list[tuple[int, bytes]] = connection.execute(
        "SELECT id, raw FROM dead_letters WHERE source = ? AND id > ? ORDER BY id LIMIT ?",
        [source, after_id, limit],
    ).fetchall()
    return rows


def top_reasons(connection: Connection, limit: int) -> list[tuple[str, int, str]]:
    """Return (reason, count, an example's position), the most frequent first."""
    rows: list[tuple[str, int, str]] = connection.execute(
        "SELECT reason, count(*), min(position) FROM dead_letters "
        "GROUP BY reason ORDER BY count(*) DESC, reason LIMIT ?",
        [limit],
    ).fetchall()
    return rows


def delete_letters(connection: Connection, source: str, ids: Sequence[int]) -> None:
    """Delete dead letters that can be read now.

    Raises:
        DataError: One of them is not there.
    """
    ((deleted,),) = connection.execute(
        "DELETE FROM dead_letters WHERE source = ? AND id IN (SELECT unnest(?::BIGINT[]))",
        [source, list(ids)],
    ).fetchall()
    if deleted != len(ids):
        raise DataError(
            f"{len(ids) - deleted} of these dead letters of {source} were replayed meanwhile; "
            "list them again"
        )


def update_reasons(connection: Connection, source: str, reasons: Mapping[int, str]) -> None:
    """Note why dead letters still cannot be read."""
    if not reasons:
        return
    found = pa.table(
        {"id": list(reasons), "reason": list(reasons.values())},
        schema=pa.schema([("id", pa.int64()), ("reason", pa.string())]),
    )
    connection.register("reasons", found)
    connection.execute(
        "UPDATE dead_letters SET reason = reasons.reason FROM reasons "
        "WHERE dead_letters.id = reasons.id AND source = ?",
        [source],
    )


def _described(row: tuple[int, str, str, str, datetime, int]) -> StoredDeadLetter:
    letter_id, source, position, reason, received_at, n_bytes = row
    return StoredDeadLetter(
        letter_id, source, position, reason, received_at.replace(tzinfo=UTC), n_bytes
    )
