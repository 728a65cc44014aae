"""The best-rated completion of a prompt against the worst-rated: one pair a prompt."""

from typing import Annotated

import duckdb
import pyarrow as pa
from pydantic import Field
from pydantic.dataclasses import dataclass

from thumbwheel.authoring import PROPOSED, hookimpl, probability_better

__all__ = ["BestWorst"]

_EXTREMES = """
WITH rows AS (
    SELECT prompt_id, if($same_model_version, model_version, '') AS model_version,
           {quality: (1 + n_up) / (2 + n_up + n_down), id: completion_id,
            n_up: n_up, n_down: n_down} AS answer
    FROM rated
    WHERE n_up + n_down > 0 AND (NOT $same_model_version OR model_version IS NOT NULL)
),
extremes AS (
    SELECT prompt_id, max(answer) AS best, min(answer) AS worst FROM rows
    GROUP BY prompt_id, model_version
)
SELECT prompt_id, best.id AS chosen_id, worst.id AS rejected_id,
       best.n_up AS up, best.n_down AS down, worst.n_up AS other_up, worst.n_down AS other_down
FROM extremes WHERE best.quality > worst.quality
"""


@dataclass(frozen=True)
class BestWorst:
    """Pairs the completion of the highest posterior mean with that of the lowest.

    Attributes:
        min_confidence: Least P(chosen is better); one up against one down is 0.83.
        same_model_version: Pair only completions of the same model version, one pair for each.
    """

    min_confidence: Annotated[float, Field(ge=0.5, le=1)] = 0.8
    same_model_version: bool = False

    @hookimpl
    def make_pairs(self, rated: pa.Table) -> pa.Table:
        """Propose at most one pair a prompt, or one for each of its model versions."""
        with duckdb.connect() as connection:
            connection.register("rated", rated)
            extremes = connection.sql(
                _EXTREMES, params={"same_model_version": self.same_model_version}
            ).to_arrow_table()
        confidence = probability_better(
            *(extremes[name].to_numpy() for name in ("up", "down", "other_up", "other_down"))
        )
        proposed = extremes.append_column("confidence", pa.array(confidence.round(9)))
        return proposed.select(PROPOSED.names).filter(
            pa.array((confidence >= self.min_confidence) & (confidence > 0.5))
        )
