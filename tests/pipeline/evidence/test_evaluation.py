"""The metrics, with models and a judge whose answers are known."""

from pathlib import Path
from random import Random

import numpy as np
import pyarrow as pa
import pytest
from fake_models import FakeModel

from thumbwheel.config import (
    Config,
    GateConfig,
    Guard,
    ModelConfig,
    PluginConfig,
    SourceConfig,
)
from thumbwheel.errors import DataError, PluginError
from thumbwheel.evidence.asked import choose_prompts
from thumbwheel.evidence.bench import Bench
from thumbwheel.evidence.evaluation import answer, evaluate
from thumbwheel.evidence.gate import decide
from thumbwheel.evidence.judges.judge import Pairings
from thumbwheel.plugin import PluginManager
from thumbwheel.tables import PAIRS
from thumbwheel.types import Answer, Estimate, EvidencePlan, Licence, LogProb, Verdict

WORDS = [*"abcdefghijklmnop"]
N = 80
PLAN = EvidencePlan(
    licences=[],
    judge="politeness",
    n_open=N,
    n_sealed=N,
    n_clusters=N,
    answers=2,
    first_draw=0,
    harmless=1.0,
    hardest="",
    sd=0.3,
    level=0.001,
    smallest_gain=0.1,
    clusters_needed=None,
)
GUARDS = [
    Guard(metric="distinct_2", max_drop=0.1),
    Guard(metric="length", max_rise=0.25, max_drop=0.25, relative=True),
    Guard(metric="empty", max_rise=0.05),
]
CONFIG = Config(
    project="p",
    home=Path("home"),
    model=ModelConfig(path=Path("model")),
    sources=[SourceConfig(name="s", connector="file")],
    plugins=[PluginConfig(use="all_pairs")],
    gate=GateConfig(default_guards=False, guards=GUARDS),
)


class KnownModel(FakeModel):
    """A language model whose scores and answers are plain functions of the text."""

    def __init__(self, name, score, said):
        self.name, self._score, self._said = name, score, said

    def log_probs(self, prompts, completions):
        return [LogProb(self._score(text), len(text.split())) for text in completions]

    def answers(self, prompts, n, *, first=0):
        return [
            [
                Answer(self._said(f"{prompt[0]['content']} {draw}"), True)
                for draw in range(first, first + n)
            ]
            for prompt in prompts
        ]


class Politeness:
    """A judge that prefers the answer with `please` in it."""

    name = "politeness"
    pairings: Pairings = "all"

    def prefer(self, compared):
        first, second = (
            np.array(["please" in text for text in compared[side].to_pylist()], float)
            for side in ("first", "second")
        )
        return (np.sign(first - second) + 1) / 2


def bench(granted=True):
    return Bench(
        [Politeness()], [Licence("politeness", Estimate(0.9, 0.8, 1.0, 50), 0.55, 0.9, granted)]
    )


def blunt(question):
    return "well " + " ".join(Random(question).sample(WORDS, 7))


def polite(question):
    return "please " + " ".join(Random(question).sample(WORDS, 7))


def favours(weight):
    """Score texts per word, those with `please` higher by `weight`."""
    return lambda text: len(text.split()) * (weight * ("please" in text) - 1)


def pairs(part, n=N):
    return pa.Table.from_pylist(
        [
            {
                "pair_id": f"{part}{i:03}",
                "prompt_id": f"{part}{i:03}",
                "confidence": 0.9,
                "prompt": [{"role": "user", "content": f"question {part} {i}"}],
                "chosen": f"please yes {i}",
                "rejected": f"well no {i}",
            }
            for i in range(n)
        ],
        schema=PAIRS,
    )


def asked(n=N, most=1000, looks=None, clusters=None, **options):
    tables = pairs("open", n), pairs("sealed", n)
    names = [name for table in tables for name in table["prompt_id"].to_pylist()]
    of_each = dict(zip(names, names, strict=True)) | (clusters or {})
    return choose_prompts(*tables, of_each, looks or {}, most=most, **options)


BASE = KnownModel("base", favours(-0.5), blunt)


def run(candidate, prompts=None, plugins=None, granted=True, **others):
    prompts = prompts or asked()
    models = {"base": BASE, **others, "candidate": candidate}
    evaluation = evaluate(
        models,
        {name: answer(model, prompts.prompts, 2, first=0) for name, model in models.items()},
        prompts,
        PLAN,
        bench(granted),
        plugins or PluginManager([], Path()),
        CONFIG,
        champion_version=None if not others else "7",
    )
    decision = decide(evaluation.report, evaluation.sealed, CONFIG.gate, level=0.001)
    return evaluation, decision


def test_a_better_model_is_measured_and_promoted():
    """Metrics of base and candidate are what the planted answers and scores say."""
    evaluation, decision = run(KnownModel("candidate", favours(0.5), polite))
    metrics = evaluation.report.metrics
    assert metrics["win_rate"].candidate.value == 1
    assert metrics["win_rate"].champion.value == 0.5
    assert metrics["win_rate"].candidate.n == N, "shown on the open prompts only"
    assert metrics["distinct_2"].candidate.n == 2 * N, "guards see all prompts"
    assert metrics["length"].ratio.value == pytest.approx(1, abs=0.2)
    assert metrics["preference_accuracy"].champion.value == 0
    assert metrics["preference_accuracy"].candidate.value == 1
    assert metrics["reward_accuracy"].champion.value == 0.5
    assert metrics["reward_accuracy"].candidate.value == 1
    assert metrics["margin_gain"].candidate.value == 1
    assert metrics["chosen_log_perplexity"].candidate.value == pytest.approx(0.5)
    assert metrics["preference_accuracy"].base is None, "the base is the champion"
    assert metrics.keys() <= {metric.name for metric in evaluation.report.declared}
    assert all(
        sample.prompt[0]["content"].startswith("question open") for sample in evaluation.samples
    )
    assert list(evaluation.sealed) == ["win_rate"]
    assert set(evaluation.sealed["win_rate"].differences) == {0.5}
    assert decision.verdict is Verdict.BETTER


@pytest.mark.parametrize(
    ("candidate", "word", "reason"),
    [
        (KnownModel("equal", favours(0.5), blunt), Verdict.NOT_BETTER, "ruled out"),
        (
            KnownModel("collapsed", favours(0.5), lambda q: "please " * 8),
            Verdict.HARMFUL,
            "distinct_2",
        ),
        (KnownModel("mute", favours(0.5), lambda q: ""), Verdict.HARMFUL, "empty"),
        (KnownModel("rambling", favours(0.5), lambda q: polite(q) * 3), Verdict.HARMFUL, "length"),
    ],
)
def test_planted_candidates_are_refused(candidate, word, reason):
    """Equal, collapsed, mute and rambling candidates are refused for it, likelihoods or not."""
    _, decision = run(candidate)
    assert decision.verdict is word
    failed = [f"{r.rule}: {r.reason}" for r in decision.reasons if not r.passed]
    assert any(reason in text for text in failed), failed


def test_without_a_licence_a_judge_decides_nothing():
    """What it says is shown under its own name; `win_rate` is not there."""
    evaluation, decision = run(KnownModel("candidate", favours(0.5), polite), granted=False)
    assert "win_rate_politeness" in evaluation.report.metrics
    assert "win_rate" not in evaluation.report.metrics
    assert decision.verdict is Verdict.NOT_ENOUGH_EVIDENCE


def test_the_champion_is_the_one_to_beat():
    """A candidate no better than the champion is refused, however much better than the base."""
    champion = KnownModel("champion", favours(0.5), polite)
    evaluation, decision = run(KnownModel("candidate", favours(0.5), polite), champion=champion)
    assert evaluation.report.champion == "7"
    assert evaluation.report.metrics["preference_accuracy"].base.value == 0
    assert evaluation.report.metrics["margin_gain"].candidate.value == 0.5
    assert not decision.promote


def test_one_topic_that_collapses_is_seen():
    """Over all prompts the margin holds; on the prompts about one thing it does not."""

    def forgetful(question):
        return "" if "open 7" in question or "sealed 7" in question else polite(question)

    prompts = asked()
    _, decision = run(KnownModel("candidate", favours(0.5), forgetful), prompts)
    assert decision.verdict is Verdict.HARMFUL


def test_the_prompts_looked_at_least_are_asked():
    """Of more held-out prompts than are to be asked, those that were looked at come last."""
    looks = {f"sealed{i:03}": ["c1"] for i in range(10)}
    chosen = asked(most=20, looks=looks)
    assert len(chosen.open) == len(chosen.sealed) == 20
    assert not looks.keys() & set(chosen.sealed)
    assert set(chosen.sealed_pairs["prompt_id"].to_pylist()) == set(chosen.sealed)


def test_a_champion_is_measured_where_its_promotion_did_not_look():
    """Its luck is left behind, near-duplicates too, where as many prompts remain, and enough."""
    looks = {f"sealed{i:03}": ["c1"] for i in range(20)}
    near = {"sealed030": "sealed000"}
    chosen = asked(n=60, looks=looks, clusters=near, promotion="c1", fewest=39)
    assert set(chosen.sealed) == {f"sealed{i:03}" for i in range(20, 60)} - near.keys()
    for options in (
        {"promotion": "c1", "fewest": 40},
        {"promotion": "c2"},
        {"promotion": "c1", "looks": {f"sealed{i:03}": ["c1"] for i in range(31)}},
    ):
        assert len(asked(n=60, **{"looks": looks, "clusters": near} | options).sealed) == 60


def test_no_held_out_pairs_is_an_error():
    """Without held-out pairs there is nothing to decide on."""
    with pytest.raises(DataError, match="no held-out pairs"):
        choose_prompts(pairs("open"), PAIRS.empty_table(), {}, {}, most=10)


PLUGIN = """
import pyarrow as pa
from pydantic.dataclasses import dataclass
from thumbwheel.authoring import Metric, hookimpl

@dataclass(frozen=True)
class Warmth:
    metrics = (Metric("warm", "how often an answer is warm", "higher"),)
    skip_base: bool = False
    named: str = "warm"

    @hookimpl
    def evaluate_model(self, model, answers):
        first = {row["prompt_id"]: row["answer"] for row in answers.to_pylist()}
        rows = [
            {"metric": self.named, "prompt_id": prompt, "value": float("warm" in text)}
            for prompt, text in first.items()
        ]
        return pa.Table.from_pylist(rows[self.skip_base and model.name == "base":])
"""


@pytest.fixture
def warmth(tmp_path):
    (tmp_path / "metric.py").write_text(PLUGIN)

    def load(**options):
        config = PluginConfig(use="metric.py:Warmth", options=options)
        return PluginManager([config], tmp_path)

    return load


def test_plugins_add_metrics(warmth):
    """A metric from a plugin is compared like the built-in ones, and says what it is."""
    candidate = KnownModel("candidate", favours(0.5), lambda q: "warm")
    evaluation, _ = run(candidate, plugins=warmth())
    assert evaluation.report.metrics["warm"].candidate.value == 1
    assert evaluation.report.metrics["warm"].difference.low > 0
    assert "warm" in {metric.name for metric in evaluation.report.declared}


def test_a_plugin_must_measure_every_model_alike(warmth):
    """A metric that leaves out a prompt for one model is an error, not a biased comparison."""
    candidate = KnownModel("candidate", favours(0.5), polite)
    with pytest.raises(PluginError, match="'warm' was measured on other prompts for the base"):
        run(candidate, plugins=warmth(skip_base=True), champion=candidate)


def test_a_metric_that_is_not_declared_is_an_error(warmth):
    """Nobody could say which way is better."""
    with pytest.raises(PluginError, match="measured 'cold', which its class does not declare"):
        run(KnownModel("candidate", favours(0.5), polite), plugins=warmth(named="cold"))
