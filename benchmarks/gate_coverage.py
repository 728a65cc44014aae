"""How often an interval holds the truth."""

from collections import defaultdict
from collections.abc import Callable, Mapping

import numpy as np
import numpy.typing as npt
from scipy import stats

from gate_worlds import Prompts, World, compare
from thumbwheel.measures.statistics import cluster_estimate

__all__ = ["coverage"]

Array = npt.NDArray[np.floating]
Interval = Callable[[Array, npt.NDArray[np.int64]], tuple[float, float]]
Draw = Callable[[np.random.Generator, Prompts], Array]

SIZES = (50, 100, 200)
CONFIDENCE = 0.95


def _ours(values: Array, cluster: npt.NDArray[np.int64]) -> tuple[float, float]:
    estimate = cluster_estimate(values, cluster, confidence=CONFIDENCE, bounds=(0.0, 1.0))
    return estimate.low, estimate.high


def _bca(values: Array, cluster: npt.NDArray[np.int64]) -> tuple[float, float]:
    """Resample prompts, as if they were independent."""
    if np.ptp(values) == 0:
        return values[0], values[0]
    found = stats.bootstrap((values,), np.mean, n_resamples=999, rng=np.random.default_rng(0))
    return found.confidence_interval.low, found.confidence_interval.high


def _t(values: Array, cluster: npt.NDArray[np.int64]) -> tuple[float, float]:
    """Student's t over the means of clusters, as if they were of one size."""
    first = cluster - cluster[0]
    means = np.bincount(first, values) / np.bincount(first)
    reach = stats.t.ppf((1 + CONFIDENCE) / 2, len(means) - 1) * stats.sem(means)
    return means.mean() - reach, means.mean() + reach


INTERVALS: Mapping[str, Interval] = {"ours": _ours, "BCa by prompt": _bca, "t by cluster": _t}


def _wins(world: World, gain: float) -> Draw:
    def draw(rng: np.random.Generator, prompts: Prompts) -> Array:
        mu = world.qualities(world.deviations(rng, prompts, 1), gain)
        champion = world.draw(rng, np.zeros((1, prompts.n)))
        return compare(world.draw(rng, mu), champion, prompts)[0]

    return draw


def _rate(rate: float, answers: int = 4) -> Draw:
    """Return a draw of the share of answers that are refusals, say: a beta of shape 8 in all."""

    def draw(rng: np.random.Generator, prompts: Prompts) -> Array:
        shared = rng.beta(8 * rate, 8 * (1 - rate), size=int(prompts.cluster.max()) + 1)
        return rng.binomial(answers, shared[prompts.cluster[0]]) / answers

    return draw


WHAT: Mapping[str, tuple[float, float, Draw]] = {
    "win rate .50": (0.5, 0.25, _wins(World(), 0.0)),
    "win rate .60": (0.6, 0.25, _wins(World(), 0.1)),
    "win rate .55, 75% of prompts the same": (0.55, 0.75, _wins(World(same=0.75), 0.05)),
    "win rate .50, much worse on few": (0.5, 0.25, _wins(World("skewed"), 0.0)),
    "rate of 10%": (0.1, 0.0, _rate(0.1)),
    "rate of 2%": (0.02, 0.0, _rate(0.02)),
}
"""The truth, the share of prompts that are the same, and how values are drawn."""


def coverage(seed: np.random.SeedSequence, runs: int) -> Mapping[tuple[str, str], list[float]]:
    """Return whether the interval held the truth, and its width."""
    rng = np.random.default_rng(seed)
    results = defaultdict(list)
    for _ in range(runs):
        for n in SIZES:
            for what, (truth, same, draw) in WHAT.items():
                prompts = World(same=same).prompts(rng, n)
                values = draw(rng, prompts)
                for name, interval in INTERVALS.items():
                    low, high = interval(values, prompts.cluster[0])
                    row = f"{what}, {n} prompts"
                    results[row, name].append(float(low <= truth <= high))
                    results[row, f"width, {name}"].append(high - low)
    return dict(results)
