"""What troubled votes do to the model and to the gate, on worlds whose truth is known.

    python benchmarks/planted.py                              # all scenarios and worlds on 3 seeds
    python benchmarks/planted.py --worlds second --scenarios spam --seeds 1
    python benchmarks/planted.py --scenarios --null 100         # the gate against chance

The demo's world is that of `thumbwheel demo`; the second one has another base model, other tasks
and phrases, and users who want another thing: polite and right answers too, but also concise ones.
A scenario is a world with a trouble in its votes or in the training. Each is turned through the
real pipeline, from the events to the gate's verdict, in a folder of its own; the clean world is
always among them, since others are held against it. Seeds share nothing: each has its own base
model, which takes a minute to train. What has finished in `--dir` is not done again.

What a candidate is truly worth is asked of the world, behind the gate's back: champion and
candidate answer every held-out prompt eight times, and the world knows the utility of each answer.
A candidate is truly better where the 95% interval of its mean gain in utility lies above zero and
the gain is above a tenth of the standard deviation of the champion's answers; it is not better
where the interval touches zero. The gate may not ask the world, unless `--ask-world` says so.

`--null N` asks how often the gate promotes what cannot be better. On each seed it takes the
candidate that half-flipped votes have taught, and has it judged by the held-out pairs of N more
worlds with such votes: read, paired, evaluated and decided as ever, but nothing is trained anew.
"""

import argparse
import math
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from multiprocessing import get_context
from pathlib import Path
from statistics import fmean
from typing import Any, TypeVar

from rich.console import Console
from rich.table import Table

from planted_runs import Turn, judge_by_chance, turn
from planted_scenarios import SCENARIOS, Bar, lengthening, moved, reward_length
from planted_worlds import WORLDS, Run, build_base_model
from workspace import folder

Result = TypeVar("Result")

_WIDTH = 230
"""Columns of the table where it is not shown in a terminal."""
Turns = Sequence[Turn]


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
    verdict = "promoted" if turn.promoted else f"refused: {'; '.join(turn.refusals)}"
    truth, (metric, measured) = turn.truth, turn.measured
    traits = ", ".join(
        f"{trait} {before:.2f} -> {after:.2f}" for trait, (before, after) in truth.traits.items()
    )
    return (
        f"{turn.run.world} {turn.run.name} seed {turn.run.options.seed}: "
        f"{turn.n_train} + {turn.n_eval} pairs, {traits}, length {turn.lengthening:+.0%}, "
        f"style AUC {turn.style_auc[0]:.2f} -> {turn.style_auc[1]:.2f}, "
        f"agreement {turn.agreement:.3f}, reward by length {turn.reward_length:+.2f}; "
        f"truly {truth.kind}: {truth.gain.value:+.3f} ({truth.gain.low:+.3f} to "
        f"{truth.gain.high:+.3f}, a deviation is {truth.spread:.2f}), wins {truth.win_rate:.3f}, "
        f"judged alike {turn.judge:.2f}; "
        f"{metric} {measured.value:.3f} ({measured.low:.3f} to {measured.high:.3f}); {verdict}"
    )


def summarise(turns: Turns) -> Table:
    """Return one row a world and scenario: means over the seeds, their extremes, and the bars."""
    columns = ["world", "trouble", "pairs", "moved", "style AUC", "agreement", "polite", "right"]
    columns += ["longer", "reward by length", "truth", "judge", "gate", "promoted", "bar"]
    table = Table(*columns)
    for world in WORLDS:
        clean = {turn.run.options.seed: turn for turn in of(turns, world, "clean")}
        for name, scenario in SCENARIOS.items():
            mine = of(turns, world, name)
            theirs = [clean[turn.run.options.seed] for turn in mine]
            if not mine:
                continue
            bars = scenario.bars if world == "demo" else ()
            table.add_row(
                world,
                scenario.trouble,
                f"{fmean(turn.n_train + turn.n_eval for turn in mine):.0f}",
                f"{moved(mine, theirs):.1%}" if scenario.is_attack else "",
                before_and_after([turn.style_auc for turn in mine]),
                f"{fmean(turn.agreement for turn in mine):.3f}",
                before_and_after([turn.polite for turn in mine]),
                before_and_after([turn.right for turn in mine]),
                f"{lengthening(mine, theirs):+.0%}",
                f"{reward_length(mine, theirs):+.2f}",
                f"{fmean(turn.truth.gain.value for turn in mine):+.2f}, "
                f"wins {fmean(turn.truth.win_rate for turn in mine):.2f}",
                ", ".join(f"{turn.judge:.2f}" for turn in mine),
                f"{fmean(turn.measured[1].value for turn in mine):.2f} ({mine[0].measured[0]})",
                f"{sum(turn.promoted for turn in mine)} of {len(mine)}",
                "\n".join(show_bar(bar, bar.measure(mine, theirs)) for bar in bars),
            )
    return table


def of(turns: Turns, world: str, scenario: str) -> list[Turn]:
    """Return the turns of a scenario in the order of their seeds."""
    mine = [turn for turn in turns if (turn.run.world, turn.run.name) == (world, scenario)]
    return sorted(mine, key=lambda turn: turn.run.options.seed)


def show_verdicts(turns: Turns) -> Iterator[str]:
    """Yield how often the gate promoted what is truly better, and what is not."""
    for kind, least, most in (
        ("better", 0.8, math.inf),
        ("little better", -math.inf, math.inf),
        ("not better", -math.inf, 0.02),
    ):
        promoted = [turn.promoted for turn in turns if turn.truth.kind == kind]
        if promoted:
            what = f"truly {kind}: promoted {sum(promoted)} of {len(promoted)}"
            yield show_limits(what, fmean(promoted), least, most)


def before_and_after(values: Sequence[tuple[float, float]]) -> str:
    """Return the means, and the extremes of the second."""
    before, after = zip(*values, strict=True)
    return f"{fmean(before):.2f} -> {fmean(after):.2f} ({min(after):.2f} to {max(after):.2f})"


def show_bar(bar: Bar, value: float) -> str:
    """Return the bar, what was reached, and whether that meets it."""
    return show_limits(bar.what, value, bar.least, bar.most)


def show_limits(what: str, value: float, least: float, most: float) -> str:
    """Return what was measured, its limits, and whether it is within them."""
    limits = [f">= {least:g}"] * (least > -math.inf)
    limits += [f"<= {most:g}"] * (most < math.inf)
    met = "met" if least <= value <= most else "MISSED"
    return f"{what} {' and '.join(limits)}: {value:.3f}, {met}"


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


def main() -> None:
    """Turn what was asked for."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--worlds", nargs="+", choices=WORLDS, default=list(WORLDS))
    parser.add_argument("--scenarios", nargs="*", choices=SCENARIOS, default=list(SCENARIOS))
    parser.add_argument("--seeds", type=int, default=3, help="how many: 0, 1, ...")
    parser.add_argument("--null", type=int, default=0, help="worlds of chance for each seed")
    parser.add_argument("--jobs", type=int, default=2, help="turns at a time, a GB each")
    parser.add_argument("--ask-world", action="store_true", help="the gate may ask for the truth")
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
        Run(world, name, scenario.options(seed), scenario.training, asked.ask_world)
        for seed in seeds
        for world in asked.worlds
        for name, scenario in SCENARIOS.items()
        if name in names
    ]
    with folder(asked.dir) as directory, console.status("base models") as status:
        bases = [(directory, world, seed) for seed in seeds for world in asked.worlds]
        for _ in in_processes(asked.jobs, build_base_model, bases):
            pass
        turns = []
        status.update("scenarios")
        for done in in_processes(asked.jobs, turn, [(directory, run) for run in runs]):
            console.print(show_turn(done), highlight=False)
            turns.append(done)
        console.print(summarise(turns))
        for line in show_verdicts(turns):
            console.print(line)
        if asked.null:
            status.update("worlds of chance")
            of_chance = [(directory, run, asked.null) for run in runs if run.name == "noise_50"]
            console.print(show_chance(in_processes(asked.jobs, judge_by_chance, of_chance)))
    console.print(f"seeds: {', '.join(map(str, seeds))}")


if __name__ == "__main__":
    main()
