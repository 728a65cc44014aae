"""What the commands print: tables for people."""

import inspect
import math
import os
import shutil
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rich import box
from rich.console import Console
from rich.markup import escape
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from thumbwheel.events import readable
from thumbwheel.manager import (
    CONNECTORS_GROUP,
    MAPPINGS_GROUP,
    PLUGINS_GROUP,
    OptionInfo,
    PluginInfo,
    installed,
    option_infos,
)
from thumbwheel.mapping import RatingOptions
from thumbwheel.pairing import Pairing
from thumbwheel.store import Snapshot
from thumbwheel.types import CycleReport

__all__ = [
    "champion_name",
    "make_table",
    "print_demo_summary",
    "print_nothing_new",
    "print_pairing",
    "print_plugins",
    "print_report",
    "printable",
]


def _program() -> str:
    """Return how to call this program from here, installed on the path or not."""
    if shutil.which("thumbwheel"):
        return "thumbwheel"
    invoked = Path(sys.argv[0])
    if invoked.name == "thumbwheel":
        return os.path.relpath(invoked)
    return f"{os.path.relpath(sys.executable)} -m thumbwheel"


def make_table(title: str, *columns: str, numbers: Sequence[str] = ()) -> Table:
    """Return a table in this project's style; `numbers` are columns aligned to the right."""
    table = Table(
        title=title,
        title_justify="left",
        title_style="bold",
        box=box.SIMPLE_HEAD,
        min_width=len(title) + 1,
    )
    for column in (*columns, *numbers):
        table.add_column(column, justify="right" if column in numbers else "left")
    return table


def print_report(console: Console, report: CycleReport, options: str) -> None:
    """Print a finished cycle: data, metrics, rules, decision, and what to do next."""
    _print_flow(console, report)
    _print_metrics(console, report)
    rules = make_table("The gate's rules", "", "rule", "what was seen")
    for result in report.decision.reasons:
        mark = "[green]✓[/]" if result.passed else "[red]✗[/]"
        rules.add_row(mark, escape(result.rule), escape(result.reason))
    console.print(rules)
    champion = champion_name(report.champion_before)
    if report.outcome == "promoted":
        verdict = (
            f"[bold green]Promoted.[/] Version {report.model_version} of {escape(report.project)} "
            f"is now @champion: it beat {champion} on {report.evaluation.n_prompts:,} prompts "
            "that it was never trained on."
        )
    else:
        failed = [result for result in report.decision.reasons if not result.passed]
        verdict = (
            f"[bold yellow]Refused.[/] Version {report.model_version} of {escape(report.project)} "
            f"is registered for review, but {champion} stays: "
            + escape("; ".join(result.reason for result in failed))
            + "."
        )
    console.print(Panel(verdict, title="Decision", title_align="left", expand=False))
    console.print(
        f"See it in MLflow:  [bold]{_program()} ui {report.cycle_id} {escape(options)}[/]",
        soft_wrap=True,
    )


def print_demo_summary(console: Console, report: CycleReport) -> None:
    """Say in a newcomer's words what the demo did."""
    metrics = report.evaluation.metrics
    style, right = metrics["preferred_style"], metrics["right_answer"]
    console.print(
        f"\n[bold]In short:[/] simulated users voted on answers; they like them polite and right. "
        f"Asked {style.candidate.n} questions that no training saw, the base model was polite in "
        f"{style.champion.value:.0%} and right in {right.champion.value:.0%} of its answers; the "
        f"model trained on their votes was polite in {style.candidate.value:.0%} and right in "
        f"{right.candidate.value:.0%}."
    )
    if report.outcome == "promoted":
        step = f"`{_program()} demo --noise 0.5` flips half of the votes: nothing to learn"
    else:
        step = f"the gate kept out what may be luck; `{_program()} demo` has clean votes"
    console.print(
        f"Next: {step}. `{_program()} init` writes a configuration for your own feedback."
    )


def print_nothing_new(console: Console, cycle_id: str, options: str) -> None:
    """Say that no cycle was needed."""
    console.print(
        f"Nothing is new since cycle {cycle_id}: the same votes, configuration, model and "
        f"champion. Nothing was done.\n"
        f"See its report:  [bold]{_program()} show {cycle_id} {escape(options)}[/]",
        soft_wrap=True,
    )


def _print_flow(console: Console, report: CycleReport) -> None:
    data, dataset = report.data, report.dataset
    flow = make_table(f"Cycle {report.cycle_id}: from events to pairs", "", numbers=["count"])
    received = {
        key: sum(source[key] for source in data["sources"])
        for key in ("received", "duplicates", "dead_letters", "dropped")
    }
    flow.add_row("events received", f"{received['received']:,}")
    _add_losses(
        flow,
        {
            "received twice": received["duplicates"],
            "unreadable (kept as dead letters)": received["dead_letters"],
            "dropped by a plugin": received["dropped"],
        },
    )
    votes = data["votes"]
    flow.add_row("votes", f"{votes['votes']:,}")
    _add_losses(
        flow,
        {
            "changed later by the same rater": votes["superseded"],
            "withdrawn": votes["withdrawn"],
            "waiting for their answer": votes["parked"],
            "of raters who are left out": votes.get("quarantined", 0),
            "beyond a rater's budget": votes.get("over_budget", 0),
        },
    )
    flow.add_row("rated answers", f"{data['n_completions']:,}")
    _add_losses(
        flow, {k: n for k, n in dataset["completions"].items() if not k.startswith("in a ")}
    )
    dropped = dataset["dropped_pairs"]
    flow.add_row("pairs proposed", f"{dataset['n_pairs'] + sum(dropped.values()):,}")
    used = dataset["n_train"] + dataset["n_eval"]
    _add_losses(flow, {**dropped, "over the configured maximum": dataset["n_pairs"] - used})
    flow.add_row(
        f"pairs trained on ({dataset['n_train_prompts']:,} prompts)", f"{dataset['n_train']:,}"
    )
    _add_losses(
        flow,
        {
            "left out: the prompt alone fills max_length": report.training["n_dropped"],
            "an answer was cut at max_length": report.training["n_truncated"],
        },
    )
    flow.add_row(
        f"pairs held out ({dataset['n_eval_prompts']:,} prompts)", f"{dataset['n_eval']:,}"
    )
    console.print(flow)


def _add_losses(table: Table, losses: Mapping[str, int]) -> None:
    for reason, count in losses.items():
        if count:
            table.add_row(f"  [dim]− {escape(reason)}[/]", f"[dim]{count:,}[/]")


def _print_metrics(console: Console, report: CycleReport) -> None:
    has_champion = report.champion_before is not None
    interval = f"{report.evaluation.confidence:.0%} interval"
    table = make_table(
        f"Measured on {report.evaluation.n_prompts:,} held-out prompts",
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
    longer = report.dataset.get("longer_preferred_eval")
    if isinstance(longer, float):
        console.print(
            f"  [dim]For comparison: always preferring the longer answer would be right on "
            f"{longer:.1%} of the held-out pairs.[/]"
        )


def _number(value: float, *, sign: bool = False) -> str:
    if math.isnan(value):
        return "not a number"
    return f"{value:+.3f}" if sign else f"{value:.3f}"


def champion_name(version: str | None) -> str:
    """Return how to call the champion."""
    return "the base model" if version is None else f"version {version}"


def print_pairing(
    console: Console, snapshot: Snapshot, pairing: Pairing, *, limit: int, show_dropped: bool
) -> None:
    """Print what became of the rated completions, and some pairs side by side."""
    table = make_table("What became of the rated answers", "", numbers=["answers"])
    table.add_row("rated", f"{snapshot.n_completions:,}")
    for reason, count in pairing.completions.items():
        table.add_row(f"  {escape(reason)}", f"{count:,}")
    console.print(table)
    proposed = len(pairing.pairs) + len(pairing.dropped)
    table = make_table("What became of the proposed pairs", "", numbers=["pairs"])
    table.add_row("proposed", f"{proposed:,}")
    _add_losses(table, pairing.drop_reasons())
    table.add_row("kept", f"{len(pairing.pairs):,}")
    console.print(table)
    shown = pairing.dropped if show_dropped else pairing.pairs
    for row in shown.slice(0, limit).to_pylist():
        _print_pair(console, row)


def _print_pair(console: Console, row: Mapping[str, Any]) -> None:
    reason = f" · dropped: {row['reason']}" if "reason" in row else ""
    console.rule(
        Text(f"P(chosen is better) {row['confidence']:.2f} · {row['plugin']}{reason}"), style="dim"
    )
    for message in row["prompt"]:
        speaker, text = readable(message)
        console.print(Text(f"{_clip(speaker)}: {_clip(text)}", style="dim"))
    sides = Table.grid(expand=True)
    sides.add_column(ratio=1)
    sides.add_column(ratio=1)
    sides.add_row(
        Panel(Text(_clip(row["chosen"])), title="chosen", border_style="green"),
        Panel(Text(_clip(row["rejected"])), title="rejected", border_style="red"),
    )
    console.print(sides)


# Users' texts must not steer the terminal: control characters are shown as pictures of themselves.
_PICTURES = {code: 0x2400 + code for code in range(32) if chr(code) not in "\n\t"}
_PICTURES |= {0x7F: 0x2421} | dict.fromkeys(range(0x80, 0xA0), 0xFFFD)


def printable(text: str) -> str:
    """Return a text from outside as a terminal may show it."""
    return text.translate(_PICTURES)


def _clip(text: str, limit: int = 400) -> str:
    shown = printable(text[:limit])
    return shown if len(text) <= limit else f"{shown}… ({len(text):,} characters)"


def print_plugins(console: Console, loaded: Sequence[PluginInfo]) -> None:
    """Print the loaded plugins with their options, and what else is installed."""
    if loaded:
        console.print("[bold]Loaded, in this order[/]")
        table = _listing()
        for info in loaded:
            hooks = ", ".join(info.hooks)
            options = "".join(f"\n{name} = {value!r}" for name, value in info.options.items())
            origin = f"{info.origin}, version {info.version}"
            table.add_row(
                escape(info.name), f"{hooks} [dim]from {escape(origin)}[/]{escape(options)}"
            )
        console.print(table)
    else:
        console.print("There is no configuration here, so nothing is loaded.")
    ratings = option_infos(RatingOptions)
    for title, group, shared in (
        ("Installed plugins and their options", PLUGINS_GROUP, []),
        ("Installed connectors and their options", CONNECTORS_GROUP, []),
        ("Installed mappings and their options", MAPPINGS_GROUP, ratings),
    ):
        console.print(f"\n[bold]{title}[/]")
        table = _listing()
        for name, point in installed(group).items():
            cls = point.load()
            own = [option for option in option_infos(cls) if option not in shared]
            _add_listed(table, name, cls, own)
        if shared:
            _add_listed(table, "(each)", RatingOptions, shared)
        console.print(table)


def _add_listed(table: Table, name: str, cls: type, options: Sequence[OptionInfo]) -> None:
    summary = (inspect.getdoc(cls) or "").partition("\n")[0]
    listed = "".join(f"\n{option.name}: {option.type} = {option.default}" for option in options)
    table.add_row(escape(name), f"{escape(summary)}[dim]{escape(listed)}[/]")


def _listing() -> Table:
    table = Table(box=None, show_header=False, pad_edge=False, padding=(0, 2, 0, 0))
    table.add_column(style="green", no_wrap=True)
    table.add_column(overflow="fold")
    return table
