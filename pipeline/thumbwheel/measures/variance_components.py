"""What is behind judgements of several raters: style, the thing itself, its group, or chance.

A judgement of value y of thing i of group g is taken for

    y = mean + group_g + style_i + own_i + chance,

where the style is linear in features of the thing, and the other parts are random. Products of
judgements of different raters tell the parts' variances: two raters of one thing share all but
chance, raters of two things of one group share the group (the method of moments: Searle, Casella
and McCulloch 1992, Variance Components, section 5). What follows for two things is their best
linear unbiased prediction (the same, section 7.4), with normal posteriors.

The weights of the features are fitted by least squares within groups, and scaled down by how well
weights that did not see a fifth of the raters foretell what these say.
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

__all__ = ["Components", "Judgements"]

Array = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]

_FOLDS = 5
# As if so many judgements had said that a feature is worth nothing.
_PRIOR_JUDGEMENTS = 10.0
_LEAST = 1e-9


@dataclass(frozen=True)
class Judgements:
    """Judgements, one of each rater on a thing.

    Attributes:
        unit: The thing that is judged, as a number from 0, shape (n,).
        rater: Who judges, as a number from 0, shape (n,).
        value: The judgement, shape (n,).
        group: The group of each thing, as a number from 0, shape (units,).
        features: Of each thing, shape (units, k).
        is_contrast: The things are differences, so that mean and groups count as zero.
    """

    unit: Integers
    rater: Integers
    value: Array
    group: Integers
    features: Array
    is_contrast: bool = False

    @cached_property
    def n(self) -> Array:
        """How many judgements there are of each thing."""
        return _sums(self.unit, len(self.group))

    @cached_property
    def n_groups(self) -> int:
        """How many groups there are."""
        return int(self.group.max(initial=-1)) + 1

    @cached_property
    def scaled(self) -> Array:
        """The features over their spread within groups."""
        within = self._centred(self.n, self.features)
        total = np.sqrt(self.n @ within**2 / max(self.n.sum(), 1.0))
        scaled: Array = np.where(total > _LEAST, self.features / np.maximum(total, _LEAST), 0.0)
        if self.is_contrast:
            return scaled
        return np.asarray(scaled - (self.n @ scaled) / max(self.n.sum(), 1.0))

    @cached_property
    def _moments(self) -> tuple[Array, Array, Array, Array]:
        """Normal equations by group, with all judgements but a fold's, and with the fold's alone.

        Each (folds + 1, groups, k, k) or (folds + 1, groups, k); the last leaves no fold out.
        """
        fold = self.rater % _FOLDS
        chosen = [[fold != each, fold == each] for each in range(_FOLDS + 1)]
        fitted, tested = zip(*[map(self._equations, both) for both in chosen], strict=True)
        return tuple(  # type: ignore[return-value]
            np.stack(part) for side in (fitted, tested) for part in zip(*side, strict=True)
        )

    def _equations(self, taken: npt.NDArray[np.bool_]) -> tuple[Array, Array]:
        n = _sums(self.unit[taken], len(self.group))
        total = _sums(self.unit[taken], len(self.group), self.value[taken])
        rows = self._centred(n, self.scaled)
        groups, k = self.n_groups, rows.shape[1]
        squares, products = np.zeros((groups, k, k)), np.zeros((groups, k))
        np.add.at(squares, self.group, n[:, None, None] * rows[:, :, None] * rows[:, None, :])
        np.add.at(products, self.group, total[:, None] * rows)
        return squares, products

    def _centred(self, n: Array, columns: Array) -> Array:
        if self.is_contrast:
            return columns
        within = np.maximum(_sums(self.group, self.n_groups, n), 1.0)
        sums = np.zeros((self.n_groups, columns.shape[1]))
        np.add.at(sums, self.group, n[:, None] * columns)
        centred: Array = columns - (sums / within[:, None])[self.group]
        return centred

    @cached_property
    def _together(self) -> Integers:
        """Numbers for each group and rater that there are, shape (n,)."""
        key = self.group[self.unit] * (int(self.rater.max(initial=0)) + 1) + self.rater
        numbered: Integers = np.unique(key, return_inverse=True)[1]
        return numbered

    def components(self, times: Array | None = None) -> "Components":
        """Take the judgements apart.

        Args:
            times: How often each group counts, shape (groups,); by default once.
        """
        times = np.ones(self.n_groups) if times is None else times
        weights, certainty = self._weights(times)
        style = self.scaled * weights
        n, of_group = self.n, times[self.group]
        sums, squares = (_sums(self.unit, len(n), power) for power in (self.value, self.value**2))
        foretold = style.sum(axis=1)
        mean = 0.0
        if not self.is_contrast:
            mean = _share(of_group @ (sums - n * foretold), of_group @ n)
        foretold = foretold + mean
        left = sums - n * foretold
        left_squares = squares - 2 * sums * foretold + n * foretold**2
        of_one = _share(of_group @ (left**2 - left_squares), of_group @ (n * (n - 1)))
        of_groups = 0.0 if self.is_contrast else self._between(times, left, left_squares, foretold)
        whole = _share(of_group @ left_squares, of_group @ n)
        chance = max(whole - max(of_one, of_groups), _LEAST)
        return Components(
            self,
            style,
            left,
            doubt=np.asarray(chance * np.linalg.inv(certainty), np.float64),
            own=max(of_one - of_groups, 0.0),
            of_group=of_groups,
            chance=chance,
        )

    def _weights(self, times: Array) -> tuple[Array, Array]:
        """Return the weight of each feature, shape (k,), and the normal equations' left side."""
        squares, products, tested, told = (
            np.tensordot(part, times, axes=(1, 0)) for part in self._moments
        )
        ridge = _PRIOR_JUDGEMENTS * np.eye(squares.shape[1])
        fitted = np.linalg.solve(squares + ridge, products[..., None])[..., 0]
        foretold = np.einsum("fk,fk->", fitted[:-1], told[:-1])
        size = np.einsum("fk,fkl,fl->", fitted[:-1], tested[:-1], fitted[:-1])
        scale = min(max(_share(foretold, size), 0.0), 1.0)
        return fitted[-1] * scale, squares[-1] + ridge

    def _between(self, times: Array, left: Array, squares: Array, foretold: Array) -> float:
        """Return the mean product of different raters' judgements of two things of one group."""
        groups = self.n_groups
        both = self._together
        group_of_both = np.zeros(int(both.max(initial=-1)) + 1, np.int64)
        group_of_both[both] = self.group[self.unit]
        residual = self.value - foretold[self.unit]
        of_rater, n_rater = (
            _sums(both, len(group_of_both), values) for values in (residual, np.ones(len(both)))
        )
        products = (
            _sums(self.group, groups, left) ** 2
            - _sums(self.group, groups, left**2)
            - _sums(group_of_both, groups, of_rater**2)
            + _sums(self.group, groups, squares)
        )
        n = (
            _sums(self.group, groups, self.n) ** 2
            - _sums(self.group, groups, self.n**2)
            - _sums(group_of_both, groups, n_rater**2)
            + _sums(self.group, groups, self.n)
        )
        return max(_share(times @ products, times @ n), 0.0)


@dataclass(frozen=True)
class Components:
    """What is behind judgements.

    Attributes:
        judgements: What was taken apart.
        style: What each feature adds to each thing, shape (units, k).
        doubt: Covariance of the features' weights, shape (k, k).
        left: Sum over each thing's judgements of what mean and style leave, shape (units,).
        own: Variance of what is particular to a thing.
        of_group: Variance of what is particular to a group.
        chance: Variance of what is particular to a judgement.
    """

    judgements: Judgements
    style: Array
    left: Array
    doubt: Array
    own: float
    of_group: float
    chance: float

    def better(self, first: Integers, second: Integers, merits: npt.NDArray[np.bool_]) -> Array:
        """Return the chance that one thing is better than another of its group, shape (pairs,).

        Args:
            first: Things, shape (pairs,).
            second: What each is compared with, shape (pairs,).
            merits: Which features make a thing better, shape (k,); others are no merit.
        """
        mean, told, spread = self._prediction()
        style = (self.style[first] - self.style[second])[:, merits]
        lead = mean[first] - mean[second] + style.sum(axis=1)
        variance = (
            self.own * (2 - told[first] - told[second])
            + spread[first] * (told[first] - told[second]) ** 2
            + self._doubt_of_style(first, second, merits)
        )
        return _above_zero(lead, variance)

    def positive(self, unit: Integers, merits: npt.NDArray[np.bool_]) -> Array:
        """Return the chance that a difference is above zero, shape (n,), of things (n,)."""
        mean, told, _ = self._prediction()
        lead = mean[unit] + self.style[unit][:, merits].sum(axis=1)
        doubt = self._doubt_of_style(unit, None, merits)
        return _above_zero(lead, self.own * (1 - told[unit]) + doubt)

    def _prediction(self) -> tuple[Array, Array, Array]:
        """Return what is particular to each thing, as far as the judgements tell it.

        That is the expected value, the share of `own` that is known, and the variance of what is
        not known of its group; each of shape (units,).
        """
        n, group, groups = self.judgements.n, self.judgements.group, self.judgements.n_groups
        if self.own <= 0:
            return np.zeros(len(n)), np.zeros(len(n)), np.zeros(len(n))
        known = np.where(n > 0, 1 / (self.own + self.chance / np.maximum(n, 1.0)), 0.0)
        mean = self.left / np.maximum(n, 1.0)
        common, spread = np.zeros(groups), np.zeros(groups)
        if self.of_group > 0:
            spread = 1 / (1 / self.of_group + _sums(group, groups, known))
            common = spread * _sums(group, groups, known * mean)
        told = self.own * known
        return told * (mean - common[group]), told, spread[group]

    def _doubt_of_style(
        self, first: Integers, second: Integers | None, merits: npt.NDArray[np.bool_]
    ) -> Array:
        """Return the variance of what style is worth: its weights are only estimated."""
        rows = self.judgements.scaled[first]
        if second is not None:
            rows = rows - self.judgements.scaled[second]
        rows = rows * merits
        return np.asarray(np.einsum("nk,kl,nl->n", rows, self.doubt, rows))


def _above_zero(lead: Array, variance: Array) -> Array:
    """Return the chance that a normal variable of this mean and variance is above zero."""
    from scipy import special

    return np.asarray(special.ndtr(lead / np.sqrt(np.maximum(variance, _LEAST))))


def _sums(where: Integers, length: int, values: Array | None = None) -> Array:
    return np.bincount(where, weights=values, minlength=length).astype(np.float64)


def _share(part: npt.ArrayLike, whole: npt.ArrayLike) -> float:
    """Return one number over another; 0 where there is nothing."""
    of = float(np.asarray(whole))
    return float(np.asarray(part)) / of if of > 0 else 0.0
