"""The sources: where reading goes on, and the balance of what was received.

`sources.stored` counts every row that a source has in `events`. What is reported takes out the
parked: votes whose answer has not come.
"""

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime

import pyarrow as pa

from thumbwheel.store.connection import Connection
from thumbwheel.store.values import PluginCount, ReplayCounts
from thumbwheel.types import SourceCounts

__all__ = [
    "add_batch",
    "add_plugin_counts",
    "adopt_namespace",
    "balance",
    "expire_parked",
    "move_resolved",
    "plugin_counts",
    "read_cursor",
]

# What takes a record back waits for nothing: it may know no more than the record's id.
_PARKED = """
SELECT arrival, source, event_id, received_at, updated_at
FROM scoped_events AS vote ANTI JOIN (
    SELECT namespace, generation_id FROM scoped_events WHERE completion_id IS NOT NULL
) AS generations USING (namespace, generation_id)
WHERE vote.completion_id IS NULL AND NOT (is_vote AND score IS NULL AND updated_at IS NOT NULL)
"""

_BALANCE = f"""
SELECT source, received, stored - coalesce(parked, 0), duplicates, dead_letters, dropped,
       coalesce(parked, 0), expired, forgotten
FROM sources LEFT JOIN (
    SELECT source, count(*) AS parked FROM ({_PARKED}) GROUP BY source
) USING (source)
ORDER BY source
"""  # noqa: S608 - no user text: the query is put together from the constant above

_UNPARKED = """
SELECT source, received, stored, duplicates, dead_letters, dropped, 0, expired, forgotten
FROM sources ORDER BY source
"""

_COUNTED = ("source", "received", "stored", "duplicates", "dead_letters", "dropped", "forgotten")

# An upsert takes three times as long.
_ADD_BATCH = """
UPDATE sources SET
    cursor = $cursor,
    received = received + $received,
    stored = stored + $stored,
    duplicates = duplicates + $duplicates,
    dead_letters = dead_letters + $dead_letters,
    dropped = dropped + $dropped,
    forgotten = forgotten + $forgotten
WHERE source = $source
"""

_FIRST_BATCH = """
INSERT INTO sources
    (source, cursor, received, stored, duplicates, dead_letters, dropped, forgotten, namespace)
VALUES ($source, $cursor, $received, $stored, $duplicates, $dead_letters, $dropped, $forgotten,
        $namespace)
"""

_MOVE_RESOLVED = """
UPDATE sources SET
    received = received + ?,
    dead_letters = dead_letters - ?,
    stored = stored + ?,
    duplicates = duplicates + ?,
    dropped = dropped + ?,
    forgotten = forgotten + ?
WHERE source = ?
"""

_COUNT_PLUGINS = """
UPDATE plugin_counts SET n = plugin_counts.n + counted.n FROM counted
WHERE (plugin_counts.source, plugin_counts.plugin, plugin_counts.what)
    = (counted.source, counted.plugin, counted.what);
INSERT INTO plugin_counts BY NAME
SELECT * FROM counted ANTI JOIN plugin_counts USING (source, plugin, what);
"""

_EXPIRE = """
INSERT INTO expired_events BY NAME
SELECT event_id, source, updated_at FROM expiring;
DELETE FROM events WHERE arrival IN (SELECT arrival FROM expiring);
UPDATE sources SET stored = stored - n, expired = expired + n
FROM (SELECT source, count(*) AS n FROM expiring GROUP BY source) AS counted
WHERE sources.source = counted.source;
"""


def read_cursor(connection: Connection, source: str) -> str | None:
    """Return where reading goes on, or None when the source was never read."""
    rows = connection.execute("SELECT cursor FROM sources WHERE source = ?", [source]).fetchall()
    return str(rows[0][0]) if rows else None


def adopt_namespace(connection: Connection, source: str, namespace: str) -> bool:
    """Note the namespace of a source's ids; tell whether it was another one."""
    ((n_moved,),) = connection.execute(
        "UPDATE sources SET namespace = $namespace "
        "WHERE source = $source AND namespace IS DISTINCT FROM $namespace",
        {"source": source, "namespace": namespace},
    ).fetchall()
    return bool(n_moved)


def balance(connection: Connection, parked: Mapping[str, int] | None = None) -> list[SourceCounts]:
    """Return what became of the records of every source.

    Args:
        connection: In a transaction.
        parked: How many of each source's are parked, where that is known.
    """
    if parked is None:
        return [SourceCounts(*row) for row in connection.execute(_BALANCE).fetchall()]
    counted = [SourceCounts(*row) for row in connection.execute(_UNPARKED).fetchall()]
    return [
        replace(counts, stored=counts.stored - n, parked=n)
        for counts in counted
        for n in [parked.get(counts.source, 0)]
    ]


def add_batch(connection: Connection, counts: SourceCounts, cursor: str, namespace: str) -> None:
    """Count one more batch, and note where reading goes on behind it."""
    values = {name: getattr(counts, name) for name in _COUNTED} | {"cursor": cursor}
    ((n_known,),) = connection.execute(_ADD_BATCH, values).fetchall()
    if not n_known:
        connection.execute(_FIRST_BATCH, values | {"namespace": namespace})


def move_resolved(
    connection: Connection, source: str, n_resolved: int, counts: ReplayCounts
) -> None:
    """Count resolved dead letters as what they became."""
    became = counts.stored + counts.duplicates + counts.dropped + counts.forgotten
    moved = [counts.stored, counts.duplicates, counts.dropped, counts.forgotten]
    connection.execute(_MOVE_RESOLVED, [became - n_resolved, n_resolved, *moved, source])


def add_plugin_counts(
    connection: Connection, source: str, counts: Mapping[str, Mapping[str, int]]
) -> None:
    """Count what plugins did to a batch: name -> what -> how many."""
    rows = [
        {"source": source, "plugin": plugin, "what": what, "n": n}
        for plugin, done in counts.items()
        for what, n in done.items()
        if n
    ]
    if rows:
        connection.register("counted", pa.Table.from_pylist(rows))
        connection.execute(_COUNT_PLUGINS)


def plugin_counts(connection: Connection) -> list[PluginCount]:
    """Return what plugins did to events, over all that was received."""
    rows = connection.execute("SELECT * FROM plugin_counts ORDER BY ALL").fetchall()
    return [PluginCount(*row) for row in rows]


def expire_parked(connection: Connection, before: datetime) -> int:
    """Delete votes received before a time that are still parked; return how many."""
    connection.execute(
        f"CREATE TEMP TABLE expiring AS SELECT * FROM ({_PARKED}) WHERE received_at < ?",  # noqa: S608
        [before],
    )
    connection.execute(_EXPIRE)
    ((n_expired,),) = connection.execute("SELECT count(*) FROM expiring").fetchall()
    return int(n_expired)
