"""How likely to keep each pair, so that chosen and rejected no longer differ in style."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

__all__ = ["Balance", "balance_probabilities"]

Array = npt.NDArray[np.float64]

# Newton's method takes 10 to 20 steps; where there is no minimum it walks on for ever.
_MAX_STEPS = 60
# The mean of what is left at which it stops; rounding hides what is below.
_GRADIENT = 1e-10
# A probability of exp(-700) is still above zero.
_LARGEST = 700.0
# A feature is balanced when what is left is so small a share of its differences.
_TOLERANCE = 1e-4


@dataclass(frozen=True, slots=True)
class Balance:
    """With what probability to keep each pair, so that style no longer tells chosen from rejected.

    Attributes:
        probabilities: Shape (n,), in (0, 1].
        balanced: Shape (k,): False for a feature that cannot be balanced, because all pairs that
            differ in it differ the same way, or because too few pairs would be left.
    """

    probabilities: Array
    balanced: npt.NDArray[np.bool_]

    @property
    def expected(self) -> float:
        """How many pairs are kept on average."""
        return float(self.probabilities.sum())


def balance_probabilities(differences: Array, *, min_kept: float = 0.0) -> Balance:
    """Return probabilities that keep as much as can be kept with every mean difference zero.

    Balanced are the differences and, as far as the data allow, their signs: else what is drawn may
    be as long on average, and still mostly a little longer against now and then much shorter.

    In the spirit of entropy balancing (Hainmueller 2012, Political Analysis 20(1), eq. 2-5), with
    one as both the base weight and the upper bound. Of all p in [0, 1] with sum_i p_i d_i = 0 it
    takes the one nearest to keeping everything, by the Kullback-Leibler divergence
    sum_i p_i log p_i - p_i + 1. Stationarity of the Lagrangian gives p_i = min(1, exp(-λ·d_i)),
    and λ minimises the convex dual F(λ) = sum_i ψ(λ·d_i), where ψ(x) = -x for x <= 0 and
    exp(-x) - 1 above: its gradient is -sum_i p_i d_i, which is zero at the minimum. There, a
    logistic classifier without intercept has its optimum at zero weights: it learns nothing from
    these features.

    A minimum exists unless some direction in the features never points against the chosen side:
    all pairs that differ in emoji have them in the chosen answer, say. Then there is nothing to
    balance with, and the feature that brings this about is left as it is. Features are taken in
    the order given, so the ones that matter come first.

    Args:
        differences: What `difference` gives, shape (n, k). Every value is finite.
        min_kept: A feature is also left as it is when balancing it would keep a smaller share of
            the pairs than this, on average.
    """
    n, k = differences.shape
    contrasts = np.concatenate([differences, np.sign(differences)], axis=1)
    # Pairs without any difference are kept whatever λ is.
    moved = contrasts[np.any(differences != 0, axis=1)]
    scale = np.sqrt(np.mean(moved**2, axis=0)) if len(moved) else np.zeros(2 * k)
    scale[scale == 0] = 1.0
    moved /= scale
    one_sided = np.all(moved >= 0, axis=0) | np.all(moved <= 0, axis=0)
    taken = [int(column) for column in np.flatnonzero(~one_sided)]
    # What pairs without any difference do not make up already.
    needed = min_kept * n - (n - len(moved))
    weights = _minimise(moved[:, taken], needed)
    if weights is None:
        several, taken, weights = taken, [], np.zeros(0)
        for column in several:
            attempt = _minimise(moved[:, [*taken, column]], needed)
            if attempt is not None:
                taken, weights = [*taken, column], attempt
    exponents = (contrasts[:, taken] / scale[taken]) @ weights
    balanced = np.all(differences == 0, axis=0)
    balanced[[column for column in taken if column < k]] = True
    return Balance(np.exp(-np.clip(exponents, 0.0, _LARGEST)), balanced)


def _minimise(differences: Array, needed: float) -> Array | None:
    """Return the minimiser of F; None when there is none, or it keeps less than `needed`."""
    from scipy import optimize

    n, k = differences.shape
    if k == 0:
        return np.zeros(0)

    def dual(weights: Array) -> tuple[float, Array]:
        exponents = differences @ weights
        lost = np.expm1(-np.maximum(exponents, 0.0))
        value = np.sum(lost - np.minimum(exponents, 0.0))
        return float(value) / n, -(lost + 1) @ differences / n

    def curvature(weights: Array) -> Array:
        exponents = differences @ weights
        kept = np.where(exponents >= 0, np.exp(-np.maximum(exponents, 0.0)), 0.0)
        hessian: Array = (differences * kept[:, None]).T @ differences / n
        # A touch of ridge, for features that say the same and for directions without curvature.
        return hessian + 1e-9 * np.eye(k)

    weights: Array = optimize.minimize(
        dual,
        np.zeros(k),
        method="trust-exact",
        jac=True,
        hess=curvature,
        options={"gtol": _GRADIENT, "maxiter": _MAX_STEPS},
    ).x
    kept = np.exp(-np.maximum(differences @ weights, 0.0))
    # Without a minimum the excess vanishes too, but only as fast as what is kept.
    balanced = np.abs(kept @ differences) <= _TOLERANCE * (kept @ np.abs(differences))
    return weights if np.all(balanced) and kept.sum() >= needed else None
