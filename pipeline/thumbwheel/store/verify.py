"""Whether the store is whole: every block is read, and every count is counted anew."""

from pathlib import Path

from thumbwheel.errors import DamagedStoreError
from thumbwheel.store.connection import Connection

__all__ = ["verify"]

# Hashing a whole row reads every column of it, and DuckDB checks each block that it reads.
_READ_ALL = 'SELECT bit_xor(hash("{table}")) FROM "{table}"'

_TABLES = """
SELECT table_name FROM information_schema.tables
WHERE table_type = 'BASE TABLE' AND table_catalog = current_database()
"""

_COUNTED = """
WITH held AS (
    SELECT source, count(*) AS n FROM events GROUP BY source
), letters AS (
    SELECT source, count(*) AS n FROM dead_letters GROUP BY source
), expired_votes AS (
    SELECT source, count(*) AS n FROM expired_events GROUP BY source
)
SELECT source,
       received - (
           stored + duplicates + sources.dead_letters + dropped + expired + forgotten),
       stored - coalesce(held.n, 0),
       sources.dead_letters - coalesce(letters.n, 0),
       expired - coalesce(expired_votes.n, 0)
FROM sources
FULL JOIN held USING (source)
FULL JOIN letters USING (source)
FULL JOIN expired_votes USING (source)
ORDER BY source
"""


def verify(connection: Connection, path: Path) -> None:
    """Read everything, and check the balance of every source against the rows that are there.

    Raises:
        DamagedStoreError: The counts do not agree.
        duckdb.Error: A block could not be read.
    """
    for (table,) in connection.execute(_TABLES).fetchall():
        connection.execute(_READ_ALL.format(table=table)).fetchall()
    for source, *differences in connection.execute(_COUNTED).fetchall():
        if any(difference != 0 for difference in differences):
            raise DamagedStoreError(
                f"the store {path} is damaged (its counts of the source {source} do not agree with "
                "its rows); run `thumbwheel rebuild`, which makes it anew from the sources"
            )
