"""Exports of other tools, read as an operator would: configuration, file connector, store."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import duckdb
import pyarrow.parquet as pq
from storing import Quiet

from thumbwheel.config import Config, SourceConfig, VotePolicy
from thumbwheel.events import EventParser
from thumbwheel.ingest import ingest_all
from thumbwheel.plugin import PluginManager, load_mapping
from thumbwheel.store import RATED_FILE, Store
from thumbwheel.types import SourceCounts

SAMPLES = Path(__file__).parent / "samples"


@dataclass(frozen=True)
class Stored:
    """What a store holds of an export.

    `rated` tells (the last message of the prompt, completion, ups, downs), sorted; `events` are
    all columns of the events in order of arrival; `reasons` are those of the dead letters.
    """

    counts: SourceCounts
    rated: Sequence[tuple[str, str, float, float]]
    events: Sequence[Mapping[str, Any]]
    reasons: Sequence[str]
    parked: int


def store_export(
    folder: Path, export: Path | Sequence[Mapping[str, Any]], mapping: str | dict[str, Any]
) -> Stored:
    """Read a file, or records written to one, with a mapping; return what the store holds."""
    if not isinstance(export, Path):
        path = folder / "export.jsonl"
        path.write_text("".join(json.dumps(record) + "\n" for record in export))
        export = path
    config = Config.model_validate(
        {
            "project": "p",
            "home": str(folder / "home"),
            "model": {"path": str(folder / "model")},
            "sources": [
                {
                    "name": "export",
                    "connector": "file",
                    "options": {"path": str(export)},
                    "mapping": mapping,
                }
            ],
            "plugins": [{"use": "best_worst"}],
        }
    )
    with Store(config.layout.store) as store:
        plugins = PluginManager(config.plugins, folder)
        (counts,) = ingest_all(config, plugins, store, Quiet())
        snapshot = store.snapshot(folder / "rated", VotePolicy())
        reasons = [reason for reason, _, _ in store.dead_letter_reasons(100)]
    rated = pq.read_table(snapshot.path / RATED_FILE).to_pylist()
    with duckdb.connect(str(config.layout.store)) as connection:
        events = connection.sql("SELECT * FROM events ORDER BY arrival").to_arrow_table()
    return Stored(
        counts,
        sorted(
            (row["prompt"][-1]["content"], row["completion"], row["n_up"], row["n_down"])
            for row in rated
            if row["n_up"] + row["n_down"]
        ),
        events.to_pylist(),
        reasons,
        snapshot.votes.parked,
    )


def parser(mapping: str | dict[str, Any]) -> EventParser:
    """Return the parser of a source with this mapping."""
    return EventParser(
        load_mapping(SourceConfig(name="s", connector="file", mapping=mapping), Path())
    )


def parse(mapping: str | dict[str, Any], record: Mapping[str, Any]) -> dict[str, Any] | None:
    """Return what one record becomes."""
    return parser(mapping).parse(json.dumps(record).encode())


def event_of(mapping: str | dict[str, Any], record: Mapping[str, Any]) -> dict[str, Any]:
    """Return the event that one record becomes; fails where it is ignored."""
    event = parse(mapping, record)
    assert event is not None
    return event
