"""Years of candidates: none is better, or all are by so much; and what comes after luck."""

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import replace
from typing import get_args

import numpy as np
import numpy.typing as npt

from gate_rules import Looks, rules_of_error, rules_of_power
from gate_worlds import Kind, Prompts, World, blend, compare

__all__ = ["WEEKS", "draw_year", "error_over_time", "power_over_time"]

Array = npt.NDArray[np.floating]
Results = Mapping[tuple[str, str], list[float]]
"""One number of each run, by row and column of a table."""

NEVER = float("inf")
WEEKS = (1, 4, 12, 26, 52)
SIZES_OF_ERROR = (100, 200, 400)
SIZES_OF_POWER = (100, 200, 400, 1000, 2000)
GAINS = (0.02, 0.05, 0.10)
WEEKLY, NIGHTLY = np.arange(0, 364, 7), np.arange(365)


def draw_year(
    rng: np.random.Generator,
    world: World,
    n: int,
    days: npt.NDArray[np.int64],
    *,
    fresh: bool = False,
    gain: Array | float = 0.0,
) -> Looks:
    """Draw candidates of one recipe, and their looks at n held-out prompts.

    The champion's answers to a prompt are drawn once, as the cache keeps them. The open prompts are
    as many as the held-out ones.

    Args:
        rng: Random numbers.
        world: How prompts and models are drawn.
        n: Prompts of a look.
        days: When a candidate is looked at.
        fresh: Whether each look has prompts of its own.
        gain: True win rate of every candidate, less one half; of each, shape (looks,).
    """
    looks = [
        _draw(rng, world, world.prompts(rng, n, len(days) if afresh else 1), days, gain)
        for afresh in (fresh, False)
    ]
    return replace(looks[0], seen=looks[1])


def _draw(
    rng: np.random.Generator,
    world: World,
    prompts: Prompts,
    days: npt.NDArray[np.int64],
    gain: Array | float,
) -> Looks:
    common = world.deviations(rng, prompts, len(prompts.cluster))
    mu = world.qualities(blend(common, world.deviations(rng, prompts, len(days))), gain)
    champion = world.draw(rng, np.zeros(prompts.cluster.shape))
    return Looks(days, compare(world.draw(rng, mu), champion, prompts), prompts)


def error_over_time(seed: np.random.SeedSequence, runs: int) -> Results:
    """Return whether a year saw a false promotion, by setting and rule."""
    rng = np.random.default_rng(seed)
    results = defaultdict(list)
    for _ in range(runs):
        for name, days in (("52 weeks", WEEKLY), ("365 nights", NIGHTLY)):
            for n in SIZES_OF_ERROR:
                for fresh in (False, True):
                    for kind in get_args(Kind):
                        year = draw_year(rng, World(kind), n, days, fresh=fresh)
                        row = f"{name}, {n} {'fresh' if fresh else 'same'} prompts, {kind}"
                        for rule, first in rules_of_error(len(days)).items():
                            promoted = float(first(year) is not None)
                            results[row, rule].append(promoted)
                            results[f"all of these, {kind}", rule].append(promoted)
    return dict(results)


def power_over_time(seed: np.random.SeedSequence, runs: int) -> Results:
    """Return the week in which a better candidate is first promoted, by setting and rule."""
    rng = np.random.default_rng(seed)
    results = defaultdict(list)
    settings = [(f"+{gain:.2f}", gain, 1) for gain in GAINS]
    settings += [("+0.05 every 4th week", 0.05, 4), ("+0.10 every 4th week", 0.10, 4)]
    for _ in range(runs):
        for name, gain, every in settings:
            for n in SIZES_OF_POWER:
                gains = np.where(np.arange(len(WEEKLY)) % every == every - 1, gain, 0.0)
                year = draw_year(rng, World(), n, WEEKLY, gain=gains)
                for rule, first in rules_of_power().items():
                    look = first(year)
                    better = look is not None and gains[look] > 0
                    week = look + 1.0 if look is not None and better else NEVER
                    results[f"{name}, {n} prompts", rule].append(week)
    return dict(results)
