"""The worlds of `planted.py`, and how one becomes a project's folder."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from second_model import CONFIG as SECOND_CONFIG
from second_model import QWEN2
from second_world import SecondWorld
from thumbwheel.config import Config, load_config
from thumbwheel.demo.prepare import CONFIG as DEMO_CONFIG
from thumbwheel.demo.tiny_model import LLAMA, Recipe, build_tiny_model
from thumbwheel.demo.traffic import write_events
from thumbwheel.demo.users import PlantedWorld, WorldOptions
from thumbwheel.demo.world import World

__all__ = ["ELSEWHERE", "WORLDS", "Run", "build_base_model", "write_world"]

ELSEWHERE = 1_000_000
"""Worlds whose seeds differ by this have the same base model."""
METRICS_OF_TRUTH = frozenset({"preferred_style", "right_answer"})
"""What `world_judge` measures."""


@dataclass(frozen=True)
class Planted:
    """A kind of planted world: how it is made, its base model, its project's configuration."""

    make: Callable[[WorldOptions], PlantedWorld]
    recipe: Recipe
    config: str


WORLDS: Mapping[str, Planted] = {
    "demo": Planted(World, LLAMA, DEMO_CONFIG),
    "second": Planted(SecondWorld, QWEN2, SECOND_CONFIG),
}


@dataclass(frozen=True)
class Run:
    """What is to be turned: a scenario's world, and settings in place of its configuration's.

    Attributes:
        world: One of `WORLDS`.
        name: The scenario.
        options: The world's knobs.
        training: Settings of the training.
        asks_world: Whether the gate may ask the world for the truth, where it can.
    """

    world: str
    name: str
    options: WorldOptions
    training: Mapping[str, Any]
    asks_world: bool

    @property
    def folder(self) -> str:
        """Where it happens."""
        return f"{self.world}-{self.name}-{self.options.seed}"

    @property
    def planted(self) -> PlantedWorld:
        """The world."""
        return WORLDS[self.world].make(self.options)


def build_base_model(directory: Path, world: str, seed: int) -> None:
    """Train a seed's base model where it is not yet."""
    path = _base_model(directory, world, seed)
    if not path.exists():
        kind = WORLDS[world]
        build_tiny_model(
            kind.make(WorldOptions(seed=seed)), path, seed, lambda done, total: None, kind.recipe
        )


def write_world(directory: Path, name: str, run: Run) -> Config:
    """Write a world's events, beside a configuration that shares the seed's base model."""
    home = directory / name
    file = home / "thumbwheel.toml"
    if not file.exists():
        home.mkdir(exist_ok=True)
        write_events(home / "events.jsonl", run.planted)
        model = _base_model(directory, run.world, run.options.seed)
        file.write_text(WORLDS[run.world].config.format(model=model), encoding="utf-8")
    config = load_config(file)
    training = config.training.model_copy(update=dict(run.training))
    config = config.model_copy(update={"training": training})
    return config if run.asks_world else _without_truth(config)


def _base_model(directory: Path, world: str, seed: int) -> Path:
    return directory / "models" / f"{world}-{seed % ELSEWHERE}"


def _without_truth(config: Config) -> Config:
    """Return the configuration of a project that cannot ask the world."""
    guards = [guard for guard in config.gate.guards if guard.metric not in METRICS_OF_TRUTH]
    return config.model_copy(
        update={
            "plugins": [plugin for plugin in config.plugins if plugin.use != "world_judge"],
            "gate": config.gate.model_copy(update={"guards": guards}),
        }
    )
