"""Find plugins and connectors, and give them their options."""

import dataclasses
import difflib
import hashlib
import importlib.util
import inspect
import re
import sys
from collections.abc import Mapping, Sequence
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from typing import Any, get_type_hints

from pydantic import TypeAdapter, ValidationError
from pydantic.dataclasses import is_pydantic_dataclass

from thumbwheel.config import SourceConfig, describe_errors
from thumbwheel.errors import ConfigError, InputError, PluginError
from thumbwheel.process.extras import require
from thumbwheel.types import Connector

__all__ = [
    "CONNECTORS_GROUP",
    "MAPPINGS_GROUP",
    "PLUGINS_GROUP",
    "OptionInfo",
    "configure",
    "did_you_mean",
    "find_plugin",
    "installed",
    "load_connector",
    "needed_extra",
    "option_infos",
]

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
            f"{did_you_mean(source.connector, points)}; installed: {', '.join(points)}"
        )
    cls = points[source.connector].load()
    who = f"source {source.name!r}, connector {source.connector!r}"
    connector: Connector = configure(cls, source.options, who, base_dir, ConfigError)
    return connector


def needed_extra(cls: type) -> str | None:
    """Return the extra of Thumbwheel that a built-in plugin or connector needs to be used."""
    return getattr(cls, "needs_extra", None)


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


def find_plugin(use: str, base_dir: Path) -> tuple[type, str, str, str]:
    """Return (class, name, origin, version)."""
    path_text, colon, class_name = use.rpartition(":")
    if colon and path_text.endswith(".py"):
        path = (base_dir / path_text).resolve()
        return _load_file(path, class_name), class_name, f"{path_text}:{class_name}", _hash(path)
    points = installed(PLUGINS_GROUP)
    if use not in points:
        raise PluginError(
            f"there is no plugin {use!r}{did_you_mean(use, points)}; installed: "
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
            f"the plugin file {path} has no class {class_name!r}{did_you_mean(class_name, classes)}"
        )
    return cls


def _hash(path: Path) -> str:
    return hashlib.blake2b(path.read_bytes(), digest_size=8).hexdigest() if path.is_file() else ""


def configure(
    cls: type,
    options: Mapping[str, Any],
    who: str,
    base_dir: Path,
    error_type: type[InputError],
    *,
    also: Sequence[str] = (),
) -> Any:
    """Return an instance of a pydantic dataclass, its options checked.

    Options that somebody else reads, `also`, are named beside its own where one is unknown.
    """
    if not (dataclasses.is_dataclass(cls) and is_pydantic_dataclass(cls)):
        raise error_type(
            f"{who}: {cls.__name__} is not a pydantic dataclass; write "
            "@pydantic.dataclasses.dataclass(frozen=True) above it"
        )
    names = [field.name for field in dataclasses.fields(cls)]
    for name in options:
        if name not in names:
            known = ", ".join(dict.fromkeys([*names, *also])) or "none"
            raise error_type(
                f"{who}: unknown option {name!r}{did_you_mean(name, [*names, *also])}; "
                f"its options: {known}"
            )
    if extra := needed_extra(cls):
        require(extra, by=who, error=error_type)
    try:
        return TypeAdapter(cls).validate_python(dict(options), context={"base_dir": base_dir})
    except ValidationError as error:
        raise error_type(f"{who}: {describe_errors(error)}") from error


def did_you_mean(wrong: str, known: Sequence[str] | Mapping[str, object]) -> str:
    """Return what to add to an error about a name: the known one that is closest, or nothing."""
    close = difflib.get_close_matches(wrong, list(known), n=1)
    return f" (did you mean {close[0]!r}?)" if close else ""
