"""What the commands that look back print."""

from collections.abc import Mapping, Sequence
from typing import Any

import pyarrow as pa
from pydantic_core import to_json
from rich.console import Console
from rich.markup import escape
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from thumbwheel.cli.show.tables import add_losses, clip, make_table, printable
from thumbwheel.cycle.trace import PARTS, Trace, Use
from thumbwheel.events import readable
from thumbwheel.pairs import Pairing
from thumbwheel.pairs.yields import YieldReport
from thumbwheel.store import Snapshot
from thumbwheel.types import Part
from thumbwheel.types.fates import IN_PAIRS, Fate, completions_in_words, pairs_in_words

__all__ = ["print_pair", "print_pairing", "print_sentence", "print_trace", "print_yield"]

_MOST_ROWS = 50
_OUTCOMES = {
    Part.TRAIN: "trained on",
    Part.JUDGE: "one that teaches the judge",
    Part.HELD_OUT: "held out",
}


def print_yield(console: Console, report: YieldReport) -> None:
    """Print the way of all events: what each stage loses, and how much is left."""
    table = make_table("What became of the events", "", numbers=["events", "share"])
    whole = max(report.stages[0].n_events, 1)

    def add(label: str, n_events: int, style: str = "") -> None:
        table.add_row(Text(label), f"{n_events:,}", f"{n_events / whole:.1%}", style=style)

    for stage in report.stages:
        add(stage.name, stage.n_events)
        for loss in stage.losses:
            add(f"  − {loss.words}", loss.n_events, "dim")
    for fate, count in report.paired.items():
        add(fate.words, count)
    console.print(table)
    if report.judgements:
        table = make_table("What became of the comparisons", "", numbers=["comparisons"])
        table.add_row("two answers compared", f"{sum(count.n for count in report.judgements):,}")
        lost = [count for count in report.judgements if count.fate not in IN_PAIRS]
        add_losses(table, pairs_in_words(lost))
        for words, n in pairs_in_words(c for c in report.judgements if c.fate in IN_PAIRS).items():
            table.add_row(words, f"{n:,}")
        console.print(table)
    console.print("`thumbwheel explain EVENT_ID` says it of a single one.")


def print_sentence(console: Console, sentence: str) -> None:
    """Print a sentence that may hold texts from outside."""
    console.print(Text(printable(sentence)), soft_wrap=True)


def print_pair(console: Console, pair: Mapping[str, Any], lineage: pa.Table) -> None:
    """Print a pair that is in no dataset yet, and the votes behind it."""
    if "fate" in pair:
        outcome = f"is not in the set: {_words(pair)} ({pair['by']})"
    else:
        outcome = f"would be {_OUTCOMES[pair['part']]}"
    print_sentence(
        console,
        f"{pair['pair_id']} is a pair of {pair['plugin']} (P(chosen is better) "
        f"{pair['confidence']:.2f}) that is in no dataset yet and {outcome}.",
    )
    rows = lineage.to_pylist()
    _print_votes(console, [(row["role"], row["event_id"], row["rater"]) for row in rows])


def print_trace(console: Console, trace: Trace, name: str) -> None:
    """Print where a pair or an event went, or what a dataset was made from."""
    manifest = trace.manifest
    version = f"model version {trace.model_version}" if trace.model_version else "no model yet"
    dataset = f"dataset {manifest.digest} of cycle {trace.cycle_id} ({version})"
    if not trace.pairs:
        _print_provenance(console, trace, version)
    elif name in trace.pairs:
        print_sentence(console, f"{name} is a {PARTS[trace.pairs[name]]} pair of {dataset}.")
        _print_votes(console, [(use.role, use.event_id, use.rater) for use in trace.uses])
    else:
        print_sentence(console, f"It is behind these pairs of {dataset}:")
        _print_pairs(console, trace.uses)


def _print_pairs(console: Console, uses: Sequence[Use]) -> None:
    table = make_table("", "pair", "part", "the event is about")
    for use in uses[:_MOST_ROWS]:
        table.add_row(use.pair_id, PARTS[use.part], f"the {use.role} answer")
    console.print(table)
    _print_more(console, len(uses))


def _print_votes(console: Console, votes: Sequence[tuple[str, str, str]]) -> None:
    table = make_table("The votes behind it", "about", "event", "rater")
    for role, event_id, rater in votes[:_MOST_ROWS]:
        kind, _, who = rater.partition(":")
        who = who if kind == "rater" else ""
        table.add_row(f"the {role} answer", Text(printable(event_id)), Text(printable(who)))
    console.print(table)
    _print_more(console, len(votes))


def _print_more(console: Console, n_rows: int) -> None:
    if n_rows > _MOST_ROWS:
        console.print(f"[dim]and {n_rows - _MOST_ROWS:,} more, in lineage.parquet[/]")


def _print_provenance(console: Console, trace: Trace, version: str) -> None:
    manifest = trace.manifest
    table = make_table(f"Dataset {manifest.digest}", "", "")
    table.show_header = False
    table.add_row("cycle", trace.cycle_id)
    table.add_row("trained into", version)
    table.add_row("training pairs", f"{manifest.n_train:,}")
    table.add_row("pairs for the judge", f"{manifest.n_judge:,}")
    table.add_row("held-out pairs", f"{manifest.n_eval:,}")
    table.add_row("snapshot", manifest.snapshot)
    table.add_row("configuration", str(manifest.config or ""))
    for plugin in manifest.plugins:
        options = to_json(plugin.options).decode()
        table.add_row("plugin", escape(f"{plugin.name} {plugin.version} {options}"))
    console.print(table)


def print_pairing(
    console: Console, snapshot: Snapshot, pairing: Pairing, *, limit: int, show_dropped: bool
) -> None:
    """Print what became of the rated completions, and some pairs side by side."""
    table = make_table("What became of the rated answers", "", numbers=["answers"])
    table.add_row("rated", f"{snapshot.n_completions:,}")
    for words, count in completions_in_words(pairing.completions).items():
        table.add_row(f"  {escape(words)}", f"{count:,}")
    console.print(table)
    proposed = len(pairing.pairs) + len(pairing.dropped)
    table = make_table("What became of the proposed pairs", "", numbers=["pairs"])
    table.add_row("proposed", f"{proposed:,}")
    add_losses(table, pairs_in_words(pairing.dropped_pairs()))
    table.add_row("kept", f"{len(pairing.pairs):,}")
    console.print(table)
    shown = pairing.dropped if show_dropped else pairing.pairs
    for row in shown.slice(0, limit).to_pylist():
        _print_pair(console, row)


def _words(dropped: Mapping[str, Any]) -> str:
    return Fate(dropped["fate"]).of_pair(dropped["detail"])


def _print_pair(console: Console, row: Mapping[str, Any]) -> None:
    reason = f" · dropped: {_words(row)}" if "fate" in row else ""
    console.rule(
        Text(f"P(chosen is better) {row['confidence']:.2f} · {row['plugin']}{reason}"), style="dim"
    )
    for message in row["prompt"]:
        speaker, text = readable(message)
        console.print(Text(f"{clip(speaker)}: {clip(text)}", style="dim"))
    sides = Table.grid(expand=True)
    sides.add_column(ratio=1)
    sides.add_column(ratio=1)
    sides.add_row(
        Panel(Text(clip(row["chosen"])), title="chosen", border_style="green"),
        Panel(Text(clip(row["rejected"])), title="rejected", border_style="red"),
    )
    console.print(sides)
