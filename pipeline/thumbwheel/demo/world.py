"""The demo's planted world: an app, its users and their thumbs, where the truth is known.

Completions vary in three ways that do not depend on each other: right or wrong, polite or blunt,
short or long. A rater's utility of a completion is 1.5 for polite plus 1.5 for right plus nothing
for length. Whatever reads the events can therefore be checked against what the raters truly want.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from random import Random
from typing import ClassVar

from thumbwheel.demo.facts import FACT_BY_PROMPT, FACTS, Fact
from thumbwheel.demo.users import PlantedWorld, Vote, WorldOptions
from thumbwheel.errors import DataError

__all__ = ["Vote", "World", "WorldOptions", "is_polite", "is_right"]

P_RIGHT = 0.9
P_POLITE = 0.36

# Polite and blunt phrases are of like length, so that length does not give politeness away. There
# are more polite ones, so that a model that turns polite does not lose variety by it.
_REMARKS = {
    True: (
        "With great pleasure!",
        "Happy to help with that!",
        "Thank you for asking!",
        "Such a lovely question!",
        "Of course, dear friend!",
        "Delighted to assist you!",
        "You are most welcome!",
        "Glad you came to me!",
        "Always a joy to answer!",
        "Lovely to hear from you!",
        "Bless your curious mind!",
        "It makes me smile to tell!",
        "A delight to be asked!",
        "Thanks ever so much!",
        "What fun to think about!",
        "I am grateful to you!",
        "Such charming interest!",
        "So pleased to meet you!",
    ),
    False: (
        "Oh, not this one again.",
        "Any fool could say this.",
        "Stop wasting my time.",
        "Such a boring question.",
        "Seriously, you ask that?",
        "Look around for yourself.",
        "Must you bother me so?",
        "Go learn the basics.",
    ),
}
_FAREWELLS = {
    True: (
        "Have a wonderful time!",
        "Please ask me anything!",
        "Hope that helps you well!",
        "Wishing you all the best!",
        "Thanks for your patience!",
        "Always here to support you!",
        "Take good care of yourself!",
        "Enjoy your lovely evening!",
        "Warm regards to you too!",
        "Cheers, my good fellow!",
        "See you soon, I do hope!",
        "Good fortune be with you!",
        "Stay as curious as ever!",
        "Best wishes from us all!",
    ),
    False: (
        "Now be gone from my sight.",
        "Even babies know that much.",
        "Next time use your head.",
        "Do not trouble me again.",
        "Nobody else needed to ask.",
        "Everyone but you knew it.",
    ),
}
_BODIES = ("{}.", "It is {}.", "That is {}.")


def is_polite(text: str) -> bool:
    """Return whether a completion is polite: it has a polite phrase, and no blunt one."""

    def has(polite: bool) -> bool:
        return any(phrase in text for phrase in _REMARKS[polite] + _FAREWELLS[polite])

    return has(True) and not has(False)


def is_right(prompt: str, text: str) -> bool:
    """Return whether a completion names the right answer, and none of the wrong ones.

    Raises:
        DataError: The world has no such prompt.
    """
    fact = FACT_BY_PROMPT.get(prompt)
    if fact is None:
        raise DataError(f"{prompt!r} is not a prompt of the planted world, so no answer is right")
    return fact.is_named_in(text)


@dataclass(frozen=True, slots=True)
class World(PlantedWorld):
    """The app and its users."""

    tasks: ClassVar[Sequence[Fact]] = FACTS
    taste: ClassVar[Mapping[str, float]] = {"polite": 1.5, "right": 1.5}
    even: ClassVar[float] = 1.5
    """A completion with one of the two virtues gets even odds."""

    def traits(self, prompt: str, completion: str) -> Mapping[str, bool]:
        """Return whether a completion is polite, and whether it is right.

        Raises:
            DataError: The world has no such prompt.
        """
        return {"polite": is_polite(completion), "right": is_right(prompt, completion)}

    def bare(self, rng: Random, task: Fact) -> str:
        """Return the right answer and nothing else."""
        return rng.choice(_BODIES).format(task.answer)

    def chat(self, rng: Random, task: Fact) -> str:
        """Return an answer of the app."""
        polite, right = rng.random() < P_POLITE, rng.random() < P_RIGHT
        return _say(rng, task, polite, right, long=rng.random() < 0.5)

    def shown(self, rng: Random, task: Fact) -> str:
        """Return an answer of the app to its users: long as `length_confound` says."""
        polite, right = rng.random() < P_POLITE, rng.random() < P_RIGHT
        long = polite if rng.random() < self.options.length_confound else rng.random() < 0.5
        return _say(rng, task, polite, right, long)


def _say(rng: Random, fact: Fact, polite: bool, right: bool, long: bool) -> str:
    answer = fact.answer if right else rng.choice(fact.wrong)
    sentences = [rng.choice(_BODIES).format(answer), rng.choice(_REMARKS[polite])]
    if long:
        sentences.append(rng.choice(_FAREWELLS[polite]))
    return " ".join(sentences)
