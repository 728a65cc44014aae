"""Simulated models: answers whose quality is known, to prompts that come in clusters.

A model's answer to a prompt has the quality mu + e: mu is the model's own for each prompt, e the
luck of the draw, standard normal. A judge sees which of two answers is better, and a tie where
their qualities lie within `TIE`; to some prompts all models give the same answer. A prompt's value
is the share of the pairings of k answers with k that the candidate wins, ties half. Near-duplicate
prompts form clusters of 1 to 10 and share half of the variance of mu.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt
from scipy.optimize import brentq
from scipy.stats import norm

__all__ = ["Kind", "Prompts", "World", "blend", "compare"]

Array = npt.NDArray[np.floating]
Kind = Literal["equal", "mixed", "skewed"]

TIE = 0.3
IN_COMMON = 0.5
"""Share of the variance of mu that the prompts of a cluster, and candidates of a recipe, share."""
MOST, SLIGHTLY = 0.85, 0.3
"""A skewed candidate is better on so many of the prompts, and by so much."""


@dataclass(frozen=True)
class Prompts:
    """Held-out prompts for one look or for several; those of a cluster lie side by side.

    Attributes:
        cluster: The cluster of each prompt, shape (looks, n); (1, n) where all looks share them.
        same: Where every model gives the same answer, same shape.
    """

    cluster: npt.NDArray[np.int64]
    same: npt.NDArray[np.bool_]

    @property
    def n(self) -> int:
        """Prompts of a look."""
        return int(self.cluster.shape[1])


@dataclass(frozen=True)
class World:
    """How prompts and models are drawn.

    Attributes:
        kind: How a candidate differs from the champion: `equal` not at all, `mixed` by a normal
            amount on each prompt, `skewed` a little better on most and much worse on few. A gain
            comes on top.
        spread: Standard deviation of mu between the prompts of a mixed candidate.
        same: Share of prompts to which all models give the same answer.
        answers: k.
    """

    kind: Kind = "mixed"
    spread: float = 0.6
    same: float = 0.25
    answers: int = 4

    def prompts(self, rng: np.random.Generator, n: int, looks: int = 1) -> Prompts:
        """Draw n prompts for each look; a cluster has s of them with a chance as 1 / s²."""
        odds = np.arange(1, 11) ** -2.0
        sizes = rng.choice(np.arange(1, 11), size=looks * n, p=odds / odds.sum())
        is_first = np.zeros(looks * n + 11, dtype=bool)
        starts = np.cumsum(sizes)
        is_first[starts[starts < looks * n]] = True
        is_first[: looks * n : n] = True
        cluster = (np.cumsum(is_first[: looks * n]) - 1).reshape(looks, n)
        return Prompts(cluster, rng.random((looks, n)) < self.same)

    def deviations(self, rng: np.random.Generator, prompts: Prompts, models: int) -> Array:
        """Draw standard normal deviations of models on the prompts, shape (models, n)."""
        first, last = prompts.cluster[0, 0], prompts.cluster[-1, -1]
        if len(prompts.cluster) == 1:
            of_cluster = rng.standard_normal((models, last - first + 1))
            shared = of_cluster[:, prompts.cluster[0] - first]
        else:
            shared = rng.standard_normal(last - first + 1)[prompts.cluster - first]
        own = rng.standard_normal((models, prompts.n))
        return blend(shared, own)

    def qualities(self, deviations: Array, gain: Array | float = 0.0) -> Array:
        """Return mu of models whose true win rate over a model of mu 0 is .5 + gain.

        Args:
            deviations: Shape (models, n).
            gain: One for all, or shape (models,).
        """
        spread = self.spread if self.kind == "mixed" else 0.0
        of_each, which = np.unique(gain, return_inverse=True)
        shift = np.array([self.shift(float(one), spread) for one in of_each])[which].reshape(-1, 1)
        if self.kind != "skewed":
            return shift + spread * deviations
        much = _solve(
            lambda mu: MOST * (_wins(SLIGHTLY) - 0.5) + (1 - MOST) * (_wins(mu) - 0.5), -9, 0
        )
        return shift + np.where(deviations < norm.ppf(MOST), SLIGHTLY, much)

    def draw(self, rng: np.random.Generator, mu: Array) -> Array:
        """Draw the qualities of k answers of each model to each prompt, shape (k, models, n)."""
        noise = rng.standard_normal((self.answers, *mu.shape), dtype=np.float32)
        return mu.astype(np.float32) + noise

    def shift(self, gain: float, spread: float) -> float:
        """Return the mean difference of mu that a gain takes, where mu differs by `spread`."""
        wanted = 0.5 + gain / (1 - self.same)
        return _solve(lambda mu: _wins(mu, spread) - wanted, -9, 9)


def blend(common: Array, own: Array) -> Array:
    """Return standard normals made of what is shared and what is not."""
    return np.sqrt(IN_COMMON) * common + np.sqrt(1 - IN_COMMON) * own


def compare(candidate: Array, champion: Array, prompts: Prompts) -> Array:
    """Return the value of each prompt, shape (looks, n); the qualities have shape (k, looks, n)."""
    # One pairing after the other is ten times faster than all of them in one array.
    score = np.zeros(np.broadcast_shapes(candidate.shape[1:], champion.shape[1:]), dtype=np.int16)
    for one in candidate:
        for other in champion:
            lead = one - other
            score += lead > TIE
            score -= lead < -TIE
    return np.where(prompts.same, 0.5, 0.5 + score / (2 * len(candidate) * len(champion)))


def _wins(mu: float, spread: float = 0.0) -> float:
    """Return the chance that an answer beats one of a model of mu 0, ties half."""
    of_lead = np.sqrt(2 + spread**2)
    return float(norm.cdf((mu - TIE) / of_lead) + norm.cdf((mu + TIE) / of_lead)) / 2


def _solve(function: Callable[[float], float], low: float, high: float) -> float:
    return float(brentq(function, low, high))
