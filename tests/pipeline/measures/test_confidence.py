"""P(chosen is better) from votes."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from thumbwheel.measures.confidence import probability_better

votes = st.integers(0, 200)


@pytest.mark.parametrize(
    ("up", "down", "other_up", "other_down", "expected"),
    [(1, 0, 0, 1, 5 / 6), (2, 0, 0, 1, 0.9), (2, 0, 0, 2, 0.95), (0, 0, 0, 0, 0.5)],
)
def test_known_values(up, down, other_up, other_down, expected):
    """Small counts agree with the closed form."""
    assert probability_better([up], [down], [other_up], [other_down]) == pytest.approx(
        [expected], abs=1e-4
    )


def test_agrees_with_sampling():
    """Large and fractional counts agree with a Monte Carlo estimate."""
    rng = np.random.default_rng(0)
    up, down, other_up, other_down = 900.5, 99.5, 40.25, 10.75
    sampled = np.mean(
        rng.beta(1 + up, 1 + down, 400_000) > rng.beta(1 + other_up, 1 + other_down, 400_000)
    )
    assert probability_better([up], [down], [other_up], [other_down])[0] == pytest.approx(
        sampled, abs=3e-3
    )


@given(votes, votes, votes, votes)
def test_laws(up, down, other_up, other_down):
    """Swapping the sides gives the complement, and one more vote up never lowers it."""
    there, back = probability_better(
        [up, other_up], [down, other_down], [other_up, up], [other_down, down]
    )
    assert there + back == pytest.approx(1, abs=2e-3)
    assert probability_better([up + 1], [down], [other_up], [other_down])[0] >= there - 1e-9
