"""How likely each pair is to be kept, so that style tells nothing."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from thumbwheel.pairs.balance import balance_probabilities


def planted(seed, n=400, k=3, share=0.7):
    """Differences whose first feature favours the chosen side with probability `share`."""
    rng = np.random.default_rng(seed)
    differences = rng.normal(size=(n, k)) * (rng.random((n, k)) < 0.6)
    swap = (rng.random(n) < share) != (differences[:, 0] > 0)
    return np.where(swap[:, None], -differences, differences)


@given(seed=st.integers(0, 1000), n=st.integers(0, 80), k=st.integers(0, 5))
def test_balanced_features_have_no_weighted_mean_difference(seed, n, k):
    """For whatever differences: p is in (0, 1], and sum p d vanishes where balance is claimed."""
    differences = planted(seed, n, k) if k else np.zeros((n, 0))
    balance = balance_probabilities(differences)
    p = balance.probabilities
    assert p.shape == (n,)
    assert np.all((p > 0) & (p <= 1))
    left = np.abs(p @ differences) - 1e-4 * (p @ np.abs(differences))
    assert np.all(left[balance.balanced] <= 1e-12)


def test_a_planted_confound_is_thinned_exactly():
    """Where 70% are longer, 3 of 7 of them are kept, and every shorter one: nothing is wasted."""
    rng = np.random.default_rng(1)
    size = rng.choice([0.2, 0.5, 1.0], size=1000)
    differences = (size * np.where(np.arange(1000) < 700, 1, -1))[:, None]
    differences[700:, 0] = -size[:300]
    balance = balance_probabilities(differences)
    assert balance.balanced.all()
    assert np.all(balance.probabilities[700:] == 1)
    assert balance.expected == pytest.approx(600, rel=1e-6)
    assert np.sum(balance.probabilities * np.sign(differences[:, 0])) == pytest.approx(0, abs=1e-6)


def test_the_sign_is_balanced_too():
    """Often a little longer, seldom much shorter: a mean of zero alone would leave that in."""
    sizes = {0.1: 80, -0.4: 20, 0.4: 10, -0.1: 10}
    differences = np.repeat(list(sizes), list(sizes.values()))[:, None]
    p = balance_probabilities(differences).probabilities
    assert p @ differences == pytest.approx(0, abs=1e-6)
    assert p @ np.sign(differences) == pytest.approx(0, abs=1e-6)


def test_what_cannot_be_balanced_is_named_and_the_rest_is_balanced():
    """A feature that always favours one side stays as it is; it costs no pair."""
    differences = planted(2)
    one_sided = np.column_stack([np.abs(differences[:, 1]), differences])
    balance = balance_probabilities(one_sided)
    assert balance.balanced.tolist() == [False, True, True, True]
    assert np.array_equal(balance.probabilities, balance_probabilities(differences).probabilities)


def test_features_that_are_one_sided_only_together_fall_back_to_the_first():
    """No direction may favour the chosen side throughout: then the later feature is left out."""
    rng = np.random.default_rng(3)
    first = rng.normal(size=200)
    differences = np.column_stack([first, -first + np.abs(rng.normal(size=200)) + 0.1])
    balance = balance_probabilities(differences)
    assert balance.balanced.tolist() == [True, False]
    assert balance.probabilities @ first == pytest.approx(0, abs=1e-6)


def test_a_feature_that_would_cost_too_many_pairs_is_left():
    """Two pairs against 98 would keep 4 of 100; `min_kept` prefers to leave the feature."""
    differences = np.concatenate([np.ones((98, 1)), -np.ones((2, 1))])
    assert balance_probabilities(differences).expected == pytest.approx(4, rel=1e-6)
    careful = balance_probabilities(differences, min_kept=0.1)
    assert careful.expected == 100
    assert not careful.balanced.any()
