"""What flows through the wheel: frozen values and protocols, free of third-party imports.

The terms are TRL's: a *prompt* is a list of chat messages, a *completion* is what the model
answered, a *rater* is who voted. Tables of many such values are described in `tables`.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, NamedTuple, NotRequired, Protocol, runtime_checkable

from typing_extensions import TypedDict  # typing's own cannot be validated before Python 3.12

__all__ = [
    "Batch",
    "Connector",
    "CycleReport",
    "Decision",
    "Estimate",
    "EvalReport",
    "EventLog",
    "ForgettingConnector",
    "Lag",
    "LanguageModel",
    "LogProb",
    "Message",
    "MetricReport",
    "Observer",
    "PreferenceDataset",
    "PreferencePair",
    "Prompt",
    "RatedCompletion",
    "Receiver",
    "ReceivingConnector",
    "Record",
    "Regression",
    "RuleResult",
    "Sample",
]


class Message(TypedDict):
    """One chat message.

    `extra` holds what else a chat template may need, as one JSON object: `tool_calls`,
    `tool_call_id`, `name`. It is null for most messages, and may then be absent.
    """

    role: str
    content: str
    extra: NotRequired[str | None]


Prompt = Sequence[Message]


# --- events in -----------------------------------------------------------------------------------


class Record(NamedTuple):
    """One raw event as its source holds it.

    `position` says where it stands in words an operator can follow, such as
    `export.jsonl:17` or `thumbs[2]@9041`.
    """

    raw: bytes
    position: str


@dataclass(frozen=True, slots=True)
class Lag:
    """How far reading is behind its source: in records, and in seconds since the last one read.

    None is for what a source cannot tell.
    """

    records: int | None = None
    seconds: float | None = None


@dataclass(frozen=True, slots=True)
class Batch:
    """Records in source order, and the cursor behind the last of them.

    `cursor` is opaque text: whoever stores it hands it back to `Connector.open` and reading goes
    on behind these records. `progress` is the share of the source read so far, in [0, 1]; `lag`
    is what is left behind these records.
    """

    records: Sequence[Record]
    cursor: str
    progress: float
    lag: Lag = Lag()


class EventLog(Protocol):
    """An opened source: a replayable log of events, read from a cursor on."""

    def poll(self, max_records: int) -> Batch | None:
        """Return up to `max_records` next records, or None when caught up for now."""
        ...

    def acknowledge(self, cursor: str) -> None:
        """Tell the source that everything up to `cursor` is stored. Called after the commit."""
        ...

    def close(self) -> None:
        """Release what is held open."""
        ...


class Connector(Protocol):
    """Where events come from: a frozen pydantic dataclass whose fields are its options."""

    def open(self, cursor: str | None) -> EventLog:
        """Open the source behind `cursor`, or from its beginning when None.

        Raises:
            SourceError: The source cannot be read as configured.
            UnavailableError: The source does not answer.
        """
        ...


class Receiver(Protocol):
    """A running server that takes in what others send, at `url`."""

    @property
    def url(self) -> str:
        """Where it listens."""
        ...

    def close(self) -> None:
        """Stop: finish what was begun, so that all that was acknowledged is in the log."""
        ...


@runtime_checkable
class ReceivingConnector(Connector, Protocol):
    """A connector whose events are sent to it; what it acknowledges is in its log, on disk.

    `open` reads that log, whether or not anybody receives.
    """

    def listen(self) -> Receiver:
        """Begin to receive; called once, by the process that reads the source continuously.

        Raises:
            SourceError: It cannot listen as configured.
            BusyError: Another process receives into its log.
        """
        ...


@runtime_checkable
class ForgettingConnector(Connector, Protocol):
    """A connector that keeps records in a log of its own, and can take some of them out again."""

    def forget(self, is_forgotten: Callable[[Sequence[bytes]], Sequence[bool]]) -> int:
        """Remove records for good, such as were read already and such as were not.

        Cursors stay valid, and their bytes are nowhere in the log when this returns. Called while
        nobody reads; after a kill it is called again.

        Args:
            is_forgotten: Flags, of some raw records in the order of the log, those to remove.

        Returns:
            How many were removed.

        Raises:
            SourceError: The log cannot be read or written.
            BusyError: Another process receives into it.
        """
        ...


# --- preference data -----------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class RatedCompletion:
    """One completion of one prompt with its votes, one row of `tables.RATED`.

    `n_up` and `n_down` count distinct raters. A graded vote s in [-1, 1] counts (1 + s) / 2 up and
    (1 - s) / 2 down, so that both may be fractions. `score` is the mean vote, in [-1, 1].
    """

    completion_id: str
    completion: str
    n_up: float
    n_down: float
    score: float
    model_version: str | None


@dataclass(frozen=True, slots=True)
class PreferencePair:
    """Two completions of one prompt; `confidence` is P(chosen is better), in (0.5, 1]."""

    chosen: RatedCompletion
    rejected: RatedCompletion
    confidence: float


@dataclass(frozen=True, slots=True)
class PreferenceDataset:
    """An immutable dataset on disk: `train.parquet` and `eval.parquet` under `path`.

    `digest` identifies its content: the same pairs give the same digest and the same bytes.
    """

    path: Path
    digest: str
    n_train: int
    n_eval: int
    n_eval_prompts: int


# --- models --------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class LogProb:
    """Summed log-probability of a completion's tokens given its prompt, in nats."""

    total: float
    n_tokens: int

    @property
    def mean(self) -> float:
        """Nats per token: the length-normalised log-likelihood."""
        return self.total / self.n_tokens


class LanguageModel(Protocol):
    """A model under evaluation, as `evaluate_model` hooks see it."""

    @property
    def name(self) -> str:
        """`base`, `champion` or `candidate`."""
        ...

    def log_probs(self, prompts: Sequence[Prompt], completions: Sequence[str]) -> Sequence[LogProb]:
        """Score each completion behind its prompt, end-of-turn included."""
        ...

    def generate(self, prompts: Sequence[Prompt]) -> Sequence[str]:
        """Sample one completion per prompt, with the configured sampling and seed."""
        ...


# --- evidence ------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Estimate:
    """A mean over `n` prompts with its bootstrap confidence interval [low, high]."""

    value: float
    low: float
    high: float
    n: int


@dataclass(frozen=True, slots=True)
class MetricReport:
    """One metric of the three models, and the paired difference candidate - champion.

    `p_value` is the chance that the candidate does so well, or better, if the two models are
    equal: see `statistics.luck`. Reports of earlier versions have none, which is NaN here. The base
    is None only when it is the champion.
    """

    name: str
    champion: Estimate
    candidate: Estimate
    difference: Estimate
    p_value: float = math.nan
    base: Estimate | None = None


@dataclass(frozen=True, slots=True)
class EvalReport:
    """Everything measured about a candidate, on prompts that no training run has seen.

    `champion` is the model version that the candidate was compared with, or `base`; `confidence`
    is the coverage of every interval.
    """

    champion: str
    confidence: float
    n_prompts: int
    n_pairs: int
    metrics: Mapping[str, MetricReport]


@dataclass(frozen=True, slots=True)
class Sample:
    """A held-out prompt and what champion and candidate answered."""

    prompt: Prompt
    champion: str
    candidate: str


@dataclass(frozen=True, slots=True)
class Regression:
    """A held-out pair that the candidate judges worse than the champion did.

    A margin is the log-likelihood of chosen minus rejected, in nats per token.
    """

    prompt: Prompt
    chosen: str
    rejected: str
    champion_margin: float
    candidate_margin: float


@dataclass(frozen=True, slots=True)
class RuleResult:
    """One rule of the gate: what it asked, what it saw, whether it passed."""

    rule: str
    passed: bool
    reason: str


@dataclass(frozen=True, slots=True)
class Decision:
    """The gate's verdict. `reasons` lists every rule, passed or not."""

    promote: bool
    reasons: Sequence[RuleResult]


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
        data: What became of events and votes, and the snapshot's digest.
        dataset: The dataset's manifest: digest, counts, plugins, what became of completions.
        training: What the training run did.
        evaluation: Every metric.
        decision: The gate's verdict.
        seconds: Wall-clock seconds by stage.
    """

    cycle_id: str
    project: str
    started_at: str
    outcome: Literal["promoted", "refused"]
    champion_before: str | None
    model_version: str | None
    data: Mapping[str, Any]
    dataset: Mapping[str, Any]
    training: Mapping[str, Any]
    evaluation: EvalReport
    decision: Decision
    seconds: Mapping[str, float] = field(default_factory=dict)


# --- watching ------------------------------------------------------------------------------------


class Observer(Protocol):
    """Who watches the stages at work: the command line's progress display."""

    def stage(self, name: str) -> None:
        """Begin a stage."""
        ...

    def progress(self, share: float, note: str = "") -> None:
        """Report the share of the stage done, in [0, 1]."""
        ...

    def done(self, summary: str) -> None:
        """End the stage with a line on what it did."""
        ...

    def warn(self, message: str) -> None:
        """Tell of something that went wrong without stopping the work."""
        ...
