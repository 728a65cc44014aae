"""A champion that was promoted by luck, and who can follow it."""

from collections import defaultdict
from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

from gate_rules import GATE, Looks
from gate_worlds import Prompts, World, blend, compare
from thumbwheel.evidence.budget import one_share

__all__ = ["after_luck"]

Array = npt.NDArray[np.floating]

SIZES = (100, 400)
CHAMPIONS = {"no luck": None, "promoted though equal": 0.0, "promoted with a true +.02": 0.02}
GAIN = 0.05
"""Of the candidate that comes next over that champion."""
AT_A_TIME = 100
LEVEL = one_share(tests_per_year=GATE.tests_per_year, false_promotions=GATE.false_promotions)


def after_luck(seed: np.random.SeedSequence, runs: int) -> Mapping[tuple[str, str], list[float]]:
    """Return whether a truly better candidate is promoted at one share of the budget.

    The columns are remedies: which prompts it is measured on, and which of the champion's answers.
    """
    rng = np.random.default_rng(seed)
    world, results = World(), defaultdict(list)
    # Models of a recipe differ from each other as much as they do from the first champion.
    more = world.shift(GAIN, world.spread)
    for _ in range(runs):
        for n in SIZES:
            for name, gain in CHAMPIONS.items():
                prompts, others = world.prompts(rng, n), world.prompts(rng, n)
                common, champion, cached = _promoted(rng, world, prompts, gain)
                better = _sibling(rng, world, prompts, common, gain or 0.0) + more
                common = world.deviations(rng, others, 1)
                elsewhere, better_there = (
                    _sibling(rng, world, others, common, gain or 0.0) for _ in range(2)
                )
                for remedy, candidate, answers, asked in (
                    ("the same answers", better, cached, prompts),
                    ("fresh answers", better, world.draw(rng, champion), prompts),
                    ("other prompts", better_there + more, world.draw(rng, elsewhere), others),
                ):
                    values = compare(world.draw(rng, candidate), answers, asked)
                    look = Looks(np.zeros(1, dtype=np.int64), values, asked)
                    row = f"{name}, {n} prompts"
                    results[row, remedy].append(float(look.passes(0, LEVEL)))
                    results[row, f"gain seen, {remedy}"].append(float(look.gain[0]))
    return dict(results)


def _promoted(
    rng: np.random.Generator, world: World, prompts: Prompts, gain: float | None
) -> tuple[Array, Array, Array]:
    """Draw a champion that passed the test with this true gain, or any for None.

    Returns:
        What its recipe has in common and its mu, shape (1, n) both, and its answers.
    """
    n = 1 if gain is None else AT_A_TIME
    while True:
        first = world.draw(rng, np.zeros((1, prompts.n)))
        common = world.deviations(rng, prompts, n)
        mu = _sibling(rng, world, prompts, common, gain or 0.0)
        answers = world.draw(rng, mu)
        looks = Looks(np.zeros(n, dtype=np.int64), compare(answers, first, prompts), prompts)
        for row in np.flatnonzero((looks.rough_p <= LEVEL) | (gain is None)):
            one = slice(row, row + 1)
            return common[one], mu[one], answers[:, one]


def _sibling(
    rng: np.random.Generator, world: World, prompts: Prompts, common: Array, gain: float
) -> Array:
    """Draw another model of a recipe, shape like `common`."""
    return world.qualities(blend(common, world.deviations(rng, prompts, len(common))), gain)
