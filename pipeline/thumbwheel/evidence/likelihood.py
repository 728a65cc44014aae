"""What likelihoods of old answers tell about a model: diagnostics of training.

They say what a model would rather have said then, not what it says now: a model whose answers got
much better can keep its preference accuracy, and one that answers nonsense can raise it.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from thumbwheel.types import LanguageModel, LogProb, Metric, Prompt, Regression

__all__ = ["METRICS", "PairScores", "likelihood_metrics", "regressions", "score_pairs"]

Array = npt.NDArray[np.float64]

METRICS = (
    Metric(
        "preference_accuracy",
        "how often the model finds the answer that people chose more likely, per token",
        "higher",
        "share of pairs",
    ),
    Metric(
        "reward_accuracy",
        "how often training moved the model towards the answer that people chose",
        "higher",
        "share of pairs",
    ),
    Metric(
        "margin_gain",
        "how often it tells chosen from rejected more clearly than the champion does",
        "higher",
        "share of pairs",
    ),
    Metric(
        "chosen_log_perplexity",
        "how surprised the model is by the answers that people chose",
        "lower",
        "nats per token",
    ),
)

_REGRESSIONS = 5


@dataclass(frozen=True, slots=True)
class PairScores:
    """Log-probabilities of both sides of every pair."""

    chosen: Sequence[LogProb]
    rejected: Sequence[LogProb]

    @property
    def margins(self) -> Array:
        """Mean log-likelihood of chosen minus rejected, nats per token, shape (pairs,)."""
        return _means(self.chosen) - _means(self.rejected)


def score_pairs(model: LanguageModel, pairs: pa.Table) -> PairScores:
    """Score both sides of every pair, `tables.PAIRS`."""
    prompts: list[Prompt] = pairs["prompt"].to_pylist()
    completions = pairs["chosen"].to_pylist() + pairs["rejected"].to_pylist()
    scored = model.log_probs(prompts + prompts, completions)
    return PairScores(scored[: len(pairs)], scored[len(pairs) :])


def likelihood_metrics(
    pairs: pa.Table, model: PairScores, base: PairScores, champion: PairScores
) -> dict[str, dict[str, float]]:
    """Return `METRICS` by prompt: means over its pairs, each weighted by how sure its votes are.

    - `preference_accuracy`: the chosen side has the higher length-normalised log-likelihood; ties
      count half.
    - `reward_accuracy`: the same by DPO's implicit reward log π(y|x) - log π_base(y|x)
      (Rafailov et al. 2023, arXiv 2305.18290, eq. 5; beta does not change the order). The base
      itself always ties.
    - `margin_gain`: the margin of mean log-likelihood between the sides is larger than the
      champion's. The champion itself always ties.
    - `chosen_log_perplexity`: negative mean log-likelihood of the chosen side.

    A pair whose chosen side is better with probability c weighs 2c - 1.
    """
    reward = (_totals(model.chosen) - _totals(base.chosen)) - (
        _totals(model.rejected) - _totals(base.rejected)
    )
    values = {
        "preference_accuracy": _wins(model.margins),
        "reward_accuracy": _wins(reward),
        "margin_gain": _wins(model.margins - champion.margins),
        "chosen_log_perplexity": -_means(model.chosen),
    }
    weights = 2 * pairs["confidence"].to_numpy() - 1
    prompts, row_of = np.unique(
        pairs["prompt_id"].to_numpy(zero_copy_only=False), return_inverse=True
    )
    total = np.bincount(row_of, weights)
    return {
        name: dict(
            zip(
                prompts.tolist(),
                (np.bincount(row_of, weights * per_pair) / total).tolist(),
                strict=True,
            )
        )
        for name, per_pair in values.items()
    }


def regressions(
    pairs: pa.Table, champion: PairScores, candidate: PairScores, prompts: Collection[str]
) -> list[Regression]:
    """Return the pairs about these prompts whose margin fell most, the worst first."""
    change = candidate.margins - champion.margins
    among = np.array([prompt in prompts for prompt in pairs["prompt_id"].to_pylist()], bool)
    order = np.argsort(np.where(among, change, np.inf))[:_REGRESSIONS]
    worst = [int(row) for row in order if among[row] and change[row] < 0]
    rows = pairs.take(pa.array(worst, pa.int64())).to_pylist()
    return [
        Regression(
            row["prompt"],
            row["chosen"],
            row["rejected"],
            float(champion.margins[index]),
            float(candidate.margins[index]),
        )
        for index, row in zip(worst, rows, strict=True)
    ]


def _means(scores: Sequence[LogProb]) -> Array:
    return np.array([score.mean for score in scores])


def _totals(scores: Sequence[LogProb]) -> Array:
    return np.array([score.total for score in scores])


def _wins(margin: Array) -> Array:
    """Return 1 for a positive margin, 0.5 for a tie, 0 for a negative one, NaN for a NaN."""
    return np.where(np.isnan(margin), np.nan, (np.sign(margin) + 1) / 2)
