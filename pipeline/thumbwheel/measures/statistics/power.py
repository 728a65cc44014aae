"""What the sign-flip test can see: its power, and what it takes to have some."""

import math

from scipy import optimize, special

__all__ = ["clusters_needed", "power", "smallest_gain"]

_MOST_CLUSTERS = 1_000_000


def power(gain: float, n_clusters: int, sd: float, level: float) -> float:
    """Return the chance that the test finds a true mean of `gain` at a level.

    By the noncentral t distribution, which the sign-flip test's power comes close to.

    Args:
        gain: The true mean difference.
        n_clusters: Clusters of prompts.
        sd: Standard deviation of the clusters' mean differences.
        level: The one-sided level. Where the smallest p-value that so many clusters can have, 2 to
            the power of -n_clusters, is above it, the power is 0.
    """
    return _chance(gain, n_clusters, sd, level)


def smallest_gain(n_clusters: int, sd: float, level: float, power: float) -> float:
    """Return the gain that the test finds with a chance of `power`; infinite where it cannot.

    The arguments are those of `power`.
    """
    if not _can_reject(n_clusters, level):
        return math.inf
    if not sd > 0:
        return 0.0
    high = sd / math.sqrt(n_clusters)
    while _chance(high, n_clusters, sd, level) < power:
        high *= 2
    return float(
        optimize.brentq(lambda gain: _chance(gain, n_clusters, sd, level) - power, 0.0, high)
    )


def clusters_needed(gain: float, sd: float, level: float, power: float) -> int | None:
    """Return how many clusters find `gain` with a chance of `power`; None beyond a million.

    The arguments are those of `power`.
    """
    low, high = 1, 2
    while _chance(gain, high, sd, level) < power:
        low, high = high, 2 * high
        if high > _MOST_CLUSTERS:
            return None
    while high - low > 1:
        middle = (low + high) // 2
        if _chance(gain, middle, sd, level) < power:
            low = middle
        else:
            high = middle
    return high


def _can_reject(n_clusters: int, level: float) -> bool:
    return level > 0 and n_clusters >= max(2.0, -math.log2(level))


def _chance(gain: float, n_clusters: int, sd: float, level: float) -> float:
    if not _can_reject(n_clusters, level):
        return 0.0
    if sd == 0:
        return float(gain > 0)
    shift = gain * math.sqrt(n_clusters) / sd
    bar = -float(special.stdtrit(n_clusters - 1, level))
    found = 1 - float(special.nctdtr(n_clusters - 1, shift, bar))
    # The series gives up far out, where the normal distribution is as good.
    return found if math.isfinite(found) else float(special.ndtr(shift - bar))
