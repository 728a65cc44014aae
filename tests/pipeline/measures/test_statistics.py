"""Intervals that count clusters of prompts."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from thumbwheel.measures.statistics import cluster_estimate, paired_report, ratio_estimate

numbers = st.lists(st.integers(-40, 40).map(lambda n: n / 8), min_size=2, max_size=40)


def interval(values, clusters=None, **options):
    return cluster_estimate(values, clusters, confidence=0.95, **options)


def copies(sample, n):
    """Each value n times, in a cluster of its own."""
    return np.repeat(sample, n), np.repeat(np.arange(len(sample)), n)


@pytest.mark.parametrize(
    ("draw", "truth", "least"),
    [
        (lambda rng: rng.exponential(1.0, 60), 1.0, 0.92),
        (lambda rng: rng.normal(0.0, 1.0, 60), 0.0, 0.94),
        (lambda rng: np.where(rng.random(60) < 0.75, 0.0, rng.normal(0, 1, 60)), 0.0, 0.92),
        (lambda rng: (rng.random(60) < 0.02).astype(float), 0.02, 0.94),
        (lambda rng: (rng.random(60) < 0.97).astype(float), 0.97, 0.94),
    ],
    ids=["skewed", "normal", "ties", "rare", "nearly all"],
)
def test_intervals_cover_at_their_level(draw, truth, least):
    """95% intervals hold the truth about as often as they say, each prompt being there twice."""
    rng = np.random.default_rng(1)
    found = [interval(*copies(draw(rng), 2), bounds=(-5, 60)) for _ in range(1000)]
    assert least <= np.mean([each.low <= truth <= each.high for each in found])


def test_copies_of_a_prompt_are_no_evidence():
    """Asking everything five times over changes nothing where the copies are one cluster."""
    sample = np.random.default_rng(0).normal(0, 1, 40)
    once, often = interval(sample), interval(*copies(sample, 5))
    assert (often.low, often.high) == pytest.approx((once.low, once.high))
    assert (once.n, often.n) == (40, 200)
    naive = interval(copies(sample, 5)[0])
    assert naive.high - naive.low < 0.5 * (often.high - often.low)


def test_what_was_not_seen_may_be_there():
    """A hundred good answers leave room for 3.7% bad ones; without bounds there is no telling."""
    good = interval([0.0] * 100, bounds=(0, 1))
    assert (good.value, good.low) == (0, 0)
    assert good.high == pytest.approx(0.037, abs=0.0005)
    unchanged = interval([0.0] * 100, bounds=(-1, 1))
    assert unchanged.low == -unchanged.high == pytest.approx(-good.high)
    alike = interval([0.0] * 100, [index % 10 for index in range(100)], bounds=(0, 1))
    assert alike.high == pytest.approx(0.278, abs=0.001)
    assert interval([3.0] * 5) == cluster_estimate([3.0] * 5, confidence=0.5)


@given(numbers, st.floats(-3, 3), st.floats(0.1, 5))
def test_moved_and_scaled_values(values, by, factor):
    """An interval moves and grows with its values, and turns over with their sign."""
    one = interval(values)
    moved = interval(np.array(values) * factor + by)
    assert (moved.low, moved.high) == pytest.approx(
        (one.low * factor + by, one.high * factor + by), abs=1e-6
    )
    turned = interval(-np.array(values))
    assert (turned.low, turned.high) == pytest.approx((-one.high, -one.low), abs=1e-9)


@given(numbers, st.randoms())
def test_order_and_names_do_not_matter(values, random):
    """Prompts in another order, and clusters of other names, give the same interval."""
    clusters = [index // 3 for index in range(len(values))]
    order = list(range(len(values)))
    random.shuffle(order)
    one = interval(values, clusters)
    other = interval([values[at] for at in order], [f"c{clusters[at]}" for at in order])
    assert (other.value, other.low, other.high) == pytest.approx(
        (one.value, one.low, one.high), abs=1e-9
    )


def test_weights_count_as_copies():
    """A prompt of weight two counts like two prompts of one cluster; of weight zero, not at all."""
    values = [0.0, 1.0, 0.5, 9.0]
    weighted = interval(values, weights=[2, 1, 1, 0])
    copied = interval([0.0, 0.0, 1.0, 0.5], [0, 0, 1, 2])
    assert (weighted.value, weighted.low, weighted.high) == pytest.approx(
        (copied.value, copied.low, copied.high)
    )


def test_missing_values():
    """A NaN or no value at all gives NaN."""
    assert math.isnan(interval([1.0, math.nan]).low)
    assert math.isnan(interval([]).value)


def test_a_ratio_knows_that_the_champion_was_measured_too():
    """At the margin itself it is exceeded in 2.5% of samples; taken as known, in many more."""
    rng = np.random.default_rng(2)
    paired, fixed = [], []
    for _ in range(500):
        champion = rng.normal(100, 60, 80)
        candidate = 1.25 * (champion + rng.normal(0, 5, 80))
        paired.append(ratio_estimate(candidate, champion, confidence=0.95).high <= 1.25)
        fixed.append(interval(candidate - champion).high <= 0.25 * champion.mean())
    assert 0.01 <= np.mean(paired) <= 0.04
    assert np.mean(fixed) < 0.002


def test_ratios_of_what_is_known_and_of_nothing():
    """Equal values are a ratio of one for sure; nothing is a share of zero."""
    champion = np.array([10.0, 12.0, 8.0, 10.0] * 5)
    same = ratio_estimate(champion, champion, confidence=0.95)
    assert (same.value, same.low, same.high) == pytest.approx((1, 1, 1))
    assert math.isnan(ratio_estimate(champion, champion - champion.mean(), confidence=0.95).low)
    assert math.isnan(ratio_estimate(champion * math.nan, champion, confidence=0.95).high)


def test_pairing_removes_the_spread_between_prompts():
    """A small steady gain on prompts of very different difficulty is clearly above zero."""
    rng = np.random.default_rng(0)
    difficulty = rng.normal(0, 10, 80)
    champion = {str(i): float(v) for i, v in enumerate(difficulty)}
    candidate = {key: v + 0.1 + float(rng.normal(0, 0.05)) for key, v in champion.items()}
    report = paired_report("m", {"champion": champion, "candidate": candidate}, confidence=0.95)
    assert 0 < report.difference.low < 0.1 < report.difference.high
    assert report.champion.high - report.champion.low > 1
    assert report.ratio is None


def test_only_shared_prompts_are_compared():
    """A prompt that one model was not measured on is left out."""
    values = {"champion": {"a": 0.0, "b": 0.0}, "candidate": {"b": 1.0, "c": 5.0}}
    report = paired_report("m", values, confidence=0.95)
    assert report.difference.n == 1
    assert report.difference.value == pytest.approx(1)
    assert report.base is None
