"""The files of annotation: tasks for a tool, and events from what the tool exports."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from pydantic import ValidationError

from thumbwheel.errors import InputError
from thumbwheel.labelling.judgements import event_line
from thumbwheel.labelling.people.argilla import read_argilla, write_argilla
from thumbwheel.labelling.people.label_studio import (
    read_label_studio,
    write_label_studio,
    write_pairwise,
)
from thumbwheel.labelling.people.rankings import Ranking
from thumbwheel.labelling.people.spreadsheet import (
    read_spreadsheet,
    write_comparisons,
    write_spreadsheet,
)
from thumbwheel.labelling.people.tasks import Task
from thumbwheel.process.durable import write_bytes

__all__ = ["PairTool", "Tool", "read_rankings", "write_events", "write_for", "write_pairs_for"]

Tool = Literal["label-studio", "argilla", "csv"]
PairTool = Literal["label-studio", "csv"]

_WRITERS: Mapping[Tool, Callable[[Path, Sequence[Task]], list[Path]]] = {
    "label-studio": write_label_studio,
    "argilla": write_argilla,
    "csv": write_spreadsheet,
}
_PAIR_WRITERS: Mapping[PairTool, Callable[[Path, Sequence[Task], str], list[Path]]] = {
    "label-studio": write_pairwise,
    "csv": write_comparisons,
}
_LARGEST_EXPORT = 512 << 20


def write_for(tool: Tool, directory: Path, tasks: Sequence[Task]) -> list[Path]:
    """Write the tasks as a tool imports them; return what was written."""
    return _WRITERS[tool](directory, tasks)


def write_pairs_for(
    tool: PairTool, directory: Path, tasks: Sequence[Task], rubric: str
) -> list[Path]:
    """Write tasks of two answers, to compare by the rubric, as a tool imports them."""
    return _PAIR_WRITERS[tool](directory, tasks, rubric)


def read_rankings(path: Path) -> Iterator[Ranking]:
    """Yield the rankings in an export of Label Studio or Argilla, or in a filled table.

    Raises:
        InputError: The file cannot be read, or is none of these.
    """
    try:
        if path.stat().st_size > _LARGEST_EXPORT:
            raise InputError(
                f"{path} has more than {_LARGEST_EXPORT >> 20} MiB; export it in parts"
            )
        content = path.read_bytes()
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror}; name an exported file") from error
    if path.suffix.lower() in (".csv", ".tsv"):
        yield from read_spreadsheet(content)
        return
    # What is left out by one of the two is what the other requires.
    for read in (read_label_studio, read_argilla):
        try:
            rankings = list(read(content))
        except ValidationError:
            continue
        yield from rankings
        return
    raise InputError(
        f"{path} is no export that is known; export JSON from Label Studio, "
        "`dataset.records.to_json` from Argilla, or fill in the tasks.csv"
    )


def write_events(path: Path, events: Iterable[Mapping[str, Any]]) -> bool:
    """Write the events to a new file; return False when it holds just these already.

    Raises:
        InputError: It holds others. A source's file must not change once it was read.
    """
    content = b"".join(map(event_line, events))
    if path.exists():
        if path.read_bytes() == content:
            return False
        raise InputError(
            f"{path} holds other events already, and what a source has read may not change; "
            "give another name in the same folder"
        )
    write_bytes(path, content)
    return True
