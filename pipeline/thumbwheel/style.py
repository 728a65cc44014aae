"""The style of a text in numbers, and how to draw pairs that no longer differ in it.

What people choose is often longer, or has more lists, than what they reject, and a model learns
that first. Here is what tells such a confound (`style_features`), and what removes it
(`balance_probabilities`).
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

__all__ = ["FEATURES", "Balance", "balance_probabilities", "difference", "style_features"]

Array = npt.NDArray[np.float64]
Texts: TypeAlias = pa.Array | pa.ChunkedArray | Sequence[str]

# Newton's method takes 10 to 20 steps; where there is no minimum it walks on for ever.
_MAX_STEPS = 60
# A probability of exp(-700) is still above zero.
_LARGEST = 700.0
# A feature is balanced when what is left is so small a share of its differences.
_TOLERANCE = 1e-4


# --- features ------------------------------------------------------------------------------------
# Patterns are RE2's. A literal at the beginning lets it skip to candidates at the speed of memory,
# which is why texts get a newline in front and lines are recognised by the one before them.

_REFUSAL = (
    r"(?i)\A\W*(?:(?:i['’]?m|i am) (?:(?:very|really|so|truly) )?sorry|sorry|i apologi[sz]e|"
    r"my apologies|unfortunately)?,? ?(?:but )?(?:as an? (?:ai|(?:large )?language model)\b|"
    r"(?:i am|i['’]?m) (?:not able|unable) to\b|i must (?:decline|refuse)\b|"
    r"i (?:can['’]?t|can ?not|could ?n['’]?t|won['’]?t|will not)"
    r"(?: (?:help|assist|provide|fulfil|answer|comply|complete|do that|create|write|generate|"
    r"engage|discuss|offer|give|support|share|respond)|\W*\z))"
)
_HEDGE = (
    r"(?i)\b(?:maybe|perhaps|possibly|probably|presumably|apparently|arguably|might|may be|"
    r"could be|it depends|depending on|i (?:think|believe|guess|suppose)|in my opinion|it seems|"
    r"seems to|as far as i know|not (?:entirely |completely )?(?:sure|certain)|generally|usually|"
    r"typically|in (?:most|some) cases|it['’]?s (?:important|worth) (?:to note|noting))\b"
)


def _length(lines: pa.Array) -> pa.Array:
    return pc.subtract(pc.utf8_length(lines), 1)


def _counter(pattern: str) -> Callable[[pa.Array], pa.Array]:
    return lambda lines: pc.count_substring_regex(lines, pattern=pattern)


def _emoji(lines: pa.Array) -> pa.Array:
    # Most texts have none, and are told by being ASCII five times faster than by the pattern.
    pattern = r"[\x{1F1E6}-\x{1F1FF}\x{1F300}-\x{1FAFF}\x{2600}-\x{27BF}\x{2B50}\x{2B55}]"
    other = pc.invert(pc.string_is_ascii(lines))
    found = pc.count_substring_regex(lines.filter(other), pattern=pattern)
    return pc.replace_with_mask(pa.array(np.zeros(len(lines), np.int64)), other, found)


_COUNTERS: dict[str, Callable[[pa.Array], pa.Array]] = {
    "length": _length,
    "lists": _counter(r"\n[ \t]*(?:[-*+•]|\d{1,3}[.)])[ \t]+[^ \t\n]"),
    "bold": _counter(r"\*\*[^*\s](?:[^*\n]*[^*\s])?\*\*"),
    "headings": _counter(r"\n#{1,6}[ \t]+[^ \t\n]"),
    "code": _counter("`[^`]+`"),
    "emoji": _emoji,
    "exclamations": _counter(r"[!！]+(?:[^=!！]|\z)"),
    "refusals": lambda lines: pc.match_substring_regex(lines, pattern=_REFUSAL),
    "hedges": _counter(_HEDGE),
}

FEATURES: tuple[str, ...] = tuple(_COUNTERS)
"""The features in their order.

`length` counts characters; `lists`, `headings` lines that are an item or a heading of Markdown;
`bold`, `code` spans and blocks; `emoji`, `exclamations` (runs of the mark), `hedges` (such as
"perhaps", "it depends") occurrences; `refusals` is 1 where a text begins with a well-known one.
Phrases are English.
"""


def style_features(texts: Texts, names: Sequence[str] = FEATURES) -> Array:
    """Measure the style of texts: log(1 + count) of each feature.

    The logarithm makes differences ratios, so that the tenth list item weighs less than the first.

    Args:
        texts: The texts, n of them; a null counts as empty.
        names: Some of `FEATURES`, k of them, in any order.

    Returns:
        Shape (n, k).
    """
    flat = texts if isinstance(texts, pa.Array | pa.ChunkedArray) else pa.array(texts, pa.string())
    # Offsets of `string` end at 2 GB of text in one array, which a join of chunks may pass.
    chunks = flat.chunks if isinstance(flat, pa.ChunkedArray) else [flat]
    measured = [_features_of(chunk, names) for chunk in chunks]
    return np.concatenate(measured) if measured else np.empty((0, len(names)))


def _features_of(texts: pa.Array, names: Sequence[str]) -> Array:
    newline, nothing = pa.scalar("\n", pa.large_string()), pa.scalar("", pa.large_string())
    texts = pc.fill_null(texts.cast(pa.large_string()), nothing)
    lines = pc.binary_join_element_wise(newline, texts, nothing)
    features = np.empty((len(texts), len(names)))
    for column, name in enumerate(names):
        count = _COUNTERS[name](lines).cast(pa.float64())
        features[:, column] = np.log1p(count.to_numpy(zero_copy_only=False))
    return features


def difference(chosen: Texts, rejected: Texts, names: Sequence[str] = FEATURES) -> Array:
    """Return how far the chosen side's style exceeds the rejected side's, shape (n, k)."""
    return style_features(chosen, names) - style_features(rejected, names)


# --- balance -------------------------------------------------------------------------------------


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
    """Return the minimiser of F; None when there is none, or it keeps less than `needed`.

    Newton's method, damped by halving: F is convex and has a handful of variables.
    """
    n, k = differences.shape
    weights, value = np.zeros(k), 0.0
    for _ in range(_MAX_STEPS):
        exponents = differences @ weights
        kept = np.exp(-np.maximum(exponents, 0.0))
        excess = kept @ differences
        if np.all(np.abs(excess) <= 1e-9 * (kept @ np.abs(differences))):
            break
        curvature = np.where(exponents >= 0, kept, 0.0)
        hessian = (differences * curvature[:, None]).T @ differences
        # A touch of ridge, for features that say the same and for directions without curvature.
        hessian[np.diag_indices(k)] += 1e-9 * n
        step = np.linalg.solve(hessian, excess)
        enough = 1e-4 * float(step @ excess)
        while (new := _dual(differences @ (weights + step))) > value - enough:
            step, enough = step / 2, enough / 2
            if np.max(np.abs(step)) < 1e-12:
                break  # rounding hides what is left to gain
        else:
            weights, value = weights + step, new
            continue
        break
    kept = np.exp(-np.maximum(differences @ weights, 0.0))
    # Without a minimum the excess vanishes too, but only as fast as what is kept.
    balanced = np.abs(kept @ differences) <= _TOLERANCE * (kept @ np.abs(differences))
    return weights if np.all(balanced) and kept.sum() >= needed else None


def _dual(exponents: Array) -> float:
    """Return F: the sum of ψ."""
    return float(np.sum(np.expm1(-np.maximum(exponents, 0.0)) - np.minimum(exponents, 0.0)))
