"""Real answers of the demo's model, whole and broken, and the guards that see them.

The base model and the candidate that the demo's votes have taught answer every prompt, and the
prompts unlike the app's. A broken candidate is the good one with its answers broken, to the app's
prompts or `ELSEWHERE`; what is measured of all of them is measured once. A run then draws prompts
with replacement, so that it costs statistics only.
"""

import os
from collections.abc import Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from itertools import chain
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from broken import BROKEN, break_answers
from thumbwheel.config import GateConfig, load_config
from thumbwheel.cycle.journal import find_report
from thumbwheel.cycle.run import run_cycle
from thumbwheel.demo.facts import FACTS, Fact
from thumbwheel.demo.prepare import prepare_demo
from thumbwheel.demo.world import WorldOptions
from thumbwheel.evidence.answers import (
    Values,
    collapsed_topics,
    measure_answers,
    measure_out_of_distribution,
    out_of_distribution_prompts,
    topics,
)
from thumbwheel.evidence.gate import check_guards
from thumbwheel.language_model import AdaptedModel
from thumbwheel.measures.statistics import paired_report
from thumbwheel.plugin.host import isolated_plugins
from thumbwheel.tables import ANSWERS
from thumbwheel.types import EvalReport, Prompt
from workspace import Silent, load_models

__all__ = ["ELSEWHERE", "HARMLESS", "promoted", "write_measures"]

Array = npt.NDArray[np.float64]
Measured = Mapping[str, Array]
"""By metric, a value for each prompt, shape (n,)."""

SIZES = (100, 200)
DRAWS = 4
CONFIDENCE = 0.95

SAMPLED = {"champion": ("base", 0), "candidate": ("candidate", 0)} | {
    "another sample of the champion": ("base", DRAWS),
    "another sample of the candidate": ("candidate", DRAWS),
}
"""Whose answers there are: the model, and the first draw."""
ELSEWHERE = "elsewhere: "
"""Begins the names of answers to prompts unlike the app's, and of kinds of breaking these."""
HARMLESS = {
    "the champion again": ("another sample of the champion", "champion"),
    "the candidate again": ("another sample of the candidate", "candidate"),
    "the candidate after the champion": ("candidate", "champion"),
}
HARMLESS |= {
    f"{ELSEWHERE}{kind}": (f"{ELSEWHERE}{candidate}", f"{ELSEWHERE}{champion}")
    for kind, (candidate, champion) in HARMLESS.items()
}
"""Candidates that must pass, and after whom."""


def write_measures(directory: Path, seed: int, jobs: int, kinds: Sequence[str]) -> None:
    """Train, answer, break and measure what is not there yet.

    Args:
        directory: Holds it all.
        seed: Of the world.
        jobs: Processes.
        kinds: Of breaking.
    """
    if not (directory / "thumbwheel.toml").exists():
        config = prepare_demo(directory / "demo", WorldOptions(seed=seed), Silent())
        with isolated_plugins(load_config(config)) as plugins:
            run_cycle(load_config(config), plugins, Silent())
        (directory / "thumbwheel.toml").symlink_to(config)
    answers = directory / "answers"
    answers.mkdir(exist_ok=True)
    names = [f"{where}{name}" for where in ("", ELSEWHERE) for name in SAMPLED]
    missing = [name for name in names if not (answers / f"{name}.parquet").exists()]
    if missing:
        models = _load(directory)
        for name in missing:
            pq.write_table(_ask(models, name), answers / f"{name}.parquet")
    (directory / "measures").mkdir(exist_ok=True)
    wanted = [name for name in (*names, *kinds) if not _file(directory, name).exists()]
    # Not forked: torch's threads do not survive that.
    with ProcessPoolExecutor(jobs, get_context("spawn")) as workers:
        pieces = [(directory, wanted[piece::jobs], seed) for piece in range(jobs)]
        for _ in workers.map(_measure, *zip(*pieces, strict=True)):
            pass


def promoted(
    directory: Path, kinds: Sequence[str], seed: np.random.SeedSequence, runs: int
) -> Mapping[tuple[str, str], Sequence[float | str]]:
    """Return whether candidates pass all guards, and the guards that refuse them.

    Prompts unlike the app's are as many as there are, whatever the number of the app's.

    Args:
        directory: As for `write_measures`.
        kinds: Of breaking, or keys of `HARMLESS`.
        seed: Of the prompts that are drawn.
        runs: For each kind and number of prompts.
    """
    rng = np.random.default_rng(seed)
    of_prompt = topics({fact.prompt: _prompt(fact) for fact in FACTS}, seed=0)
    labels = np.array([of_prompt[fact.prompt] for fact in FACTS])
    found: dict[tuple[str, str], Sequence[float | str]] = {}
    for kind in kinds:
        elsewhere = kind.startswith(ELSEWHERE)
        champion_of_kind = f"{ELSEWHERE}champion" if elsewhere else "champion"
        candidate, champion = HARMLESS.get(kind, (kind, champion_of_kind))
        values = {"candidate": _read(directory, candidate), "champion": _read(directory, champion)}
        refused_by: list[str] = []
        n_prompts = len(next(iter(values["champion"].values())))
        for n in (n_prompts,) if elsewhere else SIZES:
            drawn = [rng.integers(n_prompts, size=n) for _ in range(runs)]
            refused = [_refusals(values, rows, None if elsewhere else labels) for rows in drawn]
            found[kind, f"{n} prompts"] = [float(not guards) for guards in refused]
            refused_by += chain.from_iterable(refused)
        found[kind, "refused by"] = refused_by
    return found


def _refusals(
    values: Mapping[str, Measured], rows: npt.NDArray[np.int64], labels: npt.NDArray[np.str_] | None
) -> list[str]:
    drawn = {
        model: {metric: of_prompt[rows] for metric, of_prompt in by_metric.items()}
        for model, by_metric in values.items()
    }
    guards = [guard for guard in GateConfig().guards if guard.metric in drawn["champion"]]
    named = {
        model: {metric: _by_id(of_prompt) for metric, of_prompt in by_metric.items()}
        for model, by_metric in drawn.items()
    }
    report = EvalReport(
        champion="base",
        confidence=CONFIDENCE,
        n_prompts=len(rows),
        n_pairs=0,
        metrics={
            guard.metric: paired_report(
                guard.metric,
                {model: by_metric[guard.metric] for model, by_metric in named.items()},
                confidence=CONFIDENCE,
                with_ratio=guard.relative,
            )
            for guard in guards
        },
    )
    failed = [rule for rule in check_guards(report, guards) if not rule.passed]
    if failed:
        # To look into every topic takes ten times as long.
        return [rule.rule.partition(" does not")[0] for rule in failed]
    if labels is None:
        return []
    of_prompt = {str(row): str(label) for row, label in enumerate(labels[rows])}
    return ["a topic"] if collapsed_topics(named, of_prompt, guards) else []


def _prompts(name: str) -> Mapping[str, Prompt]:
    """Return what was asked for the answers of that name, by its id."""
    if name.startswith(ELSEWHERE):
        return out_of_distribution_prompts(None)
    return {fact.prompt: _prompt(fact) for fact in FACTS}


def _prompt(fact: Fact) -> Prompt:
    return [{"role": "user", "content": fact.prompt}]


def _by_id(of_prompt: Array) -> dict[str, float]:
    return {str(row): float(value) for row, value in enumerate(of_prompt)}


def _load(directory: Path) -> dict[str, AdaptedModel]:
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    config = load_config((directory / "thumbwheel.toml").resolve())
    journal, _ = find_report(config.layout, "latest")
    return load_models(config, journal)


def _ask(models: Mapping[str, AdaptedModel], name: str) -> pa.Table:
    model, first = SAMPLED[name.removeprefix(ELSEWHERE)]
    prompts = _prompts(name)
    answers = models[model].answers([*prompts.values()], DRAWS, first=first)
    rows = [
        {
            "prompt_id": prompt_id,
            "prompt": prompt,
            "draw": first + draw,
            "answer": answer.text,
            "finished": answer.finished,
        }
        for (prompt_id, prompt), drawn in zip(prompts.items(), answers, strict=True)
        for draw, answer in enumerate(drawn)
    ]
    return pa.Table.from_pylist(rows, schema=ANSWERS)


def _measure(directory: Path, names: Sequence[str], seed: int) -> None:
    models = _load(directory) if names else {}
    for name in names:
        where = ELSEWHERE if name.startswith(ELSEWHERE) else ""
        kind = name.removeprefix(where)
        sampled = kind if kind in SAMPLED else "candidate"
        whole = pq.read_table(directory / "answers" / f"{where}{sampled}.parquet")
        answers = break_answers(whole, kind, seed) if kind in BROKEN else whole
        measure = measure_out_of_distribution if where else measure_answers
        values: Values = measure(answers, models["base"], models[SAMPLED[sampled][0]], seed=seed)
        # Passages are no prompts, and what is said of them is not broken.
        values.pop("plain_text_log_perplexity", None)
        table = {
            metric: [by_prompt.get(prompt_id) for prompt_id in _prompts(name)]
            for metric, by_prompt in values.items()
        }
        pq.write_table(pa.table(table), _file(directory, name))


def _file(directory: Path, name: str) -> Path:
    return directory / "measures" / f"{name}.parquet"


def _read(directory: Path, name: str) -> Measured:
    table = pq.read_table(_file(directory, name))
    return {metric: table[metric].to_numpy() for metric in table.column_names}
