"""The versions of the store's tables, and how one becomes the next."""

from pathlib import Path
from typing import Any

from thumbwheel.errors import DataError

__all__ = ["migrate"]

_VERSION_1 = """
CREATE TABLE thumbwheel (schema_version INTEGER NOT NULL);
INSERT INTO thumbwheel VALUES (1);
CREATE TABLE events (
    arrival BIGINT NOT NULL,
    source VARCHAR NOT NULL,
    event_id VARCHAR NOT NULL,
    generation_id VARCHAR NOT NULL,
    prompt STRUCT("role" VARCHAR, content VARCHAR)[],
    completion VARCHAR,
    model_version VARCHAR,
    is_vote BOOLEAN NOT NULL,
    rater_id VARCHAR,
    score DOUBLE,
    comment VARCHAR,
    correction VARCHAR,
    comparison_id VARCHAR,
    occurred_at TIMESTAMPTZ,
    metadata VARCHAR,
    prompt_id VARCHAR,
    completion_id VARCHAR
);
CREATE TABLE dead_letters (
    source VARCHAR NOT NULL,
    position VARCHAR NOT NULL,
    raw BLOB NOT NULL,
    reason VARCHAR NOT NULL,
    received_at TIMESTAMPTZ NOT NULL
);
CREATE TABLE sources (
    source VARCHAR PRIMARY KEY,
    cursor VARCHAR NOT NULL,
    received BIGINT NOT NULL,
    stored BIGINT NOT NULL,
    duplicates BIGINT NOT NULL,
    dead_letters BIGINT NOT NULL,
    dropped BIGINT NOT NULL
);
"""

# Messages get `extra`, events the time they were received (for those that are there: now), dead
# letters an id. Events that expired are remembered, so that they are duplicates when they come
# again. `sources.stored` counts every row of a source in `events`, parked votes too.
#
# Rows are copied to new tables, because the log is read again after a kill before DuckDB has its
# functions: a change of a column by an expression cannot be read back.
_VERSION_2 = """
ALTER TABLE events RENAME TO events_1;
CREATE TABLE events (
    arrival BIGINT NOT NULL,
    source VARCHAR NOT NULL,
    event_id VARCHAR NOT NULL,
    generation_id VARCHAR NOT NULL,
    prompt STRUCT("role" VARCHAR, content VARCHAR, extra VARCHAR)[],
    completion VARCHAR,
    model_version VARCHAR,
    is_vote BOOLEAN NOT NULL,
    rater_id VARCHAR,
    score DOUBLE,
    comment VARCHAR,
    correction VARCHAR,
    comparison_id VARCHAR,
    occurred_at TIMESTAMPTZ,
    metadata VARCHAR,
    prompt_id VARCHAR,
    completion_id VARCHAR,
    received_at TIMESTAMPTZ NOT NULL
);
INSERT INTO events BY NAME SELECT * REPLACE (
    list_transform(prompt, lambda message:
        {'role': message."role", 'content': message.content, 'extra': NULL::VARCHAR}) AS prompt
), now() AS received_at FROM events_1;
DROP TABLE events_1;
ALTER TABLE dead_letters RENAME TO dead_letters_1;
CREATE SEQUENCE dead_letter_ids;
CREATE TABLE dead_letters (
    id BIGINT NOT NULL,
    source VARCHAR NOT NULL,
    position VARCHAR NOT NULL,
    raw BLOB NOT NULL,
    reason VARCHAR NOT NULL,
    received_at TIMESTAMPTZ NOT NULL
);
INSERT INTO dead_letters SELECT nextval('dead_letter_ids'), * FROM dead_letters_1;
DROP TABLE dead_letters_1;
CREATE TABLE expired_events (event_id VARCHAR NOT NULL, source VARCHAR NOT NULL);
ALTER TABLE sources ADD COLUMN expired BIGINT DEFAULT 0;
"""

# Records about those who were forgotten are counted, and so is what plugins changed in events.
_VERSION_3 = """
ALTER TABLE sources ADD COLUMN forgotten BIGINT DEFAULT 0;
CREATE TABLE plugin_counts (
    source VARCHAR NOT NULL,
    plugin VARCHAR NOT NULL,
    what VARCHAR NOT NULL,
    n BIGINT NOT NULL
);
"""

# Ids are the source's own, unless the configuration joins sources: then theirs are in one
# namespace. It is a join and no column, so that sources are joined at once and events cost nothing
# more. Records may be replaced by later ones of the same id.
_VERSION_4 = """
ALTER TABLE events ADD COLUMN updated_at TIMESTAMPTZ;
ALTER TABLE expired_events ADD COLUMN updated_at TIMESTAMPTZ;
ALTER TABLE sources ADD COLUMN namespace VARCHAR;
UPDATE sources SET namespace = source;
CREATE VIEW scoped_events AS
    SELECT events.*, sources.namespace FROM events JOIN sources ON sources.source = events.source;
"""

_MIGRATIONS = (_VERSION_1, _VERSION_2, _VERSION_3, _VERSION_4)


def migrate(connection: Any, path: Path) -> None:
    """Bring the tables to the newest version, each step in a transaction of its own.

    Raises:
        DataError: The file is not a store, or was written by a newer Thumbwheel.
    """
    tables = {name for (name,) in connection.execute("SHOW TABLES").fetchall()}
    version = 0
    if "thumbwheel" in tables:
        ((version,),) = connection.execute("SELECT schema_version FROM thumbwheel").fetchall()
    elif tables:
        raise DataError(f"{path} is a DuckDB file, but not a Thumbwheel store")
    if version > len(_MIGRATIONS):
        raise DataError(
            f"the store {path} has schema version {version}, this Thumbwheel knows "
            f"{len(_MIGRATIONS)}; install the Thumbwheel that wrote it, or a newer one"
        )
    for number, statements in enumerate(_MIGRATIONS[version:], version + 1):
        connection.begin()
        connection.execute(statements)
        connection.execute("UPDATE thumbwheel SET schema_version = ?", [number])
        connection.commit()
