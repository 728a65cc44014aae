"""From each preference pair to the events that speak about its sides, and back."""

import pyarrow as pa

__all__ = ["LINEAGE", "lineage_table"]

LINEAGE = pa.schema(
    [
        ("pair_id", pa.string()),
        ("event_id", pa.string()),
        ("rater", pa.string()),
        ("role", pa.string()),
    ]
)
"""One row per pair and vote: `role` is the side that the vote is about, `chosen` or `rejected`;
`rater` tells raters apart as in `tables.VOTES`."""

_ORDER = [(name, "ascending") for name in ("pair_id", "role", "event_id", "rater")]


def lineage_table(pairs: pa.Table, votes: pa.Table) -> pa.Table:
    """Return which votes speak about which pairs.

    Args:
        pairs: `tables.PAIRS`.
        votes: `tables.VOTES`: those that count.

    Returns:
        `LINEAGE`, sorted by pair, role and event: one row per pair and vote on either side. The
        same rows in any order give the same bytes.
    """
    spoken = votes.select(["completion_id", "event_id", "rater"])
    sides = [_side(pairs, spoken, role) for role in ("chosen", "rejected")]
    return pa.concat_tables(sides).sort_by(_ORDER).combine_chunks()


def _side(pairs: pa.Table, spoken: pa.Table, role: str) -> pa.Table:
    joined = pairs.select(["pair_id", f"{role}_id"]).join(
        spoken, f"{role}_id", "completion_id", join_type="inner"
    )
    roles = pa.repeat(pa.scalar(role), len(joined))
    return joined.append_column("role", roles).select(LINEAGE.names).cast(LINEAGE)
