"""The store: every event, in one DuckDB file. The only module of the engine that uses DuckDB.

One process at a time holds the file. A batch of events, its dead letters, the counters and the
source's cursor are committed in one transaction, so that a kill at any instant loses nothing and
doubles nothing: either the batch is there with the cursor behind it, or neither is.

There is no primary key: with one, DuckDB scans all keys on every append. An event that has been
stored before (same `event_id`) is kept out by an anti-join instead.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from types import TracebackType
from typing import Self

import duckdb
import pyarrow as pa

from thumbwheel.errors import BusyError, DataError
from thumbwheel.tables import EVENTS

__all__ = ["IDENTIFIED", "DeadLetter", "Snapshot", "SourceCounts", "Store", "VoteCounts"]

IDENTIFIED = EVENTS.append(pa.field("prompt_id", pa.string())).append(
    pa.field("completion_id", pa.string())
)
"""`tables.EVENTS` with the identities of prompt and completion, as `Store.append` takes it."""

_SCHEMA_VERSION = 1

_SCHEMA = """
CREATE TABLE thumbwheel (schema_version INTEGER NOT NULL);
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

# A generation is what one generation_id answered, as it arrived first. A vote is the latest word
# of one rater on one generation within one comparison; votes without a rater are each their own
# rater. When a rater judged the same text several times, the votes are averaged: one rater, one
# voice. Scores are summed as decimals, because sums of floats depend on the order of the rows.
_VOTES = """
generations AS (
    SELECT generation_id,
           arg_min(prompt_id, arrival) AS prompt_id,
           arg_min(completion_id, arrival) AS completion_id,
           arg_min(model_version, arrival) AS model_version,
           min(arrival) AS arrival
    FROM events WHERE completion_id IS NOT NULL GROUP BY generation_id
),
votes AS (
    SELECT generation_id,
           coalesce(rater_id, 'event:' || event_id) AS rater,
           arg_max_null(score, (coalesce(occurred_at, '-infinity'::TIMESTAMPTZ), arrival)) AS score,
           count(*) AS n_events
    FROM events WHERE is_vote GROUP BY generation_id, rater, comparison_id
)
"""

_RATED = f"""
WITH {_VOTES},
per_rater AS (
    SELECT prompt_id, completion_id, rater,
           avg(score::DECIMAL(18, 9))::DECIMAL(18, 9) AS score,
           min(arrival) AS arrival,
           max(model_version) AS model_version
    FROM votes JOIN generations USING (generation_id)
    WHERE score IS NOT NULL
    GROUP BY prompt_id, completion_id, rater
),
rated AS (
    SELECT prompt_id, completion_id,
           (sum(1 + score) / 2)::DOUBLE AS n_up,
           (sum(1 - score) / 2)::DOUBLE AS n_down,
           avg(score)::DOUBLE AS score,
           max(model_version) AS model_version,
           min(arrival) AS arrival
    FROM per_rater GROUP BY prompt_id, completion_id
)
SELECT rated.prompt_id, rated.completion_id, events.prompt, events.completion,
       n_up, n_down, rated.score, rated.model_version
FROM rated JOIN events USING (arrival)
ORDER BY rated.prompt_id, rated.completion_id
"""  # noqa: S608 - no user text: the query is put together from the constant above

_COUNTS = f"""
WITH {_VOTES}
SELECT coalesce(sum(n_events), 0)::BIGINT,
       coalesce(sum(n_events - 1), 0)::BIGINT,
       coalesce(sum((score IS NULL)::BIGINT), 0)::BIGINT,
       coalesce(sum((score IS NOT NULL AND g.generation_id IS NULL)::BIGINT), 0)::BIGINT,
       coalesce(sum((score IS NOT NULL AND g.generation_id IS NOT NULL)::BIGINT), 0)::BIGINT
FROM votes LEFT JOIN generations AS g USING (generation_id)
"""  # noqa: S608


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """A record that could not be read, kept whole with the reason."""

    position: str
    raw: bytes
    reason: str


@dataclass(frozen=True, slots=True)
class SourceCounts:
    """What became of a source's records: received = stored + duplicates + dead letters + dropped.

    `dropped` counts what a `process_events` plugin left out.
    """

    source: str
    received: int
    stored: int
    duplicates: int
    dead_letters: int
    dropped: int

    def __add__(self, other: "SourceCounts") -> "SourceCounts":
        """Return the sum of two batches of the same source."""
        return SourceCounts(
            self.source,
            self.received + other.received,
            self.stored + other.stored,
            self.duplicates + other.duplicates,
            self.dead_letters + other.dead_letters,
            self.dropped + other.dropped,
        )


@dataclass(frozen=True, slots=True)
class VoteCounts:
    """What became of the stored votes: votes = superseded + withdrawn + parked + counted.

    A parked vote waits for its answer; a superseded one was changed by the same rater later.
    """

    votes: int
    superseded: int
    withdrawn: int
    parked: int
    counted: int


@dataclass(frozen=True, slots=True)
class Snapshot:
    """The rated completions of one moment, as Parquet (`tables.RATED`, sorted by prompt)."""

    path: Path
    digest: str
    n_events: int
    n_prompts: int
    n_completions: int
    votes: VoteCounts


class Store:
    """An opened store. Use it as a context manager, and for as short a time as possible.

    Raises:
        BusyError: Another process holds the file.
        DataError: The file is not a store, or was written by a newer Thumbwheel.
    """

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._path = path
        try:
            self._connection = duckdb.connect(str(path))
        except duckdb.Error as error:
            message = str(error).strip().splitlines()[0]
            if "lock" in message.casefold():
                raise BusyError(
                    f"the store {path} is held by another process; "
                    "wait until it has finished, or stop it"
                ) from error
            raise DataError(f"the store {path} cannot be opened: {message}") from error
        try:
            self._prepare()
        except BaseException:
            self._connection.close()
            raise

    def _prepare(self) -> None:
        self._connection.execute("SET checkpoint_threshold = '256MB'; SET TimeZone = 'UTC'")
        tables = {name for (name,) in self._connection.execute("SHOW TABLES").fetchall()}
        if not tables:
            self._connection.begin()
            self._connection.execute(_SCHEMA)
            self._connection.execute("INSERT INTO thumbwheel VALUES (?)", [_SCHEMA_VERSION])
            self._connection.commit()
        elif "thumbwheel" not in tables:
            raise DataError(f"{self._path} is a DuckDB file, but not a Thumbwheel store")
        (version,) = self._one("SELECT schema_version FROM thumbwheel")
        if version != _SCHEMA_VERSION:
            raise DataError(
                f"the store {self._path} has schema version {version}, this Thumbwheel knows "
                f"{_SCHEMA_VERSION}; install the Thumbwheel that wrote it, or a newer one"
            )
        (self._arrival,) = self._one("SELECT coalesce(max(arrival) + 1, 0) FROM events")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the file, so that another process may open it."""
        self._connection.close()

    def cursor(self, source: str) -> str | None:
        """Return where reading of `source` goes on, or None when it was never read."""
        rows = self._connection.execute(
            "SELECT cursor FROM sources WHERE source = ?", [source]
        ).fetchall()
        return str(rows[0][0]) if rows else None

    def append(
        self,
        source: str,
        events: pa.Table,
        dead_letters: Sequence[DeadLetter],
        *,
        cursor: str,
        received: int,
        now: datetime,
    ) -> SourceCounts:
        """Commit one batch with its cursor; return what became of it.

        Args:
            source: The source's name.
            events: `IDENTIFIED`; events stored before, or twice in the batch, are left out.
            dead_letters: The batch's unreadable records.
            cursor: Where reading goes on behind the batch.
            received: Records in the batch, readable or not. Those that are neither an event nor a
                dead letter were dropped by a plugin.
            now: The time to note with dead letters.
        """
        connection = self._connection
        letters = pa.table(
            {
                "position": [letter.position for letter in dead_letters],
                "raw": [letter.raw for letter in dead_letters],
                "reason": [letter.reason for letter in dead_letters],
            },
            schema=pa.schema(
                [("position", pa.string()), ("raw", pa.binary()), ("reason", pa.string())]
            ),
        )
        numbered = events.append_column("row", pa.array(range(len(events)), pa.int64()))
        columns = ", ".join(f'batch."{name}"' for name in IDENTIFIED.names)
        names = ", ".join(f'"{name}"' for name in IDENTIFIED.names)
        connection.register("batch", numbered)
        connection.register("letters", letters)
        connection.begin()
        try:
            ((stored,),) = connection.execute(
                f"""
                INSERT INTO events (arrival, source, {names})
                SELECT ? + batch.row, ?, {columns}
                FROM (SELECT * FROM batch
                      QUALIFY row_number() OVER (PARTITION BY event_id ORDER BY row) = 1) AS batch
                ANTI JOIN events ON events.event_id = batch.event_id
                ORDER BY batch.row
                """,  # noqa: S608 - column names are constants
                [self._arrival, source],
            ).fetchall()
            counts = SourceCounts(
                source,
                received=received,
                stored=stored,
                duplicates=len(events) - stored,
                dead_letters=len(dead_letters),
                dropped=received - len(events) - len(dead_letters),
            )
            connection.execute(
                "INSERT INTO dead_letters SELECT ?, position, raw, reason, ? FROM letters",
                [source, now],
            )
            connection.execute(
                """
                INSERT INTO sources VALUES ($source, $cursor, $received, $stored, $duplicates,
                                            $dead_letters, $dropped)
                ON CONFLICT (source) DO UPDATE SET
                    cursor = excluded.cursor,
                    received = received + excluded.received,
                    stored = stored + excluded.stored,
                    duplicates = duplicates + excluded.duplicates,
                    dead_letters = dead_letters + excluded.dead_letters,
                    dropped = dropped + excluded.dropped
                """,
                {**asdict(counts), "cursor": cursor},
            )
            connection.commit()
        except BaseException:
            connection.rollback()
            raise
        finally:
            connection.unregister("batch")
            connection.unregister("letters")
        self._arrival += len(events)
        return counts

    def source_counts(self) -> list[SourceCounts]:
        """Return the balance of every source read so far."""
        rows = self._connection.execute(
            "SELECT source, received, stored, duplicates, dead_letters, dropped "
            "FROM sources ORDER BY source"
        ).fetchall()
        return [SourceCounts(*row) for row in rows]

    def dead_letter_reasons(self, limit: int) -> list[tuple[str, int, str]]:
        """Return (reason, count, an example's position), the most frequent first."""
        rows: list[tuple[str, int, str]] = self._connection.execute(
            "SELECT reason, count(*), min(position) FROM dead_letters "
            "GROUP BY reason ORDER BY count(*) DESC, reason LIMIT ?",
            [limit],
        ).fetchall()
        return rows

    def vote_counts(self) -> VoteCounts:
        """Return what became of the stored votes."""
        return VoteCounts(*self._one(_COUNTS))

    def snapshot(self, path: Path) -> Snapshot:
        """Write the rated completions to a new Parquet file and return what it holds.

        The digest identifies the content: it does not depend on the order of arrival, only on who
        holds which opinion now.
        """
        connection = self._connection
        connection.begin()
        try:
            connection.execute(
                f"COPY ({_RATED}) TO '{_quoted(path)}' (FORMAT parquet, COMPRESSION zstd)"
            )
            votes = self.vote_counts()
            (n_events,) = self._one("SELECT count(*) FROM events")
        finally:
            connection.rollback()
        digest, n_completions, n_prompts = self._one(
            f"""
            SELECT coalesce(
                       bit_xor(md5_number(concat_ws('|', completion_id, n_up, n_down, score,
                                                    coalesce(model_version, '')))), 0),
                   count(*), count(DISTINCT prompt_id)
            FROM read_parquet('{_quoted(path)}')
            """  # noqa: S608 - the path is quoted
        )
        return Snapshot(path, f"{digest:032x}", n_events, n_prompts, n_completions, votes)

    def _one(self, query: str) -> tuple[int, ...]:
        (row,) = self._connection.execute(query).fetchall()
        return tuple(row)


def _quoted(path: Path) -> str:
    return str(path).replace("'", "''")
