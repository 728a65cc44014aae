"""The gate: every refusal, with planted evaluations."""

import math

import pytest

from thumbwheel.config import GateConfig, Guard
from thumbwheel.evidence.gate import decide
from thumbwheel.types import Estimate, EvalReport, MetricReport

NAN = float("nan")


def metric(name, champion, candidate, low, high, p_value=0.001, n=100):
    return MetricReport(
        name,
        champion=Estimate(champion, champion - 0.05, champion + 0.05, n),
        candidate=Estimate(candidate, candidate - 0.05, candidate + 0.05, n),
        difference=Estimate(candidate - champion, low, high, n),
        p_value=p_value,
    )


GOOD = {
    "preference_accuracy": metric("preference_accuracy", 0.5, 0.7, 0.1, 0.3),
    "distinct_2": metric("distinct_2", 0.8, 0.79, -0.03, 0.01),
    "self_bleu": metric("self_bleu", 0.2, 0.21, -0.01, 0.03),
    "length": metric("length", 100, 104, -6, 14),
    "chosen_log_perplexity": metric("chosen_log_perplexity", 2.0, 1.9, -0.2, 0.0),
}


def verdict(n_prompts=100, config=None, **changes):
    metrics = {name: value for name, value in (GOOD | changes).items() if value is not None}
    report = EvalReport("3", 0.95, n_prompts, 2 * n_prompts, metrics)
    decision = decide(report, config or GateConfig())
    return decision.promote, [r.reason for r in decision.reasons if not r.passed], decision


def test_a_better_candidate_with_sound_guards_is_promoted():
    """All rules pass, and each is listed with its numbers."""
    promote, failed, decision = verdict()
    assert promote
    assert not failed
    assert len(decision.reasons) == 6
    assert "0.5 to 0.7" in decision.reasons[1].reason


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"n_prompts": 49}, "too few"),
        ({"preference_accuracy": metric("preference_accuracy", 0.5, 0.5, 0, 0)}, "nothing changed"),
        ({"preference_accuracy": metric("preference_accuracy", 0.5, 0.6, 0, 0.2)}, "touches zero"),
        (
            {"preference_accuracy": metric("preference_accuracy", 0.5, 0.6, -0.1, 0.3)},
            "may be luck",
        ),
        (
            {"preference_accuracy": metric("preference_accuracy", 0.5, 0.6, 0.01, 0.2, 0.04)},
            "chance alone does so well in 4.00% of cases, so this may be luck",
        ),
        ({"preference_accuracy": metric("preference_accuracy", 0.5, 0.3, -0.3, -0.1)}, "got worse"),
        (
            {"preference_accuracy": metric("preference_accuracy", 0.5, NAN, NAN, NAN)},
            "not a number",
        ),
        (
            {"preference_accuracy": metric("preference_accuracy", NAN, 0.7, 0.1, 0.3)},
            "not a number",
        ),
        ({"preference_accuracy": metric("preference_accuracy", 0.5, 0.7, 0.1, math.inf)}, "number"),
        ({"preference_accuracy": None}, "was not measured"),
        ({"distinct_2": None}, "was not measured"),
        ({"distinct_2": metric("distinct_2", 0.8, 0.71, -0.13, -0.05)}, "dropped by more"),
        ({"self_bleu": metric("self_bleu", 0.2, 0.9, 0.6, 0.8)}, "risen by more"),
        ({"length": metric("length", 100, 130, 20, 40)}, "risen by more"),
        ({"length": metric("length", 100, 70, -40, -20)}, "dropped by more"),
        ({"chosen_log_perplexity": metric("chosen_log_perplexity", 2, NAN, NAN, NAN)}, "number"),
    ],
)
def test_refusals(changes, reason):
    """Each failing rule alone refuses, and says why."""
    promote, failed, _ = verdict(**changes)
    assert not promote
    assert len(failed) == 1
    assert reason in failed[0]


def test_a_guard_counts_by_the_end_of_its_interval():
    """A small drop with a wide interval is not shown to be within the margin."""
    promote, failed, _ = verdict(distinct_2=metric("distinct_2", 0.8, 0.78, -0.15, 0.1))
    assert not promote
    assert "may have dropped" in failed[0]


def test_relative_margins_scale_with_the_champion():
    """A quarter of 40 characters is 10, not 0.25."""
    length = metric("length", 40, 48, 5, 11)
    config = GateConfig(guards=[Guard(metric="length", max_rise=0.25, relative=True)])
    assert not verdict(config=config, length=length)[0]
    assert verdict(config=config, length=metric("length", 40, 45, 2, 9))[0]
