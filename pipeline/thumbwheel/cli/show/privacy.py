"""What is printed before and after something is forgotten."""

from collections.abc import Sequence

from rich.console import Console
from rich.markup import escape

from thumbwheel.cli.show.tables import make_table, printable
from thumbwheel.forgetting import Outcome, Plan, TrainedOn
from thumbwheel.store import Subject

__all__ = ["print_outcome", "print_plan"]


def print_plan(console: Console, subject: Subject, plan: Plan, project: str) -> None:
    """Print what goes, and what had been trained on it."""
    found, who = plan.found, _named(subject)
    if found:
        console.print(
            f"[bold]Stored of {who}[/]  {len(found.event_ids):,} events ({found.n_votes:,} votes), "
            f"{found.n_letters:,} dead letters, {found.n_expired:,} expired; "
            f"{len(found.completion_ids):,} completions go with them"
        )
    else:
        console.print(
            f"[bold]Nothing is stored of {who}.[/] The id is remembered all the same, as a keyed "
            "hash, so that nothing that comes later is stored."
        )
    for path in plan.old_stores:
        console.print(f"Cleared too: {escape(str(path))}, which was set aside.", soft_wrap=True)
    for cycle in plan.unfinished:
        console.print(f"The unfinished cycle {cycle} is removed; the next one begins anew.")
    _print_datasets(console, plan.datasets, plan.champion, project)


def print_outcome(console: Console, subject: Subject, outcome: Outcome) -> None:
    """Print what was removed, and where the same is still held."""
    found, who = outcome.plan.found, _named(subject)
    console.print(
        f"Forgot {who}: {len(found.event_ids):,} events, {found.n_letters:,} dead letters, "
        f"{outcome.n_logged:,} records of logs. A keyed hash is kept, so that a replay does not "
        "bring them back."
    )
    for path in outcome.removed_stores:
        console.print(f"Removed whole, because it is damaged: {escape(str(path))}", soft_wrap=True)
    if outcome.holders:
        console.print("[bold]Not touched[/]  the sources still hold their own records:")
        for holder in outcome.holders:
            console.print(f"  {escape(printable(holder))}", soft_wrap=True)
    if outcome.leftovers:
        console.print("[bold]Not touched[/]  other files that tell of it; delete or mend them:")
        for path in outcome.leftovers:
            console.print(f"  {escape(str(path))}", soft_wrap=True)
    if any(trained.version for trained in outcome.plan.datasets):
        console.print(
            "Models that were trained on it are as they were; the next cycle trains without it."
        )


def _print_datasets(
    console: Console, datasets: Sequence[TrainedOn], champion: str | None, project: str
) -> None:
    if not datasets:
        console.print("No dataset rests on it.")
        return
    table = make_table("Trained on it", "cycle", "dataset", "model version", numbers=["pairs"])
    for trained in datasets:
        version = "" if trained.version is None else f"{escape(project)} {trained.version}"
        if trained.version is not None and trained.version == champion:
            version += " (@champion)"
        table.add_row(trained.cycle_id, trained.digest or "", version, f"{trained.n_pairs:,}")
    console.print(table)


def _named(subject: Subject) -> str:
    kind = "the rater" if subject.kind == "rater" else "the generation"
    return f"{kind} {escape(printable(subject.name))}"
