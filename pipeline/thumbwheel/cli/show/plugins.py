"""What the commands around plugins print."""

import inspect
from collections.abc import Sequence

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from thumbwheel.cli.show.tables import make_table, printable
from thumbwheel.conformance.plugins import Outcome
from thumbwheel.events.formats import FORMATS
from thumbwheel.events.mapping import RatingOptions
from thumbwheel.events.rules import ReadingRules
from thumbwheel.plugin import (
    CONNECTORS_GROUP,
    MAPPINGS_GROUP,
    PLUGINS_GROUP,
    OptionInfo,
    installed,
    needed_extra,
    option_infos,
)
from thumbwheel.process.extras import install_command, missing
from thumbwheel.types import PluginInfo

__all__ = ["print_outcomes", "print_plugins"]


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
            for name, known in FORMATS.items():
                table.add_row(escape(name), escape(known.about))
            _add_listed(table, "(each)", RatingOptions, shared)
            _add_listed(table, "(any)", ReadingRules, option_infos(ReadingRules))
        console.print(table)


def _add_listed(table: Table, name: str, cls: type, options: Sequence[OptionInfo]) -> None:
    summary = (inspect.getdoc(cls) or "").partition("\n")[0]
    extra = needed_extra(cls)
    note = ""
    if extra is not None and missing(extra):
        note = f"\nnot usable yet: {escape(install_command(extra))}"
    listed = "".join(f"\n{option.name}: {option.type} = {option.default}" for option in options)
    table.add_row(escape(name), f"{escape(summary)}[yellow]{note}[/][dim]{escape(listed)}[/]")


def _listing() -> Table:
    table = Table(box=None, show_header=False, pad_edge=False, padding=(0, 2, 0, 0))
    table.add_column(style="green", no_wrap=True)
    table.add_column(overflow="fold")
    return table
