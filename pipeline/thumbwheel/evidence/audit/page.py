"""The audit as one HTML page that loads nothing and runs nothing.

Rater ids and model versions are what others wrote: data, which is escaped.
"""

from dataclasses import dataclass
from functools import cache

from jinja2 import Template
from markupsafe import Markup

from thumbwheel.evidence.audit.report import AuditReport, FeatureAudit, PairsAudit
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
        is_clean=report.passed and not _tells_style(report),
        bars=_length_bars(report.before, report.after),
        bar_height=_BAR_HEIGHT,
        dots=_dots(report),
        auc_width=_AUC_WIDTH,
        raters=_raters(report.after),
        share_width=_SHARE_WIDTH,
        meanings=_MEANINGS,
    )


def verdict(report: AuditReport) -> str:
    """Return what the audit comes to, in a sentence or two."""
    auc = report.after.style_auc
    if not report.after.n_pairs:
        return "No pairs are left, so there is nothing to learn from."
    if auc is None:
        style = "There are too few prompts to tell whether style tells chosen from rejected."
    elif _tells_style(report):
        style = (
            f"Style alone tells chosen from rejected with an AUC of {auc.value:.2f} "
            f"({auc.low:.2f} to {auc.high:.2f}), where 0.5 is chance."
        )
    else:
        style = (
            f"Style alone does not tell chosen from rejected: its AUC is {auc.value:.2f} "
            f"({auc.low:.2f} to {auc.high:.2f}), no better than chance (0.5)."
        )
    if report.before.style_auc and auc:
        style += f" Before screening and selection it was {report.before.style_auc.value:.2f}."
    if report.findings:
        n = len(report.findings)
        style += f" {n} thing{'s stand' if n > 1 else ' stands'} out."
    broken = [limit for limit in report.limits if not limit.passed]
    if broken:
        do = "does" if len(broken) == 1 else "do"
        return f"{len(broken)} of {len(report.limits)} limits {do} not hold. {style}"
    return style


def _tells_style(report: AuditReport) -> bool:
    """Tell whether style gives the final pairs' chosen side away, beyond chance."""
    auc = report.after.style_auc
    return auc is not None and auc.low > 0.5


def rater_name(rater: str) -> str:
    """Return how to call a rater of `tables.VOTES`."""
    kind, _, name = rater.partition(":")
    return name if kind == "rater" else f"unnamed, event {name}"


@cache
def _template() -> Template:
    return page_template(
        "audit/audit.html.jinja", percent=_percent, number=_number, estimate=_estimate, code=_code
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
