"""Every two completions of a prompt that people's judgements tell apart."""

from typing import Annotated

import pyarrow as pa
from pydantic import Field
from pydantic.dataclasses import dataclass

from thumbwheel.authoring import PROPOSED, hookimpl
from thumbwheel_plugins.contrasts import contrasts

__all__ = ["AllPairs"]

_REACH = 16


@dataclass(frozen=True)
class AllPairs:
    """Pairs each completion with every worse one.

    How many of a prompt's pairs are taken is decided later, when those that a screen leaves are
    drawn (`[pairs]` in the configuration). Of a prompt with very many completions, the 16 best are
    compared with the 16 worst.

    Answers that were judged side by side are paired as they were judged and with no others: what
    such a vote says, it says of the two answers that its rater saw. Where raters gave grades or
    ranks to several answers of a prompt, each has compared them.

    Attributes:
        min_confidence: Least P(chosen is better); one up against one down is 0.83, and so is one
            judgement.
        same_model_version: Pair only completions of the same model version.
        judged_only: Whether answers that were judged side by side are paired only so; without it
            they are paired by their votes, as all are.
    """

    min_confidence: Annotated[float, Field(ge=0.5, le=1)] = 0.8
    same_model_version: bool = False
    judged_only: bool = True

    @hookimpl
    def make_pairs(self, rated: pa.Table, comparisons: pa.Table) -> pa.Table:
        """Propose every pair that people are sure enough about."""
        return contrasts(
            rated,
            comparisons,
            reach=_REACH,
            min_confidence=self.min_confidence,
            same_model_version=self.same_model_version,
            judged_only=self.judged_only,
        ).select(PROPOSED.names)
