"""A screen against pairs with hardly anything to learn: both sides nearly the same text."""

from typing import Annotated

import pyarrow as pa
from pydantic import Field
from pydantic.dataclasses import dataclass
from rapidfuzz.distance import Indel
from rapidfuzz.process import cpdist

from thumbwheel.authoring import REASONS, hookimpl

__all__ = ["NearIdentical"]


@dataclass(frozen=True)
class NearIdentical:
    """Drops pairs whose sides are almost the same text.

    Attributes:
        max_similarity: Highest normalised indel similarity, in [0, 1]; 1 is the same text.
    """

    max_similarity: Annotated[float, Field(ge=0, le=1)] = 0.9

    @hookimpl
    def screen_pairs(self, pairs: pa.Table) -> pa.Table:
        """Name the pairs that are too similar."""
        if not len(pairs):
            return REASONS.empty_table()
        similarity = cpdist(
            pairs["chosen"].to_pylist(),
            pairs["rejected"].to_pylist(),
            scorer=Indel.normalized_similarity,
            workers=-1,
        )
        dropped = pairs["pair_id"].filter(pa.array(similarity > self.max_similarity))
        reason = f"the two sides are more than {self.max_similarity:.0%} the same text"
        return pa.table({"pair_id": dropped, "reason": [reason] * len(dropped)})
