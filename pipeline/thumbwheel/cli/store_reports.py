"""What the commands around the store print."""

from collections.abc import Mapping, Sequence

import pyarrow as pa
from rich.console import Console
from rich.markup import escape
from rich.text import Text

from thumbwheel.cli.reports import champion_name, make_table
from thumbwheel.client import SourceState
from thumbwheel.cycle.journal import CycleJournal
from thumbwheel.store import ReplayCounts, SourceCounts, StoredDeadLetter, VoteCounts

__all__ = ["print_dead_letters", "print_replay", "print_rows", "print_status"]

_CELL = 80


def print_status(
    console: Console,
    sources: Sequence[SourceCounts],
    states: Sequence[SourceState],
    votes: VoteCounts,
    dead_letters: Sequence[tuple[str, int, str]],
    champion: str | None,
    cycles: Sequence[CycleJournal],
) -> None:
    """Print the balance of what was received, the champion and the latest cycles."""
    columns = {
        "received": [counts.received for counts in sources],
        "stored": [counts.stored for counts in sources],
        "parked": [counts.parked for counts in sources],
        "duplicates": [counts.duplicates for counts in sources],
        "dead letters": [counts.dead_letters for counts in sources],
        "left out": [counts.dropped for counts in sources],
        "expired": [counts.expired for counts in sources],
    }
    # The rare ones are shown when there are any, so that the balance is always whole.
    rare = ("left out", "expired")
    shown = {name: values for name, values in columns.items() if name not in rare or any(values)}
    table = make_table("Sources", "source", numbers=list(shown))
    for row, counts in enumerate(sources):
        table.add_row(escape(counts.source), *(f"{values[row]:,}" for values in shown.values()))
    console.print(table)
    for state in states:
        behind = f", {state.lag_records:,} records behind" if state.lag_records else ""
        error = f": {state.error}" if state.error else ""
        console.print(
            Text(f"  {state.source}: {state.state}{behind}{error}", style="red" if error else "dim")
        )
    for reason, count, position in dead_letters:
        console.print(f"  [dim]{count:,} × {escape(reason)} (first at {escape(position)})[/]")
    if dead_letters:
        console.print("  [dim]`thumbwheel dead-letters list` shows them.[/]")
    console.print(
        f"[bold]Votes[/]  {votes.votes:,}: {votes.counted:,} count, {votes.superseded:,} changed "
        f"later, {votes.withdrawn:,} withdrawn, {votes.parked:,} waiting for their answer (parked)"
    )
    console.print(f"[bold]Champion[/]  {champion_name(champion)}")
    if not cycles:
        console.print("[bold]Cycles[/]  none yet; `thumbwheel cycle` turns the wheel")
        return
    table = make_table("Latest cycles", "cycle", "started", "outcome", "version")
    for journal in cycles[:10]:
        plan, report = journal.plan, journal.report
        if plan is None:
            continue
        outcome = report.outcome if report else "failed" if journal.failure else "unfinished"
        version = (report.model_version if report else None) or ""
        table.add_row(plan.cycle_id, f"{plan.started_at:%Y-%m-%d %H:%M}", outcome, version)
    console.print(table)


def print_rows(console: Console, rows: pa.Table, max_rows: int) -> None:
    """Print the rows of a query."""
    table = make_table("", *(escape(name) for name in rows.column_names))
    for row in rows.to_pylist():
        table.add_row(*(Text(_cell(value)) for value in row.values()))
    console.print(table)
    more = " (the first; --max-rows shows more)" if len(rows) == max_rows else ""
    console.print(f"[dim]{len(rows):,} row{'s' * (len(rows) != 1)}{more}[/]")


def _cell(value: object) -> str:
    text = "" if value is None else str(value)
    return text if len(text) <= _CELL else f"{text[:_CELL]}…"


def print_dead_letters(console: Console, letters: Sequence[StoredDeadLetter]) -> None:
    """Print a list of dead letters, and what can be done with them."""
    if not letters:
        console.print("There are no dead letters: every record could be read.")
        return
    table = make_table("Dead letters, the newest first", "number", "source", "position", "reason")
    for letter in letters:
        table.add_row(
            str(letter.id), Text(letter.source), Text(letter.position), Text(letter.reason)
        )
    console.print(table)
    console.print(
        "`thumbwheel dead-letters show NUMBER` writes a record as it came; mend the mapping and\n"
        "`thumbwheel dead-letters replay` reads them again."
    )


def print_replay(console: Console, replayed: Mapping[str, ReplayCounts]) -> None:
    """Print what became of dead letters that were read again."""
    if not replayed:
        console.print("There are no dead letters.")
        return
    table = make_table(
        "Read again", "source", numbers=["stored", "duplicates", "left out", "still unreadable"]
    )
    for source, counts in replayed.items():
        numbers = (counts.stored, counts.duplicates, counts.dropped, counts.still_dead)
        table.add_row(escape(source), *(f"{number:,}" for number in numbers))
    console.print(table)
