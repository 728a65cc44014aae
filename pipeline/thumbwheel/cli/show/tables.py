"""What everything that is shown is made of: one look for tables, and texts that do no harm."""

import os
import shutil
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from rich import box
from rich.markup import escape
from rich.table import Table

from thumbwheel.cli.options import STEERING

__all__ = ["add_losses", "champion_name", "clip", "make_table", "printable", "program"]


def program() -> str:
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


def add_losses(table: Table, losses: Mapping[str, int]) -> None:
    """Add a row for each reason that something fell away for, unless nothing did."""
    for reason, count in losses.items():
        if count:
            table.add_row(f"  [dim]− {escape(reason)}[/]", f"[dim]{count:,}[/]")


def champion_name(version: str | None) -> str:
    """Return how to call the champion."""
    return "the base model" if version is None else f"version {version}"


# Users' texts must not steer the terminal: control characters are shown as pictures of themselves.
_PICTURES = {code: 0x2400 + code for code in range(32) if chr(code) not in "\n\t"}
_PICTURES |= {0x7F: 0x2421} | dict.fromkeys(STEERING, 0xFFFD)


def printable(text: str) -> str:
    """Return a text from outside as a terminal may show it."""
    return text.translate(_PICTURES)


def clip(text: str, limit: int = 400) -> str:
    """Return the beginning of a text from outside, and how long it is when it is longer."""
    shown = printable(text[:limit])
    return shown if len(text) <= limit else f"{shown}… ({len(text):,} characters)"
