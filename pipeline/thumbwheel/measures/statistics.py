"""Intervals by the bootstrap over prompts, and the paired randomisation test."""

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt
from scipy import stats

from thumbwheel.types import Estimate, MetricReport

__all__ = ["estimate", "luck", "paired_report"]

_RESAMPLES = 9999


def estimate(values: npt.ArrayLike, *, confidence: float, seed: int) -> Estimate:
    """Return the mean of one value per prompt, with its BCa bootstrap interval.

    BCa is Efron's bias-corrected and accelerated interval (Efron 1987, JASA 82:171-185), as scipy
    computes it, from 9,999 resamples of prompts.

    Args:
        values: One value per prompt, shape (n,). A NaN makes the whole estimate NaN.
        confidence: Coverage of the interval, such as 0.95.
        seed: The same seed and values give the same interval.
    """
    sample = np.asarray(values, dtype=np.float64)
    n = len(sample)
    if n == 0 or not np.all(np.isfinite(sample)):
        return Estimate(float("nan"), float("nan"), float("nan"), n)
    mean = float(np.mean(sample))
    if np.ptp(sample) == 0:
        return Estimate(mean, mean, mean, n)
    interval = stats.bootstrap(
        (sample,),
        np.mean,
        n_resamples=_RESAMPLES,
        confidence_level=confidence,
        batch=256,
        rng=np.random.default_rng(seed),
    ).confidence_interval
    return Estimate(mean, float(interval.low), float(interval.high), n)


def luck(differences: npt.ArrayLike, *, seed: int) -> float:
    """Return the one-sided p-value of the paired randomisation test.

    Where two models are equal, each prompt's difference could as well have the other sign. The
    p-value is the share of random signs whose mean is as large or larger (Fisher 1935, The Design
    of Experiments; Dror et al. 2018, "The Hitchhiker's Guide to Testing Statistical Significance in
    Natural Language Processing"), with 9,999 draws, or all there are. It is exact where the
    bootstrap's interval is not: when few prompts differ, the interval lies above zero by luck twice
    as often as it says.

    Args:
        differences: One per prompt, candidate minus champion, shape (n,). A NaN makes it NaN.
        seed: The same seed and values give the same p-value.
    """
    sample = np.asarray(differences, dtype=np.float64)
    if not np.all(np.isfinite(sample)):
        return float("nan")
    # Zeros say nothing; two of them are kept because the test asks for two values at least.
    changed = np.append(sample[sample != 0], [0.0, 0.0])
    test = stats.permutation_test(
        (changed,),
        np.sum,
        permutation_type="samples",
        alternative="greater",
        n_resamples=_RESAMPLES,
        batch=256,
        rng=np.random.default_rng(seed),
    )
    return float(test.pvalue)


def paired_report(
    name: str,
    values: Mapping[str, Mapping[str, float]],
    *,
    confidence: float,
    seed: int,
) -> MetricReport:
    """Compare the models on the prompts that all of them were measured on.

    The difference is paired: each prompt is its own control, which takes the spread between easy
    and hard prompts out of the interval.

    Args:
        name: The metric.
        values: By model (`champion`, `candidate`, and `base` unless it is the champion), one value
            per prompt id.
        confidence: Coverage of the intervals.
        seed: Seed of the resampling.
    """
    prompts = sorted(set.intersection(*(set(by_prompt) for by_prompt in values.values())))
    samples = {
        model: np.array([by_prompt[prompt] for prompt in prompts], dtype=np.float64)
        for model, by_prompt in values.items()
    }
    estimates = {
        model: estimate(sample, confidence=confidence, seed=seed)
        for model, sample in samples.items()
    }
    difference = samples["candidate"] - samples["champion"]
    return MetricReport(
        name,
        champion=estimates["champion"],
        candidate=estimates["candidate"],
        difference=estimate(difference, confidence=confidence, seed=seed),
        p_value=luck(difference, seed=seed),
        base=estimates.get("base"),
    )
