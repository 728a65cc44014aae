"""The gate: promote or refuse, a pure function of the evaluation and the configured rules.

A candidate is promoted when every rule passes: enough held-out prompts, an improvement whose whole
confidence interval lies above zero and that is no luck by the randomisation test either, and no
guard worse than its margin, again by the whole interval (a non-inferiority test). What is missing
or not a number never passes.
"""

import math

from thumbwheel.config import GateConfig, Guard
from thumbwheel.types import Decision, EvalReport, MetricReport, RuleResult

__all__ = ["decide"]


def decide(report: EvalReport, config: GateConfig) -> Decision:
    """Return the verdict with every rule's result and reason."""
    results = [_enough_prompts(report, config.min_prompts)]
    results += [_improvement(report, name) for name in config.improve]
    results += [_guard(report, guard) for guard in config.guards]
    return Decision(promote=all(result.passed for result in results), reasons=results)


def _enough_prompts(report: EvalReport, least: int) -> RuleResult:
    enough = report.n_prompts >= least
    comparison = "enough" if enough else "too few to tell skill from luck"
    return RuleResult(
        f"at least {least} held-out prompts",
        enough,
        f"{report.n_prompts} held-out prompts: {comparison}",
    )


def _improvement(report: EvalReport, name: str) -> RuleResult:
    rule = f"{name} is better than the champion's"
    metric = report.metrics.get(name)
    if metric is None:
        return RuleResult(rule, False, _missing(report, name))
    change = metric.difference
    if not _finite(metric):
        return RuleResult(rule, False, f"{name} is not a number")
    numbers = _numbers(metric, report.confidence)
    if change.low > 0:
        lucky = metric.p_value > (1 - report.confidence) / 2
        return RuleResult(
            rule,
            not lucky,
            f"{numbers}: the whole interval is above zero, "
            f"{'but' if lucky else 'and'} chance alone does so well in "
            f"{metric.p_value:.2%} of cases{', so this may be luck' if lucky else ''}",
        )
    if change.high < 0:
        return RuleResult(rule, False, f"{numbers}: it got worse")
    if change.low == change.high == 0:
        return RuleResult(rule, False, f"{numbers}: nothing changed on any prompt")
    return RuleResult(rule, False, f"{numbers}: the interval touches zero, this may be luck")


def _guard(report: EvalReport, guard: Guard) -> RuleResult:
    metric = report.metrics.get(guard.metric)
    scale = abs(metric.champion.value) if metric and guard.relative else 1.0
    bounds = {
        "drop": None if guard.max_drop is None else guard.max_drop * scale,
        "rise": None if guard.max_rise is None else guard.max_rise * scale,
    }
    allowed = " or ".join(
        f"{verb} by more than {margin:.0%}" if guard.relative else f"{verb} by more than {margin:g}"
        for verb, margin in (("drop", guard.max_drop), ("rise", guard.max_rise))
        if margin is not None
    )
    rule = f"{guard.metric} does not {allowed}"
    if metric is None:
        return RuleResult(rule, False, _missing(report, guard.metric))
    if not _finite(metric):
        return RuleResult(rule, False, f"{guard.metric} is not a number")
    change = metric.difference
    numbers = _numbers(metric, report.confidence)
    if bounds["drop"] is not None and change.low < -bounds["drop"]:
        return RuleResult(rule, False, f"{numbers}: it may have dropped by more than allowed")
    if bounds["rise"] is not None and change.high > bounds["rise"]:
        return RuleResult(rule, False, f"{numbers}: it may have risen by more than allowed")
    return RuleResult(rule, True, f"{numbers}: within the margin")


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
    ) and math.isfinite(metric.p_value)
