"""Intervals that hold where prompts come in clusters of near-duplicates.

Prompts that say the same thing are answered alike, well or badly: they are one observation more
than several. So every interval here counts clusters. All are closed formulas: no resampling, no
seed. `python benchmarks/gate.py f` shows how often they hold the truth.
"""

import math
from collections.abc import Callable, Hashable, Mapping, Sequence

import numpy as np
import numpy.typing as npt
from scipy import optimize, special

from thumbwheel.types import Estimate, MetricReport

__all__ = [
    "cluster_estimate",
    "paired_report",
    "ratio_estimate",
]

Array = npt.NDArray[np.float64]

_EQUAL = 1e-9
"""Cluster means that are closer are one value: they were summed in another order."""

_FARTHEST = 1e6
"""A ratio's end that is farther away is infinite."""


def cluster_estimate(
    values: npt.ArrayLike,
    clusters: Sequence[Hashable] | npt.NDArray[np.generic] | None = None,
    *,
    confidence: float,
    weights: npt.ArrayLike | None = None,
    bounds: tuple[float, float] | None = None,
) -> Estimate:
    """Return the mean of one value per prompt, with an interval that counts clusters.

    The interval is the widest of three, end by end:

    - Student's t with the jackknife over clusters (CR3; MacKinnon, Nielsen and Webb 2023, Journal
      of Econometrics 232:272-299, eq. 18), whose degrees of freedom are Kish's effective number of
      clusters (Survey Sampling, 1965, section 11.7) less one;
    - the same, corrected for skewness (Johnson 1978, JASA 73:536-544, eq. 2.7), which moves the end
      on the side of the long tail;
    - where at least half of the clusters have one and the same value, as with rates near 0 and
      ties: Wilson's intervals (1927, JASA 22:209-212) of how many clusters lie above and below it,
      put together as Zou and Donner do (2008, Statistics in Medicine 27:1693-1702). So 100 good
      answers do not show that there are no bad ones: what was not seen in 100 clusters may be the
      case in 3.7% of them, and is then as far away as `bounds` allow.

    Args:
        values: One value per prompt, shape (n,). A NaN makes the whole estimate NaN.
        clusters: The cluster of each prompt; None where each prompt is its own.
        confidence: Coverage of the interval, such as 0.95.
        weights: What each prompt counts in the mean, at least 0; None where all count the same.
        bounds: The least and the largest value there can be. Without them equal values have a point
            as interval: nothing says how far another value may lie.
    """
    sample = np.asarray(values, dtype=np.float64)
    n = len(sample)
    weight = np.ones(n) if weights is None else np.asarray(weights, dtype=np.float64)
    if n == 0 or not np.all(np.isfinite(sample)) or not (0 < weight.sum() < math.inf):
        return Estimate(math.nan, math.nan, math.nan, n)
    share, means = _by_cluster(sample, weight / weight.sum(), clusters)
    mean = float(share @ means)
    effective = 1 / float(share @ share)
    ends = [_t_interval(share, means, mean, effective, confidence)]
    ends.append(_rare_interval(share, means, mean, effective, confidence, bounds))
    low = min(low for low, _ in ends)
    high = max(high for _, high in ends)
    if bounds is not None:
        low, high = max(low, min(bounds[0], mean)), min(high, max(bounds[1], mean))
    return Estimate(mean, low, high, n)


def ratio_estimate(
    candidate: npt.ArrayLike,
    champion: npt.ArrayLike,
    clusters: Sequence[Hashable] | npt.NDArray[np.generic] | None = None,
    *,
    confidence: float,
) -> Estimate:
    """Return the ratio of two means of the same prompts, with its interval.

    The interval holds every r for which that of candidate - r x champion holds zero (Fieller 1954,
    Journal of the Royal Statistical Society B 16:175-185): so the champion's mean is estimated and
    not taken as known, and is paired by prompt.

    Args:
        candidate: One value per prompt, shape (n,).
        champion: The champion's values of the same prompts. Where their mean is not surely above
            zero there is no ratio, which is NaN.
        clusters: As in `cluster_estimate`.
        confidence: Coverage of the interval.
    """
    ours = np.asarray(candidate, dtype=np.float64)
    theirs = np.asarray(champion, dtype=np.float64)
    n = len(theirs)

    def beyond(ratio: float) -> Estimate:
        return cluster_estimate(ours - ratio * theirs, clusters, confidence=confidence)

    known = cluster_estimate(theirs, clusters, confidence=confidence)
    if not known.low > 0 or not np.all(np.isfinite(ours)):
        return Estimate(math.nan, math.nan, math.nan, n)
    value = float(ours.mean() / theirs.mean())
    # As far as the champion's mean is above zero, either end falls as the ratio rises.
    low = _falls_to_zero(lambda ratio: beyond(ratio).low, value, -1)
    high = _falls_to_zero(lambda ratio: beyond(ratio).high, value, 1)
    return Estimate(value, low, high, n)


def _falls_to_zero(end: Callable[[float], float], value: float, direction: int) -> float:
    """Return where a falling function is zero, on one side of a value; infinite if nowhere near."""
    if abs(end(value)) <= _EQUAL:
        return value
    step = 0.1 * max(abs(value), 1.0)
    while direction * end(value + direction * step) > 0:
        step *= 2
        if step > _FARTHEST:
            return direction * math.inf
    inner, outer = sorted((value, value + direction * step))
    return float(optimize.brentq(end, inner, outer, xtol=1e-6))


def paired_report(
    name: str,
    values: Mapping[str, Mapping[str, float]],
    *,
    confidence: float,
    clusters: Mapping[str, Hashable] | None = None,
    bounds: tuple[float, float] | None = None,
    with_ratio: bool = False,
) -> MetricReport:
    """Compare the models on the prompts that all of them were measured on.

    The difference is paired: each prompt is its own control, which takes the spread between easy
    and hard prompts out of the interval.

    Args:
        name: The metric.
        values: By model (`champion`, `candidate`, and `base` unless it is the champion), one value
            per prompt id.
        confidence: Coverage of the intervals.
        clusters: The cluster of each prompt id; one that is not named is its own.
        bounds: The least and the largest value that the metric can have.
        with_ratio: Whether to tell the ratio of the models too, which takes longer.
    """
    prompts = sorted(set.intersection(*(set(by_prompt) for by_prompt in values.values())))
    groups = None if clusters is None else [clusters.get(name, name) for name in prompts]
    samples = {
        model: np.array([by_prompt[prompt] for prompt in prompts], dtype=np.float64)
        for model, by_prompt in values.items()
    }
    estimates = {
        model: cluster_estimate(sample, groups, confidence=confidence, bounds=bounds)
        for model, sample in samples.items()
    }
    difference = samples["candidate"] - samples["champion"]
    width = None if bounds is None else bounds[1] - bounds[0]
    return MetricReport(
        name,
        champion=estimates["champion"],
        candidate=estimates["candidate"],
        difference=cluster_estimate(
            difference,
            groups,
            confidence=confidence,
            bounds=None if width is None else (-width, width),
        ),
        ratio=(
            ratio_estimate(samples["candidate"], samples["champion"], groups, confidence=confidence)
            if with_ratio
            else None
        ),
        base=estimates.get("base"),
    )


def _by_cluster(
    values: Array, share: Array, clusters: Sequence[Hashable] | npt.NDArray[np.generic] | None
) -> tuple[Array, Array]:
    """Return each cluster's share of the weight, and its mean; clusters without weight are out."""
    shares, means = share, values
    if clusters is not None:
        _, index = np.unique(np.asarray(clusters), return_inverse=True)
        shares = np.bincount(index, weights=share).astype(np.float64)
        means = np.bincount(index, weights=share * values) / np.where(shares > 0, shares, 1)
    return shares[shares > 0], means[shares > 0]


def _t_interval(
    share: Array, means: Array, mean: float, effective: float, confidence: float
) -> tuple[float, float]:
    """Return the hull of the t interval and its correction for skewness."""
    if len(share) < 2:  # one cluster says nothing of the spread between clusters
        return mean, mean
    # What the mean moves by when a cluster is left out.
    moved = share * (means - mean) / (1 - share)
    if not np.any(np.abs(moved) > _EQUAL * max(1.0, abs(mean)) * share):
        return mean, mean
    square = float(moved @ moved)
    error = math.sqrt(square * (len(share) - 1) / len(share))
    skew = float(np.sum(moved**3)) / square**1.5
    reach = float(special.stdtrit(max(effective - 1, 1.0), (1 + confidence) / 2))
    tail = skew * (1 + 2 * reach**2) / 6
    return mean - error * (reach + max(-tail, 0.0)), mean + error * (reach + max(tail, 0.0))


def _rare_interval(
    share: Array,
    means: Array,
    mean: float,
    effective: float,
    confidence: float,
    bounds: tuple[float, float] | None,
) -> tuple[float, float]:
    """Return the interval for values of which at least half are the same; elsewhere a point."""
    ordered = np.sort(means)
    # What at least half of the values are is also their median.
    usual = float(ordered[len(ordered) // 2])
    beyond = means - usual
    near = _EQUAL * max(1.0, abs(usual))
    above, below = beyond > near, beyond < -near
    if 2 * int(np.sum(above | below)) > len(means):
        return mean, mean
    up, down = float(share[above].sum()), float(share[below].sum())
    rise = float(share[above] @ beyond[above]) / up if up else 0.0
    drop = -float(share[below] @ beyond[below]) / down if down else 0.0
    if bounds is not None:
        rise = rise or max(bounds[1] - usual, 0.0)
        drop = drop or max(usual - bounds[0], 0.0)
    else:
        rise, drop = rise or drop, drop or rise
    up_low, up_high = _wilson(up, effective, confidence)
    down_low, down_high = _wilson(down, effective, confidence)
    return (
        mean - math.hypot((up - up_low) * rise, (down_high - down) * drop),
        mean + math.hypot((up_high - up) * rise, (down - down_low) * drop),
    )


def _wilson(rate: float, n: float, confidence: float) -> tuple[float, float]:
    reach = float(special.ndtri((1 + confidence) / 2))
    shrunk = 1 + reach**2 / n
    middle = (rate + reach**2 / (2 * n)) / shrunk
    half = reach / shrunk * math.sqrt(rate * (1 - rate) / n + reach**2 / (4 * n**2))
    return max(middle - half, 0.0), min(middle + half, 1.0)
