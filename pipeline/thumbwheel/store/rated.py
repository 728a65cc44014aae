"""From stored events to rated completions: whose vote counts, and for which text.

What is chosen here follows from the content of the events alone, so that any order of arrival and
any repetition give the same bytes. One choice cannot: of votes of one rater on one generation that
bear the same time, or none, the one that arrived last counts.
"""

import errno
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from thumbwheel.errors import DiskFullError
from thumbwheel.store.database import Connection, stream
from thumbwheel.store.values import Snapshot, VoteCounts
from thumbwheel.tables import RATED

__all__ = ["count_votes", "write_snapshot"]

_ROWS_PER_GROUP = 16_384

# A generation is what one generation_id answered, as it was told at the earliest time. A vote is
# the latest word of one rater on one generation within one comparison; votes without a rater are
# each their own rater. When a rater judged the same text several times, the votes are averaged: one
# rater, one voice. Scores are summed as decimals, because sums of floats depend on the order of the
# rows.
_VOTES = """
generations AS (
    SELECT generation_id, prompt_id, completion_id, model_version, occurred_at, event_id, arrival
    FROM events WHERE completion_id IS NOT NULL
    QUALIFY row_number() OVER (
        PARTITION BY generation_id ORDER BY occurred_at NULLS LAST, event_id) = 1
),
votes AS (
    SELECT generation_id,
           coalesce('rater:' || rater_id, 'event:' || event_id) AS rater,
           arg_max_null(score, (coalesce(occurred_at, '-infinity'::TIMESTAMPTZ), arrival)) AS score,
           count(*) AS n_events
    FROM events WHERE is_vote GROUP BY generation_id, rater, comparison_id
)
"""

# `arrival` leads to the event whose texts stand for a completion: prompts of one identity may
# differ in outer whitespace and in how their letters are composed.
_RATED = f"""
CREATE TEMP TABLE rated AS
WITH {_VOTES},
per_rater AS (
    SELECT completion_id, rater,
           avg(score::DECIMAL(18, 9))::DECIMAL(18, 9) AS score,
           max(model_version) AS model_version
    FROM votes JOIN generations USING (generation_id)
    WHERE score IS NOT NULL
    GROUP BY completion_id, rater
),
rated AS (
    SELECT completion_id,
           (sum(1 + score) / 2)::DOUBLE AS n_up,
           (sum(1 - score) / 2)::DOUBLE AS n_down,
           avg(score)::DOUBLE AS score,
           max(model_version) AS model_version
    FROM per_rater GROUP BY completion_id
),
texts AS (
    SELECT prompt_id, completion_id, arrival FROM generations
    QUALIFY row_number() OVER (
        PARTITION BY completion_id ORDER BY occurred_at NULLS LAST, event_id) = 1
)
SELECT prompt_id, completion_id, n_up, n_down, score, model_version, arrival
FROM rated JOIN texts USING (completion_id)
"""  # noqa: S608 - no user text: the query is put together from the constant above

_WITH_TEXTS = """
SELECT rated.prompt_id, rated.completion_id, prompt, completion, n_up, n_down, rated.score,
       rated.model_version
FROM rated JOIN events USING (arrival)
ORDER BY rated.prompt_id, rated.completion_id
"""

_CONTENT = """
SELECT coalesce(bit_xor(md5_number(concat_ws('|', completion_id, n_up, n_down, score,
                                             coalesce(model_version, '')))), 0),
       (SELECT count(*) FROM events), count(DISTINCT prompt_id), count(*)
FROM rated
"""

_COUNTS = f"""
WITH {_VOTES}
SELECT coalesce(sum(n_events), 0)::BIGINT,
       coalesce(sum(n_events - 1), 0)::BIGINT,
       coalesce(sum((score IS NULL)::BIGINT), 0)::BIGINT,
       coalesce(sum((score IS NOT NULL AND g.generation_id IS NULL)::BIGINT), 0)::BIGINT,
       coalesce(sum((score IS NOT NULL AND g.generation_id IS NOT NULL)::BIGINT), 0)::BIGINT
FROM votes LEFT JOIN generations AS g USING (generation_id)
"""  # noqa: S608


def count_votes(connection: Connection) -> VoteCounts:
    """Return what became of the stored votes."""
    (row,) = connection.execute(_COUNTS).fetchall()
    return VoteCounts(*row)


def write_snapshot(connection: Connection, path: Path) -> Snapshot:
    """Write the rated completions, within one transaction, to a new Parquet file.

    The digest identifies the content: it does not depend on the order of arrival, only on who
    holds which opinion now. Nor do the bytes of the file, for the same version of Arrow.

    Raises:
        DiskFullError: There is no space left for the file.
        duckdb.Error: The store could not be read.
    """
    connection.execute(_RATED)
    ((digest, n_events, n_prompts, n_completions),) = connection.execute(_CONTENT).fetchall()
    batches = stream(connection, _WITH_TEXTS, _ROWS_PER_GROUP)
    try:
        with pq.ParquetWriter(path, RATED, compression="zstd") as writer:
            for group in _in_groups(batches, _ROWS_PER_GROUP):
                writer.write_table(group)
    except OSError as error:
        path.unlink(missing_ok=True)
        if error.errno != errno.ENOSPC:
            raise
        raise DiskFullError(f"there is no space left for the snapshot {path}") from error
    votes = count_votes(connection)
    return Snapshot(path, f"{digest:032x}", n_events, n_prompts, n_completions, votes)


def _in_groups(batches: Iterator[pa.RecordBatch], size: int) -> Iterator[pa.Table]:
    """Cut batches of any size into tables of one size, so that the bytes are the same."""
    held = RATED.empty_table()
    for batch in batches:
        held = pa.concat_tables([held, pa.Table.from_batches([batch]).cast(RATED)])
        while len(held) >= size:
            yield held.slice(0, size).combine_chunks()
            held = held.slice(size)
    if len(held):
        yield held.combine_chunks()
