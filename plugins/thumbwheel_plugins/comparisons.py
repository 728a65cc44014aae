"""What people judged side by side, exactly as judged."""

from typing import Annotated, Literal

import pyarrow as pa
import pyarrow.compute as pc
from pydantic import Field
from pydantic.dataclasses import dataclass
from scipy import special

from thumbwheel.authoring import PROPOSED, hookimpl

__all__ = ["Comparisons"]

Origin = Literal["comparison", "correction", "annotation", "ai", "grades"]


@dataclass(frozen=True)
class Comparisons:
    """Pairs two completions that were compared, the preferred one chosen.

    Side-by-side choices, corrections, rankings by annotators and pairs that a model wrote are all
    comparisons. The confidence is P(more than half of raters prefer it), with the posterior
    Beta(1 + for, 1 + against): one judgement gives 0.75. A draw is no pair.

    The grades that raters gave to both are left to `all_pairs` and `best_worst`, which hold them
    against what all the others voted; `origins` may list them.

    Attributes:
        min_confidence: Least confidence; above 0.75 a single judgement is not enough.
        origins: Which comparisons to take.
    """

    min_confidence: Annotated[float, Field(ge=0.5, le=1)] = 0.5
    origins: tuple[Origin, ...] = ("comparison", "correction", "annotation", "ai")

    @hookimpl
    def make_pairs(self, rated: pa.Table, comparisons: pa.Table) -> pa.Table:
        """Propose every comparison that was decided."""
        decided = comparisons.filter(
            pc.and_(
                pc.greater(comparisons["n_for"], comparisons["n_against"]),
                pc.is_in(comparisons["origin"], pa.array(self.origins, pa.string())),
            )
        )
        n_for, n_against = decided["n_for"].to_numpy(), decided["n_against"].to_numpy()
        confidence = 1 - special.betainc(1 + n_for, 1 + n_against, 0.5)
        proposed = decided.append_column("confidence", pa.array(confidence.round(9)))
        is_sure = pc.and_(
            pc.greater_equal(proposed["confidence"], self.min_confidence),
            pc.greater(proposed["confidence"], 0.5),
        )
        # Of an empty completion there is no row in `rated`.
        for side in ("chosen_id", "rejected_id"):
            known = pc.is_in(proposed[side], rated["completion_id"].combine_chunks())
            is_sure = pc.and_(is_sure, known)
        return proposed.filter(is_sure).select(PROPOSED.names)
