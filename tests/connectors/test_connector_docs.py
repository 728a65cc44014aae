"""docs/connectors.md says what is so: its examples run, its options are the connectors' own."""

import re
import tomllib
from dataclasses import fields
from inspect import getdoc
from pathlib import Path
from typing import Any

import pytest
from pydantic import TypeAdapter

from thumbwheel.config import SourceConfig
from thumbwheel.errors import SourceError
from thumbwheel_connectors.files.connector import FileConnector
from thumbwheel_connectors.kafka.connector import KafkaConnector

PAGE = (Path(__file__).parents[2] / "docs" / "connectors.md").read_text(encoding="utf-8")
CONNECTORS = {"file": FileConnector, "kafka": KafkaConnector}


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)


@pytest.mark.parametrize("name", CONNECTORS)
def test_the_configuration_examples_are_valid(name, tmp_path):
    """Each connector's example source is accepted, options included."""
    examples = [tomllib.loads(text) for text in blocks("toml")]
    sources = [source for example in examples for source in example.get("sources", [])]
    shown = [SourceConfig(**source) for source in sources if source["connector"] == name]
    assert shown
    adapter: TypeAdapter[Any] = TypeAdapter(CONNECTORS[name])
    for source in shown:
        adapter.validate_python(source.options, context={"base_dir": tmp_path})


@pytest.mark.parametrize("name", CONNECTORS)
def test_every_option_is_in_the_table_and_in_the_docstring(name):
    """The page's table lists exactly the options; `thumbwheel plugins` finds each explained."""
    section = PAGE.split(f"\n## {name}\n")[1].split("\n## ")[0]
    cells = re.findall(r"^\| (`.*?) \|", section, re.MULTILINE)
    documented = [option for cell in cells for option in re.findall(r"`(\w+)`", cell)]
    options = [field.name for field in fields(CONNECTORS[name])]
    assert documented == options
    assert re.findall(r"^ {4}(\w+): ", getdoc(CONNECTORS[name]) or "", re.MULTILINE) == options


def test_the_example_connector_refuses_what_is_no_folder(tmp_path):
    """The page's own connector says what to mend; test_contract.py runs the page's test of it."""
    source, _ = blocks("python")
    namespace: dict[str, Any] = {"__name__": "docs"}
    exec(compile(source, "docs/connectors.md", "exec"), namespace)  # noqa: S102
    with pytest.raises(SourceError, match="is no folder"):
        namespace["FolderConnector"](tmp_path / "none").open(None)
