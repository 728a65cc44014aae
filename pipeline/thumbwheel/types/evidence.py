"""What was measured of a candidate, and what the gate says to it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Literal

from thumbwheel.types.chat import Prompt

__all__ = [
    "Decision",
    "Estimate",
    "EvalReport",
    "EvidencePlan",
    "Licence",
    "Metric",
    "MetricReport",
    "Regression",
    "RuleResult",
    "Sample",
    "SealedTest",
    "SealedValues",
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
    """A guard saw that something other than the preference got worse by more than its margin."""


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

    `ratio` is candidate / champion, with its interval; None where it cannot be told, and in reports
    of earlier versions. The base is None only when it is the champion.
    """

    name: str
    champion: Estimate
    candidate: Estimate
    difference: Estimate
    ratio: Estimate | None = None
    base: Estimate | None = None


@dataclass(frozen=True, slots=True)
class EvidencePlan:
    """What can be shown about a candidate with the feedback at hand; known before it is trained.

    Attributes:
        licences: Of every judge, in the order configured.
        judge: Who decides: the first with a licence, or None.
        n_open: Prompts whose numbers are shown: those of the judge's part.
        n_sealed: Held-out prompts, of which only the verdict is shown.
        n_clusters: Clusters of near-duplicates among the held-out prompts.
        answers: Answers of each model to each prompt.
        first_draw: The first of them, see `LanguageModel.answers`.
        harmless: Chance that a candidate that harms nothing passes every guard.
        hardest: The metric whose guard it passes least often.
        sd: Standard deviation of the win rate over clusters, by the champion against itself.
        level: What the next look at the held-out prompts may spend.
        smallest_gain: The gain in win rate that four looks of five would find at that level.
        clusters_needed: Held-out clusters with which the configured gain would be found so often;
            None where a million are too few.
        votes_needed: About how many more votes that takes, where more are needed.
        weeks_needed: How long these take to come at the pace of the votes so far, if it is known.
    """

    licences: Sequence[Licence]
    judge: str | None
    n_open: int
    n_sealed: int
    n_clusters: int
    answers: int
    first_draw: int
    harmless: float
    hardest: str
    sd: float
    level: float
    smallest_gain: float
    clusters_needed: int | None
    votes_needed: int = 0
    weeks_needed: float | None = None


@dataclass(frozen=True, slots=True)
class EvalReport:
    """Everything measured about a candidate, on prompts that no training run has seen.

    Attributes:
        champion: The model version that the candidate was compared with, or `base`.
        confidence: Coverage of every interval.
        n_prompts: Held-out prompts. What the gate's improvement was on them is not told.
        n_pairs: Pairs of which likelihoods were taken.
        metrics: Every metric; what a candidate is to improve, on the judge's prompts.
        declared: What they are.
        judge: Who compared the answers; None where nobody may.
        licences: Of every judge.
        n_topics: Topics that were looked at one by one.
        collapsed: Those in which something got much worse, and what, in words.
    """

    champion: str
    confidence: float
    n_prompts: int
    n_pairs: int
    metrics: Mapping[str, MetricReport]
    declared: Sequence[Metric] = ()
    judge: str | None = None
    licences: Sequence[Licence] = ()
    n_topics: int = 0
    collapsed: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class SealedValues:
    """A candidate's difference to the champion in one metric, on every held-out prompt.

    They are for the one test that decides, and are shown nowhere: who tries settings and keeps
    what does well on shown numbers must not come to the verdict by luck.

    Attributes:
        prompts: Their ids.
        clusters: The cluster of each.
        differences: The candidate's value minus the champion's, of each.
        open_sd: Standard deviation of the clusters' mean differences on the open prompts, by which
            it is decided whether to look. It must not be that of the held-out ones: of candidates
            that lose much on few prompts, those whose losses are missing there have the smallest.
    """

    prompts: Sequence[str]
    clusters: Sequence[str]
    differences: Sequence[float]
    open_sd: float


@dataclass(frozen=True, slots=True)
class SealedTest:
    """The look at the held-out prompts, or why there was none.

    Attributes:
        n_prompts: Held-out prompts.
        n_clusters: Their clusters.
        gain: The gain that the look was to find.
        power: Chance that it finds that gain.
        level: What the look spent; 0 where it was not taken.
        p_value: Of the least of the improvements; None where the look was not taken.
    """

    n_prompts: int
    n_clusters: int
    gain: float
    power: float
    level: float = 0.0
    p_value: float | None = None


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
    """One rule of the gate: what it asked, what it saw, whether it passed.

    `guard` is the metric that a guard watches, `topics` for all of them by topic; None for other
    rules, and in decisions of earlier versions.
    """

    rule: str
    passed: bool
    reason: str
    guard: str | None = None

    @property
    def is_held_guard(self) -> bool:
        """Whether it is a guard that holds, of which a reader need not know more at first."""
        return self.passed and self.guard is not None


@dataclass(frozen=True, slots=True)
class Decision:
    """The gate's verdict. `reasons` lists every rule, passed or not.

    `verdict` is None in decisions of earlier versions; `test` where it did not come to one.
    """

    promote: bool
    reasons: Sequence[RuleResult]
    verdict: Verdict | None = None
    test: SealedTest | None = None
