"""The error budget: what a look may spend."""

import math
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from thumbwheel.evidence.budget import free_again, in_words, level_of_next_look, look_at, spent
from thumbwheel.types import Look, Verdict

NOW = datetime(2026, 11, 28, 12, tzinfo=UTC)
WEEKLY: Any = {"tests_per_year": 52, "false_promotions": 0.05}


def look(days_ago, level=0.001, candidate="c"):
    when = NOW - timedelta(days=days_ago)
    return Look(candidate, when, level, 0.2, Verdict.NOT_BETTER, 100, 90)


def test_the_first_look_has_one_share():
    """However old the project is, it begins with one share."""
    assert level_of_next_look([], NOW, **WEEKLY) == pytest.approx(0.05 / 53)


@pytest.mark.parametrize(
    ("days_ago", "shares"), [(0, 1), (3, 1), (7, 1), (70, 10 / 365 * 364), (730, 53)]
)
def test_unused_shares_carry_over(days_ago, shares):
    """After ten weeks there are ten shares, in the same second one, and never more than all."""
    level = level_of_next_look([look(days_ago)], NOW, **WEEKLY)
    assert level == pytest.approx(0.05 / 53 * shares, rel=0.003)


def test_a_spent_budget_gives_nothing_until_looks_are_a_year_old():
    """What is left is given once; then nothing, until the oldest look is more than a year past."""
    looks = [look(300, 0.03), look(200, 0.01), look(0, 0.0095)]
    assert level_of_next_look(looks, NOW, **WEEKLY) == pytest.approx(0.0005)
    looks.append(look(0, 0.0005))
    assert level_of_next_look(looks, NOW, **WEEKLY) == 0
    later = free_again(looks, NOW, **WEEKLY)
    assert later is not None
    assert later - (NOW + timedelta(days=65)) == timedelta(microseconds=1)
    assert level_of_next_look(looks, later, **WEEKLY) > 0.05 / 53
    assert free_again(looks, later, **WEEKLY) is None


def test_a_smaller_budget_is_kept_at_once():
    """Where the setting falls below what was spent, nothing is given."""
    assert level_of_next_look([look(9, 0.03)], NOW, tests_per_year=52, false_promotions=0.01) == 0


def test_a_clock_that_jumped_frees_nothing():
    """Looks that lie ahead of the clock are spent, and give no shares for the time in between."""
    ahead = [look(-100, 0.02), look(-1000, 0.01)]
    assert spent(ahead, NOW) == pytest.approx(0.03)
    assert level_of_next_look(ahead, NOW, **WEEKLY) == pytest.approx(0.05 / 53)


gaps = st.lists(st.sampled_from([0, 1e-6, 1, 3600, 86400, 604800, 4e6, 3e7]), max_size=150)


@given(gaps, st.integers(1, 400), st.floats(0.001, 0.5))
def test_no_year_costs_more_than_the_budget(gaps, tests_per_year, false_promotions):
    """Whenever looks are taken, those of any 365 days add up to the budget at most."""
    looks: list[Look] = []
    now = NOW
    for gap in gaps:
        now += timedelta(seconds=gap)
        level = level_of_next_look(
            looks, now, tests_per_year=tests_per_year, false_promotions=false_promotions
        )
        assert level >= 0
        if level:
            looks.append(Look("c", now, level, None, Verdict.BETTER, 1, 1))
    for last in looks:
        window = [
            each.level for each in looks if timedelta(0) <= last.when - each.when <= timedelta(365)
        ]
        assert math.fsum(window) <= false_promotions * (1 + 1e-12)


def test_weekly_looks_can_go_on_for_ever():
    """A look a week never finds the budget short."""
    looks: list[Look] = []
    for week in range(150):
        now = NOW + timedelta(weeks=week)
        level = level_of_next_look(looks, now, **WEEKLY)
        assert level == pytest.approx(0.05 / 53)
        looks.append(Look(str(week), now, level, None, Verdict.NOT_BETTER, 1, 1))


def test_a_candidate_is_looked_at_once():
    """The look of a cycle that is resumed is found again."""
    looks = [look(3, candidate="a"), look(2, 0.0123, candidate="b")]
    found = look_at(looks, "b")
    assert found is not None
    assert found.level == 0.0123
    assert look_at(looks, "c") is None


@pytest.mark.parametrize(
    ("looks", "words"),
    [
        ([], "spent 0% of 5%, 0 looks in the last 365 days"),
        ([look(1, 0.000961)], "spent 0.096% of 5%, 1 look in the last 365 days"),
        (
            [look(d, 0.012 / 11) for d in range(11)] + [look(366, 0.01)],
            "spent 1.2% of 5%, 11 looks in the last 365 days",
        ),
    ],
)
def test_the_budget_in_words(looks, words):
    """What is spent of what, and by how many looks."""
    assert in_words(looks, NOW, false_promotions=0.05) == words
