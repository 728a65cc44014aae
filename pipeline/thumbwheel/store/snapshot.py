"""A snapshot: what raters hold at one moment, as Parquet for the stages behind the store."""

import errno
import shutil
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa

from thumbwheel.errors import DiskFullError
from thumbwheel.store.connection import stream
from thumbwheel.store.units import SCORE_ONE, WEIGHT_ONE
from thumbwheel.store.values import Snapshot
from thumbwheel.store.votes import WeighedVotes
from thumbwheel.tables import COMPARISONS, RATED, VOTES

__all__ = ["COMPARISONS_FILE", "RATED_FILE", "VOTES_FILE", "write_snapshot"]

RATED_FILE = "rated.parquet"
COMPARISONS_FILE = "comparisons.parquet"
VOTES_FILE = "votes.parquet"

_ROWS_PER_GROUP = 16_384

_VOTE_ONE = 2 * SCORE_ONE * WEIGHT_ONE
"""A whole vote's weight times the distance from one end of the scores to the other."""

# When a rater judged the same text several times, the votes are averaged: one rater, one voice.
# A vote of a model counts in its comparison only.
_AGGREGATES = f"""
CREATE TEMP TABLE rated AS
WITH per_rater AS (
    SELECT c, score, weight FROM votes WHERE origin <> 'ai' AND key NOT IN (FROM said_again)
    UNION ALL
    SELECT c, sum(weight * score) // sum(weight) AS score, max(weight)
    FROM votes WHERE origin <> 'ai' AND key IN (FROM said_again) GROUP BY c, r
),
voted AS (
    SELECT c, sum(weight * ({SCORE_ONE} + score)) AS up,
           sum(weight * ({SCORE_ONE} - score)) AS down
    FROM per_rater GROUP BY c
),
compared AS (
    SELECT c FROM (SELECT c FROM judged UNION SELECT other FROM judged) ANTI JOIN voted USING (c)
),
all_rated AS (
    SELECT c, up / {_VOTE_ONE} AS n_up, down / {_VOTE_ONE} AS n_down,
           ((up - down) / (up + down))::DOUBLE AS score FROM voted
    UNION ALL
    SELECT c, 0, 0, 0 FROM compared
)
SELECT c, p, n_up, n_down, score, model_version, arrival, written
FROM all_rated JOIN texts USING (c);

CREATE TEMP TABLE compared AS
SELECT one.p,
       n_first > n_second OR (n_first = n_second AND judged.c < other) AS is_first,
       if(is_first, judged.c, other) AS chosen, if(is_first, other, judged.c) AS rejected,
       greatest(n_first, n_second)::DOUBLE AS n_for, least(n_first, n_second)::DOUBLE AS n_against,
       origin
FROM judged JOIN texts AS one USING (c) JOIN texts AS two ON two.c = other
WHERE one.p = two.p;
"""  # noqa: S608 - no user text: numbers only

_RATED_ROWS = """
SELECT identity(p) AS prompt_id, identity(c) AS completion_id, prompt,
       coalesce(written, completion) AS completion, n_up, n_down, rated.score, rated.model_version
FROM rated JOIN events USING (arrival)
ORDER BY p, c
"""

_COMPARISON_ROWS = """
SELECT identity(p) AS prompt_id, identity(chosen) AS chosen_id, identity(rejected) AS rejected_id,
       n_for, n_against, origin
FROM compared ORDER BY p, chosen, rejected
"""

_VOTE_ROWS = f"""
WITH several AS (SELECT p FROM rated GROUP BY p HAVING count(*) > 1),
paired AS (SELECT c FROM rated SEMI JOIN several USING (p)),
about AS (
    SELECT arrival, c, score / {SCORE_ONE} AS score, weight / {WEIGHT_ONE} AS weight,
           comparison_id, occurred_at
    FROM votes SEMI JOIN paired USING (c)
    UNION ALL
    SELECT arrival, c, 1.0, 1.0, comparison_id, occurred_at
    FROM corrected SEMI JOIN paired USING (c)
),
namesakes AS (
    SELECT rater_id FROM numbered_raters GROUP BY rater_id HAVING count(*) > 1
)
SELECT identity(c) AS completion_id,
       CASE WHEN rater_id IS NULL AND scoped_events.comparison_id IS NULL THEN 'event:' || event_id
            WHEN rater_id IS NULL THEN 'comparison:' || scoped_events.comparison_id
            WHEN rater_id IN (FROM namesakes) THEN 'rater@' || namespace || ':' || rater_id
            ELSE 'rater:' || rater_id END AS rater, event_id,
       about.score, weight, about.comparison_id, about.occurred_at
FROM scoped_events JOIN about USING (arrival)
"""  # noqa: S608

_CONTENT = """
SELECT (SELECT coalesce(bit_xor(md5_number(concat_ws(
            '|', identity(c), n_up, n_down, score, coalesce(model_version, '')))), 0) FROM rated),
       (SELECT coalesce(bit_xor(md5_number(concat_ws(
            '|', identity(chosen), identity(rejected), n_for, n_against, origin))), 0)
        FROM compared),
       (SELECT count(*) FROM events), (SELECT count(DISTINCT p) FROM rated),
       (SELECT count(*) FROM rated)
"""


def write_snapshot(weighed: WeighedVotes, path: Path) -> Snapshot:
    """Write what raters hold, within one transaction, to a new directory.

    The digest identifies the content: it does not depend on the order of arrival, only on who
    holds which opinion now. Nor do the bytes of `rated.parquet` and `comparisons.parquet`, for the
    same version of Arrow.

    Args:
        weighed: Of a read-only transaction; `rated` and `compared` are put beside its tables.
        path: The directory; one that is there already is replaced.

    Raises:
        DiskFullError: There is no space left for the files.
        duckdb.Error: The store could not be read.
    """
    connection = weighed.connection
    connection.execute(_AGGREGATES)
    ((rated, compared, n_events, n_prompts, n_completions),) = connection.execute(
        _CONTENT
    ).fetchall()
    shutil.rmtree(path, ignore_errors=True)
    path.mkdir(parents=True)
    try:
        for name, rows, schema in (
            (RATED_FILE, _RATED_ROWS, RATED),
            (COMPARISONS_FILE, _COMPARISON_ROWS, COMPARISONS),
            (VOTES_FILE, _VOTE_ROWS, VOTES),
        ):
            _write(stream(connection, rows, _ROWS_PER_GROUP), path / name, schema)
    except OSError as error:
        shutil.rmtree(path, ignore_errors=True)
        if error.errno != errno.ENOSPC:
            raise
        raise DiskFullError(f"there is no space left for the snapshot {path}") from error
    digest = f"{rated ^ (compared * 3) % 2**128:032x}"
    counts = weighed.counts()
    return Snapshot(path, digest, n_events, n_prompts, n_completions, counts, weighed.quarantined)


def _write(batches: Iterator[pa.RecordBatch], path: Path, schema: pa.Schema) -> None:
    import pyarrow.parquet as pq

    # Most values are there once: dictionaries of them cost time and space.
    with pq.ParquetWriter(path, schema, compression="zstd", use_dictionary=False) as writer:
        for group in _in_groups(batches, schema, _ROWS_PER_GROUP):
            writer.write_table(group)


def _in_groups(
    batches: Iterator[pa.RecordBatch], schema: pa.Schema, size: int
) -> Iterator[pa.Table]:
    """Cut batches of any size into tables of one size, so that the bytes are the same."""
    held = schema.empty_table()
    for batch in batches:
        held = pa.concat_tables([held, pa.Table.from_batches([batch]).cast(schema)])
        while len(held) >= size:
            yield held.slice(0, size).combine_chunks()
            held = held.slice(size)
    if len(held):
        yield held.combine_chunks()
