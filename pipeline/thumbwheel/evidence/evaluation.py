"""Evaluation: the same measurements of candidate, champion and base on held-out prompts.

Every metric is one value per prompt, so that all intervals and differences are paired by prompt.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from thumbwheel.config import EvaluationConfig
from thumbwheel.errors import DataError, PluginError
from thumbwheel.evidence.answers.diversity import distinct_n, self_bleu
from thumbwheel.measures.statistics import paired_report
from thumbwheel.plugin.host import Plugins
from thumbwheel.types import EvalReport, LanguageModel, LogProb, Prompt, Regression, Sample

__all__ = ["Evaluation", "evaluate"]

Array = npt.NDArray[np.float64]

Values = dict[str, dict[str, float]]
"""metric -> prompt id -> value."""

_SAMPLES = 12
_REGRESSIONS = 5


@dataclass(frozen=True, slots=True)
class Evaluation:
    """The report, and what a person should look at.

    Attributes:
        report: Every metric.
        samples: A few answers of champion and candidate side by side.
        regressions: The pairs that the candidate judges worst against the champion.
    """

    report: EvalReport
    samples: Sequence[Sample]
    regressions: Sequence[Regression]


def evaluate(
    models: Mapping[str, LanguageModel],
    pairs: pa.Table,
    plugins: Plugins,
    config: EvaluationConfig,
    *,
    champion_version: str | None,
) -> Evaluation:
    """Measure the models and compare candidate with champion.

    Args:
        models: `base`, `candidate`, and `champion` unless the base is the champion.
        pairs: Held-out pairs, `tables.PAIRS`.
        plugins: Their `evaluate_model` hooks add metrics.
        config: Sampling, limits and the intervals' coverage.
        champion_version: The champion's model version, or None when it is the base.

    Raises:
        DataError: There are no held-out pairs.
        PluginError: A plugin measured different metrics or prompts for different models.
    """
    if not len(pairs):
        raise DataError(
            "no held-out pairs to evaluate on; collect more feedback, or raise `dataset.held_out`"
        )
    prompts = dict(zip(pairs["prompt_id"].to_pylist(), pairs["prompt"].to_pylist(), strict=True))
    sampled = sorted(prompts)[: config.max_generations]
    scores = {name: _score(model, pairs) for name, model in models.items()}
    champion = "champion" if "champion" in models else "base"

    values: dict[str, Values] = {}
    answers: dict[str, Sequence[str]] = {}
    for name, model in models.items():
        answers[name] = model.generate([prompts[prompt_id] for prompt_id in sampled])
        values[name] = {
            **_likelihood_metrics(pairs, scores[name], scores["base"], scores[champion]),
            **_generation_metrics(sampled, answers[name]),
            **_plugin_metrics(plugins, model, pairs),
        }
    values["champion"] = values[champion]
    if champion == "base":
        del values["base"]

    _check_same_metrics(values)
    metrics = {
        name: paired_report(
            name,
            {model: measured[name] for model, measured in values.items()},
            confidence=config.confidence,
        )
        for name in values["candidate"]
    }
    report = EvalReport(
        champion=champion_version or "base",
        confidence=config.confidence,
        n_prompts=len(prompts),
        n_pairs=len(pairs),
        metrics=metrics,
    )
    samples = [
        Sample(prompts[prompt_id], answers[champion][index], answers["candidate"][index])
        for index, prompt_id in enumerate(sampled[:_SAMPLES])
    ]
    regressions = _regressions(pairs, scores[champion], scores["candidate"])
    return Evaluation(report, samples, regressions)


@dataclass(frozen=True, slots=True)
class _PairScores:
    """Log-probabilities of both sides of every pair."""

    chosen: Sequence[LogProb]
    rejected: Sequence[LogProb]

    @property
    def margins(self) -> Array:
        """Mean log-likelihood of chosen minus rejected, nats per token, shape (pairs,)."""
        return _means(self.chosen) - _means(self.rejected)


def _score(model: LanguageModel, pairs: pa.Table) -> _PairScores:
    prompts: list[Prompt] = pairs["prompt"].to_pylist()
    completions = pairs["chosen"].to_pylist() + pairs["rejected"].to_pylist()
    scored = model.log_probs(prompts + prompts, completions)
    return _PairScores(scored[: len(pairs)], scored[len(pairs) :])


def _likelihood_metrics(
    pairs: pa.Table, model: _PairScores, base: _PairScores, champion: _PairScores
) -> Values:
    """Return the metrics that come from log-probabilities.

    - `preference_accuracy`: how often the chosen side has the higher length-normalised
      log-likelihood; ties count half.
    - `reward_accuracy`: the same by DPO's implicit reward log π(y|x) - log π_base(y|x)
      (Rafailov et al. 2023, arXiv 2305.18290, eq. 5; beta does not change the order). The base
      itself always ties.
    - `margin_gain`: how often the margin of mean log-likelihood between the sides is larger than
      the champion's. The champion itself always ties.
    - `chosen_log_perplexity`: negative mean log-likelihood of the chosen side, nats per token.
    """
    reward = (_totals(model.chosen) - _totals(base.chosen)) - (
        _totals(model.rejected) - _totals(base.rejected)
    )
    prompt_ids = pairs["prompt_id"].to_pylist()
    return {
        "preference_accuracy": _per_prompt(prompt_ids, _wins(model.margins)),
        "reward_accuracy": _per_prompt(prompt_ids, _wins(reward)),
        "margin_gain": _per_prompt(prompt_ids, _wins(model.margins - champion.margins)),
        "chosen_log_perplexity": _per_prompt(prompt_ids, -_means(model.chosen)),
    }


def _regressions(
    pairs: pa.Table, champion: _PairScores, candidate: _PairScores
) -> list[Regression]:
    """Return the pairs whose margin fell most, the worst first."""
    change = candidate.margins - champion.margins
    worst = [int(index) for index in np.argsort(change)[:_REGRESSIONS] if change[index] < 0]
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


def _generation_metrics(prompt_ids: Sequence[str], answers: Sequence[str]) -> Values:
    """Return length in characters and the diversity of one sampled answer per prompt."""
    measured = {
        "length": [float(len(answer)) for answer in answers],
        "distinct_1": distinct_n(answers, 1),
        "distinct_2": distinct_n(answers, 2),
        "self_bleu": self_bleu(answers),
    }
    return {name: dict(zip(prompt_ids, per, strict=True)) for name, per in measured.items()}


def _plugin_metrics(plugins: Plugins, model: LanguageModel, pairs: pa.Table) -> Values:
    values: Values = {}
    for row in plugins.evaluate_model(model, pairs).to_pylist():
        values.setdefault(row["metric"], {})[row["prompt_id"]] = row["value"]
    return values


def _check_same_metrics(values: Mapping[str, Values]) -> None:
    reference = values["candidate"]
    for model, measured in values.items():
        for name in reference.keys() | measured.keys():
            if measured.get(name, {}).keys() != reference.get(name, {}).keys():
                raise PluginError(
                    f"the metric {name!r} was measured on other prompts for the {model} than for "
                    "the candidate; an evaluate_model hook must measure every model alike"
                )


def _means(scores: Sequence[LogProb]) -> Array:
    return np.array([score.mean for score in scores])


def _totals(scores: Sequence[LogProb]) -> Array:
    return np.array([score.total for score in scores])


def _wins(margin: Array) -> Array:
    """Return 1 for a positive margin, 0.5 for a tie, 0 for a negative one, NaN for a NaN."""
    return np.where(np.isnan(margin), np.nan, (np.sign(margin) + 1) / 2)


def _per_prompt(prompt_ids: Sequence[str], values: Array) -> dict[str, float]:
    grouped: dict[str, list[float]] = {}
    for prompt_id, value in zip(prompt_ids, values, strict=True):
        grouped.setdefault(prompt_id, []).append(float(value))
    return {prompt_id: float(np.mean(group)) for prompt_id, group in grouped.items()}
