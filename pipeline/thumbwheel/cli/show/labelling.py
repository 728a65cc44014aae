"""What the commands for annotation and for pairs by a model print."""

import json
from collections.abc import Mapping, Sequence
from fnmatch import fnmatch
from pathlib import Path
from typing import Literal

from rich.console import Console
from rich.text import Text

from thumbwheel.cli.show.tables import make_table, printable
from thumbwheel.config import Config, EndpointConfig, SourceConfig
from thumbwheel.endpoint import Usage, usd
from thumbwheel.labelling.model import Job, WritingReport, estimate_job
from thumbwheel.labelling.people import Compared, Drawn, Estimated, Imported, Made, Task, queue_name

__all__ = [
    "print_compared",
    "print_drawn",
    "print_imported",
    "print_jobs",
    "print_queue",
    "print_source",
    "print_tasks",
    "print_written",
]


def print_drawn(
    console: Console,
    drawn: Drawn,
    estimated: Estimated,
    endpoint: EndpointConfig | None,
    hourly_rate: float,
) -> None:
    """Print what the tasks will hold, and about what each and all of them cost."""
    n = len(drawn.prompts)
    n_there = n * drawn.n_completions - drawn.n_missing
    tokens = estimated.input_tokens + estimated.output_tokens
    written = usd(endpoint, estimated.input_tokens, estimated.output_tokens) if endpoint else 0.0
    read = estimated.reading_minutes / 60 * hourly_rate
    table = make_table(f"{n:,} tasks", "", numbers=["of each", "in all", "USD each", "USD in all"])
    for name, amount, cost in (
        ("answers that production gave", n_there, None),
        ("answers to write", drawn.n_missing, None),
        ("tokens to write them, about", tokens, written),
        ("minutes to read everything, about", estimated.reading_minutes, read),
    ):
        prices = ("", "") if cost is None else (f"{cost / n:,.4f}", f"{cost:,.2f}")
        table.add_row(name, f"{amount / n:,.1f}", f"{amount:,.0f}", *prices)
    table.add_section()
    table.add_row(
        "cost, about",
        "",
        "",
        f"{(written + read) / n:,.4f}",
        f"{written + read:,.2f}",
        style="bold",
    )
    console.print(table)


def print_tasks(console: Console, made: Made, files: Sequence[Path]) -> None:
    """Print what was written, and what is not as it was asked for."""
    console.print(f"Wrote {len(made.tasks):,} tasks:")
    for path in files:
        console.print(f"  {path}", markup=False, soft_wrap=True)
    _print_reasons(console, "Not as asked for", made.problems)


def print_compared(console: Console, compared: Compared, files: Sequence[Path]) -> None:
    """Print what was written to compare, and what was left out."""
    prompts = len({task.prompt_id for task in compared.tasks})
    more = f"; --n would take up to {compared.n_left:,} more" if compared.n_left else ""
    console.print(f"Wrote {len(compared.tasks):,} tasks of {prompts:,} prompts{more}:")
    for path in files:
        console.print(f"  {path}", markup=False, soft_wrap=True)
    _print_reasons(console, "Answers left out", compared.problems)


def print_queue(console: Console, settings: Config, tasks: Sequence[Task], page: str) -> None:
    """Print where the tasks can be compared in MLflow."""
    local = settings.tracking_uri.startswith("sqlite:")
    where = "`thumbwheel ui`, and there " if local else f"{settings.tracking_uri.rstrip('/')}/"
    console.print(
        f"The review queue {queue_name(tasks)}: {where}{page}", markup=False, soft_wrap=True
    )


def print_imported(console: Console, imported: Imported) -> None:
    """Print what became of the rankings."""
    ties = f" and {imported.n_ties:,} ties" if imported.n_ties else ""
    console.print(
        f"{imported.n_rankings:,} rankings with {imported.n_judgements:,} judgements{ties}"
    )
    _print_reasons(console, "Rankings left out", imported.skipped)


def print_jobs(
    console: Console, jobs: Sequence[Job], n_written: int, endpoint: EndpointConfig
) -> None:
    """Print what is to be written, by what is wrong with it, and about what it costs."""
    if n_written:
        console.print(f"{n_written:,} pairs are in the file already.")
    if not jobs:
        console.print("There is nothing to write.")
        return
    totals: dict[tuple[str, str], list[int]] = {}
    for job in jobs:
        side = "both sides" if job.kept is None else "rejected" if job.kept.liked else "chosen"
        row = totals.setdefault((side, job.mode.name if job.mode else "a better answer"), [0, 0, 0])
        for index, amount in enumerate((1, *estimate_job(job))):
            row[index] += amount
    totals = dict(sorted(totals.items()))
    totals["all", ""] = [sum(column) for column in zip(*totals.values(), strict=True)]
    numbers = ["pairs", "tokens in", "tokens out", "USD"]
    table = make_table("To write, about", "side", "failure mode", numbers=numbers)
    for (side, mode), (count, n_input, n_output) in totals.items():
        cost = usd(endpoint, n_input, n_output)
        cells = (f"{count:,}", f"{n_input:,}", f"{n_output:,}", f"{cost:,.2f}")
        table.add_row(side, Text(printable(mode)), *cells, style="bold" if side == "all" else None)
    console.print(table)


def print_written(console: Console, report: WritingReport, usage: Usage) -> None:
    """Print what became of the requests, and what they took."""
    console.print(
        f"{usage.requests:,} answers took {usage.input_tokens:,} tokens in and "
        f"{usage.output_tokens:,} out: {usage.usd:,.2f} USD"
    )
    _print_reasons(console, "Not written", report.skipped)


def print_source(
    console: Console, settings: Config, out: Path, origin: Literal["annotators", "ai"]
) -> None:
    """Print what to add to the configuration, unless a source reads the file already."""
    path = out.resolve()
    for source in settings.sources:
        if _reads(source, path, settings.base_dir):
            if source.origin == origin:
                console.print(
                    f"The source {source.name!r} reads it; run `thumbwheel ingest`.", markup=False
                )
                return
            console.print(
                f'The source {source.name!r} reads it, but its origin is "{source.origin}": set '
                f'`origin = "{origin}"` there before you run `thumbwheel ingest`.',
                style="yellow",
                markup=False,
            )
            return
    shown = path.relative_to(settings.base_dir) if path.is_relative_to(settings.base_dir) else path
    block = (
        f'[[sources]]\nname = "{origin}"\nconnector = "file"\norigin = "{origin}"\n'
        f"options.path = {json.dumps(shown.as_posix(), ensure_ascii=False)}"
    )
    console.print("No source reads it yet. Add one to the configuration:\n")
    console.print(block, markup=False, soft_wrap=True)
    console.print("\nThen run `thumbwheel ingest`, or restart `thumbwheel serve`.")


def _reads(source: SourceConfig, path: Path, base_dir: Path) -> bool:
    pattern = source.options.get("path")
    if source.connector != "file" or not isinstance(pattern, str) or "://" in pattern:
        return False
    whole = base_dir / Path(pattern).expanduser()
    return (
        path in (whole, whole.resolve())
        or path.parent == whole.resolve()
        or fnmatch(str(path), str(whole))
    )


def _print_reasons(console: Console, title: str, reasons: Mapping[str, int]) -> None:
    if not reasons:
        return
    table = make_table(title, "why", numbers=["how many"])
    for reason, count in sorted(reasons.items(), key=lambda item: -item[1]):
        table.add_row(Text(printable(reason)), f"{count:,}")
    console.print(table)
