"""What can be shown with the feedback at hand, as a table for people."""

import math

from rich.console import Console
from rich.markup import escape

from thumbwheel.cli.show.tables import make_table
from thumbwheel.config import GateConfig
from thumbwheel.types import EvidencePlan

__all__ = ["print_plan"]

_HARMLESS = 0.95


def print_plan(console: Console, plan: EvidencePlan, gate: GateConfig) -> None:
    """Print the plan as `thumbwheel power` does."""
    table = make_table("What can be shown with the feedback at hand", "", numbers=["now"])
    table.add_row("held-out prompts, of which only the verdict is shown", f"{plan.n_sealed:,}")
    table.add_row("  clusters of near-duplicates among them", f"{plan.n_clusters:,}")
    table.add_row("prompts of the judge's part, whose numbers are shown", f"{plan.n_open:,}")
    table.add_row("answers of each model to each prompt", f"{plan.answers:,}")
    table.add_row("level of the next look at the held-out prompts", f"{plan.level:.2%}")
    table.add_row("smallest gain in win rate found in 4 of 5 looks", _gain(plan.smallest_gain))
    table.add_row("chance that a harmless candidate passes the guards", f"{plan.harmless:.0%}")
    console.print(table)
    for licence in plan.licences:
        accuracy = licence.accuracy
        may = "[green]may decide[/]" if licence.granted else "[yellow]may not decide[/]"
        needs = f"; about {licence.pairs_needed:,} pairs would do" if licence.pairs_needed else ""
        seen = (
            licence.reason
            or f"agrees with the votes on {accuracy.value:.0%} ({accuracy.low:.0%} to "
            f"{accuracy.high:.0%}) of the pairs that it did not learn from, where a perfect judge "
            f"would on {licence.ceiling:.0%}"
        )
        console.print(f"Judge {escape(licence.judge)}: {may}: {escape(seen)}{needs}.")
    console.print(_advice(plan, gate), soft_wrap=True)


def _gain(gain: float) -> str:
    return f"{gain:+.3f}" if math.isfinite(gain) else "none"


def _advice(plan: EvidencePlan, gate: GateConfig) -> str:
    if plan.judge is None:
        return (
            "Nothing can be decided before a judge has a licence. More votes on more prompts make "
            "one; `thumbwheel audit` says whether the votes agree at all."
        )
    if plan.n_sealed < gate.min_prompts:
        return (
            f"The gate asks for {gate.min_prompts:,} held-out prompts, and there are "
            f"{plan.n_sealed:,}: {gate.min_prompts / max(plan.n_sealed, 1):.1f} times as many "
            "votes would do, or a larger share in `dataset.held_out`."
        )
    if plan.votes_needed:
        weeks = f", some {plan.weeks_needed:.0f} weeks' worth" if plan.weeks_needed else ""
        return (
            f"A gain of {gate.gain:g} would be found in 4 of 5 looks with about "
            f"{plan.votes_needed:,} more votes{weeks}. What is plainly better is found before."
        )
    if plan.harmless < _HARMLESS:
        return (
            "A candidate that harms nothing may fail a guard by chance: give the models more "
            "answers (`evaluation.answers`) or the guards wider margins."
        )
    return f"A gain of {gate.gain:g} is found in at least 4 of 5 looks."
