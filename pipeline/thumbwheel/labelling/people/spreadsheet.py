"""A table for any spreadsheet: one row a task, to fill in the ranks or which answer is better."""

import csv
import io
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from thumbwheel.errors import InputError
from thumbwheel.labelling.people.rankings import Ranking, chosen
from thumbwheel.labelling.people.tasks import Task, shown_prompt

__all__ = ["read_spreadsheet", "write_comparisons", "write_spreadsheet"]

_FORMULA = ("=", "+", "-", "@", "\t", "\r")
_LONGEST_CELL = 1 << 20
_BETTER = "better"


def write_spreadsheet(directory: Path, tasks: Sequence[Task]) -> list[Path]:
    """Write `tasks.csv`: 1 is the best rank, and equal ranks are a tie."""
    numbers = range(1, max(len(task.answers) for task in tasks) + 1)
    names = ["task_id", "annotator", *(f"rank_{n}" for n in numbers), "prompt"]
    rows = ([task.task_id, "", *[""] * len(numbers), *_texts(task)] for task in tasks)
    return [_write(directory / "tasks.csv", [*names, *(f"answer_{n}" for n in numbers)], rows)]


def write_comparisons(directory: Path, tasks: Sequence[Task], rubric: str) -> list[Path]:
    """Write `tasks.csv` for tasks of two answers: `better` is to say 1, 2 or tie."""
    names = ["task_id", "annotator", _BETTER, "prompt", "answer_1", "answer_2", "rubric"]
    rows = ([task.task_id, "", "", *_texts(task), _inert(rubric)] for task in tasks)
    return [_write(directory / "tasks.csv", names, rows)]


def _write(path: Path, names: Sequence[str], rows: Iterable[Sequence[str]]) -> Path:
    # With a byte order mark, which spreadsheets need to see that it is UTF-8.
    with path.open("w", encoding="utf-8-sig", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(names)
        writer.writerows(rows)
    return path


def _texts(task: Task) -> list[str]:
    texts = [shown_prompt(task.prompt), *(answer.completion for answer in task.answers)]
    return [_inert(text) for text in texts]


def _inert(text: str) -> str:
    """Return a text that no spreadsheet takes for a formula; texts are not read back."""
    return f"'{text}" if text.startswith(_FORMULA) else text


def read_spreadsheet(content: bytes) -> Iterator[Ranking]:
    """Yield the rankings in a filled table, one for each row in which there is a rank.

    Raises:
        InputError: It is no such table.
    """
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise InputError("the table is not UTF-8 text; save it as CSV UTF-8") from error
    header = text.partition("\n")[0]
    delimiter = max(",;\t", key=header.count)
    csv.field_size_limit(_LONGEST_CELL)
    reader = csv.DictReader(io.StringIO(text, newline=""), delimiter=delimiter, restval="")
    names = reader.fieldnames or []
    ranked = [name for name in names if name.startswith("rank_")]
    if "task_id" not in names or not (ranked or _BETTER in names):
        raise InputError(
            f"the table has the columns {', '.join(names)[:80] or 'none'}; it needs task_id, "
            "annotator and rank_1, rank_2, ... or better, as in the tasks.csv that was written"
        )
    try:
        for row in reader:
            task_id, annotator = row["task_id"].strip(), row.get("annotator", "").strip() or None
            if not ranked:
                if said := row[_BETTER].strip():
                    yield chosen(task_id, annotator, said.removesuffix(".0"))
                continue
            ranks = [(name.replace("rank_", "answer_"), row[name].strip()) for name in ranked]
            if any(rank for _, rank in ranks):
                read = [(label, _rank(rank)) for label, rank in ranks if rank]
                yield Ranking(task_id, annotator, read)
    except csv.Error as error:
        raise InputError(f"line {reader.line_num} of the table cannot be read: {error}") from error


def _rank(cell: str) -> int | None:
    """Return the rank in a cell, which some programs write as 1.0; None where it is none."""
    whole = cell.removesuffix(".0")
    return int(whole) if whole.isascii() and whole.isdigit() and len(whole) < 10 else None
