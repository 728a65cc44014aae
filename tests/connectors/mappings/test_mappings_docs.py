"""docs/mappings.md says what is so: its configurations load, its example runs."""

import dataclasses
import json
import re
import tomllib
from inspect import getdoc
from pathlib import Path
from typing import Any

import pytest
from exports import store_export

from thumbwheel.config import SourceConfig
from thumbwheel.events import EventParser
from thumbwheel.events.mapping import RatingOptions
from thumbwheel.plugin import MAPPINGS_GROUP, installed, load_connector, load_mapping

DOCS = Path(__file__).parents[3] / "docs"
PAGE = (DOCS / "mappings.md").read_text(encoding="utf-8")


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)


def test_the_configurations_load() -> None:
    """Every source of the page is accepted, mapping and options included."""
    sources = [
        source for text in blocks("toml") for source in tomllib.loads(text).get("sources", [])
    ]
    assert len(sources) >= 9
    for source in (SourceConfig.model_validate(values) for values in sources):
        load_connector(source, DOCS)
        assert load_mapping(source, DOCS) is not None


@pytest.mark.parametrize("name", installed(MAPPINGS_GROUP))
def test_every_mapping_and_its_options_are_on_the_page(name: str) -> None:
    """The table of mappings names each, and its section or docstring each of its options."""
    cls: Any = installed(MAPPINGS_GROUP)[name].load()
    assert f"| `{name}` |" in PAGE
    own = {field.name for field in dataclasses.fields(cls)}
    shared = {field.name for field in dataclasses.fields(RatingOptions)}
    assert shared <= own
    for option in own:
        assert f"    {option}: " in (getdoc(cls) or ""), f"{option} is not in the docstring"
    section = PAGE.partition(f"\n## {name}\n")[2].partition("\n## ")[0]
    if section:
        told = set(re.findall(r"`(\w+)`", "".join(re.findall(r"^\| (`.*?) \|", section, re.M))))
        assert told == own - shared


def test_the_chats_on_the_page(tmp_path: Path) -> None:
    """Both records of the section on chat logs become rated completions."""
    records = [json.loads(text) for text in blocks("json")]
    stored = store_export(tmp_path, records, "openai_chat")
    assert [event["generation_id"] for event in stored.events] == ["chatcmpl-1", "c-1"]
    assert stored.rated == [("Hi", "Hello!", 2, 0)]


def test_the_mapping_on_the_page() -> None:
    """The example reads a closed ticket, and leaves out another."""
    (code,) = blocks("python")
    namespace: dict[str, Any] = {"__name__": "docs"}
    exec(compile(code, "docs/mappings.md", "exec"), namespace)  # noqa: S102
    parser = EventParser(namespace["TicketMapping"](up=("yes",), down=("no",)))
    ticket = {"status": "closed", "answered_by": "assistant", "question": "q", "answer": "a"}
    event = parser.parse(json.dumps({**ticket, "satisfied": "no", "ticket": 17}).encode())
    assert event is not None
    assert (event["score"], event["event_id"]) == (-1, "17")
    assert parser.parse(json.dumps({**ticket, "status": "open"}).encode()) is None
