"""How much work it is to make preference pairs of many events.

    python benchmarks/pairing.py --events 1_000_000

Fills a store with generated events: answers and votes in separate events, several raters on each
prompt, many prompts with one answer only. Then it makes the same pairs, the best answer of each
prompt against its worst, in three ways, and fails unless they are the same: with Thumbwheel (a
snapshot of the store, the plugin `best_worst`), the usual way in pandas, and in plain Python.
`--plugin` adds the same rule written as a per-prompt Python plugin. CPU seconds are those of all
threads; each way runs in a process of its own, on a few events first, so that the time to import
libraries is none of them.
"""

import argparse
import multiprocessing
import resource
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
from pydantic.dataclasses import dataclass

from thumbwheel.authoring import PairEachPrompt, PreferencePair, Prompt, RatedCompletion
from thumbwheel.config import PairsConfig, PluginConfig, VotePolicy, VotesConfig
from thumbwheel.events import IDENTIFIED
from thumbwheel.measures.confidence import probability_better
from thumbwheel.pairs import pair_snapshot
from thumbwheel.pairs.split import SplitMemory
from thumbwheel.plugin import PluginManager
from thumbwheel.store import Store

MIN_CONFIDENCE = 0.8
UNCAPPED = {
    "max_per_prompt": 1000,
    "max_per_cluster": 1_000_000,
    "max_rater_share": 1.0,
    "near_duplicate": 1.0,
    "balance": [],
}
EVERY_VOTE = VotePolicy(
    votes=VotesConfig(max_rater_share=1.0, quarantine_constant=False, burst_votes=None)
)

FEW = 1000
"""Events of the run before the one that counts."""

Pairs = set[tuple[str, str]]

# Of every four events one is an answer and three are votes on it. Prompts are drawn with a skew:
# about two in five have one answer only.
_EVENTS = """
WITH answers AS (
    SELECT range AS g, hash(range) AS h,
           (pow((hash(range) % 1000003) / 1000003.0, 2) * $prompts)::BIGINT AS p,
           ((hash(range) >> 20) % 6)::BIGINT AS k
    FROM range($first, $last)
)
SELECT 'answer-' || g AS event_id, 'generation-' || g AS generation_id,
       [{'role': 'user', 'extra': NULL,
         'content': 'What would you say about the matter number ' || p || ', in short?'}] AS prompt,
       repeat('An answer of kind ' || k || ' to matter ' || p || '. ', 2 + (k % 2)::INT)
           AS completion,
       'm1' AS model_version, false AS is_vote, NULL::VARCHAR AS rater_id, NULL::DOUBLE AS score,
       TIMESTAMPTZ '2026-01-01 00:00:00Z' + to_seconds(g) AS occurred_at,
       md5('prompt ' || p) AS prompt_id, md5(p || ' completion ' || k) AS completion_id
FROM answers
UNION ALL BY NAME
SELECT 'vote-' || g || '-' || v AS event_id, 'generation-' || g AS generation_id, true AS is_vote,
       'rater-' || (hash(g * 3 + v) % $raters) AS rater_id,
       CASE WHEN hash(g * 7 + v) % 100 < 30 + 10 * k THEN 1.0 ELSE -1.0 END AS score,
       TIMESTAMPTZ '2026-01-01 00:01:00Z' + to_seconds(g) AS occurred_at
FROM answers, range(3) AS votes(v)
"""


def fill(path: Path, n_events: int) -> None:
    """Fill a new store with generated events."""
    batch = 100_000
    with Store(path) as store, duckdb.connect() as source:
        source.execute("SET TimeZone = 'UTC'")
        for first in range(0, n_events // 4, batch):
            params = {
                "first": first,
                "last": min(first + batch, n_events // 4),
                "prompts": max(n_events // 16, 1),
                "raters": max(n_events // 40, 1),
            }
            rows = source.sql(_EVENTS, params=params).to_arrow_table()
            columns = {
                field.name: rows[field.name]
                if field.name in rows.column_names
                else pa.nulls(len(rows), field.type)
                for field in IDENTIFIED
            }
            events = pa.table(columns).cast(IDENTIFIED)
            store.append(
                "made", events, (), cursor=str(first), received=len(events), now=datetime.now(UTC)
            )
            progress("filling the store", first / (n_events // 4))
        store.checkpoint()


def _store(folder: Path, n_events: int) -> Path:
    path = folder / f"{n_events}.duckdb"
    if not path.exists():
        fill(path, n_events)
    return path


def with_thumbwheel(path: Path, plugin: str = "best_worst") -> Pairs:
    """Return the pairs that Thumbwheel makes of a store."""
    plugins = PluginManager([PluginConfig(use=plugin)], Path(__file__).parent)
    with tempfile.TemporaryDirectory(dir=path.parent) as scratch, Store(path) as store:
        folder = Path(scratch)
        with stage("events to snapshot"):
            snapshot = store.snapshot(folder / "snapshot", EVERY_VOTE)
        with stage("snapshot to pairs"):
            pairing = pair_snapshot(
                snapshot.path,
                plugins,
                PairsConfig(**UNCAPPED),
                held_out=0.2,
                judge=0.2,
                memory=SplitMemory(folder / "split.parquet"),
                work=folder / "pairing",
                progress=lambda share: None,
            )
        return sides(pairing.pairs)


def sides(pairs: pa.Table) -> Pairs:
    """Return (chosen, rejected) of every pair."""
    return set(zip(pairs["chosen_id"].to_pylist(), pairs["rejected_id"].to_pylist(), strict=True))


@dataclass(frozen=True)
class BestWorstInPython(PairEachPrompt):
    """The rule of `best_worst`, one prompt at a time."""

    def pair_prompt(
        self, prompt: Prompt, completions: Sequence[RatedCompletion]
    ) -> Iterable[PreferencePair]:
        """Yield the best against the worst when the votes are sure enough."""
        ranked = sorted(completions, key=lambda c: (quality(c.n_up, c.n_down), c.completion_id))
        best, worst = ranked[-1], ranked[0]
        if quality(best.n_up, best.n_down) > quality(worst.n_up, worst.n_down):
            confidence = sureness(best.n_up, best.n_down, worst.n_up, worst.n_down)
            if confidence >= MIN_CONFIDENCE:
                yield PreferencePair(best, worst, confidence)


def quality(n_up: float, n_down: float) -> float:
    """Return the posterior mean of a completion's quality."""
    return (1 + n_up) / (2 + n_up + n_down)


@cache
def sureness(n_up: float, n_down: float, other_up: float, other_down: float) -> float:
    """Return P(chosen is better)."""
    return round(float(probability_better([n_up], [n_down], [other_up], [other_down])[0]), 9)


_COLUMNS = (
    "event_id, generation_id, is_vote, rater_id, score, epoch_us(occurred_at) AS occurred_at, "
    "prompt_id, completion_id"
)


def with_pandas(path: Path) -> Pairs:
    """Return the pairs, the usual way in pandas."""
    with duckdb.connect(str(path), read_only=True) as connection:
        events = connection.sql(
            f"SELECT {_COLUMNS} FROM events"  # noqa: S608
        ).df()
    answers = events[events.completion_id.notna()].sort_values(["occurred_at", "event_id"])
    answers = answers.drop_duplicates("generation_id")[
        ["generation_id", "prompt_id", "completion_id"]
    ]
    votes = events[events.is_vote].sort_values("occurred_at", kind="stable")
    votes = votes.drop_duplicates(["generation_id", "rater_id"], keep="last")
    votes = votes[["generation_id", "rater_id", "score"]].merge(answers, on="generation_id")
    voices = votes.groupby(["prompt_id", "completion_id", "rater_id"], as_index=False).score.mean()
    voices["n_up"], voices["n_down"] = (1 + voices.score) / 2, (1 - voices.score) / 2
    rated = voices.groupby(["prompt_id", "completion_id"], as_index=False)[["n_up", "n_down"]].sum()
    rated["quality"] = quality(rated.n_up, rated.n_down)
    rated = rated.sort_values(["quality", "completion_id"])
    worst, best = (
        rated.drop_duplicates("prompt_id"),
        rated.drop_duplicates("prompt_id", keep="last"),
    )
    pairs = best.merge(worst, on="prompt_id", suffixes=("", "_worst"))
    pairs = pairs[pairs.quality > pairs.quality_worst]
    confidence = probability_better(
        pairs.n_up, pairs.n_down, pairs.n_up_worst, pairs.n_down_worst
    ).round(9)
    pairs = pairs[confidence >= MIN_CONFIDENCE]
    return set(zip(pairs.completion_id, pairs.completion_id_worst, strict=True))


def with_python(path: Path) -> Pairs:
    """Return the pairs, in plain Python."""
    answers: dict[str, tuple[Any, ...]] = {}
    votes: dict[tuple[str, str], tuple[Any, ...]] = {}
    for arrival, row in enumerate(rows_of(path)):
        event_id, generation, is_vote, rater, score, at, prompt, completion = row
        if completion is not None:
            answers[generation] = min(
                answers.get(generation, (at, event_id, prompt, completion)),
                (at, event_id, prompt, completion),
            )
        if is_vote:
            latest = (at, arrival, score)
            votes[generation, rater] = max(votes.get((generation, rater), latest), latest)
    voices: dict[tuple[str, str, str], list[float]] = {}
    for (generation, rater), (_, _, score) in votes.items():
        _, _, prompt, completion = answers[generation]
        voices.setdefault((prompt, completion, rater), []).append(score)
    rated: dict[str, dict[str, list[float]]] = {}
    for (prompt, completion, _), scores in voices.items():
        mean = sum(scores) / len(scores)
        counts = rated.setdefault(prompt, {}).setdefault(completion, [0.0, 0.0])
        counts[0] += (1 + mean) / 2
        counts[1] += (1 - mean) / 2
    pairs = set()
    for completions in rated.values():
        ranked = sorted(completions, key=lambda c: (quality(*completions[c]), c))
        best, worst = ranked[-1], ranked[0]
        if (
            quality(*completions[best]) > quality(*completions[worst])
            and sureness(*completions[best], *completions[worst]) >= MIN_CONFIDENCE
        ):
            pairs.add((best, worst))
    return pairs


def rows_of(path: Path) -> Iterator[tuple[Any, ...]]:
    """Yield the store's events as tuples."""
    with duckdb.connect(str(path), read_only=True) as connection:
        connection.execute("SET enable_progress_bar = false")
        query = f"SELECT {_COLUMNS} FROM events"  # noqa: S608
        result = connection.execute(query)
        while rows := result.fetchmany(100_000):
            yield from rows


def measured(way: Callable[..., Pairs], path: Path, *arguments: Any) -> tuple[Pairs, float]:
    """Run a way in a process of its own; print what it took; return its pairs and CPU seconds."""
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        pool.apply(way, (_store(path.parent, FEW), *arguments))
        pairs, cpu, wall, memory, stages = pool.apply(_run, (way, path, *arguments))
    name = " ".join([way.__name__.replace("_", " "), *map(str, arguments)])
    sys.stdout.write(
        f"{name:<52} {cpu:8.2f} CPU-s {wall:8.2f} s {memory:6.2f} GB {len(pairs):9,} pairs\n"
    )
    for what, seconds in stages.items():
        sys.stdout.write(f"  {what:<50} {seconds:8.2f}\n")
    return pairs, cpu


def _run(
    way: Callable[..., Pairs], *arguments: Any
) -> tuple[Pairs, float, float, float, dict[str, float]]:
    began, wall = time.process_time(), time.monotonic()
    pairs = way(*arguments)
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
    return pairs, time.process_time() - began, time.monotonic() - wall, memory, STAGES


STAGES: dict[str, float] = {}
"""CPU seconds of the parts of a way, in its own process."""


@contextmanager
def stage(what: str) -> Iterator[None]:
    """Note what a part of a way took."""
    began = time.process_time()
    yield
    STAGES[what] = time.process_time() - began


def progress(what: str, share: float) -> None:
    """Show how far something is, where somebody looks."""
    if sys.stderr.isatty():
        sys.stderr.write(f"\r{what} {share:.0%}  ")


def main() -> None:
    """Fill a store, make the pairs in every way, and print the ratios."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--events", type=lambda text: int(float(text)), default=1_000_000)
    parser.add_argument("--plugin", action="store_true", help="a per-prompt Python plugin too")
    parser.add_argument("--alone", action="store_true", help="leave out pandas and plain Python")
    parser.add_argument("--directory", type=Path, help="keeps the store for another run")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        folder = options.directory or Path(scratch)
        folder.mkdir(parents=True, exist_ok=True)
        path = _store(folder, options.events)
        pairs, cpu = measured(with_thumbwheel, path)
        if options.plugin:
            same, _ = measured(with_thumbwheel, path, f"{Path(__file__).name}:BestWorstInPython")
            assert same == pairs
        measured(with_thumbwheel, path, "all_pairs")
        if options.alone:
            return
        for way in (with_pandas, with_python):
            same, other = measured(way, path)
            assert same == pairs, f"{len(same ^ pairs)} pairs differ"
            sys.stdout.write(f"{'':52} {other / cpu:8.1f} x the CPU time of Thumbwheel\n")


if __name__ == "__main__":
    main()
