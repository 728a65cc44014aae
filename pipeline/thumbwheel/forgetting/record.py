"""What had been trained on the forgotten: a record that holds no word of them.

It lies under the hash that they are remembered by. As it is written before anything is removed, it
outlives a kill; and whoever forgets the same once more is told again.
"""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path

from pydantic import TypeAdapter, ValidationError

from thumbwheel.errors import DataError
from thumbwheel.process.durable import write_text

__all__ = ["Record", "TrainedOn", "read_record", "write_record"]


@dataclass(frozen=True, slots=True)
class TrainedOn:
    """A dataset that rested on the forgotten, and what was trained on it.

    Attributes:
        cycle_id: The cycle that made it.
        digest: The dataset, as models name it; None where the cycle did not get so far.
        n_pairs: How many of its pairs went.
        version: The registered model version, or None where none was registered.
    """

    cycle_id: str
    digest: str | None
    n_pairs: int
    version: str | None


@dataclass(frozen=True, slots=True)
class Record:
    """What had been trained on something forgotten.

    `stale` are the cycles whose pages in MLflow are still to be replaced.
    """

    datasets: Mapping[str, TrainedOn] = field(default_factory=dict)
    stale: frozenset[str] = frozenset()

    def joined(self, found: Mapping[str, TrainedOn]) -> "Record":
        """Return the record with what was found now; what a killed run removed stays counted."""
        datasets = dict(self.datasets)
        for cycle_id, now in found.items():
            before = datasets.get(cycle_id)
            if before is None or now.n_pairs >= before.n_pairs:
                datasets[cycle_id] = now
        return Record(datasets, self.stale | found.keys())


def read_record(path: Path) -> Record:
    """Return the record, an empty one where there is none.

    Raises:
        DataError: It cannot be read.
    """
    try:
        return TypeAdapter(Record).validate_json(path.read_bytes())
    except FileNotFoundError:
        return Record()
    except ValidationError as error:
        raise DataError(f"{path} cannot be read; remove it, and run this again") from error


def write_record(path: Path, record: Record) -> None:
    """Keep the record, whole or not at all."""
    values = asdict(record) | {"stale": sorted(record.stale)}
    write_text(path, json.dumps(values, indent=2, default=dict) + "\n")
