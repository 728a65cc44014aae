"""`thumbwheel init --from FILE`: look at a file, propose how to read it, show what comes out."""

import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pydantic_core
from rich.console import Console
from rich.text import Text

from thumbwheel.cli.show.preview import print_preview
from thumbwheel.cli.show.tables import printable
from thumbwheel.config import SourceConfig
from thumbwheel.errors import DataError, SourceError
from thumbwheel.ingest import parser_for
from thumbwheel.ingest.guess import Guess, guess
from thumbwheel.ingest.preview import SAMPLE, preview, sample_of
from thumbwheel.ingest.repeats import repeats_by_chance
from thumbwheel.plugin import EVENTS

__all__ = ["propose"]

# What an error of the file connector says that mends it.
_OPTION = re.compile(r'`(encoding|records) = "([^"`]+)"`')
_BARE = re.compile(r"[A-Za-z0-9_-]+")


def propose(file: Path, folder: Path, console: Console) -> str:
    """Return the TOML of a source that reads a file, after showing ten of its events.

    Args:
        file: The sample.
        folder: Where the configuration will be.
        console: Where to show what was found.

    Raises:
        DataError: It holds no records.
        SourceError: It cannot be read.
    """
    options: dict[str, str] = {"path": os.path.relpath(str(file), str(folder))}
    base_dir = folder.resolve()
    records = _records(file, options, base_dir)
    found = guess(records)
    source = SourceConfig(name="export", connector="file", options=options, mapping=found.mapping)
    _allow_repeats(found, source, base_dir)
    source = source.model_copy(update={"mapping": found.mapping})
    for line in found.recognised:
        console.print(Text(printable(f"{file.name}: {line}")))
    print_preview(console, preview(source, base_dir))
    for line in found.questions:
        console.print(Text(f"? {printable(line)}", style="yellow"))
    return _toml(options, found.mapping, found.questions)


def _allow_repeats(found: Guess, source: SourceConfig, base_dir: Path) -> None:
    """Propose `prefilled` where an answer now and then repeats a text of its prompt."""
    options = found.mapping if isinstance(found.mapping, dict) else {"use": found.mapping or EVENTS}
    allowing = {**options, "prefilled": True}
    source = source.model_copy(update={"mapping": allowing})
    raws, _ = sample_of(source, base_dir, SAMPLE)
    parsed = parser_for(source, base_dir).parse_batch([record.raw for record in raws])
    if n := repeats_by_chance(parsed.events):
        found.mapping = allowing
        found.recognised.append(f"{n:,} answers repeat the end of their prompt, the others do not")


def _records(file: Path, options: dict[str, str], base_dir: Path) -> list[Mapping[str, Any]]:
    """Return the objects in a file; what it needs to be read is added to the options."""
    while True:
        source = SourceConfig(name="export", connector="file", options=options)
        try:
            raws, _ = sample_of(source, base_dir, SAMPLE)
            break
        except SourceError as error:
            option = _OPTION.search(str(error))
            if option is None or option[1] in options:
                raise
            options[option[1]] = option[2]
    records: list[Mapping[str, Any]] = []
    for record in raws:
        try:
            value = pydantic_core.from_json(record.raw)
        except ValueError:
            continue
        if isinstance(value, dict):
            records.append(value)
    if not records:
        raise DataError(f"{file} holds no JSON objects and no rows; is it the feedback?")
    return records


def _toml(options: Mapping[str, str], mapping: Any, questions: list[str]) -> str:
    lines = ["[[sources]]", 'name = "export"', 'connector = "file"', "", "[sources.options]"]
    lines += [f"{key} = {_value(value)}" for key, value in options.items()]
    if mapping is not None:
        table = {"use": mapping} if isinstance(mapping, str) else mapping
        lines += ["", "[sources.mapping]"]
        lines += [f"{_key(key)} = {_value(value)}" for key, value in table.items()]
    lines += [f"# to decide: {' '.join(printable(line).split())}" for line in questions]
    return "\n".join(lines) + "\n"


def _value(value: Any) -> str:
    if isinstance(value, bool | int | float):
        return str(value).lower()
    if isinstance(value, Mapping):
        return "{ " + ", ".join(f"{_key(k)} = {_value(v)}" for k, v in value.items()) + " }"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(map(_value, value)) + "]"
    # JSON's escapes are TOML's.
    return pydantic_core.to_json(str(value)).decode().replace("\x7f", "\\u007f")


def _key(key: str) -> str:
    return key if _BARE.fullmatch(key) else _value(key)
