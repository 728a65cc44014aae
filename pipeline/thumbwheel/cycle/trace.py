"""Where pairs, events and datasets went: looked up in the datasets of all cycles."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from thumbwheel.cycle.journal import CycleJournal, list_cycles
from thumbwheel.errors import DataError
from thumbwheel.home import Layout
from thumbwheel.pairs.dataset import PART_FILES, read_manifest
from thumbwheel.pairs.lineage import LINEAGE
from thumbwheel.types import DatasetManifest, Part

__all__ = ["PARTS", "Trace", "Use", "find_dataset", "find_traces"]

PARTS: Mapping[Part, str] = {
    Part.TRAIN: "training",
    Part.JUDGE: "judge's",
    Part.HELD_OUT: "held-out",
}
"""What the pairs of a dataset's parts are called."""

_SHORTEST_DIGEST = 6


@dataclass(frozen=True, slots=True)
class Use:
    """One vote in one pair of a dataset; see `lineage.LINEAGE`."""

    pair_id: str
    part: Part
    event_id: str
    rater: str
    role: str


@dataclass(frozen=True, slots=True)
class Trace:
    """A dataset that holds what was looked for, and what was made of it.

    Attributes:
        cycle_id: The cycle that made the dataset.
        manifest: The dataset's manifest: its digest, the snapshot's, plugins, configuration.
        model_version: The model version trained on it, or None when none was registered.
        pairs: The part of each pair that was found, by its id; none where the dataset was named.
        uses: The votes behind a pair, or the pairs that rest on an event.
    """

    cycle_id: str
    manifest: DatasetManifest
    model_version: str | None
    pairs: Mapping[str, Part]
    uses: Sequence[Use]


def find_traces(layout: Layout, name: str) -> list[Trace]:
    """Return the datasets that hold a pair or an event, or that are named, the latest first.

    Args:
        layout: The project's files.
        name: A pair's id, an event's id, or a dataset's digest or at least six digits of it.
    """
    traces = (_trace(journal, name) for journal in list_cycles(layout))
    return [trace for trace in traces if trace is not None]


def find_dataset(layout: Layout, cycle_id: str) -> Path:
    """Return the directory of a cycle whose id begins with `cycle_id` and that made a dataset.

    Args:
        layout: The project's files.
        cycle_id: `latest` is the latest one.

    Raises:
        DataError: There is none, or more than one.
    """
    cycles = [journal.path for journal in list_cycles(layout) if journal.dataset.is_dir()]
    if cycle_id == "latest":
        found = cycles[:1]
    else:
        found = [path for path in cycles if path.name.startswith(cycle_id)]
    if len(found) != 1:
        known = ", ".join(path.name for path in cycles[:5]) or "none yet"
        count = "more than one cycle" if found else "no cycle"
        raise DataError(
            f"there is {count} {cycle_id!r} with a dataset in {layout.home}; the latest are: "
            f"{known}. `thumbwheel cycle` makes one"
        )
    return found[0]


def _trace(journal: CycleJournal, name: str) -> Trace | None:
    folder = journal.dataset
    if not folder.is_dir():
        return None
    manifest = read_manifest(folder)
    version = journal.read("registered", str)
    if len(name) >= _SHORTEST_DIGEST and manifest.digest.startswith(name):
        return Trace(journal.path.name, manifest, version, {}, ())
    lineage = _lineage(folder, name)
    wanted = pa.array({name, *lineage["pair_id"].to_pylist()}, pa.string())
    pairs = {
        pair_id: part
        for part, file in PART_FILES.items()
        if (folder / file).exists()
        for pair_id in _among(folder / file, wanted)
    }
    if not pairs:
        return None
    uses = [Use(part=pairs[row["pair_id"]], **row) for row in lineage.to_pylist()]
    return Trace(journal.path.name, manifest, version, pairs, uses)


def _lineage(folder: Path, name: str) -> pa.Table:
    path = folder / "lineage.parquet"
    if not path.exists():
        return LINEAGE.empty_table()
    is_named = (pc.field("pair_id") == name) | (pc.field("event_id") == name)
    return pq.read_table(path, filters=is_named)


def _among(path: Path, wanted: pa.Array) -> list[str]:
    ids = pq.read_table(path, columns=["pair_id"])["pair_id"]
    found: list[str] = ids.filter(pc.is_in(ids, wanted)).to_pylist()
    return found
