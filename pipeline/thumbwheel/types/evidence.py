"""What was measured of a candidate, and what the gate says to it."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Literal

from thumbwheel.types.chat import Prompt

__all__ = [
    "Decision",
    "Estimate",
    "EvalReport",
    "Licence",
    "Metric",
    "MetricReport",
    "Regression",
    "RuleResult",
    "Sample",
    "Verdict",
]


@dataclass(frozen=True, slots=True)
class Metric:
    """What a metric is, told once: evaluation, gate, pages and docs read it here.

    Attributes:
        name: As the gate's rules name it.
        meaning: What it measures, as the continuation of "NAME is ...".
        better: Which way is better; `neither` where a change in either way may be bad.
        unit: Of its values, such as `share of prompts`, `nats per token`, `characters`.
    """

    name: str
    meaning: str
    better: Literal["higher", "lower", "neither"]
    unit: str = ""


class Verdict(StrEnum):
    """What the evidence says of a candidate; only the first promotes."""

    BETTER = "better"
    NOT_BETTER = "not better"
    WORSE = "worse"
    NOT_ENOUGH_EVIDENCE = "not enough evidence"
    HARMFUL = "harmful"
    """A guard saw that something other than the preference got worse, or may have."""


@dataclass(frozen=True, slots=True)
class Estimate:
    """A mean over `n` prompts with its confidence interval [low, high]."""

    value: float
    low: float
    high: float
    n: int


@dataclass(frozen=True, slots=True)
class Licence:
    """Whether a judge may decide: how well it agrees with people on pairs it did not learn from.

    Attributes:
        judge: The judge's name.
        accuracy: Share of pairs whose chosen side it prefers, ties half, each weighted by how sure
            its votes are; `n` counts clusters of prompts.
        threshold: What the interval's lower end must exceed.
        ceiling: The accuracy that a perfect judge would be seen to have, since votes are noisy.
        granted: Whether it may decide.
        pairs_needed: About how many pairs of its own part it would take, where it may not and more
            would do; None where it may, or cannot be told.
        reason: Why the judge can say nothing at all, or may decide without having been measured,
            where that is so.
    """

    judge: str
    accuracy: Estimate
    threshold: float
    ceiling: float
    granted: bool
    pairs_needed: int | None = None
    reason: str | None = None


@dataclass(frozen=True, slots=True)
class MetricReport:
    """One metric of the three models, and the paired difference candidate - champion.

    `p_value` is the chance that the candidate does so well, or better, if the two models are
    equal: see `measures.statistics`. Reports of earlier versions have none, which is NaN here. The
    base is None only when it is the champion.
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
