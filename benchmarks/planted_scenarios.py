"""The troubles of `planted.py`, and what must hold in spite of each."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from statistics import fmean
from typing import Any

from planted_runs import Turn
from thumbwheel.demo.users import WorldOptions

__all__ = ["SCENARIOS", "Bar", "Scenario", "lengthening", "moved", "reward_length"]

Turns = Sequence[Turn]


@dataclass(frozen=True)
class Bar:
    """A number to reach, or not to pass.

    `measure` takes the turns of a scenario and the clean turns of the same seeds.
    """

    what: str
    measure: Callable[[Turns, Turns], float]
    least: float = float("-inf")
    most: float = float("inf")


@dataclass(frozen=True)
class Scenario:
    """A trouble, and what must hold in spite of it.

    Attributes:
        trouble: In words.
        knobs: Of the world.
        training: Settings in place of the configuration's.
        bars: What must hold in the demo's world, whose taste they are about.
        is_attack: Whether all votes of the clean world are there too, so that pairs can be
            compared.
    """

    trouble: str
    knobs: Mapping[str, Any] = field(default_factory=dict)
    training: Mapping[str, Any] = field(default_factory=dict)
    bars: Sequence[Bar] = ()
    is_attack: bool = False

    def options(self, seed: int) -> WorldOptions:
        """Return the world's knobs."""
        return WorldOptions(seed=seed, **self.knobs)


def polite(turns: Turns, clean: Turns) -> float:
    """Return the mean share of polite answers."""
    return fmean(turn.polite[1] for turn in turns)


def lengthening(turns: Turns, clean: Turns) -> float:
    """Return the mean change in length, as a share."""
    return fmean(turn.lengthening for turn in turns)


def share_of_clean_gain(turns: Turns, clean: Turns) -> float:
    """Return the mean gain in polite answers over that of the clean worlds."""
    return fmean(turn.gain for turn in turns) / fmean(turn.gain for turn in clean)


def moved(turns: Turns, clean: Turns) -> float:
    """Return the mean share of pairs that are not those of the clean worlds."""
    return fmean(turn.moved(other) for turn, other in zip(turns, clean, strict=True))


def refused(turns: Turns, clean: Turns) -> float:
    """Return the share of turns whose candidate was refused."""
    return fmean(not turn.promoted for turn in turns)


def reward_length(turns: Turns, clean: Turns) -> float:
    """Return the mean rank correlation of reward and length."""
    return fmean(turn.reward_length for turn in turns)


SCENARIOS: Mapping[str, Scenario] = {
    "clean": Scenario(
        "none", bars=[Bar("polite", polite, 0.95), Bar("longer", lengthening, -0.1, 0.1)]
    ),
    "noise_20": Scenario(
        "20% of votes flipped",
        {"noise": 0.2},
        bars=[Bar("of the clean gain", share_of_clean_gain, 0.4)],
    ),
    "noise_50": Scenario(
        "50% of votes flipped", {"noise": 0.5}, bars=[Bar("refused", refused, 0.95)]
    ),
    "length_70": Scenario(
        "70% of answers long just when polite",
        {"length_confound": 0.7},
        bars=[Bar("reward by length", reward_length, most=0.2)],
    ),
    "flood": Scenario(
        "one rater, 1,000 votes for blunt",
        {"flood_votes": 1000},
        bars=[Bar("pairs moved", moved, most=0.01)],
        is_attack=True,
    ),
    "collusion": Scenario("2% collude for blunt", {"colluders": 0.02}, is_attack=True),
    "spam": Scenario("30% vote all up", {"spam_raters": 0.3}),
    "adversaries": Scenario(
        "45% vote for blunt", {"adversarial_raters": 0.45}, bars=[Bar("refused", refused, 1)]
    ),
    "one_sided": Scenario("half of prompts one-sided", {"missing_sides": 0.5}),
    # The world says whether such a candidate is better; one that hardly trained never is.
    "fast": Scenario("training too fast", training={"learning_rate": 2e-3}),
    "slow": Scenario("training too slow", training={"learning_rate": 1e-7}),
}
