"""How many prompts to hold out where the configured share gives too few to judge by."""

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from thumbwheel.pairs.split import place_of_cluster
from thumbwheel.types import Part

__all__ = ["MOST_HELD_OUT", "share_that_holds_out"]

MOST_HELD_OUT = 0.5
"""Of the prompts; to hold out more would leave little to learn from."""

_TO_TRAIN_ON = 0.2
"""Of the prompts, what is left to train on whatever the judge's share is."""


def share_that_holds_out(
    assigned: pa.Table, enough: int, *, held_out: float, judge: float
) -> float | None:
    """Return the least share by which so many prompts are held out, those of before included.

    Only clusters that nobody has seen yet can come to another part.

    Args:
        assigned: What `SplitMemory.assign` returned for any share, `split.ASSIGNED`.
        enough: How many prompts.
        held_out: The configured share, below which none is returned.
        judge: The judge's share.

    Returns:
        The share; None where even the largest holds out too few.
    """
    most = max(held_out, min(MOST_HELD_OUT, 1 - judge - _TO_TRAIN_ON))
    is_open = assigned["is_open"]
    seen = assigned.filter(pc.invert(is_open))
    missing = enough - pc.sum(pc.equal(seen["part"], Part.HELD_OUT), min_count=0).as_py()
    if missing <= 0:
        return held_out
    clusters = assigned.filter(is_open)["cluster_id"].to_pylist()
    places = np.sort([place_of_cluster(name) for name in clusters])
    if len(places) < missing:
        return None
    # Those of one cluster have the same place: they come together.
    share = float(np.nextafter(places[missing - 1], 1))
    return max(share, held_out) if share <= most else None
