"""What the commands around plugins print."""

from collections.abc import Sequence

from rich.console import Console
from rich.markup import escape

from thumbwheel.cli.reports import make_table, printable
from thumbwheel.conformance.plugins import Outcome

__all__ = ["print_outcomes"]


def print_outcomes(console: Console, outcomes: Sequence[Outcome]) -> None:
    """Print each check: passed and on what, or what was wrong and how to mend it."""
    table = make_table("What every plugin promises", "", "check", "what was seen")
    for outcome in outcomes:
        check = outcome.check
        if outcome.problem:
            problem = escape(printable(outcome.problem))
            mending = (
                f"[dim]promised:[/] {escape(check.promise)}\n[dim]to mend:[/] {escape(check.mend)}"
            )
            table.add_row("[red]✗[/]", escape(check.name), f"{problem}\n{mending}")
        else:
            table.add_row("[green]✓[/]", escape(check.name), f"[dim]{escape(outcome.seen)}[/]")
    console.print(table)
