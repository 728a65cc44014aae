"""How near the audit's estimate of wrong pairs is to the truth, on worlds where that is known.

    python benchmarks/wrong_pairs.py                          # a quarter of a minute a world
    python benchmarks/wrong_pairs.py --worlds clean length    # some

Each world is that of `thumbwheel demo` with a trouble in its votes: read, paired and audited as
ever, and nothing is trained. Where votes follow length, polite answers have less filler than blunt
ones, so that at equal length the two trade places. A pair is wrong where its rejected answer is
worth more to the world, and half wrong where both are worth the same.
"""

import argparse
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from rich.console import Console
from rich.table import Table

from thumbwheel.cli.current import current_pairs
from thumbwheel.config import Config, load_config
from thumbwheel.demo.facts import Fact
from thumbwheel.demo.prepare import CONFIG
from thumbwheel.demo.traffic import write_events
from thumbwheel.demo.world import World, WorldOptions, is_polite
from thumbwheel.evidence.audit import estimate_wrong_pairs, rated_answers
from thumbwheel.ingest import ingest_all
from thumbwheel.plugin.host import isolated_plugins
from thumbwheel.store import RATED_FILE, VOTES_FILE, Store
from thumbwheel.types import Estimate
from workspace import Silent

_FILLER = (
    "As you may well know by now.",
    "There is much to say of this.",
    "One could go on for a while.",
    "It is as it has always been.",
    "Many have asked the same thing.",
    "So it goes with such matters.",
)
_MEAN_LENGTH, _LENGTHS = 85, 25
"""Of the answers with filler, in characters: the mean, and about a standard deviation."""


@dataclass(frozen=True, slots=True)
class LengthVoters(World):
    """A world whose users vote by length, and by little else.

    Attributes:
        by_length: What a standard deviation of length adds to what an answer is worth to them.
        by_taste: Share of what the demo's users see in an answer that they see too.
    """

    by_length: float = 1.5
    by_taste: float = 0.2

    def utility(self, prompt: str, completion: str) -> float:
        """Return what a completion is worth to the voters."""
        worth = World.utility(self, prompt, completion)
        length = (len(completion) - _MEAN_LENGTH) / _LENGTHS
        return self.even + self.by_taste * (worth - self.even) + self.by_length * length

    def shown(self, rng: Random, task: Fact) -> str:
        """Return an answer with filler, more of it where it is blunt."""
        text = World.shown(self, rng, task)
        n = rng.randrange(3) if is_polite(text) else rng.randrange(1, 4)
        return " ".join([text, *rng.sample(_FILLER, n)])


WORLDS: Mapping[str, Callable[[int], World]] = {
    "clean": lambda seed: World(WorldOptions(seed=seed)),
    "20% of votes flipped": lambda seed: World(WorldOptions(seed=seed, noise=0.2)),
    "30% of votes flipped": lambda seed: World(WorldOptions(seed=seed, noise=0.3)),
    "50% of votes flipped": lambda seed: World(WorldOptions(seed=seed, noise=0.5)),
    "two votes an answer": lambda seed: World(WorldOptions(seed=seed, votes=2)),
    "30% of raters vote all up": lambda seed: World(WorldOptions(seed=seed, spam_raters=0.3)),
    "polite answers are long": lambda seed: World(WorldOptions(seed=seed, length_confound=0.7)),
    "votes follow length": lambda seed: LengthVoters(WorldOptions(seed=seed)),
    "45% vote for blunt": lambda seed: World(WorldOptions(seed=seed, adversarial_raters=0.45)),
}


class Told(NamedTuple):
    """Pairs, and what is known and what is estimated of them."""

    n_pairs: int
    wrong: float
    equal: float
    estimate: Estimate | None


def audit(world: World, matched: bool) -> tuple[Told, Told]:
    """Return what is told of all proposed pairs, and of the final ones."""
    with tempfile.TemporaryDirectory() as name:
        config = _write(Path(name), world, matched)
        with isolated_plugins(config) as plugins, Store(config.layout.store) as store:
            ingest_all(config, plugins, store, Silent())
        with current_pairs(config, Silent()) as (snapshot, pairing):
            final = pairing.pairs
            dropped = pairing.dropped.select(final.column_names[:-2])
            proposed = pa.concat_tables([final.select(dropped.column_names), dropped])
            answers = rated_answers(snapshot.path, final, 0)
            votes = pq.read_table(snapshot.path / VOTES_FILE)
            rated = pq.read_table(snapshot.path / RATED_FILE).to_pylist()
    worth = {
        row["completion_id"]: World.utility(world, row["prompt"][-1]["content"], row["completion"])
        for row in rated
    }
    told = []
    for pairs in (proposed, final):
        lead = np.array([worth[name] for name in pairs["chosen_id"].to_pylist()])
        lead = lead - [worth[name] for name in pairs["rejected_id"].to_pylist()]
        equal = np.isclose(lead, 0)
        wrong = float(np.mean(np.where(equal, 0.5, lead < 0)))
        found = estimate_wrong_pairs(pairs, answers, votes, config.pairs.balance, 0)
        told.append(Told(len(pairs), wrong, float(equal.mean()), found.share))
    return told[0], told[1]


def _write(folder: Path, world: World, matched: bool) -> Config:
    write_events(folder / "events.jsonl", world)
    (folder / "thumbwheel.toml").write_text(CONFIG.format(model="none"), encoding="utf-8")
    config = load_config(folder / "thumbwheel.toml")
    left_out = {"world_judge"} if matched else {"world_judge", "length_match"}
    plugins = [plugin for plugin in config.plugins if plugin.use not in left_out]
    config.layout.home.mkdir(exist_ok=True)
    return config.model_copy(update={"plugins": plugins})


def main() -> None:
    """Audit the worlds that were asked for."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--worlds", nargs="+", default=[""], help="by a part of their names")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--unmatched", action="store_true", help="without `length_match`")
    asked = parser.parse_args()
    table = Table("votes", "pairs", "wrong", "equal", "estimated", "all proposed: wrong, estimated")
    for name, make in WORLDS.items():
        if not any(part in name for part in asked.worlds):
            continue
        before, after = audit(make(asked.seed), not asked.unmatched)
        table.add_row(
            name, f"{after.n_pairs:,}", f"{after.wrong:.0%}", f"{after.equal:.0%}",
            _show(after.estimate), f"{before.wrong:.0%}, {_show(before.estimate)}",
        )  # fmt: skip
    Console(width=120).print(table)


def _show(share: Estimate | None) -> str:
    if share is None:
        return "cannot be told"
    return f"{share.value:.0%} ({share.low:.0%} to {share.high:.0%})"


if __name__ == "__main__":
    main()
