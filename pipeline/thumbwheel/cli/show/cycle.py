"""A cycle's report, as a table for people: the data, every metric, every rule, the decision."""

import math

from rich.console import Console
from rich.markup import escape
from rich.panel import Panel

from thumbwheel.cli.show.tables import add_losses, champion_name, make_table, program
from thumbwheel.types import CycleReport
from thumbwheel.types.fates import IN_PAIRS, completions_in_words, pairs_in_words

__all__ = ["print_demo_summary", "print_nothing_new", "print_report"]


def print_report(console: Console, report: CycleReport, options: str) -> None:
    """Print a finished cycle: data, metrics, rules, decision, and what to do next."""
    _print_flow(console, report)
    _print_metrics(console, report)
    rules = make_table("The gate's rules", "", "rule", "what was seen")
    holds, fails = "[green]✓[/]", "[red]✗[/]"
    guards = [result.guard for result in report.decision.reasons if result.is_held_guard]
    for result in report.decision.reasons:
        if not result.is_held_guard:
            mark = holds if result.passed else fails
            rules.add_row(mark, escape(result.rule), escape(result.reason))
    if guards:
        rules.add_row(holds, f"{len(guards)} guards", escape(", ".join(map(str, guards))))
    console.print(rules)
    champion = champion_name(report.champion_before)
    if report.outcome == "promoted":
        verdict = (
            f"[bold green]Promoted.[/] Version {report.model_version} of {escape(report.project)} "
            f"is now @champion: its answers beat those of {champion} on "
            f"{report.evaluation.n_prompts:,} prompts that it was never trained on."
        )
    else:
        failed = [result for result in report.decision.reasons if not result.passed]
        said = f": {report.decision.verdict}" if report.decision.verdict else ""
        verdict = (
            f"[bold yellow]Refused{said}.[/] Version {report.model_version} of "
            f"{escape(report.project)} is registered for review, but {champion} stays: "
            + escape("; ".join(result.reason for result in failed))
            + "."
        )
    console.print(Panel(verdict, title="Decision", title_align="left", expand=False))
    console.print(
        f"See it in MLflow:  [bold]{program()} ui {report.cycle_id} {escape(options)}[/]",
        soft_wrap=True,
    )


def print_demo_summary(console: Console, report: CycleReport) -> None:
    """Say in a newcomer's words what the demo did."""
    metrics = report.evaluation.metrics
    style, right = metrics["preferred_style"], metrics["right_answer"]
    console.print(
        f"\n[bold]In short:[/] simulated users voted on answers; they like them polite and right. "
        f"On {style.candidate.n} questions that no training saw, the base model was polite in "
        f"{style.champion.value:.0%} and right in {right.champion.value:.0%} of its answers; the "
        f"model trained on their votes was polite in {style.candidate.value:.0%} and right in "
        f"{right.candidate.value:.0%}."
    )
    if report.outcome == "promoted":
        step = f"`{program()} demo --noise 0.5` flips half of the votes: nothing to learn"
    else:
        step = f"the rules above that fail say why; `{program()} demo` has clean votes"
    console.print(f"Next: {step}. `{program()} init` writes a configuration for your own feedback.")


def print_nothing_new(console: Console, cycle_id: str, options: str) -> None:
    """Say that no cycle was needed."""
    console.print(
        f"Nothing is new since cycle {cycle_id}: the same votes, configuration, model and "
        f"champion. Nothing was done.\n"
        f"See its report:  [bold]{program()} show {cycle_id} {escape(options)}[/]",
        soft_wrap=True,
    )


def _print_flow(console: Console, report: CycleReport) -> None:
    data, dataset = report.data, report.dataset
    flow = make_table(f"Cycle {report.cycle_id}: from events to pairs", "", numbers=["count"])
    flow.add_row("events received", f"{sum(source.received for source in data.sources):,}")
    add_losses(
        flow,
        {
            "received twice": sum(source.duplicates for source in data.sources),
            "unreadable (kept as dead letters)": sum(
                source.dead_letters for source in data.sources
            ),
            "dropped by a plugin": sum(source.dropped for source in data.sources),
        },
    )
    votes = data.votes
    flow.add_row("votes", f"{votes.votes:,}")
    add_losses(
        flow,
        {
            "changed later by the same rater": votes.superseded,
            "withdrawn": votes.withdrawn,
            "waiting for their answer": votes.parked,
            "of raters who are left out": votes.quarantined,
            "beyond a rater's budget": votes.over_budget,
        },
    )
    flow.add_row("rated answers", f"{data.n_completions:,}")
    unused = [count for count in dataset.completions if count.fate not in IN_PAIRS]
    add_losses(flow, completions_in_words(unused))
    dropped = pairs_in_words(dataset.dropped_pairs)
    flow.add_row("pairs proposed", f"{dataset.n_pairs + sum(dropped.values()):,}")
    used = dataset.n_train + dataset.n_judge + dataset.n_eval
    add_losses(flow, {**dropped, "over the configured maximum": dataset.n_pairs - used})
    flow.add_row(f"pairs trained on ({dataset.n_train_prompts:,} prompts)", f"{dataset.n_train:,}")
    add_losses(
        flow,
        {
            "left out: the prompt alone fills max_length": report.training.n_dropped,
            "an answer was cut at max_length": report.training.n_truncated,
        },
    )
    if dataset.n_judge:
        label = f"pairs that teach the judge ({dataset.n_judge_prompts:,} prompts)"
        flow.add_row(label, f"{dataset.n_judge:,}")
    flow.add_row(f"pairs held out ({dataset.n_eval_prompts:,} prompts)", f"{dataset.n_eval:,}")
    console.print(flow)


def _print_metrics(console: Console, report: CycleReport) -> None:
    """Print what was measured, without what guards found to be within its margin."""
    held = {result.guard for result in report.decision.reasons if result.is_held_guard}
    has_champion = report.champion_before is not None
    interval = f"{report.evaluation.confidence:.0%} interval"
    table = make_table(
        "Measured on prompts that no training saw",
        "metric",
        numbers=[
            "base",
            *(["champion"] if has_champion else []),
            "candidate",
            "difference",
            interval,
        ],
    )
    for metric in report.evaluation.metrics.values():
        if metric.name in held:
            continue
        base = metric.base or metric.champion
        shown = [base, *([metric.champion] if has_champion else []), metric.candidate]
        change = metric.difference
        table.add_row(
            metric.name,
            *(_number(estimate.value) for estimate in shown),
            _number(change.value, sign=True),
            f"{_number(change.low, sign=True)} to {_number(change.high, sign=True)}",
        )
    console.print(table)
    longer = report.dataset.longer_preferred_eval
    if longer is not None:
        console.print(
            f"  [dim]For comparison: always preferring the longer answer would be right on "
            f"{longer:.1%} of the held-out pairs.[/]"
        )


def _number(value: float, *, sign: bool = False) -> str:
    if math.isnan(value):
        return "not a number"
    return f"{value:+.3f}" if sign else f"{value:.3f}"
