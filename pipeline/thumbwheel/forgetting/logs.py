"""The logs that connectors keep: which of their records are about the forgotten."""

from collections.abc import Sequence
from typing import Any

import pyarrow as pa

from thumbwheel.config import Config, SourceConfig
from thumbwheel.events import IDENTIFIED, MalformedRecordError
from thumbwheel.ingest import parser_for
from thumbwheel.ingest.pipeline import process
from thumbwheel.plugin import load_connector
from thumbwheel.plugin.host import Plugins
from thumbwheel.store import Forgotten
from thumbwheel.types import ForgettingConnector

__all__ = ["RecordFilter", "logged_sources"]


def logged_sources(config: Config) -> list[tuple[SourceConfig, ForgettingConnector]]:
    """Return the sources that keep a log of their own.

    Raises:
        ConfigError: A connector is unknown, or an option is wrong.
    """
    loaded = [(source, load_connector(source, config.base_dir)) for source in config.sources]
    return [
        (source, connector)
        for source, connector in loaded
        if isinstance(connector, ForgettingConnector)
    ]


class RecordFilter:
    """Flags the raw records of a source that are about somebody or something forgotten.

    A record is read as it would be stored: a plugin may have given the rater another id.

    Args:
        source: Whose records.
        config: The whole configuration.
        plugins: Whose `process_events` see every event.
        forgotten: Who was forgotten.
    """

    def __init__(
        self, source: SourceConfig, config: Config, plugins: Plugins, forgotten: Forgotten
    ) -> None:
        self._parser = parser_for(source, config.base_dir)
        self._plugins, self._forgotten = plugins, forgotten

    def __call__(self, raws: Sequence[bytes]) -> list[bool]:
        """Return a flag for each record."""
        rows = [self._read(raw) for raw in raws]
        events = pa.Table.from_pylist([row for row in rows if row is not None], IDENTIFIED)
        processed = process(events, self._plugins).events
        kept = set(self._forgotten.screen(processed)["event_id"].to_pylist())
        gone = set(processed["event_id"].to_pylist()) - kept
        return [
            self._forgotten.is_named_in(raw)
            if row is None
            else row["event_id"] in gone
            or self._forgotten.has("rater", row["rater_id"])
            or self._forgotten.has("generation", row["generation_id"])
            for raw, row in zip(raws, rows, strict=True)
        ]

    def _read(self, raw: bytes) -> dict[str, Any] | None:
        try:
            return self._parser.parse(raw)
        except MalformedRecordError:
            return None
