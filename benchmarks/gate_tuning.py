"""Somebody tries settings until one is promoted, by what the product shows."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from gate_rules import Budget, Looks
from gate_worlds import Prompts, World, compare

__all__ = ["SEARCHES", "Search", "search", "tuning"]

Array = npt.NDArray[np.floating]

TRIES = 50
SETTINGS = 10
"""How many settings there are: a candidate is a direction in a space of so many dimensions."""
N_PROMPTS = 200
"""Open prompts, and as many held-out ones."""
SIDE_BY_SIDE = 50
"""Searches that are done in one array; they share the clusters of the prompts, and nothing else."""
GAINS = (0.0, -0.02)


@dataclass(frozen=True)
class Search:
    """How the next setting is chosen, and who may promote it.

    Attributes:
        shown: `open` where only the open win rate is seen; `sealed` where the held-out one is;
            `guards` where also a metric over all prompts, open and held-out, which goes with the
            win rate by .7; `verdict` where settings that were called worse are left.
        restarts: Whether every tenth try starts anew.
        gate: `ours`; `always` where it looks also at what it could hardly see; `each` for a test
            at 2.5% each time.
    """

    shown: str = "open"
    restarts: bool = False
    gate: str = "ours"


SEARCHES: Mapping[str, Search] = {
    "climbs": Search(),
    "climbs, always looks": Search(gate="always"),
    "climbs, with restarts": Search(restarts=True),
    "climbs by guards too": Search("guards"),
    "climbs by the verdict too": Search("verdict"),
    "held-out win rate shown": Search("sealed"),
    "held-out shown, always looks": Search("sealed", gate="always"),
    "held-out shown, each at 2.5%": Search("sealed", gate="each"),
}


@dataclass
class _Side:
    """One part of the prompts: where settings do well, and the champion's answers."""

    prompts: Prompts
    likes: Array
    champion: Array


def tuning(seed: np.random.SeedSequence, runs: int) -> Mapping[tuple[str, str], list[float]]:
    """Return whether a search promoted, and by how much the number shown was too high."""
    rng = np.random.default_rng(seed)
    results: dict[tuple[str, str], list[float]] = defaultdict(list)
    for start in range(0, runs, SIDE_BY_SIDE):
        for gain in GAINS:
            for name, how in SEARCHES.items():
                n = min(SIDE_BY_SIDE, runs - start)
                promoted, shown = search(rng, World(), how, gain, n)
                row = f"{name}, true win rate {0.5 + gain:.2f}"
                results[row, "promoted"] += promoted.tolist()
                results[row, "shown too high by"] += (shown - gain).tolist()
    return dict(results)


def search(
    rng: np.random.Generator, world: World, how: Search, gain: float, runs: int
) -> tuple[Array, Array]:
    """Search some times.

    Returns:
        Whether anything was promoted, and the gain that is shown of the setting chosen in the end.
        Shape (runs,) both.
    """
    sides = [_side(rng, world, runs) for _ in range(2)]
    budgets = [Budget(always=how.gate == "always") for _ in range(runs)]
    promoted = np.zeros(runs, dtype=bool)
    best, best_number = _directions(rng, runs), np.full(runs, -np.inf)
    best_shown = np.zeros(runs)
    for turn in range(TRIES):
        tried = best + 0.5 * _directions(rng, runs)
        if turn == 0 or (how.restarts and turn % 10 == 0):
            tried = _directions(rng, runs)
        tried /= np.linalg.norm(tried, axis=1, keepdims=True)
        seen, sealed = (_answer(rng, world, side, tried, gain) for side in sides)
        promoted |= _passes(seen, sealed, budgets, 7 * turn, how.gate)
        number = shown = sealed.gain if how.shown == "sealed" else seen.gain
        if how.shown == "guards":
            number = number + 0.5 * np.mean([_guard(rng, side) for side in (seen, sealed)], axis=0)
        better = number > best_number
        if how.shown == "verdict":
            better &= sealed.rough_p < 1 - 0.025
        best = np.where(better[:, None], tried, best)
        best_number = np.where(better, number, best_number)
        best_shown = np.where(better, shown, best_shown)
    return promoted.astype(float), best_shown


def _side(rng: np.random.Generator, world: World, runs: int) -> _Side:
    prompts = world.prompts(rng, N_PROMPTS)
    likes = world.deviations(rng, prompts, runs * SETTINGS).reshape(runs, SETTINGS, N_PROMPTS)
    return _Side(prompts, likes, world.draw(rng, np.zeros((runs, N_PROMPTS))))


def _directions(rng: np.random.Generator, runs: int) -> Array:
    drawn = rng.standard_normal((runs, SETTINGS))
    return drawn / np.linalg.norm(drawn, axis=1, keepdims=True)


def _answer(
    rng: np.random.Generator, world: World, side: _Side, settings: Array, gain: float
) -> Looks:
    mu = world.qualities(np.einsum("rs,rsn->rn", settings, side.likes), gain)
    values = compare(world.draw(rng, mu), side.champion, side.prompts)
    return Looks(np.zeros(len(mu), dtype=np.int64), values, side.prompts)


def _guard(rng: np.random.Generator, side: Looks) -> Array:
    noise = rng.standard_normal(len(side.gain)) * side.error
    return np.asarray(0.7 * side.gain + np.sqrt(1 - 0.7**2) * noise)


def _passes(
    seen: Looks, sealed: Looks, budgets: Sequence[Budget], day: int, gate: str
) -> npt.NDArray[np.bool_]:
    if gate == "each":
        return np.asarray(sealed.rough_p <= 0.025)
    return np.array([budget.promotes(day, seen, sealed, run) for run, budget in enumerate(budgets)])
