"""The plugins shown in docs/plugins.md work as they stand there."""

import importlib
import json
import re
import sys
import tomllib
from pathlib import Path

import pytest

from thumbwheel.config import PluginConfig, SourceConfig, load_config
from thumbwheel.hookspecs import HookSpecs
from thumbwheel.ingest import parser_for
from thumbwheel.manager import HOOKS, PluginManager

DOCS = Path(__file__).parents[2] / "docs"
PAGE = (DOCS / "plugins.md").read_text()
BLOCKS = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)


def test_the_example_is_short_and_shown_in_full():
    """The example file has at most 25 lines, and the page shows its code to the letter."""
    code = (DOCS / "examples" / "concise_wins.py").read_text()
    assert len(code.splitlines()) <= 25
    assert code.split('"""\n\n', 1)[1] == BLOCKS[0]


def proposals(plugins, rated):
    table = rated(("p", "short", 2, 0), ("p", "a much longer answer", 1, 0), ("p", "bad", 0, 1))
    return [(row["chosen_id"], row["rejected_id"]) for row in plugins.make_pairs(table).to_pylist()]


def test_the_example_loads_by_path(rated):
    """Named as path and class, with an option, it pairs as it says."""
    use = "examples/concise_wins.py:ConciseWins"
    plugins = PluginManager([PluginConfig(use=use, options={"min_ratio": 1.5})], DOCS)
    assert proposals(plugins, rated) == [("p-short", "p-a much longer answer")]
    strict = PluginManager([PluginConfig(use=use, options={"min_ratio": 9})], DOCS)
    assert proposals(strict, rated) == []


def test_the_example_loads_by_entry_point(rated, tmp_path, monkeypatch):
    """Installed in a package with the entry point the page shows, it loads by name."""
    package = tmp_path / "my_package"
    package.mkdir()
    (package / "__init__.py").touch()
    (package / "concise_wins.py").write_text((DOCS / "examples/concise_wins.py").read_text())
    info = tmp_path / "my_package-1.2.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: my-package\nVersion: 1.2\n")
    (entry,) = re.findall(r'"thumbwheel\.plugins"\]\n(.*)\n', PAGE)
    (info / "entry_points.txt").write_text(f"[thumbwheel.plugins]\n{entry.replace(chr(34), '')}\n")
    monkeypatch.syspath_prepend(tmp_path)
    importlib.invalidate_caches()
    plugins = PluginManager([PluginConfig(use="concise_wins")], tmp_path)
    assert plugins.infos[0].version == "1.2"
    assert proposals(plugins, rated) == [("p-short", "p-a much longer answer")]
    del sys.modules["my_package.concise_wins"], sys.modules["my_package"]


def load_block(tmp_path, name):
    (block,) = [block for block in BLOCKS if f"class {name}" in block]
    (tmp_path / "plugin.py").write_text(block)
    return PluginManager([PluginConfig(use=f"plugin.py:{name}")], tmp_path)


def test_the_screen_on_the_page(tmp_path, pairs):
    """The screen drops what it says it drops."""
    plugins = load_block(tmp_path, "NoApologies")
    reasons = plugins.screen_pairs(pairs(("Sorry, no.", "No."), ("Gladly.", "Sorry."))).to_pylist()
    assert [row["reason"] for row in reasons] == ["chosen begins with an apology"]


def test_the_metric_on_the_page(tmp_path, pairs):
    """The metric has one value per prompt."""

    class Model:
        name = "candidate"

        def generate(self, prompts):
            return ["Yes." for _ in prompts]

    plugins = load_block(tmp_path, "EndsProperly")
    table = plugins.evaluate_model(Model(), pairs(("a", "b"), ("c", "d")))
    assert table.to_pylist() == [{"metric": "ends_properly", "prompt_id": "p", "value": 1.0}]


@pytest.mark.parametrize("hook", HOOKS)
def test_every_hook_is_documented(hook):
    """Each hook has a docstring, and a row on the page."""
    assert len(getattr(HookSpecs, hook).__doc__) > 100
    assert f"| `{hook}` |" in PAGE


def test_the_mapping_on_the_events_page(tmp_path):
    """The source configured in docs/events.md reads a record as the page says."""
    (block, turns) = re.findall(r"```toml\n(.*?)```", (DOCS / "events.md").read_text(), re.DOTALL)
    source = SourceConfig.model_validate(tomllib.loads(block + turns)["sources"][0])
    event = parser_for(source, DOCS).parse(
        b'{"question": "Human: a\\nAssistant: b\\nHuman: c", "answer": {"text": "d"}, "stars": 4,'
        b' "user": {"id": "guest"}}'
    )
    assert event["score"] == 0.5
    assert event["rater_id"] is None
    assert len(event["prompt"]) == 3
    assert event["completion"] == "d"


def test_the_example_configuration_reads_its_record():
    """docs/examples/export.toml loads, and its mapping reads the record in its comment."""
    config = load_config(DOCS / "examples" / "export.toml")
    PluginManager(config.plugins, config.base_dir)
    record = json.dumps(
        {
            "id": "r1",
            "conversation": {"prompt": "Human: a\n\nAssistant: b\n\nHuman: c", "reply": "d"},
            "stars": 4,
            "by": {"user": "u7"},
            "when": "2026-05-01T10:00:00Z",
            "bot_version": "v3",
        }
    )
    event = parser_for(config.sources[0], DOCS).parse(record.encode())
    assert (event["score"], event["rater_id"], event["model_version"]) == (1, "u7", "v3")
    assert [message["role"] for message in event["prompt"]] == ["user", "assistant", "user"]
