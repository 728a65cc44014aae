"""How sure the votes make us that one completion is better than another."""

import numpy as np
import numpy.typing as npt

__all__ = ["probability_better"]

Array = npt.NDArray[np.float64]

_NODES, _WEIGHTS = np.polynomial.legendre.leggauss(128)
_QUANTILES = (_NODES + 1) / 2


def probability_better(
    n_up: npt.ArrayLike,
    n_down: npt.ArrayLike,
    other_n_up: npt.ArrayLike,
    other_n_down: npt.ArrayLike,
) -> Array:
    """Return P(quality > other quality) under independent Beta posteriors.

    Each completion's quality, the chance that a random rater votes it up, has the posterior
    Beta(1 + n_up, 1 + n_down) under a uniform prior (Gelman et al., Bayesian Data Analysis, 3rd
    ed., section 2.4). With F and G the two distribution functions, P(X > Y) = E[G(X)], integrated
    over X's quantiles: the integral of G(F⁻¹(u)) for u in (0, 1), by Gauss-Legendre with 128 nodes.
    The error is below 1e-4.

    Args:
        n_up: Votes for each completion, shape (n,); fractions allowed.
        n_down: Votes against, shape (n,).
        other_n_up: Votes for the completion it is compared with, shape (n,).
        other_n_down: Votes against that one, shape (n,).

    Returns:
        Probabilities, shape (n,). One up against one down gives 0.833.
    """
    # Every command imports this module, and few pair anything.
    from scipy import special

    votes = np.stack(
        [np.asarray(v, dtype=np.float64) for v in (n_up, n_down, other_n_up, other_n_down)], axis=-1
    )
    # Real vote counts repeat: a million pairs hold a few hundred distinct quadruples.
    distinct, where = np.unique(votes.reshape(-1, 4), axis=0, return_inverse=True)
    up, down, other_up, other_down = distinct.T + 1.0
    quality = special.betaincinv(up[:, None], down[:, None], _QUANTILES)
    below = special.betainc(other_up[:, None], other_down[:, None], quality)
    probability = (below @ _WEIGHTS) / 2
    return np.asarray(probability[where].reshape(votes.shape[:-1]), dtype=np.float64)
