"""A screen against the commonest confound: one side is much longer than the other."""

from typing import Annotated

import pyarrow as pa
import pyarrow.compute as pc
from pydantic import Field
from pydantic.dataclasses import dataclass

from thumbwheel.authoring import hookimpl

__all__ = ["LengthMatch"]


@dataclass(frozen=True)
class LengthMatch:
    """Drops pairs whose sides differ too much in length, in characters.

    The default takes out what is out of all proportion; that neither side is longer on average is
    what `balance` in `[pairs]` sees to, at a smaller loss. Where length is left out of `balance`, a
    narrow width is the only guard (1.25, say).

    Attributes:
        max_ratio: The longer side may be at most so many times as long as the shorter.
    """

    max_ratio: Annotated[float, Field(ge=1)] = 3.0

    @hookimpl
    def screen_pairs(self, pairs: pa.Table) -> pa.Table:
        """Name the pairs outside the caliper."""
        chosen, rejected = pc.utf8_length(pairs["chosen"]), pc.utf8_length(pairs["rejected"])
        longer = pc.max_element_wise(chosen, rejected)
        shorter = pc.min_element_wise(chosen, rejected)
        limit = pc.multiply(pc.cast(shorter, pa.float64()), self.max_ratio)
        dropped = pairs["pair_id"].filter(pc.greater(pc.cast(longer, pa.float64()), limit))
        reason = f"one side is more than {self.max_ratio:g} times as long as the other"
        return pa.table({"pair_id": dropped, "reason": [reason] * len(dropped)})
