"""The error budget: how sure a test must be, so that a year of tests seldom promotes by luck.

Every look at the held-out prompts may promote a candidate that is no better, with a chance of its
level. The levels of all looks in any 365 days add up to at most the budget, so the chance of one or
more such promotions in a year is at most that (Bonferroni's inequality), however the candidates
depend on each other and on what earlier looks said.
"""

import math
from collections.abc import Sequence
from datetime import datetime, timedelta

from thumbwheel.types import Look

__all__ = [
    "YEAR",
    "free_again",
    "in_words",
    "level_of_next_look",
    "look_at",
    "looks_of_year",
    "spent",
]

YEAR = timedelta(days=365)

_NOTHING = 1e-9
"""What is left of a budget by rounding alone, as a share of it."""


def level_of_next_look(
    looks: Sequence[Look], now: datetime, *, tests_per_year: int, false_promotions: float
) -> float:
    """Return the level of a look that is taken now; 0 where the budget is spent.

    A look has one share of the budget, and with it the shares of all tests that could have been
    made since the last look; together never more than what is left of 365 days.

    Args:
        looks: Every look that was taken, in any order.
        now: With a time zone.
        tests_per_year: How often a candidate is to be tested.
        false_promotions: The budget.
    """
    shares = 1.0
    if looks:
        last = max(look.when for look in looks)
        shares = max(shares, tests_per_year * ((now - last) / YEAR))
    share = one_share(tests_per_year=tests_per_year, false_promotions=false_promotions)
    return min(share * shares, _left(looks, now, false_promotions))


def one_share(*, tests_per_year: int, false_promotions: float) -> float:
    """Return what a look may spend where none was left out before it.

    There is one share more than tests: of 52 weekly tests, 365 days can hold 53.
    """
    return false_promotions / (tests_per_year + 1)


def looks_of_year(looks: Sequence[Look], now: datetime) -> list[Look]:
    """Return the looks of the last 365 days.

    Those that lie ahead are among them: the clock was ahead when they were entered, or is behind.
    """
    return [look for look in looks if look.when >= now - YEAR]


def spent(looks: Sequence[Look], now: datetime) -> float:
    """Return what the looks of the last 365 days have spent."""
    return math.fsum(look.level for look in looks_of_year(looks, now))


def look_at(looks: Sequence[Look], candidate: str) -> Look | None:
    """Return the look that was taken at a candidate, which costs nothing to read again, or None."""
    return next((look for look in looks if look.candidate == candidate), None)


def free_again(
    looks: Sequence[Look], now: datetime, *, tests_per_year: int, false_promotions: float
) -> datetime | None:
    """Return when a whole share of the budget is free again, or None where it is now."""
    share = one_share(tests_per_year=tests_per_year, false_promotions=false_promotions)
    moments = [now, *sorted(look.when + YEAR for look in looks_of_year(looks, now))]
    for moment in moments:
        # A look counts up to the moment itself.
        after = moment if moment == now else moment + timedelta(microseconds=1)
        if _left(looks, after, false_promotions) >= share * (1 - _NOTHING):
            return None if moment == now else after
    return moments[-1]


def in_words(looks: Sequence[Look], now: datetime, *, false_promotions: float) -> str:
    """Return what is spent, such as "spent 1.2% of 5%, 11 looks in the last 365 days"."""
    n = len(looks_of_year(looks, now))
    return (
        f"spent {100 * spent(looks, now):.2g}% of {100 * false_promotions:g}%, "
        f"{n:,} look{'s' * (n != 1)} in the last 365 days"
    )


def _left(looks: Sequence[Look], now: datetime, false_promotions: float) -> float:
    left = false_promotions - spent(looks, now)
    return left if left > _NOTHING * false_promotions else 0.0
