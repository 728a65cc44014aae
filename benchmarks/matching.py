"""What matching and balancing the length of pairs costs, and what it buys.

    python benchmarks/matching.py                       # worlds whose truth is known
    python benchmarks/matching.py MINE/thumbwheel.toml  # and projects, by what is stored

Pairs are made of the same votes again and again, with `length_match` at several widths and with
none, and with the style balanced or not. For each: how many pairs there are to train on and how
many held-out prompts, how often the longer answer is chosen, and how well a classifier tells chosen
from rejected by style alone (AUC, cross-validated; .5 is chance). Where the truth is known, also
the share of pairs, among those that are not truly ties, whose chosen answer is the better one.

In the worlds called `bias`, twice the length raises the odds of a thumb up by a logit of 1.5 and
is worth nothing. No length is meant to differ in the demo's world; the users of the second one like
concise answers.
"""

import argparse
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from rich.console import Console
from rich.table import Table

from planted_worlds import Run, write_world
from thumbwheel.config import Config, PluginConfig, load_config
from thumbwheel.demo.users import PlantedWorld, WorldOptions
from thumbwheel.evidence.audit.confounds import style_auc, style_differences
from thumbwheel.ingest import ingest_all
from thumbwheel.pairs import pair_snapshot
from thumbwheel.pairs.split import SplitMemory
from thumbwheel.plugin import PluginManager
from thumbwheel.plugin.host import isolated_plugins
from thumbwheel.store import Store
from thumbwheel.store.remote import open_store
from thumbwheel.types import Part
from workspace import Silent, folder

TROUBLES: Mapping[str, Mapping[str, Any]] = {
    "clean": {},
    "noise": {"noise": 0.2},
    "confound": {"length_confound": 0.7},
    "bias": {"length_bias": 1.5},
}
WIDTHS = (1.1, 1.25, 1.5, 2.0, 3.0, None)


_OURS = frozenset({"comparisons", "all_pairs", "best_worst", "near_identical"})


@dataclass(frozen=True)
class Project:
    """What is paired: a configuration, a snapshot of its store, and the truth where it is known."""

    config: Config
    snapshot: Path
    world: PlantedWorld | None


@dataclass(frozen=True)
class Outcome:
    """What one way of pairing gave.

    Attributes:
        n_train: Pairs to train on.
        n_held_out: Held-out prompts.
        longer: Share of pairs, of those that differ in length, whose chosen answer is longer.
        style_auc: By style alone; None where there are too few pairs to tell.
        right: Share of pairs, among those that are not truly ties, that are right; None where the
            truth is not known.
    """

    n_train: int
    n_held_out: int
    longer: float
    style_auc: float | None
    right: float | None


def pair(project: Project, width: float | None, balance: bool) -> Outcome:
    """Pair what is stored, with `length_match` at a width or without."""
    config = project.config
    plugins = [plugin for plugin in config.plugins if plugin.use in _OURS]
    if width is not None:
        plugins.append(PluginConfig(use="length_match", options={"max_ratio": width}))
    with tempfile.TemporaryDirectory() as work:
        made = pair_snapshot(
            project.snapshot,
            PluginManager(plugins, config.base_dir),
            config.pairs if balance else config.pairs.model_copy(update={"balance": ()}),
            held_out=config.dataset.held_out,
            judge=config.dataset.judge,
            memory=SplitMemory(Path(work) / "split.parquet"),
            work=Path(work) / "pairing",
            progress=lambda share: None,
        ).pairs
    held_out = made.filter(pc.equal(made["part"], Part.HELD_OUT))
    chosen, rejected = (pc.utf8_length(made[side]).to_numpy() for side in ("chosen", "rejected"))
    longer = np.sign(chosen.astype(int) - rejected)
    auc = style_auc(style_differences(made), made["prompt_id"], config.audit.intended, seed=0)
    return Outcome(
        n_train=pc.sum(pc.equal(made["part"], Part.TRAIN)).as_py() or 0,
        n_held_out=pc.count_distinct(held_out["prompt_id"]).as_py(),
        longer=float(np.mean(longer[longer != 0] > 0)) if np.any(longer) else 0.5,
        style_auc=auc.value if auc else None,
        right=_right(made, project.world) if project.world else None,
    )


def _right(pairs: pa.Table, world: PlantedWorld) -> float:
    gains = [
        world.utility(pair["prompt"][0]["content"], pair["chosen"])
        - world.utility(pair["prompt"][0]["content"], pair["rejected"])
        for pair in pairs.select(["prompt", "chosen", "rejected"]).to_pylist()
    ]
    signs = np.sign(np.round(gains, 9))
    return float(np.mean(signs[signs != 0] > 0))


def worlds(directory: Path, seeds: int, names: Sequence[str]) -> Iterator[tuple[str, Project]]:
    """Yield every world with its events ingested."""
    for kind in ("demo", "second"):
        for trouble in names:
            for seed in range(seeds):
                options = WorldOptions(seed=seed, **TROUBLES[trouble])
                run = Run(kind, trouble, options, {}, asks_world=False)
                config = write_world(directory, run.folder, run)
                with isolated_plugins(config) as plugins, Store(config.layout.store) as store:
                    ingest_all(config, plugins, store, Silent())
                yield (
                    f"{kind} {trouble}",
                    opened(config, directory / f"{run.folder}-seen", run.planted),
                )


def opened(config: Config, snapshot: Path, world: PlantedWorld | None = None) -> Project:
    """Take a snapshot of what a project has stored."""
    with open_store(config) as store:
        store.snapshot(snapshot, config.vote_policy)
    return Project(config, snapshot, world)


def mean(values: Sequence[float | None]) -> float | None:
    """Return the mean of what could be measured."""
    known = [value for value in values if value is not None]
    return float(np.mean(known)) if known else None


def show(console: Console, name: str, found: Sequence[Project]) -> None:
    """Print a table on one kind of world, or on a project."""
    table = Table(title=name, title_justify="left")
    for column in ("length_match", "balanced", "pairs", "held out", "longer", "AUC", "right"):
        table.add_column(column, justify="right")
    for width, balance in [*((width, True) for width in WIDTHS), (1.25, False), (None, False)]:
        each = [pair(project, width, balance) for project in found]
        table.add_row(
            "none" if width is None else f"{width:g}",
            "yes" if balance else "no",
            f"{np.mean([outcome.n_train for outcome in each]):,.0f}",
            f"{np.mean([outcome.n_held_out for outcome in each]):,.0f}",
            f"{np.mean([outcome.longer for outcome in each]):.0%}",
            *(
                "" if value is None else f"{value:.3f}"
                for value in (
                    mean([outcome.style_auc for outcome in each]),
                    mean([outcome.right for outcome in each]),
                )
            ),
        )
    console.print(table)


def main() -> None:
    """Pair every world and project in every way."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("projects", nargs="*", type=Path, help="configurations; ingest them first")
    parser.add_argument("--worlds", nargs="+", choices=list(TROUBLES), default=list(TROUBLES))
    parser.add_argument("--seeds", type=int, default=3, help="of each world; 0 for none")
    parser.add_argument("--dir", type=Path, help="where to keep the worlds")
    asked = parser.parse_args()
    console = Console(width=None if Console().is_terminal else 120)
    with folder(asked.dir) as directory:
        for number, path in enumerate(asked.projects):
            config = load_config(path)
            show(console, config.project, [opened(config, directory / f"project-{number}")])
        found: dict[str, list[Project]] = {}
        for name, project in worlds(directory, asked.seeds, asked.worlds):
            found.setdefault(name, []).append(project)
        for name, each in found.items():
            show(console, name, each)


if __name__ == "__main__":
    main()
