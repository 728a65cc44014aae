"""The metrics, with models whose answers are known."""

from pathlib import Path
from random import Random

import pyarrow as pa
import pytest
from fake_models import FakeModel

from thumbwheel.config import EvaluationConfig, GateConfig, PluginConfig
from thumbwheel.errors import DataError, PluginError
from thumbwheel.evidence.evaluation import evaluate
from thumbwheel.evidence.gate import decide
from thumbwheel.plugin import PluginManager
from thumbwheel.tables import PAIRS
from thumbwheel.types import LogProb

WORDS = [
    "red",
    "blue",
    "green",
    "tall",
    "small",
    "quick",
    "slow",
    "warm",
    "cold",
    "bright",
    "dark",
    "loud",
    "calm",
    "old",
    "new",
]


class KnownModel(FakeModel):
    """A language model whose scores and answers are plain functions of the text."""

    def __init__(self, name, score, answer):
        self.name, self._score, self._answer = name, score, answer

    def log_probs(self, prompts, completions):
        return [LogProb(self._score(text), len(text.split())) for text in completions]

    def generate(self, prompts):
        return [self._answer(prompt[0]["content"]) for prompt in prompts]


def varied(question):
    return " ".join(Random(question).sample(WORDS, 8))


def held_out(n=80):
    return pa.Table.from_pylist(
        [
            {
                "pair_id": f"{i:03}",
                "prompt_id": f"p{i:03}",
                "confidence": 0.9,
                "prompt": [{"role": "user", "content": f"question {i}"}],
                "chosen": f"please yes {i}",
                "rejected": f"well no {i} {i % 2 * 'really'}".strip(),
            }
            for i in range(n)
        ],
        schema=PAIRS,
    )


def polite(weight):
    """Score texts per word, those with `please` higher by `weight`; odd texts are easier."""
    return lambda text: len(text.split()) * (weight * ("please" in text) - 1 - ("really" in text))


BASE = KnownModel("base", polite(-0.5), varied)


def run(candidate, pairs=None, plugins=None, **models):
    evaluation = evaluate(
        {"base": BASE, **models, "candidate": candidate},
        held_out() if pairs is None else pairs,
        plugins or PluginManager([], Path()),
        EvaluationConfig(),
        champion_version=None if not models else "7",
    )
    return evaluation.report, decide(evaluation.report, GateConfig())


def test_a_better_model_is_measured_and_promoted():
    """Metrics of base and candidate are what the planted scores say."""
    report, decision = run(KnownModel("candidate", polite(0.5), varied))
    accuracy = report.metrics["preference_accuracy"]
    assert accuracy.champion.value == 0.5
    assert accuracy.candidate.value == 1
    assert accuracy.difference.low > 0
    assert report.metrics["reward_accuracy"].champion.value == 0.5
    assert report.metrics["reward_accuracy"].candidate.value == 1
    assert report.metrics["margin_gain"].candidate.value == 1
    assert report.metrics["chosen_log_perplexity"].candidate.value == pytest.approx(0.5)
    assert accuracy.base is None, "the base is the champion, so it is not shown twice"
    assert decision.promote


@pytest.mark.parametrize(
    ("candidate", "reason"),
    [
        (KnownModel("equal", polite(-0.5), varied), "nothing changed"),
        (KnownModel("worse", polite(-2.5), varied), "got worse"),
        (KnownModel("collapsed", polite(0.5), lambda q: "please " * 8), "distinct_2"),
        (
            KnownModel("parrot", polite(0.5), lambda q: "please see the manual for this"),
            "self_bleu",
        ),
        (KnownModel("mute", polite(0.5), lambda q: ""), "length"),
        (KnownModel("rambling", polite(0.5), lambda q: varied(q) * 3), "length"),
        (KnownModel("nan", lambda text: float("nan"), varied), "not a number"),
    ],
)
def test_planted_candidates_are_refused(candidate, reason):
    """Equal, worse, collapsed, mute, rambling and NaN candidates are refused for it."""
    _, decision = run(candidate)
    assert not decision.promote
    failed = [f"{r.rule}: {r.reason}" for r in decision.reasons if not r.passed]
    assert any(reason in text for text in failed), failed


def test_too_few_prompts_are_refused():
    """A perfect candidate on ten prompts is not enough evidence."""
    _, decision = run(KnownModel("candidate", polite(0.5), varied), pairs=held_out(10))
    assert not decision.reasons[0].passed
    assert not decision.promote


def test_the_champion_is_the_one_to_beat():
    """A candidate no better than the champion is refused, however much better than the base."""
    champion = KnownModel("champion", polite(0.5), varied)
    report, decision = run(KnownModel("candidate", polite(0.5), varied), champion=champion)
    assert report.champion == "7"
    assert report.metrics["preference_accuracy"].base.value == 0.5
    assert report.metrics["margin_gain"].candidate.value == 0.5
    assert not decision.promote


def test_no_held_out_pairs_is_an_error():
    """Without held-out pairs there is nothing to decide on."""
    with pytest.raises(DataError, match="no held-out pairs"):
        run(BASE, pairs=PAIRS.empty_table())


PLUGIN = """
import pyarrow as pa
from pydantic.dataclasses import dataclass
from thumbwheel.authoring import hookimpl

@dataclass(frozen=True)
class Politeness:
    skip_base: bool = False

    @hookimpl
    def evaluate_model(self, model, pairs):
        answers = model.generate(pairs["prompt"].to_pylist())
        rows = [
            {"metric": "warm", "prompt_id": p, "value": float("warm" in a)}
            for p, a in zip(pairs["prompt_id"].to_pylist(), answers, strict=True)
        ]
        return pa.Table.from_pylist(rows[self.skip_base and model.name == "base":])
"""


@pytest.fixture
def politeness(tmp_path):
    (tmp_path / "metric.py").write_text(PLUGIN)

    def load(**options):
        config = PluginConfig(use="metric.py:Politeness", options=options)
        return PluginManager([config], tmp_path)

    return load


def test_plugins_add_metrics(politeness):
    """A metric from a plugin is compared like the built-in ones."""
    report, _ = run(KnownModel("candidate", polite(0.5), lambda q: "warm"), plugins=politeness())
    assert report.metrics["warm"].candidate.value == 1
    assert report.metrics["warm"].difference.low > 0


def test_a_plugin_must_measure_every_model_alike(politeness):
    """A metric that leaves out a prompt for one model is an error, not a biased comparison."""
    candidate = KnownModel("candidate", polite(0.5), varied)
    with pytest.raises(PluginError, match="'warm' was measured on other prompts for the base"):
        run(candidate, plugins=politeness(skip_base=True), champion=candidate)
