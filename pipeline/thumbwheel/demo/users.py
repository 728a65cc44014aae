"""A planted world's users, whose taste is known, and the troubles that their votes may have.

What the app is asked and how it answers is left to a `PlantedWorld`'s own kind. Its users see
answers and vote: the chance of a thumb up is logistic in the utility of an answer, and the knobs
say who votes otherwise. Everything follows from the seed.
"""

import math
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from random import Random
from typing import ClassVar

from thumbwheel.demo.facts import Fact
from thumbwheel.errors import InputError

__all__ = ["PlantedWorld", "Vote", "WorldOptions"]

_SHARES = (
    "noise",
    "length_confound",
    "spam_raters",
    "adversarial_raters",
    "colluders",
    "missing_sides",
)
_TARGETED = 0.1
_LENGTH = 64
"""Characters of an answer whose length neither pleases nor displeases."""


@dataclass(frozen=True, slots=True)
class WorldOptions:
    """The knobs of a world; each share is in [0, 1].

    Attributes:
        seed: Everything drawn follows from it.
        noise: Share of votes that are flipped.
        length_confound: Share of completions that are long just when they are polite; the others'
            length is a coin flip.
        length_bias: What twice the length adds to a completion's odds of a thumb up, as a logit,
            and to its utility nothing.
        spam_raters: Share of raters who vote everything up.
        adversarial_raters: Share of raters who vote every polite completion down, all others up.
        colluders: Share of raters who come on top of the others and do the same, all of them to
            every completion of a tenth of the prompts.
        flood_votes: Completions, drawn at random, to which one more rater does the same.
        missing_sides: Share of prompts of which only the ups, or only the downs, are ever sent.
        raters: How many raters there are.
        completions: Distinct completions of each prompt.
        votes: Votes for each completion, each by another rater.
    """

    seed: int = 0
    noise: float = 0.0
    length_confound: float = 0.0
    length_bias: float = 0.0
    spam_raters: float = 0.0
    adversarial_raters: float = 0.0
    colluders: float = 0.0
    flood_votes: int = 0
    missing_sides: float = 0.0
    raters: int = 150
    completions: int = 8
    votes: int = 4

    def __post_init__(self) -> None:
        """Check the values.

        Raises:
            InputError: A share is outside [0, 1], or a count is too small.
        """
        for name in _SHARES:
            value = getattr(self, name)
            if not 0 <= value <= 1:
                raise InputError(f"{name} is a share between 0 and 1, got {value}")
        for name, least in (("completions", 1), ("votes", 1), ("flood_votes", 0)):
            value = getattr(self, name)
            if value < least:
                raise InputError(f"{name} must be at least {least}, got {value}")
        if self.raters < self.votes:
            raise InputError(f"raters must be at least votes ({self.votes}), got {self.raters}")


@dataclass(frozen=True, slots=True)
class Vote:
    """One thumb: `score` is +1 or -1."""

    prompt: str
    completion: str
    rater_id: str
    score: int


@dataclass(frozen=True, slots=True)
class PlantedWorld(ABC):
    """An app and its users.

    Attributes:
        options: The knobs.
        tasks: What the app is asked.
        taste: What each trait of a completion adds to its utility.
        even: The utility of a completion that gets even odds.
    """

    options: WorldOptions = WorldOptions()
    tasks: ClassVar[Sequence[Fact]]
    taste: ClassVar[Mapping[str, float]]
    even: ClassVar[float]

    @abstractmethod
    def traits(self, prompt: str, completion: str) -> Mapping[str, bool]:
        """Return which of the traits in `taste` a completion has; `polite` is one of them.

        Raises:
            DataError: The world has no such prompt.
        """

    @abstractmethod
    def bare(self, rng: Random, task: Fact) -> str:
        """Return the right answer and nothing else."""

    @abstractmethod
    def chat(self, rng: Random, task: Fact) -> str:
        """Return an answer of the app."""

    @abstractmethod
    def shown(self, rng: Random, task: Fact) -> str:
        """Return an answer of the app to its users, whom the knobs touch."""

    def utility(self, prompt: str, completion: str) -> float:
        """Return what a completion is worth to every honest rater.

        Raises:
            DataError: The world has no such prompt.
        """
        traits = self.traits(prompt, completion)
        return sum(worth for trait, worth in self.taste.items() if traits[trait])

    def facts(self, epochs: int) -> Iterator[tuple[str, str]]:
        """Yield every prompt `epochs` times, each with its bare right answer."""
        rng = Random(f"{self.options.seed} facts")  # noqa: S311 -- seeded on purpose
        for _ in range(epochs):
            for task in rng.sample(self.tasks, len(self.tasks)):
                yield task.prompt, self.bare(rng, task)

    def chats(self, epochs: int) -> Iterator[tuple[str, str]]:
        """Yield every prompt `epochs` times, each answered anew as the app answers.

        The knobs touch the app's users, not these.
        """
        rng = Random(f"{self.options.seed} chats")  # noqa: S311 -- seeded on purpose
        for _ in range(epochs):
            for task in rng.sample(self.tasks, len(self.tasks)):
                yield task.prompt, self.chat(rng, task)

    def votes(self) -> Iterator[Vote]:
        """Yield every vote that reaches the app but those of `attack`, prompt by prompt."""
        options = self.options
        rng = Random(f"{options.seed} votes")  # noqa: S311 -- seeded on purpose
        raters = [_rater(number) for number in range(options.raters)]
        spammers = frozenset(raters[: round(options.spam_raters * options.raters)])
        adversaries = frozenset(
            raters[options.raters - round(options.adversarial_raters * options.raters) :]
        )
        for task in self.tasks:
            sent = {1, -1}
            if rng.random() < options.missing_sides:
                sent = {rng.choice((1, -1))}
            for completion in self._distinct(rng, task):
                drawn = options.length_bias * math.log2(len(completion) / _LENGTH)
                appeal = self.utility(task.prompt, completion) + drawn
                p_up = 1 / (1 + math.exp(self.even - appeal))
                for rater in rng.sample(raters, options.votes):
                    score = 1 if rng.random() < p_up else -1
                    if rng.random() < options.noise:
                        score = -score
                    if rater in spammers:
                        score = 1
                    if rater in adversaries:
                        score = self._against(task.prompt, completion)
                    if score in sent:
                        yield Vote(task.prompt, completion, rater, score)

    def attack(self) -> Iterator[Vote]:
        """Yield the votes of colluders and of the flooding rater, who see what the users see."""
        options = self.options
        n_colluders = round(options.colluders * options.raters)
        if not (n_colluders or options.flood_votes):
            return
        rng = Random(f"{options.seed} attack")  # noqa: S311 -- seeded on purpose
        shown = list(dict.fromkeys((vote.prompt, vote.completion) for vote in self.votes()))
        n_targeted = round(_TARGETED * len(self.tasks))
        targeted = {task.prompt for task in rng.sample(self.tasks, n_targeted)}
        together = [answer for answer in shown if answer[0] in targeted]
        flood = rng.sample(shown, min(options.flood_votes, len(shown)))
        for number, voted in enumerate([*[together] * n_colluders, flood], start=options.raters):
            for prompt, completion in voted:
                yield Vote(prompt, completion, _rater(number), self._against(prompt, completion))

    def _distinct(self, rng: Random, task: Fact) -> Sequence[str]:
        """Return as many completions of a task as its users see."""
        completions: dict[str, None] = {}
        while len(completions) < self.options.completions:
            completions[self.shown(rng, task)] = None
        return list(completions)

    def _against(self, prompt: str, completion: str) -> int:
        """Return the vote of who wants the opposite of what the others want."""
        return -1 if self.traits(prompt, completion)["polite"] else 1


def _rater(number: int) -> str:
    return f"user-{number:04}"
