"""What `thumbwheel plugins new` writes: a plugin that works as it is, and its test."""

__all__ = ["PLUGIN", "TEST"]

PLUGIN = '''\
"""A pairing rule: of each prompt's answers, the best-liked against the worst-liked."""

from collections.abc import Iterable, Sequence
from typing import Annotated

from pydantic import Field
from pydantic.dataclasses import dataclass

from thumbwheel.authoring import (
    PairEachPrompt,
    PreferencePair,
    Prompt,
    RatedCompletion,
    probability_better,
)


@dataclass(frozen=True)
class {Class}(PairEachPrompt):
    """Pairs the answer of the highest score with that of the lowest.

    Attributes:
        min_confidence: Least P(chosen is better).
    """

    min_confidence: Annotated[float, Field(ge=0.5, le=1)] = 0.8

    def pair_prompt(
        self, prompt: Prompt, completions: Sequence[RatedCompletion]
    ) -> Iterable[PreferencePair]:
        """Yield the pairs of one prompt: this is the rule, and yours to change."""
        best = max(completions, key=lambda c: (c.score, c.completion_id))
        worst = min(completions, key=lambda c: (c.score, c.completion_id))
        confidence = float(
            probability_better(best.n_up, best.n_down, worst.n_up, worst.n_down)
        )
        if best.score > worst.score and confidence > max(0.5, self.min_confidence):
            yield PreferencePair(chosen=best, rejected=worst, confidence=confidence)
'''

TEST = '''\
"""The rule does what it says, and keeps what every plugin promises."""

from {name} import {Class}

from thumbwheel.conformance import PluginContract, made_pairs, rated_table


def test_the_liked_answer_is_chosen():
    """Two raters like one answer and two dislike another; nobody is sure about the third."""
    rated = rated_table({"What is 2 + 2?": [("4", 2, 0), ("5", 0, 2), ("About 4.", 1, 1)]})
    assert made_pairs({Class}(), rated) == [("4", "5")]


def test_too_little_evidence_makes_no_pair():
    """One vote for and one against give a confidence of 0.83."""
    rated = rated_table({"What is 2 + 2?": [("4", 1, 0), ("5", 0, 1)]})
    assert made_pairs({Class}(min_confidence=0.9), rated) == []


class Test{Class}(PluginContract):
    """Deterministic, order-independent, no leak between prompts, and so on."""

    use = "{name}.py:{Class}"
'''
