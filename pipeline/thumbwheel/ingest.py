"""Ingestion: from a connector's records to stored events, exactly once."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa

from thumbwheel.config import Config, SourceConfig
from thumbwheel.events import EventParser, MalformedRecordError, text_identity
from thumbwheel.manager import PluginManager, load_connector, load_mapping
from thumbwheel.store import IDENTIFIED, DeadLetter, SourceCounts, Store
from thumbwheel.tables import EVENTS
from thumbwheel.types import Batch, Observer

__all__ = ["ingest_all", "parser_for"]


def ingest_all(config: Config, plugins: PluginManager, observer: Observer) -> list[SourceCounts]:
    """Read every source until it is caught up; return what this run received from each.

    Every batch is committed together with its cursor before the next is read, and only then
    acknowledged upstream.

    Raises:
        BusyError: Another process holds the store.
        SourceError: A source cannot be read as configured.
        UnavailableError: A source does not answer.
        PluginError: A `process_events` plugin failed; nothing of its batch was stored.
    """
    received = []
    with Store(config.store_path) as store:
        for source in config.sources:
            observer.stage(f"ingest {source.name}")
            counts = _ingest_source(store, source, plugins, config.base_dir, observer)
            parts = [f"{counts.received:,} records: {counts.stored:,} new"]
            parts += [f"{counts.duplicates:,} seen before"] if counts.duplicates else []
            parts += [f"{counts.dead_letters:,} unreadable"] if counts.dead_letters else []
            parts += [f"{counts.dropped:,} dropped by a plugin"] if counts.dropped else []
            observer.done(", ".join(parts))
            received.append(counts)
    return received


def _ingest_source(
    store: Store,
    source: SourceConfig,
    plugins: PluginManager,
    base_dir: Path,
    observer: Observer,
) -> SourceCounts:
    parser = parser_for(source, base_dir)
    log = load_connector(source, base_dir).open(store.cursor(source.name))
    counts = SourceCounts(source.name, 0, 0, 0, 0, 0)
    try:
        while (batch := log.poll(source.batch_size)) is not None:
            events, dead_letters = _parse(batch, parser)
            if plugins.has("process_events"):
                events = _identify(plugins.process_events(events.select(EVENTS.names)))
            added = store.append(
                source.name,
                events,
                dead_letters,
                cursor=batch.cursor,
                received=len(batch.records),
                now=datetime.now(UTC),
            )
            log.acknowledge(batch.cursor)
            counts += added
            observer.progress(batch.progress, f"{counts.received:,} records")
    finally:
        log.close()
    return counts


def parser_for(source: SourceConfig, base_dir: Path) -> EventParser:
    """Return the parser of a source's records."""
    return EventParser(load_mapping(source, base_dir))


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
