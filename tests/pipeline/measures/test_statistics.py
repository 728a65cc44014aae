"""Intervals from the bootstrap over prompts."""

import math

import numpy as np
import pytest

from thumbwheel.measures.statistics import estimate, luck, paired_report


def test_intervals_cover_at_their_level():
    """95% intervals of a skewed mean hold the truth about as often as they say."""
    rng = np.random.default_rng(1)
    covered = 0
    for trial in range(200):
        interval = estimate(rng.exponential(1.0, 60), confidence=0.95, seed=trial)
        covered += interval.low <= 1.0 <= interval.high
    assert 175 <= covered <= 199


def test_luck_is_not_taken_for_skill_when_few_prompts_differ():
    """Of equal models 2.5% pass at .025; the bootstrap's interval lets twice as many through."""
    rng = np.random.default_rng(3)
    trials = [
        (rng.random(60) < 0.1) * rng.choice([1.0, 0.5, 0.25], 60) * rng.choice([-1, 1], 60)
        for _ in range(400)
    ]
    lucky = [luck(differences, seed=0) <= 0.025 for differences in trials]
    above = [estimate(d, confidence=0.95, seed=0).low > 0 for d in trials if d.any()]
    assert np.mean(lucky) <= 0.025 < 0.04 < np.mean(above)


@pytest.mark.parametrize(
    ("differences", "p_value"),
    [
        ([0.0, 0.0], 1),
        ([0.0, 2.0], 0.5),
        ([1.0, 1.0, 1.0, 0.0], 1 / 8),
        ([1.0, 1.0, -1.0], 1 / 2),
        ([-1.0], 1),
        ([1.0] * 10, 1 / 1024),
    ],
)
def test_luck_counts_the_signs(differences, p_value):
    """With few prompts, every choice of signs is looked at."""
    assert luck(differences, seed=0) == pytest.approx(p_value)
    assert math.isnan(luck([*differences, math.nan], seed=0))


def test_constant_and_missing_values():
    """Constant values have a point as interval; a NaN or no value at all gives NaN."""
    same = estimate([1.0] * 5, confidence=0.95, seed=0)
    assert (same.value, same.low, same.high, same.n) == (1, 1, 1, 5)
    assert math.isnan(estimate([1.0, math.nan], confidence=0.95, seed=0).low)
    assert math.isnan(estimate([], confidence=0.95, seed=0).value)


def test_pairing_removes_the_spread_between_prompts():
    """A small steady gain on prompts of very different difficulty is clearly above zero."""
    rng = np.random.default_rng(0)
    difficulty = rng.normal(0, 10, 80)
    champion = {str(i): float(v) for i, v in enumerate(difficulty)}
    candidate = {key: v + 0.1 + float(rng.normal(0, 0.05)) for key, v in champion.items()}
    report = paired_report(
        "m", {"champion": champion, "candidate": candidate}, confidence=0.95, seed=0
    )
    assert 0 < report.difference.low < 0.1 < report.difference.high
    assert report.champion.high - report.champion.low > 1


def test_only_shared_prompts_are_compared():
    """A prompt that one model was not measured on is left out."""
    values = {"champion": {"a": 0.0, "b": 0.0}, "candidate": {"b": 1.0, "c": 5.0}}
    report = paired_report("m", values, confidence=0.95, seed=0)
    assert report.difference.n == 1
    assert report.difference.value == pytest.approx(1)
    assert report.base is None
