"""The default guards, and how many answers they need."""

import numpy as np
import pytest

from thumbwheel.config import GateConfig, Guard
from thumbwheel.evidence import likelihood
from thumbwheel.evidence.answers import METRICS
from thumbwheel.evidence.answers.guards import needed_answers

REFUSALS = [Guard(metric="refusals", max_rise=0.05)]
LENGTH = [Guard(metric="length", max_drop=0.25, max_rise=0.25, relative=True)]


def shares(p: float, draws: int, seed: int = 0):
    values = np.random.default_rng(seed).random((200, draws)) < p
    return {"refusals": {str(row): list(map(float, of)) for row, of in enumerate(values)}}


def test_every_default_guard_is_on_a_declared_metric_and_its_bad_side():
    """What is better higher may not drop, what is better lower may not rise."""
    metrics = {metric.name: metric for metric in (*METRICS, *likelihood.METRICS)}
    for guard in GateConfig().guards:
        better = metrics[guard.metric].better
        assert (guard.max_drop is None) >= (better == "lower")
        assert (guard.max_rise is None) >= (better == "higher")


def test_answers_that_never_differ_need_the_fewest():
    """Without noise two answers, the fewest that are considered, show that nothing changed."""
    needed = needed_answers(shares(0.0, 4), REFUSALS, 100)
    assert (needed.answers, needed.chance) == (2, 1.0)
    assert needed_answers({}, REFUSALS, 100).chance == 1.0


def test_more_noise_or_fewer_prompts_need_more_answers():
    """The number grows until the chance is .95; where it cannot, the last number says so."""
    quiet, noisy = (needed_answers(shares(p, 16), REFUSALS, 100) for p in (0.03, 0.1))
    assert quiet.answers < noisy.answers <= 16
    assert quiet.chance >= 0.95
    assert needed_answers(shares(0.1, 16), REFUSALS, 400).answers < noisy.answers
    hopeless = needed_answers(shares(0.5, 16), REFUSALS, 20)
    assert hopeless.answers == 16
    assert hopeless.chance < 0.5
    assert hopeless.hardest == "refusals"


def test_few_answers_foretell_the_same_as_many():
    """Two answers to each prompt show the noise of sixteen; a single one shows at least as much."""
    two, many = (needed_answers(shares(0.06, n), REFUSALS, 100) for n in (2, 16))
    assert abs(np.log2(two.answers / many.answers)) <= 1
    assert needed_answers(shares(0.06, 1), REFUSALS, 100).answers >= many.answers


@pytest.mark.parametrize(("spread", "n", "least"), [(0.2, 100, 0.95), (1.5, 20, 0.0)])
def test_relative_margins(spread, n, least):
    """Lengths are held against the champion's own."""
    rng = np.random.default_rng(0)
    drawn = {"length": {str(p): list(rng.lognormal(4, spread, 8)) for p in range(50)}}
    needed = needed_answers(drawn, LENGTH, n)
    assert needed.chance >= least
    assert (needed.chance < 0.95) == (least == 0)
