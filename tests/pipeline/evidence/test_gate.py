"""The gate: every refusal and its word, with planted evaluations."""

import math
from dataclasses import replace

import numpy as np
import pytest

from thumbwheel.config import GateConfig, Guard
from thumbwheel.evidence.gate import decide
from thumbwheel.types import Estimate, EvalReport, Licence, MetricReport, SealedValues, Verdict

NAN = float("nan")
LEVEL = 0.05 / 52
GUARDS = [
    Guard(metric="distinct_2", max_drop=0.1),
    Guard(metric="length", max_rise=0.25, max_drop=0.25, relative=True),
]


def metric(name, champion, candidate, low, high, ratio=None, n=100):
    return MetricReport(
        name,
        champion=Estimate(champion, champion - 0.05, champion + 0.05, n),
        candidate=Estimate(candidate, candidate - 0.05, candidate + 0.05, n),
        difference=Estimate(candidate - champion, low, high, n),
        ratio=ratio,
    )


GOOD = {
    "win_rate": metric("win_rate", 0.5, 0.7, 0.1, 0.3),
    "distinct_2": metric("distinct_2", 0.8, 0.79, -0.03, 0.01),
    "length": metric("length", 100, 104, -6, 14, Estimate(1.04, 0.94, 1.14, 100)),
}
LICENCE = Licence("vote_model", Estimate(0.8, 0.7, 0.9, 60), 0.55, 0.9, True)


def sealed(mean, n=100, sd=0.3, seed=0):
    """Return differences with exactly this mean, each of its own cluster."""
    drawn = np.random.default_rng(seed).normal(size=n)
    drawn = (drawn - drawn.mean()) / drawn.std(ddof=1)
    names = [str(number) for number in range(n)]
    return SealedValues(names, names, (mean + sd * drawn).tolist(), open_sd=sd)


def verdict(n_prompts=100, config=None, level=LEVEL, on_sealed=None, report=None, **changes):
    metrics = {name: value for name, value in (GOOD | changes).items() if value is not None}
    evaluated = EvalReport(
        "3", 0.95, n_prompts, 2 * n_prompts, metrics, judge="vote_model", licences=[LICENCE]
    )
    values = on_sealed or sealed(0.2)
    return decide(
        replace(evaluated, **(report or {})),
        dict.fromkeys(metrics, values),
        config or GateConfig(improve=["win_rate"], default_guards=False, guards=GUARDS),
        level=level,
    )


def failed(decision):
    return [rule.reason for rule in decision.reasons if not rule.passed]


def test_a_better_candidate_with_sound_guards_is_promoted():
    """All rules pass, each is listed with its numbers, and the look says what it spent."""
    decision = verdict()
    assert decision.promote
    assert decision.verdict is Verdict.BETTER
    assert not failed(decision)
    assert len(decision.reasons) == 5
    assert decision.test.level == LEVEL
    assert decision.test.p_value < LEVEL


def test_of_the_held_out_prompts_only_the_verdict_is_told():
    """Other numbers there, the same words: nobody can climb on what is not shown."""
    one, other = verdict(on_sealed=sealed(0.2)), verdict(on_sealed=sealed(0.21, seed=1))
    assert one.test.p_value != other.test.p_value
    assert one.reasons == other.reasons


@pytest.mark.parametrize(
    ("changes", "word", "reason"),
    [
        ({"n_prompts": 49}, Verdict.NOT_ENOUGH_EVIDENCE, "too few"),
        ({"report": {"judge": None}}, Verdict.NOT_ENOUGH_EVIDENCE, "agrees with the votes on 80%"),
        ({"win_rate": None}, Verdict.NOT_ENOUGH_EVIDENCE, "was not measured"),
        (
            {"win_rate": metric("win_rate", 0.5, NAN, NAN, NAN)},
            Verdict.NOT_ENOUGH_EVIDENCE,
            "not a number",
        ),
        (
            {"win_rate": metric("win_rate", 0.5, 0.7, 0.1, math.inf)},
            Verdict.NOT_ENOUGH_EVIDENCE,
            "not a number",
        ),
        ({"on_sealed": sealed(NAN)}, Verdict.NOT_ENOUGH_EVIDENCE, "not a number"),
        ({"level": 0.0}, Verdict.NOT_ENOUGH_EVIDENCE, "budget is spent"),
        (
            {"win_rate": metric("win_rate", 0.5, 0.54, -0.02, 0.1)},
            Verdict.NOT_ENOUGH_EVIDENCE,
            "so they were not looked at",
        ),
        ({"win_rate": metric("win_rate", 0.5, 0.3, -0.3, -0.1)}, Verdict.WORSE, "it got worse"),
        (
            {"win_rate": metric("win_rate", 0.5, 0.5, -0.04, 0.04)},
            Verdict.NOT_BETTER,
            "a gain of 0.05 is ruled out",
        ),
        ({"distinct_2": None}, Verdict.HARMFUL, "was not measured"),
        (
            {"distinct_2": metric("distinct_2", 0.8, 0.71, -0.13, -0.05)},
            Verdict.NOT_ENOUGH_EVIDENCE,
            "may have dropped by more",
        ),
        (
            {"distinct_2": metric("distinct_2", 0.8, 0.69, -0.13, -0.09)},
            Verdict.HARMFUL,
            "has dropped by more",
        ),
        (
            {"length": metric("length", 100, 130, 20, 40, Estimate(1.3, 1.2, 1.4, 100))},
            Verdict.HARMFUL,
            "risen by more",
        ),
        (
            {"length": metric("length", 100, 70, -40, -20, Estimate(0.7, 0.6, 0.8, 100))},
            Verdict.HARMFUL,
            "dropped by more",
        ),
        ({"length": metric("length", 100, 104, -6, 14)}, Verdict.HARMFUL, "not a number"),
        (
            {"report": {"n_topics": 4, "collapsed": ["length fell in 'colours'"]}},
            Verdict.HARMFUL,
            "length fell in 'colours'",
        ),
    ],
)
def test_refusals_without_a_look(changes, word, reason):
    """Each failing rule alone refuses, says why and in which word, and spends nothing."""
    decision = verdict(**changes)
    assert not decision.promote
    assert decision.verdict is word
    assert any(reason in text for text in failed(decision)), failed(decision)
    assert decision.test is None or (decision.test.level == 0 and decision.test.p_value is None)


@pytest.mark.parametrize(
    ("values", "word"),
    [
        (sealed(-0.2), Verdict.WORSE),
        (sealed(0.0, n=900), Verdict.NOT_BETTER),
        (sealed(0.0), Verdict.NOT_ENOUGH_EVIDENCE),
    ],
)
def test_refusals_by_a_look(values, word):
    """The held-out prompts say no, in the word that fits, and the look is paid for."""
    decision = verdict(on_sealed=values)
    assert decision.verdict is word
    assert decision.test.level == LEVEL
    assert decision.test.p_value > LEVEL


def test_every_metric_has_to_improve():
    """Of two, one that is better is not enough."""
    config = GateConfig(improve=["win_rate", "politeness"], default_guards=False, guards=[])
    report = EvalReport(
        "3",
        0.95,
        100,
        200,
        {name: replace(GOOD["win_rate"], name=name) for name in config.improve},
        judge="vote_model",
    )
    values = {"win_rate": sealed(0.2), "politeness": sealed(0.0)}
    decision = decide(report, values, config, level=LEVEL)
    assert not decision.promote
    assert [rule.passed for rule in decision.reasons] == [True, True, True, False]


def test_a_guard_counts_by_the_end_of_its_interval():
    """A small drop with a wide interval is not shown to be within the margin."""
    decision = verdict(distinct_2=metric("distinct_2", 0.8, 0.78, -0.15, 0.1))
    assert not decision.promote
    assert "may have dropped" in failed(decision)[-1]


def test_what_was_zero_and_still_is_has_not_changed():
    """A relative guard on a metric that is zero for both models passes."""
    unchanged = metric("length", 0, 0, 0, 0)
    assert verdict(length=unchanged).promote
