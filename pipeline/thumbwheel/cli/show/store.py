"""What the commands around the store print."""

from collections.abc import Iterator, Mapping, Sequence

import pyarrow as pa
from pydantic_core import to_json
from rich.console import Console
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from thumbwheel.cli.options import STEERING
from thumbwheel.cli.show.tables import make_table, printable
from thumbwheel.cycle.journal import CycleJournal
from thumbwheel.store import (
    PluginCount,
    Quarantined,
    ReplayCounts,
    SourceState,
    Standing,
    StoredDeadLetter,
)
from thumbwheel.types import SourceCounts

__all__ = [
    "json_lines",
    "print_counted",
    "print_dead_letters",
    "print_quarantined",
    "print_replay",
    "print_rows",
    "print_status",
    "print_warnings",
]

_NUMBERS = {code: f"\\u{code:04x}" for code in (0x7F, *STEERING)}

_CELL = 80
_FIELD = 400
_MOST_RATERS = 10
_NARROWEST = 16


def print_status(
    console: Console,
    sources: Sequence[SourceCounts],
    states: Sequence[SourceState],
    plugin_counts: Sequence[PluginCount],
    standing: Standing,
    dead_letters: Sequence[tuple[str, int, str]],
    champion: str,
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
        "forgotten": [counts.forgotten for counts in sources],
    }
    # The rare ones are shown when there are any, so that the balance is always whole.
    rare = ("left out", "expired", "forgotten")
    shown = {name: values for name, values in columns.items() if name not in rare or any(values)}
    table = make_table("Sources", "source", numbers=list(shown))
    for row, counts in enumerate(sources):
        table.add_row(escape(counts.source), *(f"{values[row]:,}" for values in shown.values()))
    if sources:
        console.print(table)
    else:
        console.print("[bold]Sources[/]  none has been read yet; `thumbwheel ingest` reads them")
    for state in states:
        behind = f", {state.lag_records:,} records behind" if state.lag_records else ""
        error = f": {state.error}" if state.error else ""
        console.print(
            Text(
                printable(f"  {state.source}: {state.state.words}{behind}{error}"),
                style="red" if error else "dim",
            )
        )
    print_counted(console, plugin_counts)
    for reason, count, position in dead_letters:
        example = printable(f"  {count:,} × {reason} (such as {position})")
        console.print(Text(example, style="dim"))
    if dead_letters:
        console.print("  [dim]`thumbwheel dead-letters list` shows them.[/]")
    for conflict in standing.conflicts:
        named = f"  {conflict.source}: {conflict.reason} (such as {conflict.example})"
        console.print(Text(printable(named), style="yellow"))
    _print_votes(console, standing, sum(counts.parked for counts in sources))
    console.print(Text.assemble(("Champion", "bold"), f"  {printable(champion)}"))
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


def _print_votes(console: Console, standing: Standing, n_parked: int) -> None:
    votes = standing.counts
    left_out = [
        f"{count:,} {words}"
        for count, words in (
            (votes.superseded, "changed later"),
            (votes.withdrawn, "withdrawn"),
            (votes.quarantined, "of raters who are left out"),
            (votes.over_budget, "more than count of one rater"),
            (votes.parked, "waiting for their answer"),
        )
        if count
    ]
    since = f", {standing.n_since:,} events have come since" if standing.n_since else ""
    when = f" (at {standing.counted_at:%H:%M:%S} UTC{since})" if standing.n_since else ""
    summary = ", ".join([f"{votes.counted:,} count", *left_out])
    console.print(f"[bold]Votes[/]  {votes.votes:,}: {summary}{when}")
    if n_parked > votes.parked:
        console.print(f"  [dim]{n_parked:,} records are parked, comments included[/]")
    print_quarantined(console, standing.quarantined)


def print_quarantined(console: Console, raters: Sequence[Quarantined]) -> None:
    """Print whose votes are left out, and why."""
    most = sorted(raters, key=lambda rater: -rater.n_votes)
    for rater in most[:_MOST_RATERS]:
        named = f"  left out: {rater.n_votes:,} votes of {rater.rater_id}, {rater.reason}"
        console.print(Text(printable(named), style="yellow"))
    if len(most) > _MOST_RATERS:
        console.print(f"  [yellow]left out: {len(most) - _MOST_RATERS:,} raters more[/]")


def print_counted(console: Console, counts: Sequence[PluginCount]) -> None:
    """Print what plugins and mappings did to events, or have to tell of them."""
    for counted in counts:
        done = f"  {counted.source}: {counted.n:,} × {counted.what} by {counted.plugin}"
        console.print(Text(printable(done), style="dim"))


def print_warnings(console: Console, warnings: Sequence[str]) -> None:
    """Print what is to be looked at, and what would mend it."""
    for warning in warnings:
        console.print(Text(f"! {printable(warning)}", style="yellow"))


def print_rows(console: Console, rows: pa.Table, max_rows: int) -> None:
    """Print the first rows of a query: as a table, or field by field where that is too wide."""
    shown = rows.slice(0, max_rows)
    table = make_table("", *(escape(printable(name)) for name in shown.column_names))
    for row in shown.to_pylist():
        table.add_row(*(Text(_cell(value, _CELL)) for value in row.values()))
    if _is_too_wide(console, table):
        _print_fields(console, shown)
    else:
        console.print(table)
    more = " (the first; --max-rows shows more)" if len(rows) > max_rows else ""
    console.print(f"[dim]{len(shown):,} row{'s' * (len(shown) != 1)}{more}[/]")


def _is_too_wide(console: Console, table: Table) -> bool:
    """Tell whether columns would have to be narrower than anybody can read."""
    least = 0
    for column in table.columns:
        widths = [console.measure(cell).maximum for cell in column.cells]
        title = console.measure(str(column.header)).maximum
        least += max(title, min(_NARROWEST, max(widths, default=0))) + 2
    return least + len(table.columns) > console.width


def _print_fields(console: Console, rows: pa.Table) -> None:
    for number, row in enumerate(rows.to_pylist(), 1):
        console.rule(f"row {number:,}", style="dim", align="left")
        fields = Table(box=None, show_header=False, pad_edge=False, padding=(0, 2, 0, 0))
        fields.add_column(no_wrap=True, style="dim")
        fields.add_column(overflow="fold")
        for name, value in row.items():
            fields.add_row(Text(printable(name)), Text(_cell(value, _FIELD)))
        console.print(fields)


def _cell(value: object, limit: int) -> str:
    if value is None:
        return ""
    if isinstance(value, bytes):
        text = value.decode(errors="replace")
    elif isinstance(value, list | dict):
        text = to_json(value, bytes_mode="base64", fallback=str).decode()
    else:
        text = str(value)
    shown = printable(text[:limit])
    return shown if len(text) <= limit else f"{shown}…"


def json_lines(rows: pa.Table) -> Iterator[bytes]:
    """Yield each row as a JSON object on a line of its own.

    Bytes are shown as text, and what JSON has no number for (NaN, infinity) as null. What may steer
    a terminal is written by its number, as JSON can.
    """
    for batch in rows.to_batches(max_chunksize=1000):
        for row in batch.to_pylist():
            plain = {
                name: value.decode(errors="replace") if isinstance(value, bytes) else value
                for name, value in row.items()
            }
            line = to_json(plain, bytes_mode="base64", inf_nan_mode="null", fallback=str) + b"\n"
            yield line if line.isascii() else line.decode().translate(_NUMBERS).encode()


def print_dead_letters(
    console: Console, letters: Sequence[StoredDeadLetter], source: str | None
) -> None:
    """Print a list of dead letters, of one source or of all, and what can be done with them."""
    if not letters:
        whose = "" if source is None else f" of {source}"
        console.print(f"There are no dead letters: every record{whose} could be read.")
        return
    table = make_table("Dead letters, the newest first", "number", "source", "position", "reason")
    for letter in letters:
        table.add_row(
            str(letter.id),
            Text(letter.source),
            Text(printable(letter.position)),
            Text(printable(letter.reason)),
        )
    console.print(table)
    console.print(
        "`thumbwheel dead-letters show NUMBER` writes a record as it came; when its mapping has "
        "been mended, `thumbwheel dead-letters replay` reads them again."
    )


def print_replay(console: Console, replayed: Mapping[str, ReplayCounts]) -> None:
    """Print what became of dead letters that were read again."""
    if not replayed:
        console.print("There are no dead letters.")
        return
    titles = ["stored", "duplicates", "left out", "still unreadable"]
    # The balance is whole: what is rare is shown when there is any.
    any_forgotten = any(counts.forgotten for counts in replayed.values())
    table = make_table("Read again", "source", numbers=titles + ["forgotten"] * any_forgotten)
    for source, counts in replayed.items():
        numbers = [counts.stored, counts.duplicates, counts.dropped, counts.still_dead]
        numbers += [counts.forgotten] * any_forgotten
        table.add_row(escape(source), *(f"{number:,}" for number in numbers))
    console.print(table)
