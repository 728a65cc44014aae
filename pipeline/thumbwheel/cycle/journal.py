"""What a cycle has done so far: one JSON file per finished stage in the cycle's directory.

A file is whole or absent. A cycle is resumed by asking for each stage's result: it is read where it
is there, and computed where not.
"""

import json
import os
import shutil
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, is_dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, TypeVar

from pydantic import TypeAdapter, ValidationError

from thumbwheel.errors import DataError
from thumbwheel.home import Layout
from thumbwheel.process.durable import write_text
from thumbwheel.types import CycleReport, DataReport

__all__ = ["CycleJournal", "CyclePlan", "find_report", "list_cycles"]

Result = TypeVar("Result")


@dataclass(frozen=True, slots=True)
class CyclePlan:
    """What a cycle is about: fixed when it begins.

    `shape` is a hash of everything but the data that shapes the candidate: configuration, base
    model, plugins. `champion` is the model version to beat, or None for the base. `recipe` is a
    hash of what trains it: the configuration's training and the base model; empty in cycles of
    earlier versions. `decides_again` is the cycle whose candidate it judges anew, if it does that.
    """

    cycle_id: str
    started_at: datetime
    shape: str
    snapshot: str
    champion: str | None
    data: DataReport
    recipe: str = ""
    decides_again: str | None = None


class CycleJournal:
    """A cycle's directory. `path.name` is the cycle's id."""

    def __init__(self, path: Path) -> None:
        self.path = path

    @property
    def snapshot(self) -> Path:
        """What raters held when the cycle began: a directory of `store.Snapshot`."""
        return self.path / "snapshot"

    @property
    def pairing(self) -> Path:
        """The candidate pairs, while the cycle makes them."""
        return self.path / "pairing"

    @property
    def dataset(self) -> Path:
        """The preference dataset: see `pairs.dataset`."""
        return self.path / "dataset"

    @property
    def training(self) -> Path:
        """The adapter, and checkpoints while training lasts."""
        return self.path / "training"

    @property
    def answers(self) -> Path:
        """What the models answered: a file of `tables.ANSWERS` for each."""
        return self.path / "answers"

    @property
    def plan(self) -> CyclePlan | None:
        """What the cycle is about, or None when it never got so far."""
        return self.read("plan", CyclePlan)

    @property
    def report(self) -> CycleReport | None:
        """The cycle's report, or None while it is unfinished."""
        return self.read("report", CycleReport)

    @property
    def failure(self) -> str | None:
        """Why the cycle cannot go on, or None."""
        failed: dict[str, str] | None = self.read("failed", dict[str, str])
        return failed["error"] if failed else None

    def begin(self, plan: CyclePlan, snapshot: Path) -> None:
        """Make the directory with the snapshot and the plan in it."""
        self.path.mkdir(parents=True, exist_ok=True)
        (self.path / "failed.json").unlink(missing_ok=True)
        shutil.rmtree(self.snapshot, ignore_errors=True)
        os.replace(snapshot, self.snapshot)
        self.write("plan", plan)

    def stage(self, name: str, kind: type[Result], compute: Callable[[], Result]) -> Result:
        """Return a stage's result: read when it has finished before, computed and kept if not."""
        result = self.read(name, kind)
        if result is None:
            begun = time.monotonic()
            result = compute()
            self.write("seconds", {**self.seconds(), name: round(time.monotonic() - begun, 3)})
            self.write(name, result)
        return result

    def seconds(self) -> dict[str, float]:
        """Return how long each stage took."""
        return self.read("seconds", dict[str, float]) or {}

    def read(self, name: str, kind: type[Result]) -> Result | None:
        """Return what was written under `name`, or None."""
        try:
            text = (self.path / f"{name}.json").read_text(encoding="utf-8")
        except FileNotFoundError:
            return None
        try:
            return TypeAdapter(kind).validate_python(json.loads(text, object_hook=_renamed))
        except (ValueError, ValidationError) as error:
            raise DataError(
                f"{self.path / name}.json cannot be read; remove {self.path} and run the cycle "
                f"again ({type(error).__name__})"
            ) from error

    def write(self, name: str, result: object) -> None:
        """Keep a result, whole or not at all."""
        values = asdict(result) if is_dataclass(result) and not isinstance(result, type) else result
        text = json.dumps(values, indent=2, ensure_ascii=False, default=str)
        write_text(self.path / f"{name}.json", text + "\n")


def _renamed(values: dict[str, Any]) -> dict[str, Any]:
    """Return metrics as they are called today: what is `margin_gain` now was `win_rate` once."""
    if not {"win_rate", "preference_accuracy"} <= values.keys() or "margin_gain" in values:
        return values
    return {
        "margin_gain" if name == "win_rate" else name: (
            {**metric, "name": "margin_gain"} if name == "win_rate" else metric
        )
        for name, metric in values.items()
    }


def list_cycles(layout: Layout) -> Sequence[CycleJournal]:
    """Return a project's cycles, the latest first."""
    journals = [
        (plan.started_at, journal)
        for path in sorted(layout.cycles.glob("*/"))
        if (plan := (journal := CycleJournal(path)).plan) is not None
    ]
    return [journal for _, journal in sorted(journals, key=lambda item: item[0], reverse=True)]


def find_report(layout: Layout, cycle_id: str) -> tuple[CycleJournal, CycleReport]:
    """Return the finished cycle whose id begins with `cycle_id`; `latest` is the latest.

    Raises:
        DataError: There is none, more than one, or it is unfinished.
    """
    cycles = list_cycles(layout)
    if cycle_id == "latest":
        found = [journal for journal in cycles if journal.report is not None][:1]
    else:
        found = [journal for journal in cycles if journal.path.name.startswith(cycle_id)]
    if len(found) != 1:
        known = ", ".join(journal.path.name for journal in cycles[:5]) or "none yet"
        count = "more than one cycle" if found else "no cycle"
        raise DataError(f"there is {count} {cycle_id!r} in {layout.home}; the latest are: {known}")
    (journal,) = found
    report = journal.report
    if report is None:
        raise DataError(
            f"the cycle {journal.path.name} has not finished; `thumbwheel cycle` goes on with it"
        )
    return journal, report
