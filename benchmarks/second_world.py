"""The second planted world: other tasks, other phrases, and users of another taste.

Answers are polite, rude or neither; right or wrong; concise or wordy; a list or a sentence after
the other. Unlike the demo's users, these care for length: a concise answer is worth more to them,
and a list a little. Whatever the model says, `SecondWorld.utility` knows what it is worth.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from random import Random
from typing import ClassVar

from second_tasks import TASK_BY_PROMPT, TASKS
from thumbwheel.demo.facts import Fact
from thumbwheel.demo.users import PlantedWorld
from thumbwheel.errors import DataError

__all__ = ["SecondWorld"]

P_RIGHT = 0.93
P_POLITE, P_RUDE = 0.27, 0.36
P_WORDY = 0.5
P_LIST = 0.3

CONCISE = 85
"""Characters of a concise answer, at most: a remark and a body are shorter, two asides longer."""

_REMARKS = {
    "polite": (
        "What a nice thing to ask!",
        "You made this hour bright!",
        "Always happy to be of use!",
        "A warm welcome to you!",
        "So kind of you to ask!",
        "With joy, dear reader!",
        "Good to see you here!",
        "Nothing pleases me more!",
        "Thank you kindly!",
        "At your service, always!",
        "It is an honour to help!",
        "Bravo, a fine question!",
        "Hello and many thanks!",
        "Your interest is a gift!",
        "Here you are, my dear!",
        "Many thanks for your trust!",
        "Cheerfully done for you!",
        "Gladly, and do ask again!",
    ),
    "rude": (
        "Are you truly that slow?",
        "Not my job, you know.",
        "Use your own brain.",
        "How dull can you be?",
        "You should be ashamed.",
        "Go and bother others.",
        "Pathetic, as expected.",
        "Ever opened a dictionary?",
        "Stop pestering me.",
        "This is beneath me.",
        "You must be joking.",
        "Whatever, lazybones.",
        "Ugh, you again.",
        "Who let you in here?",
    ),
}
_BODIES = ("{}.", "Answer: {}.", "It should be {}.", "The reply is {}.", "One says {}.")
_ASIDES = (
    "This can be looked up in any of the usual places.",
    "There is more to be said about it than fits in here.",
    "It is one of those things that are asked quite often.",
    "As with so much else, there is a longer story behind it.",
    "Others may put it in other words, with the same sense.",
    "In the course of time this has been described at length.",
    "It is worth remembering when the subject comes up.",
    "That is how it is given in the works that deal with it.",
    "For most purposes nothing further needs to be added here.",
    "So far nobody has come up with a good reason to doubt it.",
    "It goes without saying that the details are omitted.",
    "This holds in general, apart from some rare exceptions.",
)


@dataclass(frozen=True, slots=True)
class SecondWorld(PlantedWorld):
    """An assistant for small tasks, and its users."""

    tasks: ClassVar[Sequence[Fact]] = TASKS
    taste: ClassVar[Mapping[str, float]] = {
        "polite": 1.6,
        "rude": -1.4,
        "right": 1.5,
        "concise": 0.6,
        "list": 0.2,
    }
    even: ClassVar[float] = 1.5

    def traits(self, prompt: str, completion: str) -> Mapping[str, bool]:
        """Return what can be seen of a completion; one with a rude remark is not polite.

        Raises:
            DataError: The world has no such prompt.
        """
        task = TASK_BY_PROMPT.get(prompt)
        if task is None:
            raise DataError(f"{prompt!r} is no task of the second world, so no answer is right")
        polite, rude = (
            any(remark in completion for remark in _REMARKS[tone]) for tone in ("polite", "rude")
        )
        return {
            "polite": polite and not rude,
            "rude": rude,
            "right": task.is_named_in(completion),
            "concise": len(completion) <= CONCISE,
            "list": all(line.startswith("- ") for line in completion.split("\n")),
        }

    def bare(self, rng: Random, task: Fact) -> str:
        """Return the right answer and nothing else."""
        return rng.choice(_BODIES).format(task.answer)

    def chat(self, rng: Random, task: Fact) -> str:
        """Return an answer of the app."""
        return _say(rng, task, _tone(rng), wordy=rng.random() < P_WORDY)

    def shown(self, rng: Random, task: Fact) -> str:
        """Return an answer of the app to its users: wordy as `length_confound` says."""
        tone = _tone(rng)
        confounded = rng.random() < self.options.length_confound
        return _say(rng, task, tone, tone == "polite" if confounded else rng.random() < P_WORDY)


def _tone(rng: Random) -> str:
    drawn = rng.random()
    return "polite" if drawn < P_POLITE else "rude" if drawn < P_POLITE + P_RUDE else "neutral"


def _say(rng: Random, task: Fact, tone: str, wordy: bool) -> str:
    answer = task.answer if rng.random() < P_RIGHT else rng.choice(task.wrong)
    sentences = [rng.choice(_BODIES).format(answer)]
    if tone in _REMARKS:
        sentences.insert(0, rng.choice(_REMARKS[tone]))
    if wordy:
        sentences += rng.sample(_ASIDES, 2)
    if rng.random() < P_LIST:
        return "\n".join(f"- {sentence}" for sentence in sentences)
    return " ".join(sentences)
