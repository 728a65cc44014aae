"""What an audit says about pairs: frozen values that turn into JSON as they are."""

from collections.abc import Sequence
from dataclasses import dataclass

from thumbwheel.types import Estimate

__all__ = [
    "FEWEST",
    "RATIO_EDGES",
    "Agreement",
    "AuditReport",
    "FeatureAudit",
    "Finding",
    "LengthAudit",
    "LimitResult",
    "ModelShare",
    "PairsAudit",
    "RaterShare",
    "WrongPairs",
]

FEWEST = 50
"""From fewer prompts, or fewer things that several raters judged, nothing is concluded."""

RATIO_EDGES = (1 / 8, 1 / 4, 1 / 2, 1 / 1.5, 1 / 1.25, 1 / 1.1, 1.1, 1.25, 1.5, 2, 4, 8)
"""The histogram of length ratios has a bar between each two of these, and one at either end."""


@dataclass(frozen=True, slots=True)
class LengthAudit:
    """The chosen answer's length over the rejected one's, in characters.

    Attributes:
        quantiles: The ratio at 5, 25, 50, 75 and 95%; empty without pairs.
        longer_chosen: How often the longer answer is the chosen one; a tie counts half.
        mean_log_ratio: 0 where the two sides are equally long on average.
        histogram: Pairs by ratio, see `RATIO_EDGES`.
    """

    quantiles: Sequence[float]
    longer_chosen: float
    mean_log_ratio: float
    histogram: Sequence[int]


@dataclass(frozen=True, slots=True)
class FeatureAudit:
    """How far one feature of style tells chosen from rejected.

    Attributes:
        name: One of `style.FEATURES`, `language` or `sentiment`.
        mean_difference: Chosen minus rejected, in log(1 + count); of `language`, in the share of
            answers in another language than the prompt; of `sentiment`, on its scale of [-1, 1].
        differs: Share of pairs whose sides differ in it.
        auc: Of this feature alone: 0.5 tells nothing, above it the chosen side has more of it.
        intended: It is meant to differ, so the classifier of style does not see it.
    """

    name: str
    mean_difference: float
    differs: float
    auc: float
    intended: bool


@dataclass(frozen=True, slots=True)
class RaterShare:
    """The share of the pairs that rests on one rater, see `attribution`."""

    rater: str
    share: float


@dataclass(frozen=True, slots=True)
class ModelShare:
    """How often a model version wrote the chosen side, and the rejected one; None: not known."""

    version: str | None
    chosen: float
    rejected: float


@dataclass(frozen=True, slots=True)
class WrongPairs:
    """How many pairs are the wrong way round, see `wrong_pairs`.

    Attributes:
        share: Of the pairs that it can be told of; `n` counts their prompts. None where there is
            too little to tell.
        n_pairs: The pairs that it can be told of.
        reason: Why it cannot be told; None where it can.
    """

    share: Estimate | None
    n_pairs: int
    reason: str | None = None


@dataclass(frozen=True, slots=True)
class PairsAudit:
    """What was measured about a set of pairs.

    Attributes:
        n_pairs: All of them.
        n_prompts: Their distinct prompts.
        n_measured: The pairs that features and classifier were measured on: all, or a sample.
        length: Of all pairs.
        features: Of the measured pairs.
        style_auc: How well a classifier that sees only style tells chosen from rejected, on prompts
            that it was not fitted on; None where there are too few to tell.
        wrong: The estimated share of pairs that are the wrong way round.
        n_raters: Raters who speak for any pair; a vote without a rater is none.
        raters: Those with the largest shares.
        unnamed: Share of the pairs that rests on votes without a rater.
        models: Model versions, the most frequent first.
        same_model: Share of pairs whose sides one model version wrote.
        near_duplicates: Share of prompts that have a near-duplicate; None: not clustered.
    """

    n_pairs: int
    n_prompts: int
    n_measured: int
    length: LengthAudit
    features: Sequence[FeatureAudit]
    style_auc: Estimate | None
    wrong: WrongPairs
    n_raters: int
    raters: Sequence[RaterShare]
    unnamed: float
    models: Sequence[ModelShare]
    same_model: float
    near_duplicates: float | None


@dataclass(frozen=True, slots=True)
class Agreement:
    """How far raters agree who judged the same thing.

    Attributes:
        what: `votes on one answer` or `choices between two answers`.
        n_units: Answers, or twos of answers, that several raters judged.
        n_judgements: Their judgements.
        alpha: Krippendorff's, interval metric: 1 is perfect, 0 is chance; None: too few, or nothing
            to compare.
    """

    what: str
    n_units: int
    n_judgements: int
    alpha: float | None


@dataclass(frozen=True, slots=True)
class LimitResult:
    """One limit of the configuration, held against the final pairs.

    A limit whose value cannot be measured (`value` is None) does not hold. Of the share of wrong
    pairs, `value` is the interval's lower end.
    """

    name: str
    limit: float
    value: float | None
    passed: bool


@dataclass(frozen=True, slots=True)
class Finding:
    """What stands out, and what to do about it."""

    what: str
    advice: str


@dataclass(frozen=True, slots=True)
class AuditReport:
    """An audit of the pairs before and after screening and selection."""

    before: PairsAudit
    after: PairsAudit
    agreement: Sequence[Agreement]
    limits: Sequence[LimitResult]
    findings: Sequence[Finding]
    seed: int

    @property
    def passed(self) -> bool:
        """Whether every limit holds."""
        return all(result.passed for result in self.limits)
