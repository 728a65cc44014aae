"""The stages of a cycle: pair, see what can be shown, train, evaluate, decide, register."""

import json
import os
import shutil
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime

import pyarrow.compute as pc
import pyarrow.parquet as pq

from thumbwheel.config import Config
from thumbwheel.cycle.evidence import Evidence, Unseen, pace_of
from thumbwheel.cycle.journal import CycleJournal
from thumbwheel.cycle.refusals import refuse_none, refuse_too_few, refuse_wrong
from thumbwheel.evidence.budget import level_of_next_look, look_at
from thumbwheel.evidence.evaluation import Evaluation
from thumbwheel.evidence.gate import decide
from thumbwheel.evidence.plan import doubt, in_a_line
from thumbwheel.evidence.review import evidence_card, evidence_page
from thumbwheel.pairs import chunk_runner, pair_snapshot, votes_on
from thumbwheel.pairs.dataset import (
    PART_FILES,
    read_clusters,
    read_manifest,
    read_pairs,
    write_dataset,
)
from thumbwheel.pairs.split import SplitMemory
from thumbwheel.pairs.yields import few_paired
from thumbwheel.plugin.host import Plugins
from thumbwheel.registry import Candidate, Registry
from thumbwheel.store import VOTES_FILE
from thumbwheel.training import TrainJob, TrainResult, train
from thumbwheel.types import (
    CycleReport,
    DatasetManifest,
    Decision,
    EvidencePlan,
    Look,
    Observer,
    Part,
    PreferenceDataset,
    Promotion,
    Provenance,
)

__all__ = ["Turn", "take_over"]


@dataclass(frozen=True, slots=True)
class _Pairs:
    """The pairing stage's result."""

    dataset: PreferenceDataset
    manifest: DatasetManifest


def take_over(earlier: CycleJournal, journal: CycleJournal) -> None:
    """Give a cycle the pairs and the candidate of an earlier one, and what the models answered.

    The files are shared where the disk can do that: neither cycle changes them.
    """
    pairs = earlier.read("pairs", _Pairs)
    trained = earlier.read("training", TrainResult)
    assert pairs is not None  # noqa: S101 - a finished cycle has both
    assert trained is not None  # noqa: S101
    for theirs, ours in (
        (pairs.dataset.path, journal.dataset),
        (trained.adapter, journal.training / trained.adapter.name),
        (earlier.answers, journal.answers),
    ):
        shutil.rmtree(ours, ignore_errors=True)
        shutil.copytree(theirs, ours, copy_function=_link)
    dataset = replace(pairs.dataset, path=journal.dataset)
    journal.write("pairs", replace(pairs, dataset=dataset))
    journal.write("training", replace(trained, adapter=journal.training / trained.adapter.name))


def _link(theirs: str, ours: str) -> None:
    try:
        os.link(theirs, ours)
    except OSError:
        shutil.copy2(theirs, ours)


class Turn:
    """The stages of one cycle behind its snapshot, each done once; `finish` does what is left."""

    def __init__(
        self,
        config: Config,
        plugins: Plugins,
        observer: Observer,
        registry: Registry,
        journal: CycleJournal,
        train_anyway: bool = False,
    ) -> None:
        self._config = config
        self._plugins = plugins
        self._observer = observer
        self._registry = registry
        self._journal = journal
        self._train_anyway = train_anyway
        plan = journal.plan
        assert plan is not None  # noqa: S101 - a journal that was begun has a plan
        self._plan = plan

    def finish(self) -> CycleReport:
        """Run what is left of the cycle, register the candidate, and return the report."""
        pairs = self._journal.stage("pairs", _Pairs, self._pair)
        evidence = self._evidence(pairs)
        prospects = self._journal.stage("prospects", EvidencePlan, lambda: self._foresee(evidence))
        trained = self._journal.stage("training", TrainResult, lambda: self._train(pairs))
        evaluation = self._journal.stage(
            "evaluation", Evaluation, lambda: self._evaluate(evidence, prospects, trained)
        )
        decision = self._journal.stage("decision", Decision, lambda: self._decide(evaluation))
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
            prospects=prospects,
            seconds=self._journal.seconds(),
        )
        version = self._journal.stage(
            "registered", str, lambda: self._register(report, trained, evaluation)
        )
        if decision.promote:
            self._promote(version)
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
            min_held_out=self._config.gate.min_prompts,
            work=work,
            earlier=layout.pairing,
            runner=chunk_runner(self._config),
            progress=self._observer.progress,
        )
        for name, failure in pairing.failed_plugins.items():
            self._observer.warn(f"the set was made without the plugin {name}: {failure}")
        if pairing.warning:
            self._observer.warn(pairing.warning)
        if warning := few_paired(pairing.completions):
            self._observer.warn(warning)
        if not self._train_anyway:
            refuse_too_few(self._config, pairing.pairs)
            refuse_wrong(self._config, pairing.pairs, snapshot)
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
        refuse_none(dataset, pairing)
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
            cache=self._config.layout.model_cache,
        )
        result = train(job, self._training_progress, self._observer.warn)
        self._observer.done(f"{result.steps} steps on {result.n_pairs:,} pairs")
        return result

    def _training_progress(self, step: int, total: int, loss: float) -> None:
        self._observer.progress(step / total, f"loss {loss:.3f}")

    def _evidence(self, pairs: _Pairs) -> Evidence:
        folder = pairs.dataset.path
        judge, held_out = (
            read_pairs(folder / PART_FILES[part]) for part in (Part.JUDGE, Part.HELD_OUT)
        )
        if self._plan.decides_again is not None:
            # Others would come in place of those that were looked at, and nobody has judged them.
            answered = pq.read_table(self._journal.answers / "candidate.parquet")["prompt_id"]
            judge, held_out = (
                table.filter(pc.is_in(table["prompt_id"], answered.combine_chunks()))
                for table in (judge, held_out)
            )
        unseen = Unseen(self._journal.snapshot, judge, held_out, read_clusters(folder))
        return Evidence(
            self._config,
            self._plugins,
            self._observer,
            self._registry,
            unseen,
            self._plan.champion,
        )

    def _foresee(self, evidence: Evidence) -> EvidencePlan:
        self._observer.stage("prospects")
        votes = self._journal.snapshot / VOTES_FILE
        plan = evidence.plan(pace_of(votes, self._plan.data.votes))
        self._observer.done(in_a_line(plan))
        if why := doubt(plan, self._config.gate):
            self._observer.warn(why)
        return plan

    def _evaluate(
        self, evidence: Evidence, prospects: EvidencePlan, trained: TrainResult
    ) -> Evaluation:
        self._observer.stage("evaluate")
        evaluation = evidence.gather(prospects, trained.adapter, self._journal.answers)
        self._observer.done(f"{len(evaluation.report.metrics)} metrics")
        return evaluation

    def _decide(self, evaluation: Evaluation) -> Decision:
        """Decide, and enter a look into the ledger before anybody hears of it."""
        gate, now = self._config.gate, datetime.now(UTC)
        ledger = self._registry.ledger(self._observer.warn)
        looks = ledger.looks()
        taken = look_at(looks, self._plan.cycle_id)
        level = (
            taken.level
            if taken is not None
            else level_of_next_look(
                looks,
                now,
                tests_per_year=gate.tests_per_year,
                false_promotions=gate.false_promotions,
            )
        )
        decision = decide(evaluation.report, evaluation.sealed, gate, level=level)
        test = decision.test
        if test is not None and test.p_value is not None and decision.verdict is not None:
            ledger.enter(
                Look(
                    candidate=self._plan.cycle_id,
                    when=now,
                    level=test.level,
                    p_value=test.p_value,
                    verdict=decision.verdict,
                    n_prompts=test.n_prompts,
                    n_clusters=test.n_clusters,
                )
            )
            prompts = {name for values in evaluation.sealed.values() for name in values.prompts}
            SplitMemory(self._config.layout.split).looked_at(
                sorted(prompts), look_id=self._plan.cycle_id
            )
        return decision

    def _promote(self, version: str) -> None:
        self._registry.promote(version, expected_champion=self._plan.champion)
        self._registry.ledger(self._observer.warn).enter(
            Promotion(
                candidate=self._plan.cycle_id,
                when=datetime.now(UTC),
                version=version,
                champion_before=self._plan.champion,
            )
        )

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
