"""What a set of pairs is made of: lengths, raters, model versions, near-duplicates."""

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from thumbwheel.evidence.audit.report import RATIO_EDGES, LengthAudit, ModelShare, RaterShare
from thumbwheel.measures.attribution import rater_shares

__all__ = ["length_audit", "model_mix", "near_duplicates", "rater_mix"]

_QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.95)
_LISTED = 20


def length_audit(pairs: pa.Table) -> LengthAudit:
    """Compare the lengths of the two sides, in characters.

    Each counts one more, since a text may be empty.
    """
    lengths = [pc.utf8_length(pairs[side]).to_numpy() + 1.0 for side in ("chosen", "rejected")]
    log_ratio = np.log(lengths[0]) - np.log(lengths[1])
    n = len(log_ratio)
    where = np.searchsorted(np.log(RATIO_EDGES), log_ratio, side="right")
    return LengthAudit(
        quantiles=[float(q) for q in np.exp(np.quantile(log_ratio, _QUANTILES))] if n else [],
        longer_chosen=float(np.mean((np.sign(log_ratio) + 1) / 2)) if n else 0.5,
        mean_log_ratio=float(log_ratio.mean()) if n else 0.0,
        histogram=np.bincount(where, minlength=len(RATIO_EDGES) + 1).tolist(),
    )


def rater_mix(pairs: pa.Table, votes: pa.Table) -> tuple[int, list[RaterShare], float]:
    """Return who speaks for the pairs.

    Returns:
        How many raters, those with the largest shares, and the share that rests on votes without a
        rater: they are nobody's, and not a rater each.
    """
    shares = rater_shares(pairs, votes)
    is_named = pc.starts_with(shares["rater"], "rater:")
    named = shares.filter(is_named)
    unnamed = pc.sum(shares.filter(pc.invert(is_named))["share"]).as_py() or 0.0
    largest = named.slice(0, _LISTED).to_pylist()
    return len(named), [RaterShare(row["rater"], row["share"]) for row in largest], unnamed


def model_mix(pairs: pa.Table, rated: pa.Table) -> tuple[list[ModelShare], float]:
    """Return how often each model version is on either side, and how often it is on both."""
    if not len(pairs):
        return [], 0.0
    versions = [
        rated["model_version"].take(pc.index_in(pairs[side], rated["completion_id"]))
        for side in ("chosen_id", "rejected_id")
    ]
    chosen, rejected = (
        {count["values"]: count["counts"] for count in pc.value_counts(side).to_pylist()}
        for side in versions
    )
    n = len(pairs)
    shares = [
        ModelShare(version, chosen.get(version, 0) / n, rejected.get(version, 0) / n)
        for version in {**chosen, **rejected}
    ]
    shares.sort(key=lambda share: (-share.chosen - share.rejected, share.version or ""))
    same = pc.sum(pc.fill_null(pc.equal(*versions), False)).as_py()
    return shares[:_LISTED], (same or 0) / n


def near_duplicates(pairs: pa.Table) -> float | None:
    """Return the share of prompts in a cluster of several; None without a `cluster_id`."""
    if "cluster_id" not in pairs.column_names:
        return None
    prompts = pairs.group_by("prompt_id").aggregate([("cluster_id", "min")])
    sizes = prompts.group_by("cluster_id_min").aggregate([("prompt_id", "count")])
    alike = sizes.filter(pc.greater(sizes["prompt_id_count"], 1))["prompt_id_count"]
    return (pc.sum(alike).as_py() or 0) / len(prompts) if len(prompts) else 0.0
