"""The best-rated completion of a prompt against the worst-rated: one pair a prompt."""

from typing import Annotated

import duckdb
import pyarrow as pa
from pydantic import Field
from pydantic.dataclasses import dataclass

from thumbwheel.authoring import PROPOSED, hookimpl
from thumbwheel_plugins.contrasts import contrasts

__all__ = ["BestWorst"]

_WIDEST = """
SELECT prompt_id, chosen_id, rejected_id, confidence FROM sure
QUALIFY row_number() OVER (
    PARTITION BY prompt_id, if($same_model_version, model_version, '')
    ORDER BY gap DESC, confidence DESC, chosen_id, rejected_id
) = 1
ORDER BY ALL
"""


@dataclass(frozen=True)
class BestWorst:
    """Pairs a prompt's best-rated completion with its worst-rated.

    Of answers that were judged side by side, or graded by the same rater, it takes the two of one
    judgement that are rated widest apart.

    Attributes:
        min_confidence: Least P(chosen is better); one up against one down is 0.83, and so is one
            judgement.
        same_model_version: Pair only completions of the same model version, one pair for each.
        judged_only: Whether answers that were judged side by side are paired only so; without it
            they are paired by their votes, as all are.
    """

    min_confidence: Annotated[float, Field(ge=0.5, le=1)] = 0.8
    same_model_version: bool = False
    judged_only: bool = True

    @hookimpl
    def make_pairs(self, rated: pa.Table, comparisons: pa.Table) -> pa.Table:
        """Propose at most one pair a prompt, or one for each of its model versions."""
        sure = contrasts(
            rated,
            comparisons,
            reach=1,
            min_confidence=self.min_confidence,
            same_model_version=self.same_model_version,
            judged_only=self.judged_only,
        )
        with duckdb.connect() as connection:
            connection.register("sure", sure)
            options = {"same_model_version": self.same_model_version}
            return connection.sql(_WIDEST, params=options).to_arrow_table().select(PROPOSED.names)
