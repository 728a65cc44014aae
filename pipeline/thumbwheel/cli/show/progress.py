"""The display of a running cycle: a bar for the stage at work, a line for each that is done."""

import time
from typing import Self

from rich.console import Console
from rich.markup import escape
from rich.progress import (
    BarColumn,
    Progress,
    SpinnerColumn,
    TaskProgressColumn,
    TextColumn,
    TimeElapsedColumn,
)

__all__ = ["StageDisplay"]

_QUIET_SECONDS = 30.0


class StageDisplay:
    """Implements `types.Observer`. Without a terminal, long stages print a line now and then."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._progress: Progress | None = None
        self._name = ""
        self._begun = self._last_line = 0.0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self._stop()

    def stage(self, name: str) -> None:
        """Begin a stage."""
        self._stop()
        self._name = name
        self._begun = self._last_line = time.monotonic()
        if not self._console.is_terminal:
            return
        self._progress = Progress(
            SpinnerColumn(),
            TextColumn("{task.description}"),
            BarColumn(),
            TaskProgressColumn(),
            TimeElapsedColumn(),
            TextColumn("[dim]{task.fields[note]}"),
            console=self._console,
            transient=True,
        )
        self._progress.add_task(f"{escape(name):<20}", total=1.0, note="")
        self._progress.start()

    def progress(self, share: float, note: str = "") -> None:
        """Report the share of the stage done."""
        if self._progress is not None:
            task = self._progress.task_ids[0]
            self._progress.update(task, completed=share, note=escape(note))
        elif time.monotonic() - self._last_line > _QUIET_SECONDS:
            self._last_line = time.monotonic()
            self._console.print(f"  [dim]{escape(self._name)} {share:.0%} {escape(note)}[/]")

    def done(self, summary: str) -> None:
        """End the stage with a line on what it did."""
        self._stop()
        seconds = time.monotonic() - self._begun
        self._console.print(
            f"[green]✓[/] {escape(self._name):<20} {escape(summary)} [dim]({seconds:.1f} s)[/]",
            highlight=False,
        )

    def warn(self, message: str) -> None:
        """Tell of something that went wrong without stopping the cycle."""
        self._console.print(f"[yellow]![/] {escape(message)}", highlight=False)

    def _stop(self) -> None:
        if self._progress is not None:
            self._progress.stop()
            self._progress = None
