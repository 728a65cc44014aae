"""Evaluation: candidate, champion and base answer the same prompts, and are measured alike.

Every metric is one value per prompt, so that all intervals and differences come from the same
paired statistics over clusters of prompts.
"""

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from thumbwheel.config import Config, EvaluationConfig
from thumbwheel.errors import PluginError
from thumbwheel.evidence import likelihood
from thumbwheel.evidence.answers import (
    METRICS,
    collapsed_topics,
    measure_answers,
    measure_out_of_distribution,
    out_of_distribution_prompts,
    topics,
)
from thumbwheel.evidence.asked import Asked
from thumbwheel.evidence.bench import Bench
from thumbwheel.evidence.gate import JUDGED
from thumbwheel.evidence.judges import length_controlled, win_shares
from thumbwheel.evidence.likelihood import likelihood_metrics, regressions, score_pairs
from thumbwheel.measures.statistics import cluster_means, paired_report
from thumbwheel.plugin.host import Plugins
from thumbwheel.tables import ANSWERS
from thumbwheel.types import (
    EvalReport,
    EvidencePlan,
    LanguageModel,
    Metric,
    MetricReport,
    Prompt,
    Regression,
    Sample,
    SealedValues,
)

__all__ = ["Evaluation", "answer", "evaluate"]

Values = dict[str, dict[str, float]]
"""metric -> prompt id -> value."""

_SAMPLES = 12

_JUDGED_METRICS = (
    Metric(
        JUDGED,
        "how often the judge prefers the answer to the champion's; a half where they are equal",
        "higher",
        "share of answers",
    ),
    Metric(
        f"{JUDGED}_length_controlled",
        "the same without what goes with the length of answers",
        "higher",
        "share of answers",
    ),
)
_DECLARED = (*_JUDGED_METRICS, *METRICS, *likelihood.METRICS)


@dataclass(frozen=True, slots=True)
class Evaluation:
    """The report, what decides, and what a person should look at.

    Attributes:
        report: Every metric that is shown.
        sealed: What is to improve, on the held-out prompts.
        samples: A few answers of champion and candidate side by side.
        regressions: The pairs that the candidate judges worst against the champion.
    """

    report: EvalReport
    sealed: Mapping[str, SealedValues]
    samples: Sequence[Sample]
    regressions: Sequence[Regression]


def evaluate(
    models: Mapping[str, LanguageModel],
    answers: Mapping[str, pa.Table],
    asked: Asked,
    plan: EvidencePlan,
    bench: Bench,
    plugins: Plugins,
    config: Config,
    *,
    champion_version: str | None,
) -> Evaluation:
    """Measure the models and compare candidate with champion.

    Args:
        models: `base`, `candidate`, and `champion` unless the base is the champion.
        answers: What each of them answered, see `answer`.
        asked: The prompts, and people's pairs about them.
        plan: How many answers, and which draws.
        bench: The judges, and who of them may decide.
        plugins: Their `evaluate_model` hooks add metrics.
        config: Of evaluation and gate. What the gate wants improved is shown on open prompts only.
        champion_version: The champion's model version, or None when it is the base.

    Raises:
        PluginError: A plugin measured different metrics or prompts for different models.
    """
    champion = "champion" if "champion" in models else "base"
    scores = {name: score_pairs(model, asked.pairs) for name, model in models.items()}
    values = {
        name: {
            **measure_answers(answers[name], models["base"], model, seed=config.evaluation.seed),
            **_elsewhere(model, models["base"], plan, config.evaluation),
            **_plugin_metrics(plugins, model, asked.pairs, answers[name]),
            **likelihood_metrics(asked.pairs, scores[name], scores["base"], scores[champion]),
        }
        for name, model in models.items()
    }
    values["champion"] = values.pop(champion)
    _check_same_metrics(values)
    for name, wins in _win_rates(bench, answers["candidate"], answers[champion]).items():
        values["candidate"][name] = wins
        values["champion"][name] = dict.fromkeys(wins, 0.5)
    sealed = {
        name: _sealed(values["candidate"][name], values["champion"][name], asked)
        for name in config.gate.improve
        if name in values["candidate"]
    }
    return Evaluation(
        _report(values, asked, bench, plugins, config, champion_version),
        sealed,
        _samples(asked, answers[champion], answers["candidate"]),
        regressions(asked.pairs, scores[champion], scores["candidate"], set(asked.open)),
    )


def _report(
    values: Mapping[str, Values],
    asked: Asked,
    bench: Bench,
    plugins: Plugins,
    config: Config,
    champion_version: str | None,
) -> EvalReport:
    """Return what is shown: of what is to improve, the open prompts only."""
    gate, confidence = config.gate, config.evaluation.confidence
    relative = {guard.metric for guard in gate.guards if guard.relative}
    of_topic = topics(asked.prompts, seed=config.evaluation.seed)

    def compare(name: str) -> MetricReport:
        only = set(asked.open) if name in gate.improve or name.startswith(JUDGED) else None
        return paired_report(
            name,
            {model: _some(of[name], only) for model, of in values.items() if name in of},
            confidence=confidence,
            clusters=asked.clusters,
            with_ratio=name in relative,
        )

    # What the judge says comes first.
    names = sorted(values["candidate"], key=lambda name: not name.startswith(JUDGED))
    return EvalReport(
        champion=champion_version or "base",
        confidence=confidence,
        n_prompts=len(asked.sealed),
        n_pairs=len(asked.pairs),
        metrics={name: compare(name) for name in names},
        declared=[*_DECLARED, *plugins.metrics],
        judge=bench.judge.name if bench.judge else None,
        licences=bench.licences,
        n_topics=len(set(of_topic.values())),
        collapsed=[found.reason for found in collapsed_topics(values, of_topic, gate.guards)],
    )


def answer(model: LanguageModel, prompts: Mapping[str, Prompt], n: int, *, first: int) -> pa.Table:
    """Return `n` of a model's answers to each prompt, `tables.ANSWERS`."""
    drawn = model.answers(list(prompts.values()), n, first=first)
    return pa.Table.from_pylist(
        [
            {
                "prompt_id": prompt_id,
                "prompt": prompt,
                "draw": draw,
                "answer": one.text,
                "finished": one.finished,
            }
            for (prompt_id, prompt), of_prompt in zip(prompts.items(), drawn, strict=True)
            for draw, one in enumerate(of_prompt)
        ],
        schema=ANSWERS,
    )


def _elsewhere(
    model: LanguageModel, base: LanguageModel, plan: EvidencePlan, settings: EvaluationConfig
) -> Values:
    """Measure a model on prompts and texts unlike the app's."""
    prompts = out_of_distribution_prompts(settings.out_of_distribution)
    answers = answer(model, prompts, plan.answers, first=plan.first_draw)
    return measure_out_of_distribution(answers, base, model, seed=settings.seed)


def _win_rates(bench: Bench, candidate: pa.Table, champion: pa.Table) -> Values:
    """Return each judge's win rates; the deciding one's has the plain name."""
    values: Values = {}
    for judge, licence in zip(bench.judges, bench.licences, strict=True):
        if licence.accuracy.n == 0 and judge is not bench.judge:
            continue  # it can tell nothing
        wins = win_shares(judge, candidate, champion)
        name = JUDGED if judge is bench.judge else f"{JUDGED}_{judge.name}"
        values[name] = dict(wins.shares)
        values[f"{name}_length_controlled"] = length_controlled(wins)
    return values


def _plugin_metrics(
    plugins: Plugins, model: LanguageModel, pairs: pa.Table, answers: pa.Table
) -> Values:
    values: Values = {}
    for row in plugins.evaluate_model(model, pairs, answers).to_pylist():
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


def _some(values: Mapping[str, float], prompts: Collection[str] | None) -> Mapping[str, float]:
    """Return the values on these prompts; all of them where it is None."""
    if prompts is None:
        return values
    return {prompt: value for prompt, value in values.items() if prompt in prompts}


def _sealed(
    candidate: Mapping[str, float], champion: Mapping[str, float], asked: Asked
) -> SealedValues:
    def measured(prompts: Sequence[str]) -> tuple[list[str], list[str], list[float]]:
        those = [prompt for prompt in prompts if prompt in candidate]
        differences = [candidate[prompt] - champion[prompt] for prompt in those]
        return those, [asked.clusters[prompt] for prompt in those], differences

    _, clusters, differences = measured(asked.open)
    means = cluster_means(differences, clusters)
    # One cluster does not say how far clusters differ.
    spread = float(np.std(means, ddof=1)) if len(means) > 1 else math.inf
    return SealedValues(*measured(asked.sealed), open_sd=spread)


def _samples(asked: Asked, champion: pa.Table, candidate: pa.Table) -> list[Sample]:
    """Return the first answers of both to some of the prompts that are shown."""
    first = [
        dict(zip(answers["prompt_id"].to_pylist(), answers["answer"].to_pylist(), strict=True))
        for answers in (table.filter(pc.equal(table["draw"], 0)) for table in (champion, candidate))
    ]
    return [
        Sample(asked.prompts[prompt], *(answers[prompt] for answers in first))
        for prompt in asked.open[:_SAMPLES]
    ]
