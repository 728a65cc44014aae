"""The evidence of a cycle: planned before anything is trained, gathered when it was."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from thumbwheel.config import Config
from thumbwheel.errors import StaleEvidenceError
from thumbwheel.evidence.asked import choose_prompts
from thumbwheel.evidence.bench import Bench, appoint
from thumbwheel.evidence.budget import level_of_next_look
from thumbwheel.evidence.evaluation import Evaluation, answer, evaluate
from thumbwheel.evidence.judges import fit_vote_model, make_judge
from thumbwheel.evidence.plan import Pace, plan_evidence
from thumbwheel.language_model import AdaptedModel, ModelCache, load_base
from thumbwheel.pairs import Pairing
from thumbwheel.pairs.split import SplitMemory
from thumbwheel.plugin.host import Plugins
from thumbwheel.process.durable import replacing
from thumbwheel.registry import Registry, open_registry
from thumbwheel.store import VOTES_FILE, Snapshot
from thumbwheel.tables import PAIRS
from thumbwheel.types import EvidencePlan, Observer, Part, VoteCounts

__all__ = ["Evidence", "Unseen", "pace_of"]

_DRAWS = 64
"""Answers to a prompt that are asked for under one champion; under the next it is others."""

_WEEK = timedelta(weeks=1)


@dataclass(frozen=True, slots=True)
class Unseen:
    """What people hold about prompts that no training run sees.

    Attributes:
        snapshot: The directory of `store.Snapshot`.
        judge: Pairs of the judge's part, `tables.PAIRS`.
        held_out: Held-out pairs, `tables.PAIRS`.
        clusters: The cluster of each of their prompts.
    """

    snapshot: Path
    judge: pa.Table
    held_out: pa.Table
    clusters: Mapping[str, str]


class Evidence:
    """What is known about candidates of one champion.

    After each promotion models are asked for other answers than before. A candidate that was
    promoted by luck was lucky in some of its answers, and as champion it would be so again.

    Args:
        config: The configuration.
        plugins: They may measure and judge.
        observer: Told of the progress.
        registry: Holds the champion and the ledger of looks.
        unseen: Whose prompts are asked.
        champion: The version to beat, or None for the base.
    """

    def __init__(
        self,
        config: Config,
        plugins: Plugins,
        observer: Observer,
        registry: Registry,
        unseen: Unseen,
        champion: str | None,
    ) -> None:
        self._config = config
        self._plugins = plugins
        self._observer = observer
        self._registry = registry
        self._champion = champion
        self._snapshot = unseen.snapshot
        self._asked = choose_prompts(
            unseen.judge,
            unseen.held_out,
            unseen.clusters,
            _looks(SplitMemory(config.layout.split)),
            promotion=self._promotion(),
            fewest=config.gate.min_prompts,
            most=config.evaluation.max_generations,
        )

    def plan(self, pace: Pace) -> EvidencePlan:
        """Return what can be shown about a candidate, before there is one.

        Args:
            pace: Of the votes.
        """
        gate, ledger = self._config.gate, self._registry.ledger(self._observer.warn)
        level = level_of_next_look(
            ledger.looks(),
            datetime.now(UTC),
            tests_per_year=gate.tests_per_year,
            false_promotions=gate.false_promotions,
        )
        with self._models() as models:
            return plan_evidence(
                models.get("champion", models["base"]),
                models["base"],
                self._asked,
                self._bench(models["base"]),
                self._config,
                level=level,
                first_draw=_DRAWS * len(ledger.promotions()),
                pace=pace,
            )

    def gather(self, plan: EvidencePlan, candidate: Path, keep: Path) -> Evaluation:
        """Measure a candidate against the champion.

        Args:
            plan: What was planned before it was trained.
            candidate: Its adapter.
            keep: A directory for the answers of candidate and champion.

        Raises:
            StaleEvidenceError: The champion is another one now.
        """
        keep.mkdir(exist_ok=True)
        with self._models(candidate) as models:
            answers = {
                name: answer(model, self._asked.prompts, plan.answers, first=plan.first_draw)
                for name, model in models.items()
            }
            for name in ("candidate", "champion"):
                with replacing(keep / f"{name}.parquet") as part:
                    table = answers.get(name, answers["base"])
                    pq.write_table(table, part, compression="zstd")
            return evaluate(
                models,
                answers,
                self._asked,
                plan,
                self._bench(models["base"]),
                self._plugins,
                self._config,
                champion_version=self._champion,
            )

    @contextmanager
    def _models(self, candidate: Path | None = None) -> Iterator[dict[str, AdaptedModel]]:
        base = load_base(self._config.model.path)
        adapters: dict[str, Path | None] = {"base": None}
        if self._champion is not None:
            champion = self._registry.champion(self._config.layout.champions)
            if champion is None or champion.version != self._champion:
                raise StaleEvidenceError(
                    f"the champion was version {self._champion} when this cycle began and is "
                    "another one now; run the cycle again"
                )
            adapters["champion"] = champion.adapter
        if candidate is not None:
            adapters["candidate"] = candidate
        with ModelCache(self._config.layout.model_cache, warn=self._observer.warn) as cache:
            yield {
                name: AdaptedModel(
                    base,
                    name,
                    adapter,
                    settings=self._config.evaluation,
                    max_length=self._config.training.max_length,
                    cache=cache,
                    progress=self._progress(name),
                )
                for name, adapter in adapters.items()
            }

    def _bench(self, base: AdaptedModel) -> Bench:
        asked, seed = self._asked, self._config.evaluation.seed
        judges = [
            make_judge(
                config,
                plugins=self._plugins,
                endpoint=self._config.endpoint,
                fit=lambda: fit_vote_model(base, asked.open_pairs, asked.clusters, seed=seed),
                snapshot=self._snapshot,
            )
            for config in self._config.judges
        ]
        return appoint(
            judges,
            self._config.judges,
            asked,
            self._snapshot,
            confidence=self._config.evaluation.confidence,
        )

    def _promotion(self) -> str | None:
        """Return the cycle whose look promoted the champion, or None."""
        promotions = self._registry.ledger(self._observer.warn).promotions()
        of_champion = [each.candidate for each in promotions if each.version == self._champion]
        return of_champion[-1] if of_champion else None

    def _progress(self, name: str) -> Callable[[int, int], None]:
        def progress(done: int, total: int) -> None:
            self._observer.progress(done / total, f"{name}: {done:,} of {total:,}")

        return progress


def pace_of(votes: Path, counts: VoteCounts) -> Pace:
    """Return how many votes count, and how fast they came.

    Args:
        votes: A file of `tables.VOTES`.
        counts: What became of all votes.
    """
    times = pq.read_table(votes, columns=["occurred_at"])["occurred_at"].drop_null()
    if len(times) < 2:
        return Pace(counts.counted, None)
    span = pc.max(times).as_py() - pc.min(times).as_py()
    return Pace(counts.counted, counts.counted / (span / _WEEK) if span >= _WEEK else None)


def _looks(memory: SplitMemory) -> dict[str, list[str]]:
    table = memory.looks()
    return dict(zip(table["prompt_id"].to_pylist(), table["looks"].to_pylist(), strict=True))


def plan_now(
    config: Config, plugins: Plugins, observer: Observer, snapshot: Snapshot, pairing: Pairing
) -> EvidencePlan:
    """Return what could be shown about a candidate of the next cycle; nothing is remembered.

    Args:
        config: The configuration.
        plugins: They may judge.
        observer: Told of the progress.
        snapshot: What people hold.
        pairing: The pairs made of it.
    """
    observer.stage("evidence")
    registry = open_registry(config)
    pairs = pairing.pairs
    judge, held_out = (
        pairs.filter(pc.equal(pairs["part"], part)).select(PAIRS.names)
        for part in (Part.JUDGE, Part.HELD_OUT)
    )
    columns = (pairs[name].to_pylist() for name in ("prompt_id", "cluster_id"))
    clusters = dict(zip(*columns, strict=True))
    evidence = Evidence(
        config,
        plugins,
        observer,
        registry,
        Unseen(snapshot.path, judge, held_out, clusters),
        registry.champion_version(),
    )
    return evidence.plan(pace_of(snapshot.path / VOTES_FILE, snapshot.votes))
