"""The gate: promote or refuse, a pure function of evidence, rules, and what a look may cost.

A candidate is promoted when there is enough to decide on, no guard is worse than its margin by the
whole interval (a non-inferiority test), and every metric that is to improve does so on the held-out
prompts, by an exact test at the level that the error budget grants. What is missing or not a number
never passes.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from enum import Enum, auto

from thumbwheel.config import GateConfig, Guard
from thumbwheel.evidence.sealed import judge_by, plan_test, take_test, verdict_without_a_look
from thumbwheel.types import (
    Decision,
    Estimate,
    EvalReport,
    Licence,
    MetricReport,
    RuleResult,
    SealedValues,
    Verdict,
)

__all__ = ["JUDGED", "check_guards", "decide"]

JUDGED = "win_rate"
"""The metric that a judge measures; those with a longer name of this beginning are too."""


def decide(
    report: EvalReport, sealed: Mapping[str, SealedValues], config: GateConfig, *, level: float
) -> Decision:
    """Return the verdict with every rule's result and reason.

    Args:
        report: What was measured.
        sealed: The differences on the held-out prompts of every metric that is to improve.
        config: The rules.
        level: What a look at the held-out prompts may spend, see `budget`.

    Returns:
        The decision. Where its `test` has a p-value a look was taken, which belongs into the ledger
        before anybody hears the verdict.
    """
    basis = [_enough_prompts(report, config.min_prompts), *_licence(report, config)]
    guards = check_guards(report, config.guards)
    flaws = [(name, flaw) for name in config.improve if (flaw := _flaw(report, sealed, name))]
    if flaws or not all(rule.passed for rule in basis):
        verdict = Verdict.NOT_ENOUGH_EVIDENCE
        why = "so it was not tested"
    elif not all(rule.passed for rule in guards):
        standings = [_standing(report, guard)[0] for guard in config.guards]
        harmful = report.collapsed or _Standing.BEYOND in standings
        verdict = Verdict.HARMFUL if harmful else Verdict.NOT_ENOUGH_EVIDENCE
        why = "a guard refuses, so it was not tested"
    else:
        return _tested(report, sealed, config, level, basis, guards)
    improvements = [
        RuleResult(_improves(name), False, dict(flaws).get(name) or _shown(report, name, why))
        for name in config.improve
    ]
    return Decision(False, [*basis, *improvements, *guards], verdict)


def _tested(
    report: EvalReport,
    sealed: Mapping[str, SealedValues],
    config: GateConfig,
    level: float,
    basis: list[RuleResult],
    guards: list[RuleResult],
) -> Decision:
    """Return the decision on a candidate of which only the improvement is in question."""
    shown = [report.metrics[name] for name in config.improve]
    values = [sealed[name] for name in config.improve]
    test = plan_test(shown, values, gain=config.gain, level=level)
    p_values: list[float] = []
    if (early := verdict_without_a_look(shown, test, config.gain)) is not None:
        verdict, why = early
        test = replace(test, level=0.0)
    else:
        p_values = take_test(values)
        test = replace(test, p_value=max(p_values))
        verdict = judge_by(values, test, config.gain, report.confidence)
        why = f"the {test.n_prompts:,} held-out prompts, at a level of {level:.2%}, say: {verdict}"
    improvements = [
        RuleResult(
            _improves(name), bool(p_values) and p_values[at] <= level, _shown(report, name, why)
        )
        for at, name in enumerate(config.improve)
    ]
    return Decision(verdict is Verdict.BETTER, [*basis, *improvements, *guards], verdict, test)


# --- is there enough to decide on? ---------------------------------------------------------------


def _enough_prompts(report: EvalReport, least: int) -> RuleResult:
    enough = report.n_prompts >= least
    comparison = "enough" if enough else "too few to tell skill from luck"
    return RuleResult(
        f"at least {least} held-out prompts",
        enough,
        f"{report.n_prompts} held-out prompts: {comparison}",
    )


def _licence(report: EvalReport, config: GateConfig) -> list[RuleResult]:
    """Ask for a licence where a judge's word is asked for."""
    if not any(name.startswith(JUDGED) for name in config.improve):
        return []
    seen = [f"{licence.judge}: {_agreement(licence)}" for licence in report.licences]
    return [
        RuleResult(
            "the judge agrees with people",
            report.judge is not None,
            "; ".join(seen) or "there is no judge",
        )
    ]


def _agreement(licence: Licence) -> str:
    if licence.reason is not None:
        return licence.reason
    accuracy = licence.accuracy
    needed = f", about {licence.pairs_needed:,} pairs would do" if licence.pairs_needed else ""
    return (
        f"it agrees with the votes on {accuracy.value:.0%} of the pairs that it did not learn from "
        f"({accuracy.low:.0%} to {accuracy.high:.0%}; "
        f"{'above' if licence.granted else 'not surely above'} {licence.threshold:.0%}{needed})"
    )


def _flaw(report: EvalReport, sealed: Mapping[str, SealedValues], name: str) -> str | None:
    """Say why a metric cannot be tested, where it cannot."""
    metric = report.metrics.get(name)
    if metric is None:
        judged = name.startswith(JUDGED) and report.judge is None
        return f"nobody may judge {name} yet" if judged else _missing(report, name)
    if not _finite(metric) or not all(map(math.isfinite, sealed[name].differences)):
        return f"{name} is not a number"
    return None


# --- did it improve? -----------------------------------------------------------------------------


def _improves(name: str) -> str:
    return f"{name} is better than the champion's"


def _shown(report: EvalReport, name: str, why: str) -> str:
    metric = report.metrics.get(name)
    if metric is None:
        return why
    return f"{_numbers(metric, report.confidence)} on the prompts that are shown; {why}"


# --- did anything get worse? ---------------------------------------------------------------------


def check_guards(report: EvalReport, guards: Sequence[Guard]) -> list[RuleResult]:
    """Return whether each guard, and every topic, holds."""
    return [*(_guard(report, guard) for guard in guards), *_topics(report)]


class _Standing(Enum):
    """What is known of a guard's metric."""

    WITHIN = auto()
    UNSURE = auto()
    BEYOND = auto()


def _guard(report: EvalReport, guard: Guard) -> RuleResult:
    allowed = " or ".join(
        f"{verb} by more than {margin:.0%}" if guard.relative else f"{verb} by more than {margin:g}"
        for verb, margin in (("drop", guard.max_drop), ("rise", guard.max_rise))
        if margin is not None
    )
    standing, seen = _standing(report, guard)
    rule = f"{guard.metric} does not {allowed}"
    return RuleResult(rule, standing is _Standing.WITHIN, seen, guard.metric)


def _standing(report: EvalReport, guard: Guard) -> tuple[_Standing, str]:
    """Return where a metric stands to a guard's margin, and in words what was seen."""
    metric = report.metrics.get(guard.metric)
    if metric is None:
        return _Standing.BEYOND, _missing(report, guard.metric)
    change = _change(metric, guard)
    if not _finite(metric) or change is None:
        return _Standing.BEYOND, f"{guard.metric} is not a number"
    numbers = _numbers(metric, report.confidence)
    for verb, sign, margin in (("dropped", -1, guard.max_drop), ("risen", 1, guard.max_rise)):
        if margin is None:
            continue
        if sign * change.value > margin:
            return _Standing.BEYOND, f"{numbers}: it has {verb} by more than allowed"
        if max(sign * change.low, sign * change.high) > margin:
            return _Standing.UNSURE, f"{numbers}: it may have {verb} by more than allowed"
    return _Standing.WITHIN, f"{numbers}: within the margin"


def _change(metric: MetricReport, guard: Guard) -> Estimate | None:
    """Return the change in the guard's terms: a difference, or a share of the champion's value."""
    if not guard.relative:
        return metric.difference
    ratio = metric.ratio
    if ratio is None or not all(map(math.isfinite, (ratio.value, ratio.low, ratio.high))):
        # Nothing is a share of zero; what was zero and still is has not changed.
        return metric.difference if metric.difference.low == metric.difference.high == 0 else None
    return Estimate(ratio.value - 1, ratio.low - 1, ratio.high - 1, ratio.n)


def _topics(report: EvalReport) -> list[RuleResult]:
    if report.n_topics == 0:
        return []
    return [
        RuleResult(
            "no topic collapses",
            not report.collapsed,
            "; ".join(report.collapsed) or f"none of {report.n_topics} topics did",
            "topics",
        )
    ]


# --- words ---------------------------------------------------------------------------------------


def _numbers(metric: MetricReport, confidence: float) -> str:
    change = metric.difference
    return (
        f"{metric.name} went from {metric.champion.value:.3g} to {metric.candidate.value:.3g}, "
        f"by {change.value:+.3f} "
        f"({confidence:.0%} interval {change.low:+.3f} to {change.high:+.3f})"
    )


def _missing(report: EvalReport, name: str) -> str:
    return f"{name} was not measured; measured: {', '.join(sorted(report.metrics))}"


def _finite(metric: MetricReport) -> bool:
    return all(
        math.isfinite(number)
        for estimate in (metric.champion, metric.candidate, metric.difference)
        for number in (estimate.value, estimate.low, estimate.high)
    )
