"""How often the gate errs, by simulation: in a year of looks, under tuning, on broken answers.

    python benchmarks/gate.py                 # everything
    python benchmarks/gate.py a c --runs 100  # some of it
    python benchmarks/gate.py --quick         # few runs of everything

- **a** years in which no candidate is better: how many see a promotion.
- **b** fifty settings tried by somebody who keeps what looks best: how often one is promoted that
  is no better.
- **c** candidates that are better: after how many weekly looks one is promoted; and who can follow
  a champion that was promoted by luck.
- **d** real answers of the demo's model, broken in the ways of `broken.py`: how many broken
  candidates pass the guards, so that nothing but the judge would hold them back. And the same where
  only the answers to prompts unlike the app's are broken, which no judge is asked about.
- **e** candidates that are harmless: how many pass.
- **f** how often an interval holds the truth.

In a, b, c and f models are simulated: `gate_worlds.py` says how. Tests, levels, power and intervals
are the project's own. For d and e the demo's model is trained and answers are measured, which takes
some minutes; what is in `--dir` is not done again. A number after ± is its Monte Carlo standard
error. LORD++ and SAFFRON are left out where `online-fdr` is not installed.
"""

import argparse
import os
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table

from broken import BROKEN
from gate_answers import ELSEWHERE, HARMLESS, SIZES, promoted, write_measures
from gate_coverage import coverage
from gate_luck import after_luck
from gate_rules import has_online_fdr
from gate_tuning import tuning
from gate_years import WEEKS, error_over_time, power_over_time
from workspace import folder

Results = Mapping[tuple[str, str], Sequence[Any]]
"""A number or a word of each run, by row and column of a table."""

LETTERS = "abcdef"
_WIDTH = 220
"""Columns of a table where it is not shown in a terminal."""
_PIECES = 4
"""A job has the runs of a part in so many pieces, so that none waits long for the other."""


@dataclass(frozen=True)
class Bar:
    """A number to reach, or not to pass, in every one of the rows of a column."""

    column: str
    least: float = float("-inf")
    most: float = float("inf")
    rows: Callable[[str], bool] = lambda row: True


@dataclass(frozen=True)
class Part:
    """Runs, and how they are shown.

    Attributes:
        title: Of the table.
        run: Does so many runs from a seed.
        runs: How many, unless the command says; a tenth when it is to be quick.
        show: Returns a cell, from one number of each run.
        bars: What must hold.
    """

    title: str
    run: Callable[[np.random.SeedSequence, int], Results]
    runs: int
    show: Callable[[Sequence[Any]], str]
    bars: Sequence[Bar] = ()


def percent(values: Sequence[float]) -> str:
    """Return a share with its standard error, such as `2.4% ± 0.8`."""
    share = float(np.mean(values))
    return f"{share:.1%} ± {100 * (share * (1 - share) / len(values)) ** 0.5:.1f}"


def words(values: Sequence[Any]) -> str:
    """Return the four commonest words; a share as `percent` does."""
    if all(isinstance(value, str) for value in values):
        return ", ".join(word for word, _ in Counter(values).most_common(4))
    return percent(values)


def number(values: Sequence[float]) -> str:
    """Return a mean with its standard error; a share as `percent` does."""
    if set(values) <= {0.0, 1.0}:
        return percent(values)
    return f"{np.mean(values):+.3f} ± {np.std(values) / len(values) ** 0.5:.3f}"


def by_week(values: Sequence[float]) -> str:
    """Return how many are promoted by week 1, 4, 12, 26 and 52, in percent."""
    return " ".join(f"{100 * np.mean(np.asarray(values) <= week):.0f}" for week in WEEKS)


SIMULATED: Mapping[str, Sequence[Part]] = {
    "a": [
        Part(
            "a. Years with a false promotion",
            error_over_time,
            200,
            percent,
            [Bar("ours", most=0.05)],
        )
    ],
    "b": [
        Part(
            "b. Searches over 50 settings, none of them better",
            tuning,
            400,
            number,
            [Bar("promoted", most=0.05, rows=lambda row: "held-out" not in row)],
        )
    ],
    "c": [
        Part(
            f"c. Promoted by week {', '.join(map(str, WEEKS))}, in percent",
            power_over_time,
            200,
            by_week,
        ),
        Part(
            "c. After luck: promoted with a true +.05 over the champion, at the first look",
            after_luck,
            150,
            number,
        ),
    ],
    "f": [
        Part(
            "f. 95% intervals that hold the truth, and their width",
            coverage,
            400,
            number,
            [Bar("ours", least=0.93)],
        )
    ],
}


_KINDS_ELSEWHERE = [
    f"{ELSEWHERE}{kind}" for kind in BROKEN if "%" not in kind and kind != "one topic collapsed"
]
"""Forty prompts share no topic, and of them 15% are six."""


def parts_with_answers(directory: Path) -> Mapping[str, Sequence[Part]]:
    """Return the parts that read the measures in a directory."""
    sizes = [f"{n} prompts" for n in SIZES]
    return {
        "d": [
            Part(
                "d. Broken candidates that pass all guards, and what refuses the others",
                partial(promoted, directory, list(BROKEN)),
                100,
                words,
                [Bar(size, most=0.02) for size in sizes],
            ),
            Part(
                "d. Candidates that are broken only on prompts unlike the app's",
                partial(promoted, directory, _KINDS_ELSEWHERE),
                100,
                words,
                [Bar("40 prompts", most=0.02)],
            ),
        ],
        "e": [
            Part(
                "e. Harmless candidates that pass all guards, and what refuses the others",
                partial(promoted, directory, list(HARMLESS)),
                200,
                words,
                [Bar(size, least=0.95) for size in (*sizes, "40 prompts")],
            )
        ],
    }


def run_part(
    workers: ProcessPoolExecutor, part: Part, seed: np.random.SeedSequence, runs: int, jobs: int
) -> Results:
    """Do a part's runs in pieces, and put them together."""
    pieces = [len(piece) for piece in np.array_split(np.arange(runs), jobs * _PIECES) if len(piece)]
    merged: dict[tuple[str, str], list[Any]] = defaultdict(list)
    for results in workers.map(part.run, seed.spawn(len(pieces)), pieces):
        for cell, values in results.items():
            merged[cell] += values
    return merged


def tabulate(part: Part, results: Results, runs: int) -> Table:
    """Return the rows and columns in the order in which they first came."""
    rows, columns = (list(dict.fromkeys(cell[side] for cell in results)) for side in (0, 1))
    table = Table("", *columns, title=f"{part.title} ({runs} runs)", title_justify="left")
    for row in rows:
        cells = [results.get((row, column)) for column in columns]
        table.add_row(row, *("" if values is None else part.show(values) for values in cells))
    return table


def show_bar(bar: Bar, results: Results) -> str:
    """Return what was reached where it was least, and whether that meets the bar."""
    of_row = {
        row: values
        for (row, name), values in results.items()
        if name == bar.column and bar.rows(row)
    }
    is_most = bar.most < float("inf")
    limit = bar.most if is_most else bar.least
    shares = {row: float(np.mean(values)) for row, values in of_row.items()}
    worst = (max if is_most else min)(shares, key=shares.__getitem__)
    met = "met" if bar.least <= shares[worst] <= bar.most else "MISSED"
    wanted = f"{'<=' if is_most else '>='} {limit:.0%}"
    return f"{bar.column} {wanted} in each row: {percent(of_row[worst])} at worst ({worst}), {met}"


def main() -> None:
    """Run what was asked for."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "parts", nargs="*", help=f"some of {', '.join(LETTERS)}; all if none is given"
    )
    parser.add_argument("--runs", type=int, help="of each part")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--jobs", type=int, default=2, help="processes")
    parser.add_argument("--quick", action="store_true", help="a tenth of the runs")
    parser.add_argument("--dir", type=Path, help="where to keep models, answers and measures")
    asked = parser.parse_args()
    wanted = set(asked.parts or LETTERS)
    if wanted - set(LETTERS):
        parser.error(f"no such part: {', '.join(sorted(wanted - set(LETTERS)))}")
    # Two jobs of one thread each do more than one of two threads.
    os.environ["OMP_NUM_THREADS"] = "1"
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    console = Console()
    if not console.is_terminal:
        console.width = _WIDTH
    if wanted & {"a", "c"} and not has_online_fdr():
        console.print("online-fdr is not installed: LORD++ and SAFFRON are left out")
    with (
        folder(asked.dir) as directory,
        ProcessPoolExecutor(asked.jobs, get_context("spawn")) as workers,
    ):
        if wanted & {"d", "e"}:
            kinds = [*BROKEN, *_KINDS_ELSEWHERE] if "d" in wanted else []
            write_measures(directory, asked.seed, asked.jobs, kinds)
        parts = {**SIMULATED, **parts_with_answers(directory)}
        for letter in sorted(wanted):
            for index, part in enumerate(parts[letter]):
                seed = np.random.SeedSequence([asked.seed, ord(letter), index])
                runs = asked.runs or max(part.runs // (10 if asked.quick else 1), 1)
                results = run_part(workers, part, seed, runs, asked.jobs)
                console.print(tabulate(part, results, runs))
                for bar in part.bars:
                    console.print(show_bar(bar, results), highlight=False)
    console.print(f"seed: {asked.seed}")


if __name__ == "__main__":
    main()
