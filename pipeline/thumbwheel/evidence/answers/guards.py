"""The guards on answers: how much worse a candidate may be, and how many answers it takes to tell.

A guard passes where the whole one-sided 97.5% interval of the change, by t over prompts, lies
within its margin. So a margin that is small beside the noise of answers refuses harmless candidates
too, and more answers to each prompt are the remedy.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import stats

from thumbwheel.config import Guard

__all__ = ["COUNTS", "NeededAnswers", "needed_answers"]

Array = npt.NDArray[np.float64]

COUNTS = (2, 4, 8, 16)
"""Answers to each prompt that are considered."""

_LEAST_CHANCE = 0.95
_TAIL = 0.025
_RUNS = 500


@dataclass(frozen=True, slots=True)
class NeededAnswers:
    """How many answers to each prompt let a harmless candidate pass.

    Attributes:
        answers: To each prompt, by champion and candidate each.
        chance: That a candidate no different from the champion passes all guards with them; below
            .95 where even the most are too few.
        hardest: The metric whose guard it passes least often.
        hardest_chance: How often.
    """

    answers: int
    chance: float
    hardest: str
    hardest_chance: float


def needed_answers(
    drawn: Mapping[str, Mapping[str, Sequence[float]]],
    guards: Sequence[Guard],
    n_prompts: int,
    *,
    counts: Sequence[int] = COUNTS,
    seed: int = 0,
) -> NeededAnswers:
    """Return the fewest answers with which a harmless candidate passes with chance .95 or more.

    Simulated from the champion's own answers: prompts are drawn, and for each of them answers for
    the champion and as many, independently, for a candidate that is no different, 500 times. As m
    answers spread less about their own mean than about the true one, their distances from it are
    multiplied by the root of m/(m-1); where there is but one to each prompt, the spread between
    prompts stands in, which is larger.

    Args:
        drawn: Of the champion, by metric and prompt id, a value for each answer; see
            `measure_draws`. A guard whose metric is not there says nothing.
        guards: The guards.
        n_prompts: Prompts that will be answered. Of `ood_` metrics it is as many as there are.
        counts: How many answers to consider, rising.
        seed: The same seed and values give the same result.
    """
    checked = [guard for guard in guards if drawn.get(guard.metric)]
    pools = {guard.metric: _pool(drawn[guard.metric]) for guard in checked}
    result = NeededAnswers(counts[0], 1.0, "", 1.0)
    for count in counts:
        passed: list[npt.NDArray[np.bool_]] = []
        for guard in checked:
            n = len(drawn[guard.metric]) if guard.metric.startswith("ood_") else n_prompts
            # The same generator for each metric: answers of one shape are drawn together.
            rng = np.random.default_rng((seed, count))
            passed.append(_passes(guard, *_simulate(pools[guard.metric], n, count, rng)))
        if not passed:
            return result
        chances = [float(np.mean(one)) for one in passed]
        worst = int(np.argmin(chances))
        everywhere = float(np.mean(np.all(passed, axis=0)))
        result = NeededAnswers(count, everywhere, checked[worst].metric, chances[worst])
        if everywhere >= _LEAST_CHANCE:
            return result
    return result


def _pool(values: Mapping[str, Sequence[float]]) -> Array:
    """Return what answers are drawn from, shape (prompts, draws)."""
    fewest = min(map(len, values.values()))
    pool = np.array([of_prompt[:fewest] for of_prompt in values.values()], dtype=np.float64)
    if fewest == 1:
        pool = pool.reshape(1, -1)
    n_draws = pool.shape[1]
    if n_draws == 1:
        return pool
    means = pool.mean(axis=1, keepdims=True)
    return np.asarray(means + (pool - means) * np.sqrt(n_draws / (n_draws - 1)))


def _simulate(pool: Array, n: int, count: int, rng: np.random.Generator) -> tuple[Array, Array]:
    """Return means of champion and candidate for each prompt, each of shape (runs, n)."""
    prompts = rng.integers(len(pool), size=(_RUNS, n))
    sides = []
    for _ in range(2):
        total = np.zeros((_RUNS, n))
        for _ in range(count):
            total += pool[prompts, rng.integers(pool.shape[1], size=(_RUNS, n))]
        sides.append(total / count)
    return sides[0], sides[1]


def _passes(guard: Guard, champion: Array, candidate: Array) -> npt.NDArray[np.bool_]:
    """Return for each run whether the whole interval of the change is within the margin."""
    n = champion.shape[1]
    quantile = stats.t.isf(_TAIL, n - 1)
    passed = np.ones(len(champion), dtype=bool)
    for sign, margin in ((-1, guard.max_drop), (1, guard.max_rise)):
        if margin is None:
            continue
        allowed = margin * np.abs(champion) if guard.relative else margin
        beyond = sign * (candidate - champion) - allowed
        upper = beyond.mean(axis=1) + quantile * beyond.std(axis=1, ddof=1) / np.sqrt(n)
        passed &= upper <= 0
    return passed
