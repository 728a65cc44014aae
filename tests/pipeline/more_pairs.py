"""A project with three sources, as docs/examples/more-pairs.toml has them, and its command line."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import pyarrow.parquet as pq
from rich.console import Console
from typer.testing import CliRunner

from thumbwheel.cli.commands.labelling import annotate_commands
from thumbwheel.cli.show.progress import StageDisplay
from thumbwheel.config import Config, load_config
from thumbwheel.ingest import ingest_all
from thumbwheel.plugin import PluginManager
from thumbwheel.store import COMPARISONS_FILE, RATED_FILE, Store

EXAMPLE = Path(__file__).parents[2] / "docs" / "examples" / "more-pairs.toml"


def make_project(folder: Path, model: Path, url: str = "http://127.0.0.1:9/v1") -> Path:
    """Make the folders of the example and return its configuration."""
    text = EXAMPLE.read_text(encoding="utf-8")
    text = text.replace("models/SmolLM2-135M-Instruct", str(model))
    text = text.replace("http://127.0.0.1:8000/v1", url).replace("ENDPOINT_KEY", "TINY_KEY")
    for name in ("annotations", "ai"):
        (folder / name).mkdir()
    config = folder / "more-pairs.toml"
    config.write_text(text, encoding="utf-8")
    return config


def run(*arguments: object) -> str:
    """Run a command that succeeds, and return what it printed."""
    result = attempt(*arguments)
    if result.exception is not None:
        raise result.exception
    return result.output


def attempt(*arguments: object):
    """Run a command, and return how it ended."""
    runner = CliRunner(env={"COLUMNS": "200", "TERM": "dumb"})
    return runner.invoke(annotate_commands, [str(argument) for argument in arguments])


def ingest(config: Path, thumbs: Sequence[Mapping[str, object]] = ()) -> Config:
    """Put thumbs into the users' source, read all sources, and return the configuration."""
    if thumbs:
        with (config.parent / "thumbs.jsonl").open("w") as file:
            file.writelines(json.dumps(thumb) + "\n" for thumb in thumbs)
    settings = load_config(config)
    plugins = PluginManager(settings.plugins, settings.base_dir)
    with Store(settings.layout.store) as store, StageDisplay(Console(quiet=True)) as display:
        ingest_all(settings, plugins, store, display)
    return settings


def compared(settings: Config, folder: Path) -> list[tuple[str, str, str]]:
    """Return (chosen, rejected, origin) of every comparison in the store, with their texts."""
    with Store(settings.layout.store) as store:
        snapshot = store.snapshot(folder / "snapshot", settings.vote_policy)
        assert not store.dead_letters(limit=1)
    rated = pq.read_table(snapshot.path / RATED_FILE).to_pylist()
    texts = {row["completion_id"]: row["completion"] for row in rated}
    rows = pq.read_table(snapshot.path / COMPARISONS_FILE).to_pylist()
    return [(texts[row["chosen_id"]], texts[row["rejected_id"]], row["origin"]) for row in rows]
