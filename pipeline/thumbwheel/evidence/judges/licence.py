"""The licence: a judge decides only where it is seen to agree with people."""

import math
from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import pyarrow as pa

from thumbwheel.evidence.judges.judge import Judge, Meeting, preferences
from thumbwheel.measures.statistics import cluster_estimate
from thumbwheel.types import Estimate, Licence

__all__ = ["grant"]

_MOST_TIMES = 100
"""Who is told to collect more than so many times the pairs there are is told nothing."""


def grant(
    judge: Judge,
    judge_pairs: pa.Table,
    held_out_pairs: pa.Table,
    clusters: Mapping[str, str],
    *,
    threshold: float,
    confidence: float,
) -> Licence:
    """Measure how well a judge agrees with people, and say whether it may decide.

    Every pair weighs 2c - 1, where c is the chance that its chosen side is better. A judge that
    learnt from some of the pairs must itself answer for those as one that did not see their
    cluster, as the vote model does. Pairs of which it says nothing are left out.

    Args:
        judge: The judge.
        judge_pairs: Pairs of the judge's own part, `tables.PAIRS`.
        held_out_pairs: Held-out pairs, `tables.PAIRS`.
        clusters: The cluster of each prompt, by prompt id; without one, a prompt is its own.
        threshold: The interval's lower end must be above it.
        confidence: Coverage of the interval, such as 0.95.
    """
    pairs = pa.concat_tables([judge_pairs, held_out_pairs.select(judge_pairs.column_names)])
    columns = (pairs[name].to_pylist() for name in ("prompt_id", "prompt", "chosen", "rejected"))
    meetings = [Meeting(*row) for row in zip(*columns, strict=True)]
    agrees = preferences(judge, meetings)
    decided = np.flatnonzero(~np.isnan(agrees))
    of_cluster = [clusters.get(meetings[row].prompt_id, meetings[row].prompt_id) for row in decided]
    sure = pairs["confidence"].to_numpy()[decided]
    weights = 2 * sure - 1
    accuracy = replace(
        cluster_estimate(
            agrees[decided], of_cluster, confidence=confidence, weights=weights, bounds=(0, 1)
        ),
        n=len(set(of_cluster)),
    )
    granted = accuracy.low > threshold
    return Licence(
        judge=judge.name,
        accuracy=accuracy,
        threshold=threshold,
        ceiling=float(np.average(sure, weights=weights)) if len(sure) else math.nan,
        granted=granted,
        pairs_needed=(
            None if granted else _pairs_needed(accuracy, threshold, len(judge_pairs) or len(pairs))
        ),
        reason=getattr(judge, "reason", None),
    )


def _pairs_needed(accuracy: Estimate, threshold: float, n_pairs: int) -> int | None:
    """Return how many pairs would narrow the interval enough, if the accuracy stays.

    The interval's width goes with one over the square root of the number of pairs.
    """
    above = accuracy.value - threshold
    if not above > 0:
        return None
    times = ((accuracy.value - accuracy.low) / above) ** 2
    return math.ceil(times * n_pairs) if times < _MOST_TIMES else None
