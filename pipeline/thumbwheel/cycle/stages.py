"""The stages of a cycle: pair, train, evaluate, decide, register."""

import json
import shutil
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import pyarrow.compute as pc

from thumbwheel.config import Config
from thumbwheel.cycle.journal import CycleJournal
from thumbwheel.errors import DataError, StaleEvidenceError
from thumbwheel.evidence.evaluation import Evaluation, evaluate
from thumbwheel.evidence.gate import decide
from thumbwheel.evidence.review import evidence_card, evidence_page
from thumbwheel.language_model import AdaptedModel, ModelCache, load_base
from thumbwheel.pairs import Pairing, chunk_runner, pair_snapshot, votes_on
from thumbwheel.pairs.dataset import read_manifest, read_pairs, write_dataset
from thumbwheel.pairs.split import SplitMemory
from thumbwheel.plugin.host import Plugins
from thumbwheel.registry import Candidate, Registry
from thumbwheel.training import TrainJob, TrainResult, train
from thumbwheel.types import (
    CycleReport,
    DatasetManifest,
    Decision,
    Observer,
    PreferenceDataset,
    Provenance,
)
from thumbwheel.types.fates import completions_in_words, pairs_in_words

__all__ = ["Turn"]

ModelProgress = Callable[[int, int], None]
"""Called with how many texts of a call are done, and how many there are."""


@dataclass(frozen=True, slots=True)
class _Pairs:
    """The pairing stage's result."""

    dataset: PreferenceDataset
    manifest: DatasetManifest


class Turn:
    """The stages of one cycle behind its snapshot, each done once; `finish` does what is left."""

    def __init__(
        self,
        config: Config,
        plugins: Plugins,
        observer: Observer,
        registry: Registry,
        journal: CycleJournal,
    ) -> None:
        self._config = config
        self._plugins = plugins
        self._observer = observer
        self._registry = registry
        self._journal = journal
        plan = journal.plan
        assert plan is not None  # noqa: S101 - a journal that was begun has a plan
        self._plan = plan

    def finish(self) -> CycleReport:
        """Run what is left of the cycle, register the candidate, and return the report."""
        pairs = self._journal.stage("pairs", _Pairs, self._pair)
        trained = self._journal.stage("training", TrainResult, lambda: self._train(pairs))
        evaluation = self._journal.stage(
            "evaluation", Evaluation, lambda: self._evaluate(pairs, trained)
        )
        decision = self._journal.stage(
            "decision", Decision, lambda: decide(evaluation.report, self._config.gate)
        )
        report = CycleReport(
            cycle_id=self._plan.cycle_id,
            project=self._config.project,
            started_at=self._plan.started_at.isoformat(timespec="seconds"),
            outcome="promoted" if decision.promote else "refused",
            champion_before=self._plan.champion,
            model_version=None,
            data=self._plan.data,
            dataset=pairs.manifest,
            training=trained.report,
            evaluation=evaluation.report,
            decision=decision,
            seconds=self._journal.seconds(),
        )
        version = self._journal.stage(
            "registered", str, lambda: self._register(report, trained, evaluation)
        )
        if decision.promote:
            self._registry.promote(version, expected_champion=self._plan.champion)
        report = replace(report, model_version=version, seconds=self._journal.seconds())
        self._journal.write("report", report)
        return report

    def _pair(self) -> _Pairs:
        self._observer.stage("pair")
        layout = self._config.layout
        snapshot, work = self._journal.snapshot, self._journal.pairing
        memory = SplitMemory(layout.split)
        pairing = pair_snapshot(
            snapshot,
            self._plugins,
            self._config.pairs,
            held_out=self._config.dataset.held_out,
            judge=self._config.dataset.judge,
            memory=memory,
            max_looks=self._config.gate.max_looks,
            work=work,
            earlier=layout.pairing,
            runner=chunk_runner(self._config),
            progress=self._observer.progress,
        )
        for name, failure in pairing.failed_plugins.items():
            self._observer.warn(f"the set was made without the plugin {name}: {failure}")
        provenance = Provenance(
            snapshot=self._plan.snapshot,
            config=self._config.model_dump(mode="json", include={"votes", "pairs", "dataset"}),
            plugins=self._plugins.infos,
            failed_plugins=pairing.failed_plugins,
            completions=pairing.completions,
            dropped_pairs=pairing.dropped_pairs(),
            unbalanced=pairing.unbalanced,
        )
        # Remembered first: nothing is ever trained on that is not known to be.
        in_pairs = pc.is_in(
            pairing.assigned["prompt_id"], pairing.pairs["prompt_id"].combine_chunks()
        )
        left_out = pc.is_null(pairing.assigned["part"])
        memory.remember(pairing.assigned.filter(pc.or_(in_pairs, left_out)))
        dataset = write_dataset(
            pairing.pairs,
            votes_on(snapshot, pairing.pairs),
            self._journal.dataset,
            self._config.dataset,
            provenance,
        )
        if not (dataset.n_train and dataset.n_eval):
            raise DataError(_no_pairs(dataset, pairing))
        shutil.rmtree(layout.pairing, ignore_errors=True)
        work.rename(layout.pairing)
        self._observer.done(
            f"{dataset.n_train:,} pairs to train on, {dataset.n_judge:,} for the judge, "
            f"{dataset.n_eval:,} held out ({dataset.n_eval_prompts:,} prompts)"
        )
        return _Pairs(dataset, read_manifest(dataset.path))

    def _train(self, pairs: _Pairs) -> TrainResult:
        self._observer.stage("train")
        job = TrainJob(
            base=self._config.model.path,
            dataset=pairs.dataset.path / "train.parquet",
            out_dir=self._journal.training,
            config=self._config.training,
        )
        result = train(job, self._training_progress)
        self._observer.done(f"{result.steps} steps on {result.n_pairs:,} pairs")
        return result

    def _training_progress(self, step: int, total: int, loss: float) -> None:
        self._observer.progress(step / total, f"loss {loss:.3f}")

    def _evaluate(self, pairs: _Pairs, trained: TrainResult) -> Evaluation:
        self._observer.stage("evaluate")
        base = load_base(self._config.model.path)
        adapters: dict[str, Path | None] = {"base": None}
        if self._plan.champion is not None:
            champion = self._registry.champion(self._config.layout.champions)
            if champion is None or champion.version != self._plan.champion:
                raise StaleEvidenceError(
                    f"the champion was version {self._plan.champion} when this cycle began and is "
                    "another one now; run the cycle again"
                )
            adapters["champion"] = champion.adapter
        adapters["candidate"] = trained.adapter
        progress = self._evaluation_progress(len(adapters))
        with ModelCache(self._config.layout.model_cache, warn=self._observer.warn) as cache:
            models = {
                name: AdaptedModel(
                    base,
                    name,
                    adapter,
                    settings=self._config.evaluation,
                    max_length=self._config.training.max_length,
                    cache=cache,
                    progress=progress(name),
                )
                for name, adapter in adapters.items()
            }
            evaluation = evaluate(
                models,
                read_pairs(pairs.dataset.path / "eval.parquet"),
                self._plugins,
                self._config.evaluation,
                champion_version=self._plan.champion,
            )
        self._observer.done(f"{len(evaluation.report.metrics)} metrics of {len(models)} models")
        return evaluation

    def _evaluation_progress(self, n_models: int) -> Callable[[str], ModelProgress]:
        """Return a maker of each model's progress: every model scores once and generates once."""
        finished = 0

        def of_model(name: str) -> ModelProgress:
            def progress(done: int, total: int) -> None:
                nonlocal finished
                share = (finished + done / total) / (2 * n_models)
                self._observer.progress(min(share, 1.0), name)
                finished += done == total

            return progress

        return of_model

    def _register(self, report: CycleReport, trained: TrainResult, evaluation: Evaluation) -> str:
        self._observer.stage("register")
        version = self._registry.register(
            Candidate(
                candidate_id=report.cycle_id,
                cycle_id=report.cycle_id,
                adapter=trained.adapter,
                evaluation=report.evaluation,
                decision=report.decision,
                params=self._params(report),
                artifacts={
                    "evidence.html": evidence_page(
                        report, evaluation.samples, evaluation.regressions
                    ),
                    "gate.json": self._config.gate.model_dump_json(indent=2),
                    "dataset.json": json.dumps(asdict(report.dataset), indent=2),
                },
                description=evidence_card(report),
            )
        )
        self._observer.done(f"version {version} of {report.project}")
        return version

    def _params(self, report: CycleReport) -> dict[str, object]:
        """Return what the run is described by in MLflow."""
        training = self._config.training.model_dump()
        return {
            "dataset": report.dataset.digest,
            "snapshot": report.data.digest,
            "base_model": self._config.model.path.name,
            "n_train": report.dataset.n_train,
            "n_judge": report.dataset.n_judge,
            "n_eval": report.dataset.n_eval,
            "plugins": ", ".join(plugin.use for plugin in self._config.plugins),
            **{f"training.{key}": value for key, value in training.items()},
        }


def _no_pairs(dataset: PreferenceDataset, pairing: Pairing) -> str:
    side = "to train on" if not dataset.n_train else "held out to evaluate on"
    answers, dropped = pairing.completions, pairing.dropped_pairs()
    found = [f"{n:,} {words}" for words, n in completions_in_words(answers).items()]
    found += [f"{n:,} pairs dropped: {words}" for words, n in pairs_in_words(dropped).items()]
    return (
        f"no pairs {side}; rated answers: {', '.join(found) or 'none'}. "
        "Collect more feedback, or loosen the plugins (`thumbwheel pairs` shows what they do)"
    )
