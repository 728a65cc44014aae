"""The mapping of a source: by name, a known tool's format, or tables of keys."""

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from thumbwheel.config import SourceConfig
from thumbwheel.errors import ConfigError
from thumbwheel.events.formats import FORMATS
from thumbwheel.events.mapping import EventMapping, KeyMapping, RecordMapping
from thumbwheel.events.readings import Readings
from thumbwheel.events.rules import ReadingRules
from thumbwheel.plugin.loading import MAPPINGS_GROUP, configure, did_you_mean, installed

__all__ = ["EVENTS", "load_mapping", "load_rules"]

EVENTS = "events"
"""The name of the mapping of records that are in Thumbwheel's own format."""

_RULES = tuple(field.name for field in dataclasses.fields(ReadingRules))


def load_mapping(source: SourceConfig, base_dir: Path) -> RecordMapping | None:
    """Return a source's mapping with its options; None when records are events as they are.

    Raises:
        ConfigError: The mapping is unknown or an option is wrong.
    """
    if source.mapping is None:
        return None
    name, tables = _tables(source)
    who = f"source {source.name!r}, mapping {name!r}"
    if len(tables) > 1:
        return Readings(
            tuple(
                (_configured(KeyMapping, table, who, base_dir), _rules(table, who, base_dir))
                for table in tables
            )
        )
    if name == EVENTS:
        own = any(key not in _RULES for key in tables[0])
        return _configured(EventMapping, tables[0], who, base_dir) if own else None
    points = installed(MAPPINGS_GROUP)
    cls = KeyMapping if name in FORMATS else points[name].load()
    mapping: RecordMapping = _configured(cls, tables[0], who, base_dir)
    return mapping


def load_rules(source: SourceConfig, base_dir: Path) -> ReadingRules:
    """Return the options that every mapping has, as a source sets them.

    Raises:
        ConfigError: One of them is wrong.
    """
    if source.mapping is None:
        return ReadingRules()
    name, tables = _tables(source)
    # Of several kinds of records each has its own conditions.
    shared = tables[0] if len(tables) == 1 else {**tables[-1], "where": {}}
    return _rules(shared, f"source {source.name!r}, mapping {name!r}", base_dir)


def _tables(source: SourceConfig) -> tuple[str, Sequence[Mapping[str, Any]]]:
    """Return the mapping's name, and the tables of options of each kind of record it reads."""
    given = source.mapping
    if isinstance(given, list):
        if not given:
            raise ConfigError(f"source {source.name!r}: its list of mappings is empty")
        return "keys", given
    options = {"use": given} if isinstance(given, str) else dict(given or {})
    name = options.pop("use", "keys")
    if not isinstance(name, str):
        raise ConfigError(f"source {source.name!r}: a mapping's `use` is a name, got {name!r:.80}")
    if name in FORMATS:
        return name, FORMATS[name].with_options(options)
    known = [*installed(MAPPINGS_GROUP), EVENTS, *FORMATS]
    if name not in known:
        raise ConfigError(
            f"source {source.name!r}: there is no mapping {name!r}{did_you_mean(name, known)}; "
            f"installed: {', '.join(sorted(known))}"
        )
    return name, [options]


def _configured(cls: type, table: Mapping[str, Any], who: str, base_dir: Path) -> Any:
    names = [f.name for f in dataclasses.fields(cls)] if dataclasses.is_dataclass(cls) else []
    own = {key: value for key, value in table.items() if key in names or key not in _RULES}
    return configure(cls, own, who, base_dir, ConfigError, also=_RULES)


def _rules(table: Mapping[str, Any], who: str, base_dir: Path) -> ReadingRules:
    shared = {key: value for key, value in table.items() if key in _RULES}
    rules: ReadingRules = configure(ReadingRules, shared, who, base_dir, ConfigError)
    return rules
