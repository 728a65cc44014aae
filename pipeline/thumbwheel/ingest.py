"""Ingestion: from a connector's records to stored events, exactly once."""

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa

from thumbwheel.config import MappingConfig, SourceConfig
from thumbwheel.events import EventParser, KeyMapping, MalformedRecordError, text_identity
from thumbwheel.manager import PluginManager, load_connector
from thumbwheel.store import IDENTIFIED, DeadLetter, SourceCounts, Store
from thumbwheel.tables import EVENTS
from thumbwheel.types import Batch

__all__ = ["Progress", "ingest_source", "parser_for"]

Progress = Callable[[float, SourceCounts], None]
"""Called after every commit with the share read so far, in [0, 1], and this run's counts."""

_FIELDS_BY_OPTION = {
    "prompt": "prompt",
    "completion": "completion",
    "rating": "rating",
    "rater": "rater_id",
    "event_id": "event_id",
    "generation_id": "generation_id",
    "model_version": "model_version",
    "comment": "comment",
    "correction": "correction",
    "comparison_id": "comparison_id",
    "occurred_at": "occurred_at",
}


def ingest_source(
    store: Store,
    source: SourceConfig,
    plugins: PluginManager,
    *,
    base_dir: Path,
    progress: Progress,
) -> SourceCounts:
    """Read a source until it is caught up; return what this run received.

    Every batch is committed together with its cursor before the next is read, and only then
    acknowledged upstream.

    Raises:
        SourceError: The source cannot be read as configured.
        UnavailableError: The source does not answer.
        PluginError: A `process_events` plugin failed; nothing of its batch was stored.
    """
    parser = parser_for(source.mapping)
    log = load_connector(source, base_dir).open(store.cursor(source.name))
    counts = SourceCounts(source.name, 0, 0, 0, 0, 0)
    try:
        while (batch := log.poll(source.batch_size)) is not None:
            events, dead_letters = _parse(batch, parser)
            kept = plugins.process_events(events.select(EVENTS.names))
            if plugins.has("process_events"):
                events = _identify(kept)
            stored = store.append(
                source.name,
                events,
                dead_letters,
                cursor=batch.cursor,
                received=len(batch.records),
                dropped=len(batch.records) - len(dead_letters) - len(events),
                now=datetime.now(UTC),
            )
            log.acknowledge(batch.cursor)
            counts = SourceCounts(
                source.name,
                counts.received + len(batch.records),
                counts.stored + stored,
                counts.duplicates + len(events) - stored,
                counts.dead_letters + len(dead_letters),
                counts.dropped + len(batch.records) - len(dead_letters) - len(events),
            )
            progress(batch.progress, counts)
    finally:
        log.close()
    return counts


def parser_for(mapping: MappingConfig | None) -> EventParser:
    """Return the parser of a source's records."""
    if mapping is None:
        return EventParser()
    keys = {
        field: key
        for option, field in _FIELDS_BY_OPTION.items()
        if (key := getattr(mapping, option)) is not None
    }
    return EventParser(
        KeyMapping(
            keys,
            up=mapping.up,
            down=mapping.down,
            withdrawn=mapping.withdrawn,
            scale=(mapping.scale.down, mapping.scale.up) if mapping.scale else None,
            anonymous=mapping.anonymous,
            turns=mapping.turns,
        )
    )


def _parse(batch: Batch, parser: EventParser) -> tuple[pa.Table, list[DeadLetter]]:
    rows: list[dict[str, Any]] = []
    dead_letters: list[DeadLetter] = []
    for record in batch.records:
        try:
            rows.append(parser.parse(record.raw))
        except MalformedRecordError as error:
            dead_letters.append(DeadLetter(record.position, record.raw, str(error)))
    return pa.Table.from_pylist(rows, schema=IDENTIFIED), dead_letters


def _identify(events: pa.Table) -> pa.Table:
    """Name prompts and completions anew, after a plugin may have changed their texts."""
    identities = [
        text_identity(prompt, completion) if completion is not None else (None, None)
        for prompt, completion in zip(
            events["prompt"].to_pylist(), events["completion"].to_pylist(), strict=True
        )
    ]
    for index, name in enumerate(("prompt_id", "completion_id")):
        events = events.append_column(
            IDENTIFIED.field(name), pa.array([pair[index] for pair in identities], pa.string())
        )
    return events
