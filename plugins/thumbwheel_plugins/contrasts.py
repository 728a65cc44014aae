"""Which of a prompt's completions are better than which others, by all that people said of them."""

import duckdb
import pyarrow as pa

from thumbwheel.authoring import probability_better

__all__ = ["contrasts"]

# Grades are votes as well, and many raters' votes may be surer than the few who graded both.
_SAID = """
WITH judged AS (
    FROM comparisons WHERE $judged_only AND origin IN ('comparison', 'annotation')
),
judged_completions AS (SELECT chosen_id AS c FROM judged UNION SELECT rejected_id FROM judged),
ranked AS (
    SELECT prompt_id, completion_id, n_up, n_down, model_version,
           (1 + n_up) / (2 + n_up + n_down) AS quality,
           row_number() OVER (best) AS from_best, row_number() OVER (worst) AS from_worst
    FROM rated
    WHERE n_up + n_down > 0 AND completion_id NOT IN (FROM judged_completions)
    WINDOW best AS (PARTITION BY prompt_id, if($same_model_version, model_version, '')
                    ORDER BY quality DESC, completion_id DESC),
           worst AS (PARTITION BY prompt_id, if($same_model_version, model_version, '')
                     ORDER BY quality, completion_id)
)
SELECT prompt_id, a.completion_id AS chosen_id, b.completion_id AS rejected_id, a.model_version,
       a.n_up AS up, a.n_down AS down, b.n_up AS other_up, b.n_down AS other_down,
       a.quality - b.quality AS gap
FROM ranked AS a JOIN ranked AS b USING (prompt_id)
WHERE a.quality > b.quality AND a.from_best <= $reach AND b.from_worst <= $reach
  AND (NOT $same_model_version OR a.model_version = b.model_version)
UNION ALL
SELECT prompt_id, chosen_id, rejected_id, a.model_version, n_for, n_against, n_against, n_for,
       (1 + a.n_up) / (2 + a.n_up + a.n_down) - (1 + b.n_up) / (2 + b.n_up + b.n_down)
FROM (
    FROM judged
    UNION ALL
    FROM comparisons
    WHERE origin = 'grades' AND chosen_id NOT IN (FROM judged_completions)
      AND rejected_id NOT IN (FROM judged_completions)
)
JOIN rated AS a USING (prompt_id) JOIN rated AS b USING (prompt_id)
WHERE a.completion_id = chosen_id AND b.completion_id = rejected_id AND n_for > n_against
  AND (NOT $same_model_version OR a.model_version = b.model_version)
"""

_SURE = """
SELECT prompt_id, chosen_id, rejected_id, confidence, gap, model_version FROM said
WHERE confidence > 0.5 AND confidence >= $min_confidence
QUALIFY row_number() OVER (
    PARTITION BY prompt_id, least(chosen_id, rejected_id), greatest(chosen_id, rejected_id)
    ORDER BY confidence DESC, gap DESC, chosen_id
) = 1
"""


def contrasts(
    rated: pa.Table,
    comparisons: pa.Table,
    *,
    reach: int,
    min_confidence: float,
    same_model_version: bool,
    judged_only: bool,
) -> pa.Table:
    """Return every two completions of a prompt of which one is surely enough the better.

    Answers that were judged side by side are compared as they were judged and with no others: what
    such a vote says, it says of the two answers that its rater saw. Of what all raters' votes say
    and what raters say who graded both answers, the surer counts.

    Args:
        rated: `tables.RATED`.
        comparisons: `tables.COMPARISONS` of the same prompts.
        reach: By their votes, so many of a prompt's best are compared with so many of its worst.
        min_confidence: Least P(chosen is better).
        same_model_version: Only completions of the same model version.
        judged_only: Without it, answers that were judged side by side are compared by their votes.

    Returns:
        `tables.PROPOSED` with `gap`, how much higher the chosen one is rated (a difference of
        posterior means, in (-1, 1)), and the chosen one's `model_version`.
    """
    with duckdb.connect() as connection:
        connection.register("rated", rated)
        connection.register("comparisons", comparisons)
        options = {
            "reach": reach,
            "same_model_version": same_model_version,
            "judged_only": judged_only,
        }
        said = connection.sql(_SAID, params=options).to_arrow_table()
        counts = (said[name].to_numpy() for name in ("up", "down", "other_up", "other_down"))
        confidence = pa.array(probability_better(*counts).round(9))
        connection.register("said", said.append_column("confidence", confidence))
        sure = connection.sql(_SURE, params={"min_confidence": min_confidence})
        return sure.to_arrow_table()
