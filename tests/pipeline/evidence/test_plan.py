"""What can be shown with the feedback at hand, known before anything is trained."""

import math

import pytest
from test_evaluation import BASE, CONFIG, asked, bench

from thumbwheel.evidence.plan import Pace, in_a_line, plan_evidence
from thumbwheel.measures.statistics import power


def plan(n=80, granted=True, level=0.001, pace=None, config=CONFIG):
    return plan_evidence(
        BASE,
        BASE,
        asked(n),
        bench(granted),
        config,
        level=level,
        first_draw=64,
        pace=pace or Pace(1000, 50.0),
    )


def test_the_smallest_gain_is_found_in_four_of_five_looks():
    """It has the power that is promised, and more prompts show smaller gains."""
    few, many = plan(40), plan(160)
    found = power(few.smallest_gain, few.n_clusters, few.sd, few.level)
    assert found == pytest.approx(0.8, abs=1e-6)
    assert many.smallest_gain < few.smallest_gain
    assert (few.n_open, few.n_sealed, few.first_draw) == (40, 40, 64)
    assert few.harmless >= 0.95
    assert "politeness may decide" in in_a_line(few)


def test_votes_and_weeks_until_the_gain_can_be_shown():
    """As many more votes as it takes clusters, at the pace so far; without a pace no weeks."""
    told = plan(80)
    clusters = told.clusters_needed
    assert clusters is not None
    assert told.votes_needed == round((clusters - 80) / 80 * 1000)
    assert told.weeks_needed == told.votes_needed / 50
    assert plan(80, pace=Pace(1000, None)).weeks_needed is None


def test_a_spent_budget_shows_nothing_now():
    """No gain is small or large enough, and the votes needed are those at an ordinary level."""
    spent = plan(80, level=0.0)
    assert math.isinf(plan(4, level=1e-9).smallest_gain)
    assert spent.level == 0
    assert spent.votes_needed > 0


def test_without_a_judge_the_plan_says_so():
    """Nobody decides."""
    assert plan(granted=False).judge is None
    assert "no judge may decide yet" in in_a_line(plan(granted=False))
