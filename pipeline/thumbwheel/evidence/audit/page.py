"""The audit as one HTML page that loads nothing and runs nothing.

Rater ids and model versions are what others wrote: data, which is escaped.
"""

from dataclasses import dataclass
from functools import cache

from jinja2 import Template
from markupsafe import Markup

from thumbwheel.evidence.audit.report import (
    FEWEST,
    AuditReport,
    FeatureAudit,
    PairsAudit,
    WrongPairs,
)
from thumbwheel.evidence.audit.verdict import followed
from thumbwheel.evidence.page import page_template
from thumbwheel.types import Estimate

__all__ = ["audit_page", "rater_name", "verdict"]

_BAR_HEIGHT = 140
_AUC_WIDTH = 240
_SHARE_WIDTH = 300
_RATERS_SHOWN = 10

# Of `report.RATIO_EDGES`.
_EDGES = ("⅛", "¼", "½", "⅔", "0.8", "0.9", "1.1", "1.25", "1.5", "2", "4", "8")

_MEANINGS = {
    "length": "characters",
    "lists": "list items",
    "bold": "spans in bold",
    "headings": "headings",
    "code": "code spans and blocks",
    "emoji": "emoji",
    "exclamations": "exclamation marks",
    "refusals": "begins with a refusal",
    "hedges": "“perhaps”, “it depends” and the like",
    "language": "another language than the prompt's",
    "sentiment": "how positive the words are (English)",
}


@dataclass(frozen=True, slots=True)
class _Bar:
    """A range of length ratios: the share of pairs in it, and that as a height in pixels.

    `edge` is the label of its upper end.
    """

    edge: str
    before: float
    after: float
    before_height: float
    after_height: float


@dataclass(frozen=True, slots=True)
class _Dot:
    """A feature before and after: positions in pixels."""

    feature: FeatureAudit
    before: FeatureAudit
    x_before: float
    x_after: float


@dataclass(frozen=True, slots=True)
class _Share:
    """A rater's share of the final pairs, as a width in pixels."""

    name: str
    share: float
    width: float


def audit_page(report: AuditReport, project: str) -> str:
    """Return the report as one HTML document."""
    return _template().render(
        report=report,
        project=project,
        verdict=verdict(report),
        is_clean=_is_clean(report),
        bars=_length_bars(report.before, report.after),
        bar_height=_BAR_HEIGHT,
        dots=_dots(report),
        auc_width=_AUC_WIDTH,
        raters=_raters(report.after),
        fewest=FEWEST,
        share_width=_SHARE_WIDTH,
        meanings=_MEANINGS,
    )


def verdict(report: AuditReport) -> str:
    """Return what the audit comes to, in a few sentences."""
    if not report.after.n_pairs:
        return "No pairs are left, so there is nothing to learn from."
    told = [_of_style(report), _of_wrong(report.after.wrong)]
    if report.findings:
        n = len(report.findings)
        told.append(f"{n} thing{'s stand' if n > 1 else ' stands'} out.")
    broken = [limit for limit in report.limits if not limit.passed]
    if broken:
        do = "does" if len(broken) == 1 else "do"
        told.insert(0, f"{len(broken)} of {len(report.limits)} limits {do} not hold.")
    return " ".join(told)


def _of_style(report: AuditReport) -> str:
    auc = report.after.style_auc
    if auc is None:
        return (
            "There are too few prompts to tell whether style tells chosen from rejected: "
            f"{report.after.n_prompts:,}, and it takes {FEWEST}."
        )
    numbers = f"{auc.value:.2f} ({auc.low:.2f} to {auc.high:.2f})"
    if _tells_style(report):
        style = f"Style alone tells chosen from rejected with an AUC of {numbers}, 0.5 is chance."
    else:
        style = f"Style alone does not tell chosen from rejected: its AUC is {numbers}."
    if report.before.style_auc:
        style += f" Before screening and selection it was {report.before.style_auc.value:.2f}."
    names = " and ".join(feature.name for feature in followed(report.before, report.after))
    if names and not _tells_style(report):
        style += (
            f" But the votes follow {names}: whether they say which of two answers alike in that "
            "is the better one, no AUC can see."
        )
    return style


def _of_wrong(wrong: WrongPairs) -> str:
    if wrong.share is None:
        return f"How many pairs are the wrong way round cannot be told: {wrong.reason}."
    share = wrong.share
    return (
        f"An estimated {share.value:.0%} of the pairs are the wrong way round ({share.low:.0%} to "
        f"{share.high:.0%}), equals counted half."
    )


def _is_clean(report: AuditReport) -> bool:
    """Tell whether nothing speaks against the pairs, and there was enough to see it."""
    return (
        report.passed
        and report.after.style_auc is not None
        and not _tells_style(report)
        and not followed(report.before, report.after)
        and report.after.wrong.share is not None
    )


def _tells_style(report: AuditReport) -> bool:
    """Tell whether style gives the final pairs' chosen side away, beyond chance."""
    auc = report.after.style_auc
    return auc is not None and auc.low > 0.5


def rater_name(rater: str) -> str:
    """Return how to call a rater of `tables.VOTES`."""
    return rater.removeprefix("rater:")


@cache
def _template() -> Template:
    return page_template(
        "audit/audit.html.jinja",
        percent=_percent,
        number=_number,
        estimate=_estimate,
        code=_code,
        wrong=_wrong,
    )


def _length_bars(before: PairsAudit, after: PairsAudit) -> list[_Bar]:
    shares = [
        [count / max(audited.n_pairs, 1) for count in audited.length.histogram]
        for audited in (before, after)
    ]
    scale = _BAR_HEIGHT / (max(*shares[0], *shares[1]) or 1.0)
    return [
        _Bar(edge, one, two, round(one * scale, 1), round(two * scale, 1))
        for edge, one, two in zip((*_EDGES, ""), *shares, strict=True)
    ]


def _dots(report: AuditReport) -> list[_Dot]:
    return [
        _Dot(now, was, round(was.auc * _AUC_WIDTH, 1), round(now.auc * _AUC_WIDTH, 1))
        for was, now in zip(report.before.features, report.after.features, strict=True)
    ]


def _raters(after: PairsAudit) -> list[_Share]:
    shown = after.raters[:_RATERS_SHOWN]
    widest = max((rater.share for rater in shown), default=1.0)
    return [
        _Share(rater_name(rater.rater), rater.share, round(rater.share / widest * _SHARE_WIDTH, 1))
        for rater in shown
    ]


def _code(text: str) -> Markup:
    """Return one of our own texts with what stands between backticks as code."""
    parts = text.split("`")
    return Markup("").join(
        Markup("<code>{}</code>").format(part) if number % 2 else part
        for number, part in enumerate(parts)
    )


def _percent(share: float) -> str:
    return f"{share:.1%}"


def _number(value: float, signed: bool = False) -> str:
    rounded = round(value, 2) + 0.0  # no minus before a zero
    return f"{rounded:+.2f}" if signed else f"{rounded:.2f}"


def _estimate(value: Estimate | None) -> str:
    if value is None:
        return "too few to tell"
    return f"{value.value:.2f} ({value.low:.2f} to {value.high:.2f})"


def _wrong(wrong: WrongPairs) -> str:
    if wrong.share is None:
        return "cannot be told"
    share = wrong.share
    return f"{share.value:.1%} ({share.low:.1%} to {share.high:.1%})"
