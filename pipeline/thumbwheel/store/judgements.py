"""Which of two texts people found better: side by side, by a correction, by grades; as SQL.

The tables are those of `votes.WeighedVotes`.
"""

import pyarrow as pa

from thumbwheel.store.connection import Connection
from thumbwheel.store.units import SCORE_ONE, WEIGHT_ONE

__all__ = ["find_judgements"]

_REACH = 16

# A correction is a text of its own, by the rater who wrote it.
_CORRECTIONS = """
SELECT identity(p) AS prompt_id, c AS corrected, r, written.arrival,
       written.occurred_at, written.event_id, correction
FROM (
    SELECT generation_id, p, c, r,
           unnest(arg_max(
               struct_pack(arrival, event_id, correction, occurred_at),
               (coalesce(occurred_at, '-infinity'::TIMESTAMPTZ), arrival)))
    FROM (
        SELECT namespace, generation_id, coalesce(r, -1 - events.arrival) AS r,
               coalesce(events.prompt_id::UUID, resolved.p, answers.p) AS p,
               coalesce(events.completion_id::UUID, resolved.c, answers.c) AS c,
               events.arrival, events.event_id, correction,
               coalesce(updated_at, occurred_at) AS occurred_at
        FROM scoped_events AS events ANTI JOIN replaced USING (arrival)
             LEFT JOIN resolved USING (arrival) JOIN answers USING (namespace, generation_id)
             LEFT JOIN numbered_raters USING (namespace, rater_id)
        WHERE trim(correction) <> ''
    ) GROUP BY generation_id, p, c, r
) AS written ANTI JOIN quarantined USING (r)
ORDER BY written.event_id, r
"""

_WRITTEN = f"""
CREATE TEMP TABLE corrections AS
SELECT * REPLACE (corrected::UUID AS corrected), completion_id::UUID AS c FROM latest_corrections;
INSERT INTO texts
SELECT corrections.c, any_value(prompt_id::UUID), NULL, arg_min(texts.arrival, corrected),
       any_value(correction)
FROM corrections JOIN texts ON texts.c = corrected
WHERE corrections.c NOT IN (SELECT c FROM texts) GROUP BY corrections.c;
CREATE TEMP TABLE corrected AS
SELECT c, corrected, r, arrival, occurred_at, 'correction:' || event_id AS comparison_id,
       {WEIGHT_ONE} AS weight
FROM corrections WHERE c <> corrected;
"""  # noqa: S608

# One rater has one voice about two texts, however often they compared them. That two texts are
# equally good is said by who was asked, an annotator; users may have meant something else.
#
# Who gave several answers to a prompt a grade or a rank has compared them as well: each rater's
# grades are of a kind, and differences of one rater's are free of that. A thumb up and one down
# are no more than what they are as votes. Of very many answers the best are compared with the
# worst.
_JUDGED = f"""
CREATE TEMP TABLE judged AS
WITH opinions AS (
    SELECT comparison_id, r, c, avg(score) AS score, max(weight) AS weight, max(origin) AS origin
    FROM votes WHERE comparison_id IS NOT NULL GROUP BY comparison_id, r, c
),
alone AS (
    SELECT p, r, c, score, weight FROM votes JOIN texts USING (c)
    WHERE comparison_id IS NULL AND r > 0 AND origin IN ('users', 'annotators')
),
grades AS (
    SELECT p, r, c, avg(score) AS score, max(weight) AS weight,
           bool_or(abs(score) < {SCORE_ONE}) AS graded,
           row_number() OVER (PARTITION BY p, r ORDER BY avg(score) DESC, c) AS from_best,
           row_number() OVER (PARTITION BY p, r ORDER BY avg(score), c) AS from_worst
    FROM alone SEMI JOIN (SELECT p FROM alone WHERE abs(score) < {SCORE_ONE}) USING (p)
    GROUP BY p, r, c
),
judgements AS (
    SELECT a.r, a.c, b.c AS other, sign(a.score - b.score) AS preferred,
           least(a.weight, b.weight) AS weight, false AS graded,
           CASE a.origin WHEN 'users' THEN 'comparison' WHEN 'annotators' THEN 'annotation'
                         ELSE a.origin END AS origin
    FROM opinions AS a JOIN opinions AS b USING (comparison_id, r) WHERE a.c < b.c
    UNION ALL
    SELECT r, least(c, corrected), greatest(c, corrected), if(c < corrected, 1, -1), weight,
           false, 'correction'
    FROM corrected
    UNION ALL
    SELECT a.r, a.c, b.c, sign(a.score - b.score), least(a.weight, b.weight),
           a.graded OR b.graded, 'grades'
    FROM grades AS a JOIN grades AS b USING (p, r)
    WHERE a.c < b.c AND least(a.from_best, b.from_best) <= {_REACH}
      AND least(a.from_worst, b.from_worst) <= {_REACH}
),
per_rater AS (
    SELECT r, c, other, origin, avg(preferred) AS preferred, max(weight) AS weight,
           bool_or(graded) AS graded
    FROM judgements GROUP BY r, c, other, origin
)
SELECT c, other, min(origin) AS origin,
       sum(round(weight * (1 + preferred))::BIGINT) / {2 * WEIGHT_ONE} AS n_first,
       sum(round(weight * (1 - preferred))::BIGINT) / {2 * WEIGHT_ONE} AS n_second
FROM per_rater GROUP BY c, other
HAVING bool_or(CASE origin WHEN 'annotation' THEN true WHEN 'grades' THEN graded AND preferred <> 0
                           ELSE preferred <> 0 END);
"""  # noqa: S608


def find_judgements(connection: Connection) -> None:
    """Add `corrections`, `corrected` and `judged` to the tables, and the corrections' texts.

    Args:
        connection: Sees the votes that count, and all tables that they were found with.
    """
    connection.register("latest_corrections", _identified(connection))
    connection.execute(_WRITTEN)
    connection.execute(_JUDGED)


def _identified(connection: Connection) -> pa.Table:
    """Return the corrections with the identities of their texts, which SQL cannot compute."""
    from thumbwheel.events import completion_id

    corrections = connection.sql(_CORRECTIONS).to_arrow_table()
    identities = [
        completion_id(prompt, text)
        for prompt, text in zip(
            corrections["prompt_id"].to_pylist(), corrections["correction"].to_pylist(), strict=True
        )
    ]
    return corrections.append_column("completion_id", pa.array(identities, pa.string()))
