"""One source's records on their way into the store: read, parse, commit, acknowledge.

The three kinds of work overlap: while a batch is committed, the next is parsed and the one after it
read. Batches are committed in the order they were read, each with its cursor in one transaction,
and only then acknowledged upstream, by the thread that reads.
"""

import json
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import CancelledError, Future, ThreadPoolExecutor
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Self

import pyarrow as pa
from opentelemetry import trace

from thumbwheel.config import SourceConfig
from thumbwheel.errors import ConfigError
from thumbwheel.events import IDENTIFIED, EventParser, Malformed, ParsedBatch, text_identity
from thumbwheel.events.parallel import Parsing
from thumbwheel.ingest.received import keeping
from thumbwheel.plugin import load_connector, load_mapping, load_rules
from thumbwheel.plugin.host import Plugins
from thumbwheel.store import DeadLetter, Store
from thumbwheel.tables import COUNTS_KEY, DEAD_LETTERS, EVENTS
from thumbwheel.types import (
    Batch,
    Connector,
    EventLog,
    GatheringConnector,
    Lag,
    SourceCounts,
)

__all__ = [
    "SourcePipeline",
    "StoredBatch",
    "connector_for",
    "noted",
    "parser_for",
    "process",
    "process_letters",
]

_BATCHES_IN_FLIGHT = 6

# Who counted, beside plugins.
_MAPPING = "mapping"

_Committed = tuple[SourceCounts, Sequence[Malformed]]

_tracer = trace.get_tracer("thumbwheel.ingest")


@dataclass(frozen=True, slots=True)
class StoredBatch:
    """One committed batch: what became of its records, and what is left behind it.

    `seconds` is the time from when it had been read to when it was acknowledged; `malformed`
    are its dead letters.
    """

    counts: SourceCounts
    malformed: Sequence[Malformed]
    progress: float
    lag: Lag
    seconds: float


def parser_for(source: SourceConfig, base_dir: Path) -> EventParser:
    """Return the parser of a source's records.

    Raises:
        ConfigError: Its mapping is unknown or an option of it is wrong.
    """
    return EventParser(load_mapping(source, base_dir), load_rules(source, base_dir))


def connector_for(source: SourceConfig, base_dir: Path, parser: EventParser) -> Connector:
    """Return the connector of a source; it gathers what the parser wants as one.

    Raises:
        ConfigError: It is unknown, an option of it is wrong, or it cannot gather.
    """
    connector = load_connector(source, base_dir)
    if parser.thread is None:
        return connector
    if not isinstance(connector, GatheringConnector):
        raise ConfigError(
            f"source {source.name!r}: only files can be read by `thread`, not "
            f"{source.connector!r}; send each vote with its whole conversation"
        )
    return connector.gather(parser.thread)


class SourcePipeline:
    """Reads one source into the store.

    Args:
        source: Its configuration.
        store: The opened store.
        plugins: Whose `process_events` see every event.
        base_dir: What relative paths are relative to.
        parsing: Where batches are parsed.

    Raises:
        ConfigError: The connector or mapping is unknown, or an option of it is wrong.
    """

    def __init__(
        self,
        source: SourceConfig,
        store: Store,
        plugins: Plugins,
        base_dir: Path,
        parsing: Parsing,
    ) -> None:
        self.name, self._namespace = source.name, source.id_namespace
        self.parser = parser_for(source, base_dir)
        self.keep = keeping(plugins, self.parser)
        self.connector = connector_for(source, base_dir, self.parser)
        self._batch_size = source.batch_size
        self._store, self._plugins, self._parsing = store, plugins, parsing

    @contextmanager
    def open(self) -> Iterator[EventLog]:
        """Open the source behind what is stored of it.

        Raises:
            SourceError: It cannot be read as configured.
            UnavailableError: It does not answer.
        """
        self._store.adopt_namespace(self.name, self._namespace)
        with closing(self.connector.open(self._store.cursor(self.name))) as log:
            yield log

    def read_round(
        self,
        log: EventLog,
        stored: Callable[[StoredBatch], None],
        keep_on: Callable[[], bool] = lambda: True,
    ) -> None:
        """Read until the source is caught up, or `keep_on` says no; all that was read is stored.

        Args:
            log: What `open` gave.
            stored: Called after each commit.
            keep_on: Asked before each read.

        Raises:
            SourceError, UnavailableError: The source failed; what was read before is stored.
            PluginError: A plugin failed; nothing of its batch or behind it is stored.
            DiskFullError, DamagedStoreError: The store failed; nothing more is stored.
        """
        commits = _Commits(self._commit)
        flight: deque[tuple[Batch, float, Future[_Committed]]] = deque()

        def land() -> None:
            batch, begun, commit = flight.popleft()
            try:
                counts, malformed = commit.result()
            except BaseException:
                # Those behind it are not tried: a cursor must never be stored over a gap.
                flight.clear()
                raise
            log.acknowledge(batch.cursor)
            seconds = time.monotonic() - begun
            stored(StoredBatch(counts, malformed, batch.progress, batch.lag, seconds))

        with commits:
            try:
                while keep_on() and (batch := log.poll(self._batch_size)) is not None:
                    begun = time.monotonic()
                    parsing = self._parsing.submit(self.parser, [r.raw for r in batch.records])
                    flight.append((batch, begun, commits.submit(batch, parsing)))
                    while flight and (len(flight) > _BATCHES_IN_FLIGHT or flight[0][2].done()):
                        land()
            finally:
                # A source that breaks has handed out good batches before.
                while flight:
                    land()

    def _commit(self, batch: Batch, parsing: "Future[ParsedBatch]") -> "_Committed":
        with _tracer.start_as_current_span("ingest.batch") as span:
            span.set_attribute("source", self.name)
            span.set_attribute("records", len(batch.records))
            parsed = parsing.result()
            letters = [
                DeadLetter(batch.records[index].position, batch.records[index].raw, reason)
                for index, reason, *_ in parsed.malformed
            ]
            processed = process(parsed.events, self._plugins)
            counts = self._store.append(
                self.name,
                processed.events,
                process_letters(letters, self._plugins),
                plugin_counts={**processed.counts, **noted(parsed)},
                cursor=batch.cursor,
                received=parsed.received,
                now=datetime.now(UTC),
                namespace=self._namespace,
            )
        return counts, parsed.malformed


def noted(parsed: ParsedBatch) -> Mapping[str, Mapping[str, int]]:
    """Return what the mapping has to tell of a batch, counted as plugins count."""
    return {_MAPPING: parsed.notes} if parsed.notes else {}


class _Commits:
    """Commits batches one after the other in a thread of its own, until one fails."""

    def __init__(self, commit: Callable[[Batch, "Future[ParsedBatch]"], "_Committed"]) -> None:
        self._failed = False
        self._commit = commit
        self._thread = ThreadPoolExecutor(1, "commit")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self._thread.shutdown(cancel_futures=True)

    def submit(self, batch: Batch, parsing: "Future[ParsedBatch]") -> "Future[_Committed]":
        return self._thread.submit(self._run, batch, parsing)

    def _run(self, batch: Batch, parsing: "Future[ParsedBatch]") -> "_Committed":
        if self._failed:
            raise CancelledError
        try:
            return self._commit(batch, parsing)
        except BaseException:
            self._failed = True
            raise


@dataclass(frozen=True, slots=True)
class Processed:
    """Events as plugins have left them, and what each plugin counted: name -> what -> how many."""

    events: pa.Table
    counts: Mapping[str, Mapping[str, int]]


def process(events: pa.Table, plugins: Plugins) -> Processed:
    """Let the plugins change events (`events.IDENTIFIED`) before they are stored."""
    if not plugins.has("process_events"):
        return Processed(events, {})
    processed = plugins.process_events(events.select(EVENTS.names))
    counts = json.loads(processed.schema.metadata[COUNTS_KEY])
    # Prompts and completions are named anew, because a plugin may have changed their texts.
    identities = [
        text_identity(prompt, completion) if completion is not None else (None, None)
        for prompt, completion in zip(
            processed["prompt"].to_pylist(), processed["completion"].to_pylist(), strict=True
        )
    ]
    for index, name in enumerate(("prompt_id", "completion_id")):
        column = pa.array([pair[index] for pair in identities], pa.string())
        processed = processed.append_column(IDENTIFIED.field(name), column)
    return Processed(processed, counts)


def process_letters(letters: Sequence[DeadLetter], plugins: Plugins) -> Sequence[DeadLetter]:
    """Let the plugins change unreadable records before they are kept."""
    if not letters or not plugins.has("process_dead_letters"):
        return letters
    rows = [(letter.raw, letter.reason) for letter in letters]
    columns = [list(column) for column in zip(*rows, strict=True)]
    processed = plugins.process_dead_letters(pa.table(columns, schema=DEAD_LETTERS))
    return [
        replace(letter, **changed)
        for letter, changed in zip(letters, processed.to_pylist(), strict=True)
    ]
