"""What a reviewer reads: the evidence for a candidate as a card of markdown and as a page of HTML.

Both are pure renderings of a report. Prompts and answers are what users and models wrote: data,
which is escaped and never becomes markup.
"""

import json
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cache

from jinja2 import Template

from thumbwheel.events import readable
from thumbwheel.evidence.page import page_template
from thumbwheel.types import CycleReport, Estimate, Metric, MetricReport, Regression, Sample
from thumbwheel.types.fates import completions_in_words, pairs_in_words

__all__ = ["evidence_card", "evidence_page"]

_BAR_WIDTH = 150
_BAR_MARGIN = 8


@dataclass(frozen=True, slots=True)
class _Bar:
    """An interval drawn to scale: horizontal positions in pixels."""

    low: float
    value: float
    high: float
    zero: float


# --- the card ------------------------------------------------------------------------------------


def evidence_card(report: CycleReport) -> str:
    """Return the evidence as markdown: verdict, rules, metrics, lineage.

    It begins with a plain sentence, which is what lists of model versions show.
    """
    rules = [
        ["passed" if rule.passed else "**failed**", _escape(rule.rule), _escape(rule.reason)]
        for rule in report.decision.reasons
    ]
    metrics = [
        [
            _escape(metric.name),
            _number(metric.candidate.value),
            _number(metric.champion.value),
            _interval(metric.difference, signed=True),
        ]
        for metric in report.evaluation.metrics.values()
    ]
    origin = [f"- {_escape(name)}: {_escape(value)}" for name, value in _origin(report)]
    champion = _escape(_champion(report))
    return "\n\n".join(
        [
            _escape(_verdict(report)),
            _escape(_scope(report)),
            "### Rules",
            _table(["", "rule", "what was seen"], rules),
            "### Metrics",
            _table(["metric", "candidate", champion, "difference"], metrics),
            "### Where it comes from",
            "\n".join(origin),
        ]
    )


def _table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    # MLflow's page sets cells without padding, hence the spaces, which must not wrap.
    lines = ["&nbsp;&nbsp; | ".join(line) for line in (header, *rows)]
    lines.insert(1, " | ".join(":---" for _ in header))
    return "\n".join(f"| {line} |" for line in lines)


def _escape(text: str) -> str:
    """Return text that markdown shows as it is, on one line.

    Signs with a meaning in markdown become character references, which every dialect shows as the
    sign and reads as nothing else; a backslash is not honoured before all of them.
    """
    line = " ".join(text.split())
    line = re.sub(r"[&<>*`\[\]|~\\#@!$^{}]", _reference, line)
    # An underscore inside a word is only an underscore.
    line = re.sub(r"(?<![^\W_])_|_(?![^\W_])", _reference, line)
    return re.sub(r":(?=\S)|(?<=www)\.|^[-+=\d](?=[\s.)=-])", _reference, line)


def _reference(match: re.Match[str]) -> str:
    return f"&#{ord(match[0])};"


# --- the page ------------------------------------------------------------------------------------


def evidence_page(
    report: CycleReport, samples: Sequence[Sample], regressions: Sequence[Regression] = ()
) -> str:
    """Return the evidence as one HTML document that loads nothing and runs nothing.

    Args:
        report: The cycle's report.
        samples: Held-out prompts with the answers of champion and candidate.
        regressions: The held-out pairs that the candidate judges worst against the champion.
    """
    held = {rule.guard for rule in report.decision.reasons if rule.is_held_guard}
    bars = [(metric, _bar(metric)) for metric in report.evaluation.metrics.values()]
    return _template().render(
        report=report,
        verdict=_verdict(report),
        scope=_scope(report),
        champion=_champion(report),
        metrics=[(metric, bar) for metric, bar in bars if metric.name not in held],
        within=[(metric, bar) for metric, bar in bars if metric.name in held],
        has_base=any(metric.base for metric in report.evaluation.metrics.values()),
        bar_width=_BAR_WIDTH,
        meanings={metric.name: _meaning(metric) for metric in report.evaluation.declared},
        samples=samples,
        regressions=regressions,
        lineage=_lineage(report),
    )


@cache
def _template() -> Template:
    return page_template(
        "review.html.jinja",
        number=_number,
        interval=_interval,
        interval_only=_interval_only,
        readable=readable,
    )


def _bar(metric: MetricReport) -> _Bar | None:
    """Return the difference's interval on a scale of its own that holds zero, or None for a NaN."""
    change = metric.difference
    numbers = (change.low, change.value, change.high)
    if not all(math.isfinite(number) for number in numbers):
        return None
    left, right = min(0.0, *numbers), max(0.0, *numbers)
    scale = (_BAR_WIDTH - 2 * _BAR_MARGIN) / ((right - left) or 1.0)
    low, value, high, zero = (
        round(_BAR_MARGIN + (number - left) * scale, 1) for number in (*numbers, 0.0)
    )
    return _Bar(low, value, high, zero)


# --- words and numbers ---------------------------------------------------------------------------


def _verdict(report: CycleReport) -> str:
    failed = [rule for rule in report.decision.reasons if not rule.passed]
    count, champion = len(report.decision.reasons), _champion(report)
    if report.decision.promote:
        return f"Passed: {count} of {count} rules hold, so this adapter may replace {champion}."
    said = f" ({report.decision.verdict})" if report.decision.verdict else ""
    hold, which = ("does", "Namely") if len(failed) == 1 else ("do", "The first")
    return (
        f"Refused{said}: {len(failed)} of {count} rules {hold} not hold, so {champion} stays. "
        f"{which}: {failed[0].reason}."
    )


def _scope(report: CycleReport) -> str:
    evaluation = report.evaluation
    return (
        f"Compared with {_champion(report)} on prompts that no training run has seen, "
        f"{evaluation.n_prompts:,} of them held out: of what is to improve, their verdict alone is "
        "told, so that nobody comes to it by trying; its numbers are those of the judge's prompts. "
        f"In brackets: {evaluation.confidence:.0%} confidence intervals."
    )


def _meaning(metric: Metric) -> str:
    unit = f", {metric.unit}" if metric.unit else ""
    better = "" if metric.better == "neither" else f"; {metric.better} is better"
    return f"{metric.meaning}{unit}{better}"


def _champion(report: CycleReport) -> str:
    before = report.champion_before
    return "the base model" if before is None else f"version {before}"


def _number(value: float, *, signed: bool = False) -> str:
    if not math.isfinite(value):
        return "not a number"
    digits = 3 if abs(value) < 10 else 1
    return f"{value:+,.{digits}f}" if signed else f"{value:,.{digits}f}"


def _interval(estimate: Estimate, *, signed: bool = False) -> str:
    return f"{_number(estimate.value, signed=signed)} {_interval_only(estimate, signed=signed)}"


def _interval_only(estimate: Estimate, *, signed: bool = False) -> str:
    return f"({_number(estimate.low, signed=signed)} to {_number(estimate.high, signed=signed)})"


def _origin(report: CycleReport) -> list[tuple[str, str]]:
    """Return in a few lines what the candidate was made from."""
    dataset = report.dataset
    plugins = [f"{plugin.name} {plugin.version}" for plugin in dataset.plugins]
    return [
        ("cycle", f"{report.cycle_id}, started {report.started_at}"),
        ("feedback snapshot", report.data.digest),
        ("pairs", f"{dataset.n_train} to train on, {dataset.n_eval} held out"),
        ("dataset", dataset.digest),
        ("plugins", ", ".join(plugins)),
    ]


def _lineage(report: CycleReport) -> list[tuple[str, str]]:
    """Return everything that is known about where the candidate comes from."""
    parts = {
        "data": asdict(report.data),
        "dataset": {
            **asdict(report.dataset),
            "completions": completions_in_words(report.dataset.completions),
            "dropped_pairs": pairs_in_words(report.dataset.dropped_pairs),
        },
        "training": asdict(report.training),
    }
    rows = [("cycle", report.cycle_id), ("started", report.started_at)]
    return rows + [row for name, part in parts.items() for row in _flatten(name, part)]


def _flatten(name: str, value: object) -> list[tuple[str, str]]:
    """Return nested values as lines, the way to each as its name."""
    if isinstance(value, Mapping):
        return [row for key, item in value.items() for row in _flatten(f"{name} › {key}", item)]
    if isinstance(value, list | tuple) and any(isinstance(item, Mapping) for item in value):
        return [row for n, item in enumerate(value, 1) for row in _flatten(f"{name} › {n}", item)]
    return [(name, value if isinstance(value, str) else json.dumps(value, default=str))]
