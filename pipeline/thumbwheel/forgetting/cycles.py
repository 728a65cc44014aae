"""What cycles keep on disk: snapshots, datasets, lineage, samples of evaluations.

Of a cycle that has finished, everything stays but the rows and samples that tell of the forgotten;
the dataset keeps its digest, by which models name it. A cycle that has not finished goes whole: to
go on with it would train on what was forgotten.
"""

import json
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from thumbwheel.cycle.journal import CycleJournal
from thumbwheel.errors import DataError
from thumbwheel.forgetting.parquet import Identities, matching, remove_rows
from thumbwheel.forgetting.record import TrainedOn
from thumbwheel.forgetting.traces import Traces
from thumbwheel.home import Layout
from thumbwheel.pairs.dataset import MANIFEST, PART_FILES
from thumbwheel.process.durable import write_text

__all__ = ["TouchedCycle", "clear_cycle", "clear_leavings", "find_touched"]


@dataclass(frozen=True, slots=True)
class TouchedCycle:
    """A cycle whose files tell of the forgotten.

    `identities` are those of the traces, and of the pairs that rest on them.
    """

    path: Path
    is_finished: bool
    trained: TrainedOn
    identities: Identities


def find_touched(layout: Layout, traces: Traces) -> Iterator[TouchedCycle]:
    """Find the cycles whose files tell of the forgotten.

    Raises:
        DataError: A file cannot be read.
    """
    for path in sorted(layout.cycles.glob("[!.]*/")):
        files = _tables(path)
        rows = {file: matching(file, traces.columns, "pair_id") for file in files}
        pairs = {pair for found in rows.values() for pair in found if pair is not None}
        is_told = any(rows.values()) or any(
            _scrubbed(values, traces) != values for _, values in _objects(path)
        )
        if not is_told:
            continue
        journal = CycleJournal(path)
        dataset = journal.dataset
        n_pairs = sum(
            len(matching(dataset / file, {"pair_id": pairs}))
            for file in PART_FILES.values()
            if (dataset / file).exists()
        )
        trained = TrainedOn(
            path.name, _manifest(dataset).get("digest"), n_pairs, journal.read("registered", str)
        )
        identities = {**traces.columns, "pair_id": pairs}
        yield TouchedCycle(path, journal.report is not None, trained, identities)


def clear_cycle(cycle: TouchedCycle, traces: Traces) -> None:
    """Remove from a cycle's files what tells of the forgotten; killed, it can be called again.

    Raises:
        DataError: A file cannot be read.
    """
    if not cycle.is_finished:
        # At once, as far as anybody looks: half a cycle does not tell what it rests on.
        hidden = cycle.path.with_name(f".{cycle.path.name}")
        cycle.path.rename(hidden)
        shutil.rmtree(hidden)
        return
    # The lineage comes last: it tells which pairs rest on the forgotten.
    for file in sorted(_tables(cycle.path), key=lambda file: file.name == "lineage.parquet"):
        remove_rows(file, cycle.identities)
    for file, values in _objects(cycle.path):
        scrubbed = _scrubbed(values, traces)
        if scrubbed != values:
            _write_json(file, scrubbed)
    _note_removed(cycle.path / "dataset")


def clear_leavings(layout: Layout) -> None:
    """Remove what killed stages left behind, and what is only kept to save time."""
    shutil.rmtree(layout.pairing, ignore_errors=True)
    shutil.rmtree(layout.scratch, ignore_errors=True)
    # By convention a file is written under a hidden name before it takes its place.
    for path in [*layout.cycles.glob(".*"), *layout.cycles.glob("**/.*")]:
        if path.is_dir():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)


def _tables(path: Path) -> list[Path]:
    """Return the cycle's Parquet files, those that are still being written left out."""
    files = sorted(path.rglob("*.parquet"))
    return [
        file
        for file in files
        if not any(part.startswith(".") for part in file.relative_to(path).parts)
    ]


def _objects(path: Path) -> Iterator[tuple[Path, Any]]:
    """Yield the cycle's JSON files, those of its dataset included, with what they hold."""
    for file in sorted([*path.glob("*.json"), *path.glob("dataset/*.json")]):
        try:
            yield file, json.loads(file.read_text(encoding="utf-8"))
        except ValueError as error:
            raise DataError(f"{file} cannot be read; remove {path}, and run this again") from error


def _scrubbed(value: Any, traces: Traces) -> Any:
    """Return a value of JSON without the objects in its lists that tell of the forgotten.

    Texts of theirs are taken out of what is left: a model may have learnt them by heart.
    """
    if isinstance(value, dict):
        return {key: _scrubbed(item, traces) for key, item in value.items()}
    if isinstance(value, list):
        return [
            _scrubbed(item, traces)
            for item in value
            if not (isinstance(item, dict) and traces.tells(item))
        ]
    return traces.without(value) if isinstance(value, str) else value


def _manifest(dataset: Path) -> dict[str, Any]:
    try:
        manifest: dict[str, Any] = json.loads((dataset / MANIFEST).read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    return manifest


def _note_removed(dataset: Path) -> None:
    """Note in the manifest how many of the pairs that were written are no longer there."""
    manifest = _manifest(dataset)
    if not manifest:
        return
    left = sum(
        pq.read_metadata(dataset / file).num_rows
        for file in PART_FILES.values()
        if (dataset / file).exists()
    )
    # Earlier versions had no pairs for the judge.
    written = manifest["n_train"] + manifest.get("n_judge", 0) + manifest["n_eval"]
    forgotten = written - left
    if forgotten != manifest.get("forgotten_rows", 0):
        _write_json(dataset / MANIFEST, {**manifest, "forgotten_rows": forgotten})


def _write_json(path: Path, value: Any) -> None:
    write_text(path, json.dumps(value, indent=2, ensure_ascii=False) + "\n")
