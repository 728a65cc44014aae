"""Every two completions of a prompt that the votes tell apart."""

from typing import Annotated

import duckdb
import pyarrow as pa
from pydantic import Field
from pydantic.dataclasses import dataclass

from thumbwheel.authoring import PROPOSED, hookimpl, probability_better

__all__ = ["AllPairs"]

_CONTRASTS = """
WITH judged AS (
    FROM comparisons WHERE $judged_only AND origin IN ('comparison', 'annotation')
),
ranked AS (
    SELECT prompt_id, completion_id, n_up, n_down, model_version,
           (1 + n_up) / (2 + n_up + n_down) AS quality,
           row_number() OVER (best) AS from_best, row_number() OVER (worst) AS from_worst
    FROM rated
    WHERE n_up + n_down > 0
      AND completion_id NOT IN (SELECT chosen_id FROM judged UNION SELECT rejected_id FROM judged)
    WINDOW best AS (PARTITION BY prompt_id ORDER BY quality DESC, completion_id),
           worst AS (PARTITION BY prompt_id ORDER BY quality, completion_id)
)
SELECT prompt_id, a.completion_id AS chosen_id, b.completion_id AS rejected_id,
       a.n_up AS up, a.n_down AS down, b.n_up AS other_up, b.n_down AS other_down
FROM ranked AS a JOIN ranked AS b USING (prompt_id)
WHERE a.quality > b.quality AND a.from_best <= $reach AND b.from_worst <= $reach
  AND (NOT $same_model_version OR a.model_version = b.model_version)
UNION ALL
SELECT prompt_id, chosen_id, rejected_id, n_for, n_against, n_against, n_for
FROM judged JOIN rated AS a USING (prompt_id) JOIN rated AS b USING (prompt_id)
WHERE a.completion_id = chosen_id AND b.completion_id = rejected_id AND n_for > n_against
  AND (NOT $same_model_version OR a.model_version = b.model_version)
"""

_SURE = """
SELECT prompt_id, chosen_id, rejected_id, confidence FROM contrasts
WHERE confidence > 0.5 AND confidence >= $min_confidence
"""

_REACH = 16


@dataclass(frozen=True)
class AllPairs:
    """Pairs each completion with every worse one.

    How many of a prompt's pairs are taken is decided later, when those that a screen leaves are
    drawn (`[pairs]` in the configuration). Of a prompt with very many completions, the 16 best are
    compared with the 16 worst.

    Answers that were judged side by side are paired as they were judged and with no others: what
    such a vote says, it says of the two answers that its rater saw.

    Attributes:
        min_confidence: Least P(chosen is better); one up against one down is 0.83.
        same_model_version: Pair only completions of the same model version.
        judged_only: Whether answers that were judged side by side are paired only so; without it
            they are paired by their votes, as all are.
    """

    min_confidence: Annotated[float, Field(ge=0.5, le=1)] = 0.8
    same_model_version: bool = False
    judged_only: bool = True

    @hookimpl
    def make_pairs(self, rated: pa.Table, comparisons: pa.Table) -> pa.Table:
        """Propose every pair that the votes are sure enough about."""
        with duckdb.connect() as connection:
            connection.register("rated", rated)
            connection.register("comparisons", comparisons)
            options = {
                "reach": _REACH,
                "same_model_version": self.same_model_version,
                "judged_only": self.judged_only,
            }
            contrasts = connection.sql(_CONTRASTS, params=options).to_arrow_table()
            confidence = probability_better(
                *(contrasts[name].to_numpy() for name in ("up", "down", "other_up", "other_down"))
            )
            contrasts = contrasts.append_column("confidence", pa.array(confidence.round(9)))
            connection.register("contrasts", contrasts)
            return (
                connection.sql(_SURE, params={"min_confidence": self.min_confidence})
                .to_arrow_table()
                .select(PROPOSED.names)
            )
