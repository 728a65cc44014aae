"""The one-sided sign-flip test over clusters: exact, and resolved to any level."""

import math
from collections.abc import Hashable, Sequence

import numpy as np
import numpy.typing as npt

__all__ = ["cluster_means", "sign_flip_test"]

Array = npt.NDArray[np.float64]

_ENUMERATED = 20
"""So many clusters that differ are counted choice by choice: a million choices."""
_UNITS = (1, 2, 4, 8, 16, 32, 64, 128, 3, 6, 12, 24, 48, 96, 192, 384, 5, 10, 20, 100, 60, 960)
"""Differences are tried to be whole multiples of 1/UNIT: shares of answers mostly are."""
_STEPS = 2e7
_MOST_STEPS = 1e9
"""Additions of the dynamic programme: as many as are quick, and more where few are too coarse."""
_COARSEST = 0.002
"""Of the grid, in root mean squares of the differences, where that many additions do."""
_MISSED = 1e-12
"""The chance that rounding errors add up to more than is allowed for them."""


def cluster_means(
    values: npt.ArrayLike, clusters: Sequence[Hashable] | npt.NDArray[np.generic] | None = None
) -> Array:
    """Return the mean of each cluster's values, shape (clusters,), in the clusters' order."""
    sample = np.asarray(values, dtype=np.float64)
    if clusters is None or not len(sample):
        return sample
    _, index, sizes = np.unique(np.asarray(clusters), return_inverse=True, return_counts=True)
    means: Array = np.bincount(index, weights=sample) / sizes
    return means


def sign_flip_test(
    differences: npt.ArrayLike,
    clusters: Sequence[Hashable] | npt.NDArray[np.generic] | None = None,
) -> float:
    """Return the one-sided exact p-value of "the mean over clusters is not above zero".

    Where two models are equal, each cluster's mean difference could as well have the other sign.
    The p-value is the share of all choices of signs whose sum is as large or larger (Fisher 1935,
    The Design of Experiments, section 21). A cluster counts once, whatever its size: near-duplicate
    prompts are won or lost together, so that a cluster of forty knows hardly more than one of
    two, and would with its size as weight decide alone.

    All choices are counted one by one up to 20 clusters that differ, and by dynamic programming
    over the sums beyond that (Pagano and Tritchler 1983, JASA 78:435-440): exactly where the
    differences are multiples of a common unit, as shares of wins are; else on a fine grid, with the
    threshold moved by what rounding can add up to (Hoeffding's bound), so that the p-value is too
    large by a few percent of itself, and never too small by more than 1e-12.

    Args:
        differences: One per prompt, candidate minus champion, shape (n,). A NaN makes it NaN.
        clusters: The cluster of each prompt; None where each prompt is its own.
    """
    means = cluster_means(differences, clusters)
    if not np.all(np.isfinite(means)):
        return math.nan
    scale = float(np.max(np.abs(means), initial=0.0))
    # Zeros say nothing: their sign changes no sum.
    means = means[np.abs(means) > 1e-12 * scale]
    if not len(means):
        return 1.0
    # As likely as a sum as large is that those with the other sign add up to as little.
    sizes, against = np.abs(means), float(-means[means < 0].sum())
    if len(sizes) <= _ENUMERATED:
        sums = np.zeros(1)
        for size in sizes:
            sums = np.concatenate([sums, sums + size])
        return float(np.mean(sums <= against + 1e-9 * scale))
    for unit in _UNITS:
        steps = np.rint(sizes * unit)
        if np.all(np.abs(steps / unit - sizes) < 1e-9) and steps.sum() * len(steps) < _MOST_STEPS:
            return _share_of_sums(steps.astype(np.int64), int(steps[means < 0].sum()))
    n = len(sizes)
    fineness = max(min(_COARSEST, n**2 / _STEPS), n**2 / _MOST_STEPS)
    grid = fineness * math.sqrt(float(np.mean(sizes**2)))
    steps = np.rint(sizes / grid)
    errors = steps - sizes / grid
    allowed = errors.sum() / 2 + math.sqrt(float(errors @ errors) * -math.log(_MISSED) / 2)
    most = math.ceil(against / grid + allowed)
    return min(_share_of_sums(steps.astype(np.int64), most) + _MISSED, 1.0)


def _share_of_sums(sizes: npt.NDArray[np.int64], most: int) -> float:
    """Return the share of all subsets whose sum is at most `most`."""
    chances = np.zeros(most + 1)
    chances[0] = 1.0
    reach = 0
    for size in np.sort(sizes):
        step = int(size)
        if step > most:
            chances[: reach + 1] *= 0.5
            continue
        chances[: reach + 1] *= 0.5
        upper = min(reach + step, most)
        chances[step : upper + 1] += chances[: upper - step + 1].copy()
        reach = upper
    return min(float(chances.sum()), 1.0)
