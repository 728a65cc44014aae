"""What `thumbwheel audit` prints."""

from rich.console import Console
from rich.markup import escape
from rich.padding import Padding

from thumbwheel.cli.show.tables import make_table, printable
from thumbwheel.evidence.audit.page import rater_name, verdict
from thumbwheel.evidence.audit.report import (
    FEWEST,
    Agreement,
    AuditReport,
    PairsAudit,
    WrongPairs,
)
from thumbwheel.types import Estimate

__all__ = ["print_audit"]


def print_audit(console: Console, report: AuditReport) -> None:
    """Print the audit: before and after, the features, what stands out, the limits."""
    before, after = report.before, report.after
    table = make_table("The pairs", "", numbers=["all proposed", "final"])
    for label, was, now in zip(_LABELS, _figures(before), _figures(after), strict=True):
        table.add_row(label, was, now)
    console.print(table)
    table = make_table("Style: AUC of each feature", "", numbers=["all proposed", "final"])
    for feature, final in zip(before.features, after.features, strict=True):
        hint = " [dim](meant to differ)[/]" if feature.intended else ""
        table.add_row(f"{feature.name}{hint}", f"{feature.auc:.2f}", f"{final.auc:.2f}")
    console.print(table)
    if report.agreement:
        table = make_table(
            "Raters who judged the same", "", numbers=["judged", "Krippendorff's alpha"]
        )
        for judged in report.agreement:
            table.add_row(judged.what, f"{judged.n_units:,}", _alpha(judged))
        console.print(table)
    for finding in report.findings:
        console.print(f"[yellow]•[/] [bold]{_safe(finding.what)}[/]")
        console.print(Padding(_safe(finding.advice), (0, 0, 0, 2)))
    for limit in report.limits:
        mark = "[green]✓[/]" if limit.passed else "[red]✗[/]"
        value = "cannot be measured" if limit.value is None else f"{limit.value:.3f}"
        console.print(f"{mark} {limit.name} {limit.limit:g}: {value}")
    console.print(f"\n[bold]{escape(verdict(report))}[/]")


_LABELS = (
    "pairs",
    "prompts",
    "AUC of style (0.5 is chance)",
    "the wrong way round, estimated",
    "the longer answer is chosen",
    "one model version wrote both sides",
    "raters behind the pairs",
    "largest share of one rater",
    "share of votes without a rater",
    "prompts with a near-duplicate",
)


def _figures(audited: PairsAudit) -> list[str]:
    largest = audited.raters[0] if audited.raters else None
    duplicates = audited.near_duplicates
    return [
        f"{audited.n_pairs:,}",
        f"{audited.n_prompts:,}",
        _estimate(audited.style_auc),
        _wrong(audited.wrong),
        f"{audited.length.longer_chosen:.1%}",
        f"{audited.same_model:.1%}",
        f"{audited.n_raters:,}",
        f"{largest.share:.1%} ({_safe(rater_name(largest.rater))})" if largest else "none",
        f"{audited.unnamed:.1%}",
        "not clustered" if duplicates is None else f"{duplicates:.1%}",
    ]


def _estimate(estimate: Estimate | None) -> str:
    if estimate is None:
        return "too few to tell"
    return f"{estimate.value:.2f} ({estimate.low:.2f} to {estimate.high:.2f})"


def _wrong(wrong: WrongPairs) -> str:
    if wrong.share is None:
        return "too little to tell"
    share = wrong.share
    return f"{share.value:.1%} ({share.low:.1%} to {share.high:.1%})"


def _alpha(judged: Agreement) -> str:
    if judged.n_units < FEWEST:
        return "too few to tell"
    return "nothing to compare" if judged.alpha is None else f"{judged.alpha:.2f}"


def _safe(text: str) -> str:
    return escape(printable(text))
