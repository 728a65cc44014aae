"""What troubled votes do to the model, on a world whose truth is known.

    python benchmarks/planted.py                                # every scenario on three seeds
    python benchmarks/planted.py --scenarios flood --seeds 1    # one of them
    python benchmarks/planted.py --scenarios --null 100         # the gate against chance

A scenario is the world of `thumbwheel demo` with a trouble in its votes. Each is turned through the
real pipeline, from the events to the gate's verdict, in a folder of its own; the clean world is
always among them, since others are held against it. Seeds share nothing: each has its own base
model, which takes a minute to train. What has finished in `--dir` is not done again.

`--null N` asks how often the gate promotes what cannot be better. On each seed it takes the
candidate that half-flipped votes have taught, and has it judged by the held-out pairs of N more
worlds with such votes: read, paired, evaluated and decided as ever, but nothing is trained anew.
"""

import argparse
import os
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from contextlib import contextmanager
from dataclasses import dataclass, field
from multiprocessing import get_context
from pathlib import Path
from statistics import fmean
from typing import Any, TypeVar

from rich.console import Console
from rich.table import Table

from planted_runs import Turn, build_base_model, judge_by_chance, turn
from thumbwheel.demo.world import WorldOptions

Result = TypeVar("Result")

_WIDTH = 200
"""Columns of the table where it is not shown in a terminal."""
Turns = Sequence[Turn]


@dataclass(frozen=True)
class Bar:
    """A number to reach, or not to pass.

    `measure` takes the turns of a scenario and the clean turns of the same seeds.
    """

    what: str
    measure: Callable[[Turns, Turns], float]
    least: float = float("-inf")
    most: float = float("inf")


@dataclass(frozen=True)
class Scenario:
    """A trouble, and what must hold in spite of it.

    `is_attack` where all votes of the clean world are there too, so that pairs can be compared.
    """

    trouble: str
    knobs: Mapping[str, Any] = field(default_factory=dict)
    bars: Sequence[Bar] = ()
    is_attack: bool = False

    def options(self, seed: int) -> WorldOptions:
        """Return the world's knobs."""
        return WorldOptions(seed=seed, **self.knobs)


def polite(turns: Turns, clean: Turns) -> float:
    """Return the mean share of polite answers."""
    return fmean(turn.polite[1] for turn in turns)


def lengthening(turns: Turns, clean: Turns) -> float:
    """Return the mean change in length, as a share."""
    return fmean(turn.lengthening for turn in turns)


def share_of_clean_gain(turns: Turns, clean: Turns) -> float:
    """Return the mean gain in polite answers over that of the clean worlds."""
    return fmean(turn.gain for turn in turns) / fmean(turn.gain for turn in clean)


def moved(turns: Turns, clean: Turns) -> float:
    """Return the mean share of pairs that are not those of the clean worlds."""
    return fmean(turn.moved(other) for turn, other in zip(turns, clean, strict=True))


def refused(turns: Turns, clean: Turns) -> float:
    """Return the share of turns whose candidate was refused."""
    return fmean(bool(turn.refusals) for turn in turns)


def reward_length(turns: Turns, clean: Turns) -> float:
    """Return the mean rank correlation of reward and length."""
    return fmean(turn.reward_length for turn in turns)


SCENARIOS = {
    "clean": Scenario(
        "none", bars=[Bar("polite", polite, 0.95), Bar("longer", lengthening, -0.1, 0.1)]
    ),
    "noise_20": Scenario(
        "20% of votes flipped",
        {"noise": 0.2},
        [Bar("of the clean gain", share_of_clean_gain, 0.4)],
    ),
    "noise_50": Scenario("50% of votes flipped", {"noise": 0.5}, [Bar("refused", refused, 0.95)]),
    "length_70": Scenario(
        "70% of answers long just when polite",
        {"length_confound": 0.7},
        [Bar("reward by length", reward_length, most=0.2)],
    ),
    "flood": Scenario(
        "one rater, 1,000 votes for blunt",
        {"flood_votes": 1000},
        [Bar("pairs moved", moved, most=0.01)],
        is_attack=True,
    ),
    "collusion": Scenario("2% collude for blunt", {"colluders": 0.02}, is_attack=True),
    "spam": Scenario("30% vote all up", {"spam_raters": 0.3}),
    "adversaries": Scenario(
        "45% vote for blunt", {"adversarial_raters": 0.45}, [Bar("refused", refused, 1)]
    ),
    "one_sided": Scenario("half of prompts one-sided", {"missing_sides": 0.5}),
}


def in_processes(
    jobs: int, work: Callable[..., Result], arguments: Iterable[tuple[Any, ...]]
) -> Iterator[Result]:
    """Do the work for each tuple of arguments, and yield the results as they come."""
    with ProcessPoolExecutor(jobs, get_context("spawn"), max_tasks_per_child=1) as workers:
        pending = [workers.submit(work, *given) for given in arguments]
        try:
            for future in as_completed(pending):
                yield future.result()
        finally:
            workers.shutdown(cancel_futures=True)


def show_turn(turn: Turn) -> str:
    """Return a line on one turn."""
    verdict = f"refused: {turn.refusals[0]}" if turn.refusals else "promoted"
    return (
        f"{turn.name} seed {turn.seed}: {turn.n_train} + {turn.n_eval} pairs, "
        f"polite {turn.polite[0]:.2f} -> {turn.polite[1]:.2f}, "
        f"right {turn.right[0]:.2f} -> {turn.right[1]:.2f}, length {turn.lengthening:+.0%}, "
        f"style AUC {turn.style_auc[0]:.2f} -> {turn.style_auc[1]:.2f}, "
        f"agreement {turn.agreement:.3f}, reward by length {turn.reward_length:+.2f}; {verdict}"
    )


def summarise(turns: Turns) -> Table:
    """Return one row a scenario: means over the seeds, their extremes, and the bars."""
    columns = ("trouble", "pairs", "moved", "style AUC", "agreement", "polite", "right", "longer")
    table = Table(*columns, "reward by length", "promoted", "bar")
    clean = {turn.seed: turn for turn in turns if turn.name == "clean"}
    for name, scenario in SCENARIOS.items():
        mine = [turn for turn in turns if turn.name == name]
        theirs = [clean[turn.seed] for turn in mine]
        if not mine:
            continue
        table.add_row(
            scenario.trouble,
            f"{fmean(turn.n_train + turn.n_eval for turn in mine):.0f}",
            f"{moved(mine, theirs):.1%}" if scenario.is_attack else "",
            before_and_after([turn.style_auc for turn in mine]),
            f"{fmean(turn.agreement for turn in mine):.3f}",
            before_and_after([turn.polite for turn in mine]),
            before_and_after([turn.right for turn in mine]),
            f"{lengthening(mine, theirs):+.0%}",
            f"{reward_length(mine, theirs):+.2f}",
            f"{sum(not turn.refusals for turn in mine)} of {len(mine)}",
            "\n".join(show_bar(bar, bar.measure(mine, theirs)) for bar in scenario.bars),
        )
    return table


def before_and_after(values: Sequence[tuple[float, float]]) -> str:
    """Return the means, and the extremes of the second."""
    before, after = zip(*values, strict=True)
    return f"{fmean(before):.2f} -> {fmean(after):.2f} ({min(after):.2f} to {max(after):.2f})"


def show_bar(bar: Bar, value: float) -> str:
    """Return the bar, what was reached, and whether that meets it."""
    limits = [f">= {bar.least:g}"] * (bar.least > float("-inf"))
    limits += [f"<= {bar.most:g}"] * (bar.most < float("inf"))
    met = "met" if bar.least <= value <= bar.most else "MISSED"
    return f"{bar.what} {' and '.join(limits)}: {value:.3f}, {met}"


def show_chance(verdicts: Iterable[Sequence[bool]]) -> str:
    """Return how often chance was refused, with a 95% interval over the worlds."""
    from scipy.stats import binomtest

    promoted = [verdict for of_seed in verdicts for verdict in of_seed]
    refusals, n = promoted.count(False), len(promoted)
    interval = binomtest(refusals, n).proportion_ci(method="wilson")
    met = "met" if refusals >= 0.95 * n else "MISSED"
    return (
        f"50% of votes flipped, nothing trained anew: refused {refusals / n:.1%} of {n} runs "
        f"(95% interval {interval.low:.1%} to {interval.high:.1%}); refused >= 95%: {met}"
    )


@contextmanager
def folder(given: Path | None) -> Iterator[Path]:
    """Yield the folder to work in: the one given, or one that is gone afterwards."""
    if given is None:
        with tempfile.TemporaryDirectory() as name:
            yield Path(name)
    else:
        given.mkdir(parents=True, exist_ok=True)
        yield given.resolve()


def main() -> None:
    """Turn what was asked for."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--scenarios", nargs="*", choices=SCENARIOS, default=list(SCENARIOS))
    parser.add_argument("--seeds", type=int, default=3, help="how many: 0, 1, ...")
    parser.add_argument("--null", type=int, default=0, help="worlds of chance for each seed")
    parser.add_argument("--jobs", type=int, default=2, help="turns at a time, a GB each")
    parser.add_argument("--dir", type=Path, help="where to keep models and results")
    asked = parser.parse_args()
    # Two jobs of one thread each do more than one of two threads.
    os.environ["OMP_NUM_THREADS"] = str(max(1, (os.cpu_count() or 1) // asked.jobs))
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    console = Console()
    if not console.is_terminal:
        console.width = _WIDTH
    seeds = range(asked.seeds)
    names = {"clean", *asked.scenarios, *(["noise_50"] if asked.null else [])}
    runs = [
        (name, scenario.options(seed))
        for seed in seeds
        for name, scenario in SCENARIOS.items()
        if name in names
    ]
    with folder(asked.dir) as directory, console.status("base models") as status:
        for _ in in_processes(asked.jobs, build_base_model, [(directory, seed) for seed in seeds]):
            pass
        turns = []
        status.update("scenarios")
        for done in in_processes(asked.jobs, turn, [(directory, *run) for run in runs]):
            console.print(show_turn(done), highlight=False)
            turns.append(done)
        console.print(summarise(turns))
        if asked.null:
            status.update("worlds of chance")
            of_chance = [(directory, *run, asked.null) for run in runs if run[0] == "noise_50"]
            console.print(show_chance(in_processes(asked.jobs, judge_by_chance, of_chance)))
    console.print(f"seeds: {', '.join(map(str, seeds))}")


if __name__ == "__main__":
    main()
