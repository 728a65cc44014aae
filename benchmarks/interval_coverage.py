"""How often the intervals hold the truth, and how often the test is wrong, by simulation.

    python benchmarks/interval_coverage.py                # the table of docs/gate.md, two minutes
    python benchmarks/interval_coverage.py --samples 300  # a glance

Samples are drawn from worlds whose mean is known, each prompt in a cluster of near-duplicates that
mostly have the same value. `missed below` is the share of samples whose whole interval lies above
the truth, `missed above` the share whose whole interval lies below it: 2.5% each is what a 95%
interval claims. Beside it stands what does without the corrections: Student's t over clusters.
"""

import argparse
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from rich.console import Console
from rich.table import Table
from scipy import special

from thumbwheel.measures.statistics import cluster_estimate, cluster_means, sign_flip_test

Array = npt.NDArray[np.floating]
Random = np.random.Generator

_CONFIDENCE = 0.95
_SAME = 0.7
"""How many prompts of a cluster have the cluster's value; the others have one of their own."""


@dataclass(frozen=True)
class World:
    """Values with a known mean: `draw` returns so many of them."""

    name: str
    draw: Callable[[Random, int], Array]
    mean: float
    bounds: tuple[float, float] | None = None


@dataclass(frozen=True)
class Coverage:
    """Shares of samples whose interval misses the truth, and the intervals' mean width."""

    missed_below: float
    missed_above: float
    width: float

    @property
    def covered(self) -> float:
        """The share of samples whose interval holds the truth."""
        return 1 - self.missed_below - self.missed_above


def _ties(rng: Random, n: int, steps: Sequence[float]) -> Array:
    return np.where(rng.random(n) < 0.75, 0.0, rng.choice(steps, n))


WORLDS = (
    World("75% ties", lambda rng, n: _ties(rng, n, [-1, -0.5, 0.5, 1]), 0.0, (-1, 1)),
    World(
        "75% ties, skewed", lambda rng, n: _ties(rng, n, [-0.5, 0.25, 0.5, 1]), 0.078125, (-1, 1)
    ),
    World("5% bad", lambda rng, n: 1.0 * (rng.random(n) < 0.05), 0.05, (0, 1)),
    World("2% bad", lambda rng, n: 1.0 * (rng.random(n) < 0.02), 0.02, (0, 1)),
    World("3% got worse", lambda rng, n: -1.0 * (rng.random(n) < 0.03), -0.03, (-1, 1)),
    World("normal", lambda rng, n: rng.normal(0, 1, n), 0.0),
    World("lognormal", lambda rng, n: rng.lognormal(0, 1, n), math.exp(0.5)),
)

SIZES = ((50, 10), (50, 50), (100, 40), (100, 100), (200, 60), (200, 200))
"""Prompts, and clusters among them."""


def draw(
    world: World, n_prompts: int, n_clusters: int, rng: Random
) -> tuple[Array, npt.NDArray[np.int64]]:
    """Return a sample and its clusters, whose sizes differ as much as those of real questions."""
    popular = rng.pareto(2, n_clusters) + 0.2
    more = rng.choice(n_clusters, n_prompts - n_clusters, p=popular / popular.sum())
    clusters = np.concatenate([np.arange(n_clusters), more])
    of_cluster = world.draw(rng, n_clusters)[clusters]
    own = world.draw(rng, n_prompts)
    return np.where(rng.random(n_prompts) < _SAME, of_cluster, own), clusters


def measure(world: World, n_prompts: int, n_clusters: int, samples: int) -> Mapping[str, Coverage]:
    """Return the coverage of `cluster_estimate`, and of the plain t interval beside it."""
    rng = np.random.default_rng(1)
    ends: dict[str, list[tuple[float, float]]] = {"here": [], "t": []}
    for _ in range(samples):
        values, clusters = draw(world, n_prompts, n_clusters, rng)
        found = cluster_estimate(values, clusters, confidence=_CONFIDENCE, bounds=world.bounds)
        ends["here"].append((found.low, found.high))
        ends["t"].append(_student(values, clusters))
    return {name: _coverage(np.array(pairs), world.mean) for name, pairs in ends.items()}


def p_values(world: World, n_clusters: int, samples: int) -> Array:
    """Return the sign-flip test's p-values for models that are equal, shape (samples,)."""
    rng = np.random.default_rng(2)
    found = []
    for _ in range(samples):
        values, clusters = draw(world, 2 * n_clusters, n_clusters, rng)
        signs = rng.choice([-1.0, 1.0], n_clusters)
        found.append(sign_flip_test(signs * np.abs(cluster_means(values, clusters))))
    return np.array(found)


def _student(values: Array, clusters: npt.NDArray[np.int64]) -> tuple[float, float]:
    """Return the t interval with Liang and Zeger's cluster-robust variance, G/(G-1), df G-1."""
    mean, n = float(values.mean()), int(clusters.max()) + 1
    residuals = np.bincount(clusters, weights=values - mean) / len(values)
    half = math.sqrt(n / (n - 1) * float(residuals @ residuals))
    half *= float(special.stdtrit(n - 1, (1 + _CONFIDENCE) / 2))
    return mean - half, mean + half


def _coverage(ends: Array, truth: float) -> Coverage:
    low, high = ends.T
    close = 1e-9
    return Coverage(
        float(np.mean(truth < low - close)),
        float(np.mean(truth > high + close)),
        float(np.mean(high - low)),
    )


def _rows(samples: int) -> Iterator[list[str]]:
    for world in WORLDS:
        for n_prompts, n_clusters in SIZES:
            both = measure(world, n_prompts, n_clusters, samples)
            yield [
                world.name,
                str(n_prompts),
                str(n_clusters),
                *(
                    cell
                    for each in (both["here"], both["t"])
                    for cell in (
                        f"{each.covered:.1%}",
                        f"{each.missed_below:.1%} / {each.missed_above:.1%}",
                        f"{each.width:.3f}",
                    )
                ),
            ]


def main() -> None:
    """Print both tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--samples", type=int, default=1000, help="samples of each row")
    samples = parser.parse_args().samples
    console = Console()
    intervals = Table(title=f"95% intervals, {samples:,} samples each", title_justify="left")
    for name in ("values", "prompts", "clusters"):
        intervals.add_column(name)
    for name in ("covers", "missed below / above", "width"):
        intervals.add_column(name, justify="right")
    for name in ("t covers", "t missed", "t width"):
        intervals.add_column(name, justify="right")
    for row in _rows(samples):
        intervals.add_row(*row)
    console.print(intervals)
    tests = Table(title="Equal models that pass the sign-flip test", title_justify="left")
    for name in ("values", "clusters", "level 5%", "level 1%"):
        tests.add_column(name)
    for world in WORLDS[:1] + WORLDS[-2:]:
        for n_clusters in (10, 50):
            found = p_values(world, n_clusters, samples)
            shares = [float(np.mean(found <= level)) for level in (0.05, 0.01)]
            tests.add_row(world.name, str(n_clusters), *(f"{share:.1%}" for share in shares))
    console.print(tests)


if __name__ == "__main__":
    main()
