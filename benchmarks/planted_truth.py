"""What a candidate of a planted world is truly worth, whatever the gate says of it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from thumbwheel.demo.users import PlantedWorld
from thumbwheel.evidence.judges import Judge, Meeting, preferences
from thumbwheel.measures.statistics import cluster_estimate
from thumbwheel.types import Estimate, LanguageModel, Prompt

__all__ = ["Asked", "Truth", "agreement", "ask", "chat", "measure_truth"]

CLEAR = 0.1
"""Of a standard deviation of utility: a gain below it is not clear."""
CONFIDENCE = 0.95
FIRST_DRAW = 1000
"""Evaluation has seen earlier ones."""

Array = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Asked:
    """Answers of champion and candidate to the same prompts: as many to each prompt."""

    prompts: Sequence[str]
    champion: Sequence[Sequence[str]]
    candidate: Sequence[Sequence[str]]


@dataclass(frozen=True)
class Truth:
    """Champion and candidate by the world's own taste.

    Attributes:
        gain: Mean utility of the candidate's answers minus the champion's, with its interval over
            prompts.
        spread: Standard deviation of the utility of the champion's answers.
        win_rate: How often an answer of the candidate is worth more than one of the champion's to
            the same prompt, ties half.
        traits: Share of answers with each trait, of champion and candidate.
        length: Their mean length in characters.
    """

    gain: Estimate
    spread: float
    win_rate: float
    traits: Mapping[str, tuple[float, float]]
    length: tuple[float, float]

    @property
    def kind(self) -> Literal["better", "little better", "not better"]:
        """Whether utility rose clearly, by little, or not that it could be seen."""
        if self.gain.low <= 0:
            return "not better"
        return "better" if self.gain.value > CLEAR * self.spread else "little better"


def ask(
    champion: LanguageModel, candidate: LanguageModel, prompts: Sequence[str], n_answers: int
) -> Asked:
    """Have both models answer every prompt `n_answers` times, unlike when the gate asked them."""

    def answers(model: LanguageModel) -> list[list[str]]:
        drawn = model.answers([chat(prompt) for prompt in prompts], n_answers, first=FIRST_DRAW)
        return [[answer.text for answer in answers] for answers in drawn]

    return Asked(prompts, answers(champion), answers(candidate))


def measure_truth(world: PlantedWorld, asked: Asked) -> Truth:
    """Have the world check the answers.

    Raises:
        DataError: The world has no such prompt.
    """
    models = asked.champion, asked.candidate
    before, after = (_utilities(world, asked.prompts, answers) for answers in models)
    lead = after[:, :, None] - before[:, None, :]
    traits = [
        [
            world.traits(prompt, text)
            for prompt, texts in zip(asked.prompts, answers, strict=True)
            for text in texts
        ]
        for answers in models
    ]
    lengths = [np.mean([len(text) for texts in answers for text in texts]) for answers in models]
    gains = after.mean(axis=1) - before.mean(axis=1)
    return Truth(
        gain=cluster_estimate(gains, confidence=CONFIDENCE),
        spread=float(before.std()),
        win_rate=float(_wins(lead).mean()),
        traits={
            trait: (_share(traits[0], trait), _share(traits[1], trait)) for trait in world.taste
        },
        length=(float(lengths[0]), float(lengths[1])),
    )


def agreement(judge: Judge, world: PlantedWorld, asked: Asked) -> float:
    """Return how often a judge prefers the answer that is worth more, where one is; ties half.

    Each answer of the candidate meets one of the champion's to the same prompt.
    """
    meetings = [
        Meeting(prompt, chat(prompt), ours, theirs)
        for prompt, *answers in zip(asked.prompts, asked.candidate, asked.champion, strict=True)
        for ours, theirs in zip(*answers, strict=True)
    ]
    lead = _utilities(world, asked.prompts, asked.candidate) - _utilities(
        world, asked.prompts, asked.champion
    )
    true, judged = _wins(lead.ravel()), preferences(judge, meetings)
    told = np.where(np.isnan(judged), 0.5, judged)
    decided = true != 0.5
    return float(np.mean(np.where(true == 1, told, 1 - told)[decided]))


def chat(prompt: str) -> Prompt:
    """Return a prompt as a model is asked it."""
    return [{"role": "user", "content": prompt}]


def _utilities(
    world: PlantedWorld, prompts: Sequence[str], answers: Sequence[Sequence[str]]
) -> Array:
    """Return the utility of each answer, shape (prompts, answers)."""
    return np.array(
        [
            [world.utility(prompt, text) for text in texts]
            for prompt, texts in zip(prompts, answers, strict=True)
        ]
    )


def _wins(lead: Array) -> Array:
    """Return 1 where utility is higher, 0.5 where it is the same, 0 where it is lower."""
    # Sums of the same numbers in another order may differ in the last bit.
    return np.where(np.isclose(lead, 0), 0.5, lead > 0)


def _share(traits: Sequence[Mapping[str, bool]], trait: str) -> float:
    return float(np.mean([of_answer[trait] for of_answer in traits]))
