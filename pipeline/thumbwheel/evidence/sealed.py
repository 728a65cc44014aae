"""The look at the held-out prompts: whether it is worth its price, and what it says.

Of these prompts only the verdict is ever shown. Numbers that are shown come from the judge's part,
so that somebody who tries settings and keeps what looks best there has learnt nothing about the
prompts that decide.
"""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from thumbwheel.measures.statistics import cluster_estimate, cluster_means, power, sign_flip_test
from thumbwheel.types import MetricReport, SealedTest, SealedValues, Verdict

__all__ = ["DECIDING_POWER", "judge_by", "plan_test", "take_test", "verdict_without_a_look"]

DECIDING_POWER = 0.5
"""A look that would find the gain less often than this is not taken."""

_CONCLUSIVE_POWER = 0.8
"""A test that would have found the gain so often, and did not, says that it is not there."""


def plan_test(
    shown: Sequence[MetricReport], sealed: Sequence[SealedValues], *, gain: float, level: float
) -> SealedTest:
    """Return the test before it is taken.

    The gain to find is the configured one, as far as the shown prompts allow: not less than the
    gain seen there, since what is plainly better needs few prompts, and not more than the most that
    there may be.

    Args:
        shown: The metrics that are to improve, as they are shown.
        sealed: Their differences on the held-out prompts, in the same order.
        gain: The configured gain.
        level: What a look may spend.
    """
    wanted = [min(max(gain, seen.difference.value), seen.difference.high) for seen in shown]
    n_clusters = [len(set(values.clusters)) for values in sealed]
    powers = [
        power(each, n, values.open_sd, level)
        for each, n, values in zip(wanted, n_clusters, sealed, strict=True)
    ]
    weakest = int(np.argmin(powers))
    return SealedTest(
        n_prompts=len(sealed[0].differences),
        n_clusters=n_clusters[0],
        gain=wanted[weakest],
        power=powers[weakest],
        level=level,
    )


def verdict_without_a_look(
    shown: Sequence[MetricReport], test: SealedTest, gain: float
) -> tuple[Verdict, str] | None:
    """Return the verdict for which no look is needed, or not worth its level; else None."""
    worst = min(shown, key=lambda metric: metric.difference.high).difference
    if worst.high < 0:
        return Verdict.WORSE, "it got worse"
    if test.level <= 0:
        return Verdict.NOT_ENOUGH_EVIDENCE, (
            "this year's error budget is spent; `thumbwheel history` says when more is free"
        )
    if test.power < DECIDING_POWER and worst.high < gain:
        return Verdict.NOT_BETTER, f"a gain of {gain:g} is ruled out"
    if test.power < DECIDING_POWER:
        return Verdict.NOT_ENOUGH_EVIDENCE, (
            f"the {test.n_prompts:,} held-out prompts would show a gain of {test.gain:.2g} in only "
            f"{test.power:.0%} of tests, so they were not looked at; `thumbwheel power` says how "
            "many votes it takes"
        )
    return None


def take_test(sealed: Sequence[SealedValues]) -> list[float]:
    """Return the one-sided p-value of each metric's improvement: this is the look."""
    return [sign_flip_test(values.differences, values.clusters) for values in sealed]


def judge_by(
    sealed: Sequence[SealedValues], test: SealedTest, gain: float, confidence: float
) -> Verdict:
    """Return the verdict of a look that was taken.

    Args:
        sealed: The differences on the held-out prompts.
        test: The test, with its p-value.
        gain: The configured gain.
        confidence: Coverage of the interval that must lie below zero to call a candidate worse.
    """
    if test.p_value is not None and test.p_value <= test.level:
        return Verdict.BETTER
    for values in sealed:
        found = cluster_estimate(values.differences, values.clusters, confidence=confidence)
        if found.high < 0:
            return Verdict.WORSE
    least = min(
        power(gain, len(means), float(np.std(means, ddof=1)), test.level)
        for means in map(_means, sealed)
    )
    return Verdict.NOT_BETTER if least >= _CONCLUSIVE_POWER else Verdict.NOT_ENOUGH_EVIDENCE


def _means(values: SealedValues) -> npt.NDArray[np.float64]:
    return cluster_means(values.differences, values.clusters)
