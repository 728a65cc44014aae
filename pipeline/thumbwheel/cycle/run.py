"""Which cycle to turn: one that was interrupted, a new one, or none for want of anything new."""

import shutil
import time
from dataclasses import dataclass, replace
from datetime import UTC, datetime

from thumbwheel.config import Config
from thumbwheel.cycle.journal import CycleJournal, CyclePlan, find_report, list_cycles
from thumbwheel.cycle.stages import Turn, take_over
from thumbwheel.errors import (
    DataError,
    InputError,
    LimitError,
    StaleEvidenceError,
    TrainingError,
)
from thumbwheel.events import content_id
from thumbwheel.ingest import ingest_all
from thumbwheel.language_model import model_digest
from thumbwheel.plugin.host import Plugins
from thumbwheel.process.extras import require
from thumbwheel.process.locks import only_one
from thumbwheel.registry import open_registry
from thumbwheel.store import Snapshot
from thumbwheel.store.remote import open_store
from thumbwheel.types import CycleReport, DataReport, Observer

__all__ = ["NothingNew", "run_cycle"]


@dataclass(frozen=True, slots=True)
class NothingNew:
    """The last cycle already turned on this very data; nothing was done."""

    cycle_id: str


def run_cycle(
    config: Config,
    plugins: Plugins,
    observer: Observer,
    *,
    again: str | None = None,
    train_anyway: bool = False,
) -> CycleReport | NothingNew:
    """Turn the wheel once, or go on with a turn that was interrupted.

    Args:
        config: The configuration.
        plugins: The plugins.
        observer: Told of the progress.
        again: A cycle, or the beginning of its id, whose candidate was refused and is to be decided
            on again, with what people have said since: that is a cycle that trains nothing.
        train_anyway: Train on pairs of which too many seem wrong, and a candidate that too few
            prompts are held out to promote.

    Raises:
        BusyError: Another cycle is running, or another process holds the store.
        DataError: There are no pairs to train on, or too few to evaluate on; or there is nothing
            to decide on again.
        LimitError: Too many pairs are the wrong way round; nothing was trained.
        StaleEvidenceError: The champion is another one than the evidence is about.
        UnavailableError: MLflow or a source does not answer.
        TrainingError: Training diverged.
        InputError: What it needs is not installed; nothing was done.
    """
    _require_installed(config)
    layout = config.layout
    layout.home.mkdir(parents=True, exist_ok=True)
    busy = f"another cycle is running on {layout.home}; wait until it has finished"
    with only_one(layout.cycle_lock, busy):
        registry = open_registry(config)
        start = _Start(config, plugins, observer, registry.champion_version())
        journal = start.begin_again(again) if again else start.unfinished() or start.begin()
        if isinstance(journal, NothingNew):
            return journal
        try:
            report = Turn(config, plugins, observer, registry, journal, train_anyway).finish()
        except (InputError, LimitError, StaleEvidenceError, TrainingError) as error:
            journal.write("failed", {"error": str(error)})
            raise
        for failure in plugins.cycle_finished(report):
            observer.warn(failure)
        return report


def _require_installed(config: Config) -> None:
    """Say at once what is missing, and not when everything has been read and paired."""
    require("train", by="training")
    require("mlflow", by="recording what was trained")
    if config.execution.runner == "ray":
        require("ray", by='`execution.runner = "ray"`')


class _Start:
    """What there is to turn, with the champion as it is."""

    def __init__(
        self, config: Config, plugins: Plugins, observer: Observer, champion: str | None
    ) -> None:
        self._config, self._plugins, self._observer = config, plugins, observer
        self._champion = champion
        base = model_digest(config.model.path)
        self._shape = content_id(config.digest(), base, *(repr(info) for info in plugins.infos))
        self._recipe = content_id(config.training.model_dump_json(), base)

    def unfinished(self) -> CycleJournal | None:
        """Return the cycle that was interrupted under the same conditions."""
        for journal in list_cycles(self._config.layout):
            plan = journal.plan
            if plan is None or plan.shape != self._shape or journal.report or journal.failure:
                continue
            if self._champion in (plan.champion, journal.read("registered", str)):
                self._observer.stage("resume")
                self._observer.done(f"going on with the interrupted cycle {plan.cycle_id}")
                return journal
        return None

    def begin(self) -> CycleJournal | NothingNew:
        """Read what is new and begin a cycle on it, unless one has turned on the same."""
        snapshot, data, seconds = self._read()
        if (done := self._turned_on(snapshot.digest)) is not None:
            shutil.rmtree(snapshot.path)
            return NothingNew(done)
        identity = (self._shape, snapshot.digest, self._champion or "base")
        plan = self._plan(content_id("cycle", *identity)[:12], data)
        journal = CycleJournal(self._config.layout.cycles / plan.cycle_id)
        journal.begin(plan, snapshot.path)
        journal.write("seconds", {"snapshot": seconds})
        return journal

    def begin_again(self, name: str) -> CycleJournal | NothingNew:
        """Read what is new and begin to decide by it on what another cycle has trained."""
        earlier, report = find_report(self._config.layout, name)
        before = earlier.plan
        assert before is not None  # noqa: S101 - a finished cycle has a plan
        if report.outcome == "promoted":
            raise DataError(
                f"the candidate of cycle {before.cycle_id} was promoted as version "
                f"{report.model_version}; there is nothing to decide on again"
            )
        if before.champion != self._champion:
            raise StaleEvidenceError(
                f"cycle {before.cycle_id} compared its candidate with "
                f"{_version(before.champion)}, and the champion is {_version(self._champion)} now; "
                "`thumbwheel cycle` trains one against it"
            )
        if before.recipe != self._recipe:
            raise DataError(
                f"cycle {before.cycle_id} trained its candidate with another `[training]` or base "
                "model; put them back as they were, or let `thumbwheel cycle` train a new one"
            )
        snapshot, data, seconds = self._read()
        identity = (before.cycle_id, self._shape, snapshot.digest)
        plan = replace(
            self._plan(content_id("again", *identity)[:12], data), decides_again=before.cycle_id
        )
        journal = CycleJournal(self._config.layout.cycles / plan.cycle_id)
        if identity[1:] == (before.shape, before.snapshot) or journal.report is not None:
            shutil.rmtree(snapshot.path)
            return NothingNew(before.cycle_id)
        if journal.plan is None:
            take_over(earlier, journal)
            journal.begin(plan, snapshot.path)
            journal.write("seconds", {"snapshot": seconds})
        return journal

    def _read(self) -> tuple[Snapshot, DataReport, float]:
        """Read what is new; return what raters hold, and how long it took to write down."""
        config, observer = self._config, self._observer
        cycles = config.layout.cycles
        cycles.mkdir(exist_ok=True)
        with open_store(config) as store:
            # An owner reads the sources all the time.
            store.refresh(lambda held: ingest_all(config, self._plugins, held, observer))
            observer.stage("snapshot")
            begun = time.monotonic()
            snapshot = store.snapshot(cycles / ".snapshot", config.vote_policy)
            sources = store.source_counts()
        observer.done(
            f"{snapshot.n_completions:,} rated answers to {snapshot.n_prompts:,} prompts, "
            f"from {snapshot.votes.votes:,} votes"
        )
        data = DataReport(
            digest=snapshot.digest,
            n_events=snapshot.n_events,
            n_prompts=snapshot.n_prompts,
            n_completions=snapshot.n_completions,
            votes=snapshot.votes,
            quarantined_raters=len(snapshot.quarantined),
            sources=sources,
        )
        return snapshot, data, round(time.monotonic() - begun, 3)

    def _plan(self, cycle_id: str, data: DataReport) -> CyclePlan:
        return CyclePlan(
            cycle_id,
            datetime.now(UTC),
            self._shape,
            data.digest,
            self._champion,
            data,
            self._recipe,
        )

    def _turned_on(self, snapshot: str) -> str | None:
        """Return the cycle that finished on this snapshot under the same conditions."""
        for journal in list_cycles(self._config.layout):
            plan, report = journal.plan, journal.report
            if plan is None or report is None or plan.decides_again is not None:
                continue
            made_champion = report.model_version if report.outcome == "promoted" else None
            same = (plan.shape, plan.snapshot) == (self._shape, snapshot)
            if same and self._champion in (plan.champion, made_champion):
                return plan.cycle_id
        return None


def _version(champion: str | None) -> str:
    return "the base model" if champion is None else f"version {champion}"
