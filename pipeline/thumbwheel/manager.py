"""Find, check, order and call plugins; find connectors.

Nothing loads by itself: the config lists plugins by entry-point name or as `path/to/file.py:Class`,
and they are called in that order. Whatever a plugin does wrong is a `PluginError` that names it.
"""

import dataclasses
import difflib
import hashlib
import importlib.util
import inspect
import json
import re
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from typing import Any, get_type_hints

import numpy as np
import pluggy
import pyarrow as pa
import pyarrow.compute as pc
from pydantic import TypeAdapter, ValidationError
from pydantic.dataclasses import is_pydantic_dataclass

from thumbwheel.config import PluginConfig, SourceConfig, describe_errors
from thumbwheel.errors import ConfigError, PluginError, ThumbwheelError
from thumbwheel.hookspecs import HookSpecs
from thumbwheel.mapping import RecordMapping
from thumbwheel.tables import (
    COUNTS_KEY,
    DEAD_LETTERS,
    EVENTS,
    METRICS,
    PROPOSED,
    REASONS,
    conform,
    counts_of,
)
from thumbwheel.types import Connector, CycleReport, LanguageModel

__all__ = [
    "CONNECTORS_GROUP",
    "HOOKS",
    "MAPPINGS_GROUP",
    "PLUGINS_GROUP",
    "OptionInfo",
    "PluginInfo",
    "PluginManager",
    "installed",
    "load_connector",
    "load_mapping",
    "option_infos",
]

HOOKS = tuple(name for name in vars(HookSpecs) if not name.startswith("_"))

PLUGINS_GROUP = "thumbwheel.plugins"
CONNECTORS_GROUP = "thumbwheel.connectors"
MAPPINGS_GROUP = "thumbwheel.mappings"

_MODULE = re.compile(r"\b(?:pathlib|typing|thumbwheel\w*(?:\.\w+)*)\.(?=\w)")


@dataclasses.dataclass(frozen=True, slots=True)
class OptionInfo:
    """One option of a plugin or connector."""

    name: str
    type: str
    default: str


@dataclasses.dataclass(frozen=True, slots=True)
class PluginInfo:
    """A loaded plugin, as it is recorded with every dataset.

    `version` is the distribution's version, or the hash of a file.
    """

    name: str
    origin: str
    version: str
    hooks: Sequence[str]
    options: Mapping[str, object]


class PluginManager:
    """The plugins of one configuration, in their order.

    Args:
        plugins: As the config lists them.
        base_dir: What relative paths are relative to.

    Attributes:
        infos: The plugins, in their order.
        failed: Empty: here, a plugin that fails raises (see `plugin_host` for those left out).

    Raises:
        PluginError: A plugin is unknown, misspelt, badly configured or has no hook.
    """

    def __init__(self, plugins: Sequence[PluginConfig], base_dir: Path) -> None:
        self._pluggy = pluggy.PluginManager("thumbwheel")
        self._pluggy.add_hookspecs(HookSpecs)
        self.infos: list[PluginInfo] = []
        self.failed: dict[str, str] = {}
        self._instances: dict[str, Any] = {}
        for config in plugins:
            cls, name, origin, version = _find(config.use, base_dir)
            if name in self._instances:
                raise PluginError(f"the plugin {name!r} is listed twice; list it once")
            instance = _configure(cls, config.options, f"plugin {name!r}", base_dir, PluginError)
            self._register(instance, name, origin)
            hooks = [hook for hook in HOOKS if self._implements(name, hook)]
            if not hooks:
                raise PluginError(
                    f"the plugin {name!r} ({origin}) implements no hook; mark at least one of "
                    f"{', '.join(HOOKS)} with @hookimpl"
                )
            options = TypeAdapter(cls).dump_python(instance, mode="json")
            self.infos.append(PluginInfo(name, origin, version, hooks, options))

    def has(self, hook: str) -> bool:
        """Tell whether any plugin implements the hook."""
        return any(hook in info.hooks for info in self.infos)

    def process_events(self, events: pa.Table) -> pa.Table:
        """Chain the plugins' `process_events` over a batch; the schema's metadata holds counts."""
        counts = {}
        for name, call in self._calls("process_events"):
            who = f"{name}.process_events"
            processed = call(events=events)
            events = conform(processed, EVENTS, who)
            counts[name] = counts_of(processed, who)
        return events.replace_schema_metadata({COUNTS_KEY: json.dumps(counts)})

    def process_dead_letters(self, letters: pa.Table) -> pa.Table:
        """Chain the plugins' `process_dead_letters` over a batch."""
        for name, call in self._calls("process_dead_letters"):
            who = f"{name}.process_dead_letters"
            processed = conform(call(letters=letters), DEAD_LETTERS, who)
            if len(processed) != len(letters):
                raise PluginError(f"{who} must return as many rows as it was given")
            letters = processed
        return letters

    def make_pairs(self, rated: pa.Table, comparisons: pa.Table) -> pa.Table:
        """Join the plugins' proposals; the first to name a pair owns it.

        Returns:
            `tables.PROPOSED` with the column `plugin`, sorted by prompt and completions.
        """
        proposals = []
        for name, call in self._calls("make_pairs"):
            who = f"{name}.make_pairs"
            proposed = conform(call(rated=rated, comparisons=comparisons), PROPOSED, who)
            _check_proposals(proposed, rated, who)
            owner = pa.array([name] * len(proposed), pa.string())
            proposals.append(proposed.append_column("plugin", owner))
        schema = PROPOSED.append(pa.field("plugin", pa.string()))
        joined = pa.concat_tables(proposals) if proposals else schema.empty_table()
        return _first_of_each_pair(joined)

    def screen_pairs(self, pairs: pa.Table) -> pa.Table:
        """Let each plugin screen what the ones before it have left.

        Returns:
            `tables.REASONS` with the column `plugin`.
        """
        dropped = []
        for name, call in self._calls("screen_pairs"):
            reasons = conform(call(pairs=pairs), REASONS, f"{name}.screen_pairs")
            unknown = reasons.filter(pc.invert(pc.is_in(reasons["pair_id"], pairs["pair_id"])))
            if len(unknown):
                raise PluginError(
                    f"{name}.screen_pairs named the pair {unknown['pair_id'][0].as_py()!r}, "
                    "which it was not given"
                )
            owner = pa.array([name] * len(reasons), pa.string())
            dropped.append(reasons.append_column("plugin", owner))
            pairs = pairs.filter(pc.invert(pc.is_in(pairs["pair_id"], reasons["pair_id"])))
        schema = REASONS.append(pa.field("plugin", pa.string()))
        return pa.concat_tables(dropped) if dropped else schema.empty_table()

    def evaluate_model(self, model: LanguageModel, pairs: pa.Table) -> pa.Table:
        """Join the metrics that the plugins measure, `tables.METRICS`."""
        measured = [
            conform(call(model=model, pairs=pairs), METRICS, f"{name}.evaluate_model")
            for name, call in self._calls("evaluate_model")
        ]
        return pa.concat_tables(measured) if measured else METRICS.empty_table()

    def cycle_finished(self, report: CycleReport) -> list[str]:
        """Tell every observer; return what went wrong in them."""
        failures = []
        for _, call in self._calls("cycle_finished"):
            try:
                call(report=report)
            except PluginError as error:
                failures.append(str(error))
        return failures

    def _register(self, instance: Any, name: str, origin: str) -> None:
        for hook in HOOKS:
            method = getattr(type(instance), hook, None)
            if method is not None and not hasattr(method, "thumbwheel_impl"):
                raise PluginError(
                    f"{name}.{hook} ({origin}) is not marked; write @hookimpl above it"
                )
        try:
            self._pluggy.register(instance, name)
            self._pluggy.check_pending()
        except pluggy.PluginValidationError as error:
            message = " ".join(str(error).split())
            raise PluginError(
                f"the plugin {name!r} ({origin}) does not fit the hooks: {message}; "
                f"the hooks are {', '.join(HOOKS)}"
            ) from error
        self._instances[name] = instance

    def _implements(self, name: str, hook: str) -> bool:
        implementations = getattr(self._pluggy.hook, hook).get_hookimpls()
        return any(impl.plugin_name == name for impl in implementations)

    def _calls(self, hook: str) -> Iterator[tuple[str, Callable[..., Any]]]:
        """Yield each implementing plugin's name and its guarded call, in the listed order."""
        for info in self.infos:
            if hook not in info.hooks:
                continue
            others = [other for name, other in self._instances.items() if name != info.name]
            caller = self._pluggy.subset_hook_caller(hook, remove_plugins=others)
            yield info.name, _guarded(caller, f"{info.name}.{hook} ({info.origin})")


def _guarded(caller: Callable[..., list[Any]], who: str) -> Callable[..., Any]:
    def call(**arguments: Any) -> Any:
        try:
            results = caller(**arguments)
        except ThumbwheelError:
            raise
        except Exception as error:
            raise PluginError(f"{who} raised {type(error).__name__}: {error}") from error
        # pluggy leaves out an implementation that returned None.
        return results[0] if results else None

    return call


def _check_proposals(proposed: pa.Table, rated: pa.Table, who: str) -> None:
    if not len(proposed):
        return
    if any(column.null_count for column in proposed.columns):
        raise PluginError(
            f"{who} returned a row with an empty cell; every pair needs all of "
            f"{', '.join(PROPOSED.names)}"
        )
    known = dict(
        zip(rated["completion_id"].to_pylist(), rated["prompt_id"].to_pylist(), strict=True)
    )
    for side in ("chosen_id", "rejected_id"):
        for completion, prompt in zip(
            proposed[side].to_pylist(), proposed["prompt_id"].to_pylist(), strict=True
        ):
            if known.get(completion) != prompt:
                raise PluginError(
                    f"{who} proposed the {side} {completion!r}, which is no completion of the "
                    f"prompt {prompt!r}"
                )
    if pc.any(pc.equal(proposed["chosen_id"], proposed["rejected_id"])).as_py():
        raise PluginError(f"{who} paired a completion with itself")
    confidence = proposed["confidence"].to_numpy()
    if not np.all((confidence > 0.5) & (confidence <= 1)):
        raise PluginError(
            f"{who} gave a confidence outside (0.5, 1]: it is P(chosen is better), and a tie is "
            "no pair"
        )


def _first_of_each_pair(proposals: pa.Table) -> pa.Table:
    """Keep the first proposal for each two completions, whichever of them it prefers."""
    sides = proposals["chosen_id"], proposals["rejected_id"]
    unordered = pc.binary_join_element_wise(
        pc.min_element_wise(*sides), pc.max_element_wise(*sides), ""
    )
    rows = pa.table({"pair": unordered, "row": np.arange(len(proposals))})
    first = rows.group_by("pair").aggregate([("row", "min")])["row_min"]
    order = [(name, "ascending") for name in ("prompt_id", "chosen_id", "rejected_id")]
    return proposals.take(np.sort(first.to_numpy())).sort_by(order)


def installed(group: str) -> dict[str, EntryPoint]:
    """Return the installed plugins (or connectors) by entry-point name."""
    return {point.name: point for point in sorted(entry_points(group=group), key=lambda p: p.name)}


def load_connector(source: SourceConfig, base_dir: Path) -> Connector:
    """Return a source's connector with its options.

    Raises:
        ConfigError: The connector is unknown or an option is wrong.
    """
    points = installed(CONNECTORS_GROUP)
    if source.connector not in points:
        raise ConfigError(
            f"source {source.name!r}: there is no connector {source.connector!r}"
            f"{_did_you_mean(source.connector, points)}; installed: {', '.join(points)}"
        )
    cls = points[source.connector].load()
    who = f"source {source.name!r}, connector {source.connector!r}"
    connector: Connector = _configure(cls, source.options, who, base_dir, ConfigError)
    return connector


def load_mapping(source: SourceConfig, base_dir: Path) -> RecordMapping | None:
    """Return a source's mapping with its options; None when records are events as they are.

    Raises:
        ConfigError: The mapping is unknown or an option is wrong.
    """
    if source.mapping is None:
        return None
    options = {"use": source.mapping} if isinstance(source.mapping, str) else source.mapping
    name = options.get("use", "keys")
    points = installed(MAPPINGS_GROUP)
    if not isinstance(name, str):
        raise ConfigError(f"source {source.name!r}: a mapping's `use` is a name, got {name!r:.80}")
    if name not in points:
        raise ConfigError(
            f"source {source.name!r}: there is no mapping {name!r}{_did_you_mean(name, points)}; "
            f"installed: {', '.join(points)}"
        )
    who = f"source {source.name!r}, mapping {name!r}"
    options = {key: value for key, value in options.items() if key != "use"}
    mapping: RecordMapping = _configure(points[name].load(), options, who, base_dir, ConfigError)
    return mapping


def option_infos(cls: type) -> list[OptionInfo]:
    """Return the options of a plugin or connector class: the fields of its dataclass."""
    types = get_type_hints(cls)
    infos = []
    for field in dataclasses.fields(cls):
        default = field.default
        if field.default_factory is not dataclasses.MISSING:
            default = field.default_factory()
        shown = "required" if default is dataclasses.MISSING else repr(default)
        kind = _MODULE.sub("", inspect.formatannotation(types[field.name]))
        infos.append(OptionInfo(field.name, kind, shown))
    return infos


def _find(use: str, base_dir: Path) -> tuple[type, str, str, str]:
    """Return (class, name, origin, version)."""
    path_text, colon, class_name = use.rpartition(":")
    if colon and path_text.endswith(".py"):
        path = (base_dir / path_text).resolve()
        return _load_file(path, class_name), class_name, f"{path_text}:{class_name}", _hash(path)
    points = installed(PLUGINS_GROUP)
    if use not in points:
        raise PluginError(
            f"there is no plugin {use!r}{_did_you_mean(use, points)}; installed: "
            f"{', '.join(points)}; a plugin in a file is named path/to/file.py:Class"
        )
    point = points[use]
    try:
        cls = point.load()
    except Exception as error:
        raise PluginError(
            f"the plugin {use!r} ({point.value}) cannot be imported: "
            f"{type(error).__name__}: {error}"
        ) from error
    return cls, use, point.value, point.dist.version if point.dist else "unknown"


def _load_file(path: Path, class_name: str) -> type:
    if not path.is_file():
        raise PluginError(f"there is no plugin file {path}")
    module_name = f"thumbwheel_plugin_{path.stem}_{_hash(path)[:8]}"
    module = sys.modules.get(module_name)
    if module is None:
        spec = importlib.util.spec_from_file_location(module_name, path)
        assert spec is not None  # noqa: S101 - a .py file always has a loader
        assert spec.loader is not None  # noqa: S101
        module = importlib.util.module_from_spec(spec)
        sys.modules[module_name] = module
        try:
            spec.loader.exec_module(module)
        except Exception as error:
            del sys.modules[module_name]
            raise PluginError(
                f"the plugin file {path} cannot be imported: {type(error).__name__}: {error}"
            ) from error
    cls = getattr(module, class_name, None)
    if not isinstance(cls, type):
        classes = [name for name, value in vars(module).items() if isinstance(value, type)]
        raise PluginError(
            f"the plugin file {path} has no class {class_name!r}"
            f"{_did_you_mean(class_name, classes)}"
        )
    return cls


def _hash(path: Path) -> str:
    return hashlib.blake2b(path.read_bytes(), digest_size=8).hexdigest() if path.is_file() else ""


def _configure(
    cls: type, options: Mapping[str, Any], who: str, base_dir: Path, error_type: type[Exception]
) -> Any:
    """Return an instance of a pydantic dataclass, its options checked."""
    if not (dataclasses.is_dataclass(cls) and is_pydantic_dataclass(cls)):
        raise error_type(
            f"{who}: {cls.__name__} is not a pydantic dataclass; write "
            "@pydantic.dataclasses.dataclass(frozen=True) above it"
        )
    names = [field.name for field in dataclasses.fields(cls)]
    for name in options:
        if name not in names:
            known = ", ".join(names) or "none"
            raise error_type(
                f"{who}: unknown option {name!r}{_did_you_mean(name, names)}; its options: {known}"
            )
    try:
        return TypeAdapter(cls).validate_python(dict(options), context={"base_dir": base_dir})
    except ValidationError as error:
        raise error_type(f"{who}: {describe_errors(error)}") from error


def _did_you_mean(wrong: str, known: Sequence[str] | Mapping[str, object]) -> str:
    close = difflib.get_close_matches(wrong, list(known), n=1)
    return f" (did you mean {close[0]!r}?)" if close else ""
