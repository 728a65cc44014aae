"""What a source's first records would become, as `ingest --dry-run` and `init --from` print it."""

from rich.console import Console
from rich.table import Table
from rich.text import Text

from thumbwheel.cli.show.store import print_warnings
from thumbwheel.cli.show.tables import printable
from thumbwheel.ingest.preview import Preview, ReadEvent

__all__ = ["print_preview"]

_CLIP = 300


def print_preview(console: Console, preview: Preview) -> None:
    """Print ten events as they would be stored, and what would not be."""
    how_many = "all records" if preview.is_all else "the first records"
    console.rule(f"[bold]{preview.source}[/]", align="left")
    console.print(
        f"{how_many}, {preview.records:,}: {preview.events:,} events, {preview.votes:,} of them "
        "votes; nothing was stored"
    )
    for number, event in enumerate(preview.shown, 1):
        _print_event(console, number, event)
    if preview.votes and preview.unrated_by == preview.votes:
        console.print(
            Text("! no vote names a rater whom it knows; set `rater` if there is one", "yellow")
        )
    for what, n in preview.left_out.items():
        console.print(Text(printable(f"  {n:,} × {what}"), style="dim"))
    for reason, (n, position) in preview.unreadable.items():
        line = f"! {n:,} × unreadable: {reason} (such as {position})"
        console.print(Text(printable(line), style="red"))
    print_warnings(console, preview.warnings)


def _print_event(console: Console, number: int, event: ReadEvent) -> None:
    table = Table(box=None, show_header=False, pad_edge=False, padding=(0, 2, 0, 0))
    table.add_column(no_wrap=True, style="dim", min_width=9)
    table.add_column(overflow="fold")
    for message in event.prompt or []:
        table.add_row(printable(message["role"]), _clipped(message["content"]))
    if event.completion is None:
        table.add_row("answer", Text("not among these records: the vote waits for it", style="dim"))
    else:
        table.add_row("answer", Text.assemble((_clip(event.completion), "bold")))
    styles = {"up": "green", "down": "red"}
    who = "by nobody known" if event.rater is None else f"by {printable(event.rater)}"
    when = "at no time" if event.time is None else f"at {event.time:%Y-%m-%d %H:%M:%S}"
    vote = Text.assemble((event.vote, styles.get(event.vote, "yellow")), f"  {who}, {when}")
    table.add_row("vote", vote)
    console.print(f"[dim]{number}[/]")
    console.print(table)


def _clipped(text: str) -> Text:
    return Text(_clip(text))


def _clip(text: str) -> str:
    shown = printable(text[:_CLIP])
    return shown if len(text) <= _CLIP else f"{shown}…"
