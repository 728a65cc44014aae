"""The planted world: an app, its users and their thumbs, where the truth is known.

Completions vary in three ways that do not depend on each other: right or wrong, polite or blunt,
short or long. A rater's utility of a completion is 1.5 for polite plus 1.5 for right plus nothing
for length, and the chance of a thumb up is logistic in it. Whatever reads the events can therefore
be checked against what the raters truly want. Everything follows from the seed.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from random import Random

from thumbwheel.demo.facts import FACT_BY_PROMPT, FACTS, Fact
from thumbwheel.errors import DataError, InputError

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

_SHARES = (
    "noise",
    "length_confound",
    "spam_raters",
    "adversarial_raters",
    "colluders",
    "missing_sides",
)
_TARGETED = 0.1


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
    words = f" {' '.join(''.join(c if c.isalnum() else ' ' for c in text).split())} "
    return f" {fact.answer} " in words and not any(f" {wrong} " in words for wrong in fact.wrong)


@dataclass(frozen=True, slots=True)
class WorldOptions:
    """The knobs of a world; each share is in [0, 1].

    Attributes:
        seed: Everything drawn follows from it.
        noise: Share of votes that are flipped.
        length_confound: Share of completions that are long just when they are polite; the others'
            length is a coin flip.
        spam_raters: Share of raters who vote everything up.
        adversarial_raters: Share of raters who vote every blunt completion up, every polite one
            down.
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
class World:
    """The app and its users.

    Attributes:
        options: The knobs.
    """

    options: WorldOptions = WorldOptions()

    def facts(self, epochs: int) -> Iterator[tuple[str, str]]:
        """Yield every prompt `epochs` times, each with its bare right answer."""
        rng = Random(f"{self.options.seed} facts")  # noqa: S311 -- seeded on purpose
        for _ in range(epochs):
            for fact in rng.sample(FACTS, len(FACTS)):
                yield fact.prompt, rng.choice(_BODIES).format(fact.answer)

    def chats(self, epochs: int) -> Iterator[tuple[str, str]]:
        """Yield every prompt `epochs` times, each answered anew as the app answers.

        The knobs touch the app's users, not these.
        """
        rng = Random(f"{self.options.seed} chats")  # noqa: S311 -- seeded on purpose
        for _ in range(epochs):
            for fact in rng.sample(FACTS, len(FACTS)):
                polite, right = rng.random() < P_POLITE, rng.random() < P_RIGHT
                yield fact.prompt, _say(rng, fact, polite, right, long=rng.random() < 0.5)

    def votes(self) -> Iterator[Vote]:
        """Yield every vote that reaches the app but those of `attack`, prompt by prompt."""
        options = self.options
        rng = Random(f"{options.seed} votes")  # noqa: S311 -- seeded on purpose
        raters = [_rater(number) for number in range(options.raters)]
        spammers = frozenset(raters[: round(options.spam_raters * options.raters)])
        adversaries = frozenset(
            raters[options.raters - round(options.adversarial_raters * options.raters) :]
        )
        for fact in FACTS:
            sent = {1, -1}
            if rng.random() < options.missing_sides:
                sent = {rng.choice((1, -1))}
            for completion, utility in self._completions(rng, fact).items():
                for rater in rng.sample(raters, options.votes):
                    # Centred so that a completion with one of the two virtues gets even odds.
                    p_up = 1 / (1 + math.exp(1.5 - utility))
                    score = 1 if rng.random() < p_up else -1
                    if rng.random() < options.noise:
                        score = -score
                    if rater in spammers:
                        score = 1
                    if rater in adversaries:
                        score = _against(completion)
                    if score in sent:
                        yield Vote(fact.prompt, completion, rater, score)

    def attack(self) -> Iterator[Vote]:
        """Yield the votes of colluders and of the flooding rater, who see what the users see."""
        options = self.options
        n_colluders = round(options.colluders * options.raters)
        if not (n_colluders or options.flood_votes):
            return
        rng = Random(f"{options.seed} attack")  # noqa: S311 -- seeded on purpose
        shown = list(dict.fromkeys((vote.prompt, vote.completion) for vote in self.votes()))
        targeted = {fact.prompt for fact in rng.sample(FACTS, round(_TARGETED * len(FACTS)))}
        together = [answer for answer in shown if answer[0] in targeted]
        flood = rng.sample(shown, min(options.flood_votes, len(shown)))
        for number, voted in enumerate([*[together] * n_colluders, flood], start=options.raters):
            for prompt, completion in voted:
                yield Vote(prompt, completion, _rater(number), _against(completion))

    def _completions(self, rng: Random, fact: Fact) -> dict[str, float]:
        """Return distinct completions of a prompt with their utility to any rater."""
        utilities: dict[str, float] = {}
        while len(utilities) < self.options.completions:
            polite, right = rng.random() < P_POLITE, rng.random() < P_RIGHT
            long = polite if rng.random() < self.options.length_confound else rng.random() < 0.5
            utilities[_say(rng, fact, polite, right, long)] = 1.5 * polite + 1.5 * right
        return utilities


def _rater(number: int) -> str:
    return f"user-{number:04}"


def _against(completion: str) -> int:
    """Return the vote of who wants the opposite of what the others want."""
    return -1 if is_polite(completion) else 1


def _say(rng: Random, fact: Fact, polite: bool, right: bool, long: bool) -> str:
    answer = fact.answer if right else rng.choice(fact.wrong)
    sentences = [rng.choice(_BODIES).format(answer), rng.choice(_REMARKS[polite])]
    if long:
        sentences.append(rng.choice(_FAREWELLS[polite]))
    return " ".join(sentences)
