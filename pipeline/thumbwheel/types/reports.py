"""What a cycle did, from the sources to the verdict."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator

from thumbwheel.types.evidence import Decision, EvalReport, EvidencePlan
from thumbwheel.types.fates import FateCount, recorded

__all__ = [
    "CycleReport",
    "DataReport",
    "DatasetManifest",
    "PluginInfo",
    "Provenance",
    "SourceCounts",
    "TrainingReport",
    "VoteCounts",
]

FateCounts = Annotated[Sequence[FateCount], BeforeValidator(recorded)]
"""How many of something met each fate, the most frequent first; as it was recorded once, too."""


@dataclass(frozen=True, slots=True)
class SourceCounts:
    """What became of a source's records: `received` is the sum of all the others.

    Attributes:
        source: The source's name.
        received: Records read, readable or not.
        stored: Events in the store, those that are parked left out.
        duplicates: Events that had been received before.
        dead_letters: Records that could not be read.
        dropped: Events that a `process_events` plugin left out.
        parked: Votes that wait for their answer. What `Store.append` returns does not tell them
            from the stored.
        expired: Votes that waited too long for their answer and were deleted.
        forgotten: Records about raters or generations that were forgotten: left out when they
            came, or removed since.
    """

    source: str
    received: int = 0
    stored: int = 0
    duplicates: int = 0
    dead_letters: int = 0
    dropped: int = 0
    parked: int = 0
    expired: int = 0
    forgotten: int = 0

    def __add__(self, other: "SourceCounts") -> "SourceCounts":
        """Return the sum of two batches of the same source."""
        return SourceCounts(
            self.source,
            self.received + other.received,
            self.stored + other.stored,
            self.duplicates + other.duplicates,
            self.dead_letters + other.dead_letters,
            self.dropped + other.dropped,
            self.parked + other.parked,
            self.expired + other.expired,
            self.forgotten + other.forgotten,
        )


@dataclass(frozen=True, slots=True)
class VoteCounts:
    """What became of the stored votes: `votes` is the sum of all the others.

    A parked vote waits for its answer; a superseded one was changed by the same rater later. Only
    a snapshot leaves votes out by policy: those of raters in quarantine, and those beyond a
    rater's budget.
    """

    votes: int
    superseded: int
    withdrawn: int
    parked: int
    counted: int
    quarantined: int = 0
    over_budget: int = 0


@dataclass(frozen=True, slots=True)
class PluginInfo:
    """A loaded plugin, as it is recorded with every dataset.

    `version` is the distribution's version, or the hash of a file.
    """

    name: str
    origin: str
    version: str
    hooks: Sequence[str]
    options: Mapping[str, object]


@dataclass(frozen=True, slots=True)
class DataReport:
    """The feedback that a cycle began with.

    Attributes:
        digest: Of the snapshot: the same opinions of the same raters give the same.
        n_events: Events in the store.
        n_prompts: Prompts with rated completions.
        n_completions: Rated completions.
        votes: What became of the votes.
        quarantined_raters: Raters whose votes were left out.
        sources: What became of each source's records.
    """

    digest: str
    n_events: int
    n_prompts: int
    n_completions: int
    votes: VoteCounts
    quarantined_raters: int = 0
    sources: Sequence[SourceCounts] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Provenance:
    """What a preference dataset was made from.

    Attributes:
        snapshot: The digest of the snapshot.
        config: The sections of the configuration that shape a dataset.
        plugins: The plugins, in their order.
        failed_plugins: What went wrong in plugins that were left out, by name.
        completions: How many rated completions met each fate.
        dropped_pairs: The same of the proposed pairs that are not in the set.
        unbalanced: Style features in which chosen and rejected still differ.
    """

    snapshot: str = ""
    config: Mapping[str, Any] = field(default_factory=dict)
    plugins: Sequence[PluginInfo] = ()
    failed_plugins: Mapping[str, str] = field(default_factory=dict)
    completions: FateCounts = ()
    dropped_pairs: FateCounts = ()
    unbalanced: Sequence[str] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class DatasetManifest(Provenance):
    """What a preference dataset holds, and what it was made from.

    Attributes:
        digest: The same pairs give the same.
        n_pairs: Pairs before the configured maximum was applied.
        n_train: Pairs to train on.
        n_train_prompts: Their prompts.
        n_eval: Pairs held out.
        n_eval_prompts: Their prompts.
        n_judge: Pairs that teach the judge; earlier versions had none.
        n_judge_prompts: Their prompts.
        longer_preferred_train: Share of the training pairs whose chosen side is the longer one,
            ties half; None without pairs.
        longer_preferred_eval: The same of the held-out pairs.
        forgotten_rows: Pairs that were taken out since, because somebody was forgotten.
    """

    digest: str
    n_pairs: int
    n_train: int
    n_train_prompts: int
    n_eval: int
    n_eval_prompts: int
    n_judge: int = 0
    n_judge_prompts: int = 0
    longer_preferred_train: float | None = None
    longer_preferred_eval: float | None = None
    forgotten_rows: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingReport:
    """What a training run did.

    Attributes:
        steps: Optimizer steps, those before a resumption included.
        seconds: Wall-clock time of the process that ended the run.
        n_pairs: Pairs trained on.
        n_dropped: Pairs left out because their prompt alone fills `max_length`.
        n_truncated: Pairs trained on with the end of a completion cut off at `max_length`.
        peak_memory: Largest memory use of the process, in bytes: of the GPU where one is used,
            else resident, whatever was loaded before included.
        metrics: What TRL logged at the last step. Its accuracy counts ties as wrong and averages
            over batches: it is for watching a run, not for judging a model.
    """

    steps: int
    seconds: float
    n_pairs: int
    n_dropped: int
    n_truncated: int
    peak_memory: int
    metrics: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class CycleReport:
    """One finished turn of the wheel, as `thumbwheel show` prints it and observers get it.

    Attributes:
        cycle_id: Names the cycle's directory; the same data, config and champion give the same id.
        project: The registered model's name.
        started_at: ISO 8601, UTC.
        outcome: Whether the candidate became the champion.
        champion_before: The model version it was compared with, or None for the base.
        model_version: The candidate's own version in the registry.
        data: The feedback that it began with.
        dataset: The dataset's manifest.
        training: What the training run did.
        evaluation: Every metric.
        decision: The gate's verdict.
        prospects: What could be shown about a candidate, as it was known before training; None in
            reports of earlier versions.
        seconds: Wall-clock seconds by stage.
    """

    cycle_id: str
    project: str
    started_at: str
    outcome: Literal["promoted", "refused"]
    champion_before: str | None
    model_version: str | None
    data: DataReport
    dataset: DatasetManifest
    training: TrainingReport
    evaluation: EvalReport
    decision: Decision
    prospects: EvidencePlan | None = None
    seconds: Mapping[str, float] = field(default_factory=dict)
