"""The looks at the held-out prompts, as a table for people and as values."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from rich.console import Console
from rich.markup import escape

from thumbwheel.cli.show.tables import make_table
from thumbwheel.config import GateConfig
from thumbwheel.evidence.budget import free_again, in_words, level_of_next_look
from thumbwheel.types import Look, Promotion

__all__ = ["History", "LookShown", "make_history", "print_history"]


@dataclass(frozen=True, slots=True)
class LookShown:
    """A look as it is shown: without its p-value, by which nobody should choose settings."""

    when: datetime
    cycle: str
    version: str | None
    level: float
    verdict: str
    promoted: bool


@dataclass(frozen=True, slots=True)
class History:
    """What was spent of the error budget, what the next look may spend, and all looks.

    `free_again` is when a whole share is free, or None where it is now.
    """

    budget: str
    next_level: float
    free_again: datetime | None
    looks: Sequence[LookShown]


def make_history(
    looks: Sequence[Look],
    promotions: Sequence[Promotion],
    versions: Mapping[str, str],
    gate: GateConfig,
    now: datetime,
) -> History:
    """Return what is shown of the ledger.

    Args:
        looks: All looks.
        promotions: All promotions.
        versions: Model versions by cycle, as far as they are known here.
        gate: Sets the budget.
        now: With a time zone.
    """
    promoted = {promotion.candidate: promotion.version for promotion in promotions}
    known = {**versions, **promoted}
    tests, wrong = gate.tests_per_year, gate.false_promotions
    return History(
        budget=in_words(looks, now, false_promotions=wrong),
        next_level=level_of_next_look(looks, now, tests_per_year=tests, false_promotions=wrong),
        free_again=free_again(looks, now, tests_per_year=tests, false_promotions=wrong),
        looks=[
            LookShown(
                look.when,
                look.candidate,
                known.get(look.candidate),
                look.level,
                look.verdict.value,
                look.candidate in promoted,
            )
            for look in sorted(looks, key=lambda look: look.number, reverse=True)
        ],
    )


def print_history(console: Console, history: History) -> None:
    """Print the budget and the looks, the latest first."""
    console.print(f"[bold]Error budget[/]  {history.budget}")
    console.print(f"[bold]Next look[/]  at a level of {100 * history.next_level:.2g}%")
    if history.free_again is not None:
        console.print(f"  [dim]a whole share is free on {history.free_again:%Y-%m-%d}[/]")
    if not history.looks:
        console.print("[bold]Looks[/]  none yet; a cycle takes one where it can decide something")
        return
    table = make_table(
        "Looks at the held-out prompts",
        "when",
        "cycle",
        "version",
        "verdict",
        "promoted",
        numbers=["level"],
    )
    for look in history.looks:
        table.add_row(
            f"{look.when:%Y-%m-%d %H:%M}",
            escape(look.cycle),
            look.version or "",
            look.verdict,
            "yes" if look.promoted else "",
            f"{100 * look.level:.2g}%",
        )
    console.print(table)
