"""The exports of known tools, each told in the language of mappings: the files in `tools/`.

A file says what the tool is, how its records are recognised, and what a configuration would say to
read them. A source's own options are laid over those of its tables that read votes; `{word}` in a
table stands for an option of the format itself.
"""

import fnmatch
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from thumbwheel.errors import ConfigError

__all__ = ["FORMATS", "KnownFormat"]

# The tables that read votes have one of these.
_VOTES = frozenset({"rating", "chosen", "winner"})


@dataclass(frozen=True, slots=True)
class KnownFormat:
    """What is known of a tool's export.

    Attributes:
        name: What a configuration calls it.
        about: What it reads, in a line.
        has: Lists of keys; a record that has all of one list is of this format. A `*`
            stands for any text.
        readings: The tables of a mapping, one for each kind of record.
        records: Where the list of records lies when a file is one JSON object.
        needs: Options of the format that a source has to set.
        defaults: Those that it may set.
    """

    name: str
    about: str
    has: Sequence[Sequence[str]]
    readings: Sequence[Mapping[str, Any]]
    records: str | None = None
    needs: Sequence[str] = ()
    defaults: Mapping[str, str] = field(default_factory=dict)

    def with_options(self, options: Mapping[str, Any]) -> list[Mapping[str, Any]]:
        """Return the tables with a source's own options in them.

        Raises:
            ConfigError: An option that the format needs is missing.
        """
        words = {**self.defaults, **{name: options[name] for name in self.words if name in options}}
        for name in self.needs:
            if not isinstance(words.get(name), str):
                raise ConfigError(
                    f"the mapping {self.name!r} needs `{name}`, as your project calls it: "
                    f'mapping = {{ use = "{self.name}", {name} = "…" }}'
                )
        own = {key: value for key, value in options.items() if key not in words}
        tables = [_filled(table, words) for table in self.readings]
        return [_laid_over(table, own) if _VOTES & table.keys() else table for table in tables]

    @property
    def words(self) -> Sequence[str]:
        """The options of the format itself."""
        return [*self.needs, *self.defaults]

    def fits(self, record: Mapping[str, Any]) -> bool:
        """Tell whether a record has the keys by which the format is recognised."""
        return any(all(fnmatch.filter(record, key) for key in keys) for keys in self.has)


def _filled(value: Any, words: Mapping[str, str]) -> Any:
    """Return a table with the words of the format put in, in keys too."""
    if isinstance(value, dict):
        return {_filled(key, words): _filled(inner, words) for key, inner in value.items()}
    if isinstance(value, list):
        return [_filled(inner, words) for inner in value]
    if isinstance(value, str):
        for word, said in words.items():
            value = value.replace(f"{{{word}}}", said)
    return value


def _laid_over(table: Mapping[str, Any], own: Mapping[str, Any]) -> Mapping[str, Any]:
    if "scale" in own:
        # Its numbers are not looked up, and none may be listed then.
        table = {name: value for name, value in table.items() if name not in ("up", "down")}
    merged = {name: {**table.get(name, {}), **own.get(name, {})} for name in ("where", "roles")}
    return {**table, **own, **{name: value for name, value in merged.items() if value}}


def _load(path: Path) -> KnownFormat:
    content = tomllib.loads(path.read_text(encoding="utf-8"))
    return KnownFormat(path.stem, readings=content.pop("mapping"), **content)


FORMATS: Mapping[str, KnownFormat] = {
    path.stem: _load(path) for path in sorted(Path(__file__).with_name("tools").glob("*.toml"))
}
"""Every known format by its name."""
