"""The exact sign-flip test over clusters, and its power."""

import itertools
import math
import time

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from thumbwheel.measures.statistics import (
    cluster_means,
    clusters_needed,
    power,
    sign_flip,
    sign_flip_test,
    smallest_gain,
)

small = st.lists(st.floats(-1, 1, allow_subnormal=False), min_size=1, max_size=10)


def by_enumeration(means):
    """The definition: of all choices of signs, the share whose sum is as large or larger."""
    signs = np.array(list(itertools.product([1, -1], repeat=len(means))))
    total = float(np.sum(means))
    return float(np.mean(signs @ np.asarray(means) >= total - 1e-9))


@pytest.mark.parametrize(
    ("differences", "p_value"),
    [
        ([], 1),
        ([0.0, 0.0], 1),
        ([0.0, 2.0], 0.5),
        ([1.0, 1.0, 1.0, 0.0], 1 / 8),
        ([1.0, 1.0, -1.0], 1 / 2),
        ([-1.0], 1),
        ([1.0] * 10, 1 / 1024),
        ([0.1] * 40, 2.0**-40),
    ],
)
def test_signs_are_counted(differences, p_value):
    """The p-value is a share of choices of signs; a NaN makes it NaN."""
    assert sign_flip_test(differences) == pytest.approx(p_value, rel=1e-6)
    assert math.isnan(sign_flip_test([*differences, math.nan]))


@pytest.mark.parametrize("enumerated", [20, 0], ids=["one by one", "by dynamic programming"])
@given(means=small)
def test_agrees_with_enumeration(enumerated, means):
    """Few clusters: exactly the definition one by one, and never below it on the grid."""
    means = np.round(means, 2)
    whole = by_enumeration(means)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sign_flip, "_ENUMERATED", enumerated)
        found = sign_flip_test(means)
    assert found >= whole - 1e-9
    assert found == whole or enumerated == 0


def test_many_clusters_are_exact_where_they_share_a_unit():
    """Two hundred equal steps are a binomial; shares in eighths agree with the convolution."""
    ones = [1.0] * 120 + [-1.0] * 80
    assert sign_flip_test(ones) == pytest.approx(stats.binom.sf(119, 200, 0.5), rel=1e-9)
    eighths = np.random.default_rng(0).integers(-6, 9, 60) / 8
    chances = {0.0: 1.0}
    for size in np.abs(eighths[eighths != 0]):
        added: dict[float, float] = {}
        for total, chance in chances.items():
            for change in (-size, size):
                added[total + change] = added.get(total + change, 0.0) + chance / 2
        chances = added
    expected = sum(chance for total, chance in chances.items() if total >= eighths.sum())
    assert sign_flip_test(eighths) == pytest.approx(expected, rel=1e-9)


def test_the_grid_errs_on_the_safe_side_by_little():
    """Without a common unit the p-value is at most 3% too large and never too small."""
    rng = np.random.default_rng(0)
    with pytest.MonkeyPatch.context() as patch:
        for _ in range(10):
            means = rng.normal(0.5, 1, 20)
            patch.setattr(sign_flip, "_ENUMERATED", 20)
            exact = sign_flip_test(means)
            patch.setattr(sign_flip, "_ENUMERATED", 0)
            assert exact - 1e-12 <= sign_flip_test(means) <= 1.03 * exact + 1e-5
    many = rng.normal(0.5, 1, 200)
    normal = stats.norm.sf(many.sum() / np.sqrt(np.sum(many**2)))
    assert 1e-13 < sign_flip_test(many) < normal < 1e-7


def test_a_level_is_kept():
    """Of equal models at most 5% and 1% pass at these levels, however many prompts tie."""
    rng = np.random.default_rng(3)
    sizes = (rng.random((4000, 30)) < 0.4) * rng.choice([1.0, 0.5, 0.25], (4000, 30))
    p_values = [sign_flip_test(row) for row in sizes * rng.choice([-1, 1], (4000, 30))]
    assert 0.02 < np.mean(np.array(p_values) <= 0.05) <= 0.055
    assert np.mean(np.array(p_values) <= 0.01) <= 0.0125


@given(means=small, factor=st.floats(0.01, 100))
def test_scale_and_order_do_not_matter(means, factor):
    """Another unit, another order and added ties give the same p-value."""
    means = np.round(means, 3)
    p_value = sign_flip_test(means)
    assert sign_flip_test(means * factor) == pytest.approx(p_value, abs=1e-9)
    assert sign_flip_test([0.0, *means[::-1]]) == pytest.approx(p_value, abs=1e-9)


def test_a_cluster_counts_once():
    """Forty near-duplicates that were all won are one win; the order of prompts does not matter."""
    differences = [1.0] * 40 + [-0.5, -0.5]
    clusters = ["a"] * 40 + ["b", "c"]
    assert list(cluster_means(differences, clusters)) == [1, -0.5, -0.5]
    assert sign_flip_test(differences, clusters) == sign_flip_test([1, -0.5, -0.5]) == 5 / 8
    assert sign_flip_test(differences[::-1], clusters[::-1]) == 5 / 8


def test_thousands_of_clusters_are_quick():
    """Two thousand clusters without a common unit take no longer than a few seconds."""
    means = np.random.default_rng(0).normal(0.15, 1, 2000)
    begun = time.process_time()
    assert 0 < sign_flip_test(means) < 1e-4
    assert time.process_time() - begun < 5


def test_power_is_what_the_test_shows():
    """The formula's power and the share of simulated tests that pass differ by little."""
    rng = np.random.default_rng(0)
    found = [sign_flip_test(rng.integers(-4, 7, 60) / 8) <= 0.01 for _ in range(1000)]
    sd = math.sqrt(120 / 12) / 8  # integers from -4 to 6
    assert np.mean(found) == pytest.approx(power(1 / 8, 60, sd, 0.01), abs=0.04)


@pytest.mark.parametrize(("level", "target"), [(0.05, 0.5), (0.001, 0.8), (1e-6, 0.9)])
def test_power_gain_and_clusters_are_each_other_s_inverse(level, target):
    """The smallest gain has just the power asked for, and one cluster less has not."""
    gain = smallest_gain(150, 0.4, level, target)
    assert power(gain, 150, 0.4, level) == pytest.approx(target, abs=1e-6)
    needed = clusters_needed(0.05, 0.4, level, target)
    assert needed is not None
    assert power(0.05, needed, 0.4, level) >= target > power(0.05, needed - 1, 0.4, level)


def test_power_at_the_ends():
    """Six clusters cannot reach 1%; no spread finds any gain; no level, no gain: none."""
    assert power(9.0, 6, 0.1, 0.01) == 0 == power(0.1, 100, 0.4, 0.0)
    assert smallest_gain(6, 0.1, 0.01, 0.5) == math.inf
    assert power(0.1, 100, 0.0, 0.01) == 1
    assert smallest_gain(100, 0.0, 0.01, 0.5) == 0
    assert clusters_needed(0.0, 0.4, 0.01, 0.5) is None
    assert power(3.0, 2000, 0.1, 1e-7) == pytest.approx(1)
