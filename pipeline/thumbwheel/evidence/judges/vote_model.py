"""The vote model: the votes' taste as a linear score on what the frozen base model sees.

A Bradley-Terry model (Bradley and Terry 1952, Biometrika 39:324): the chance that one answer is
preferred to another is logistic in the difference of their scores. A score is linear in the base
model's embedding of an answer behind its prompt, and only that line is learnt, so that some dozens
of pairs are enough, and no GPU is needed.
"""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from thumbwheel.errors import ModelError
from thumbwheel.evidence.judges.judge import Pairings
from thumbwheel.types import LanguageModel, Prompt

__all__ = ["MIN_CLUSTERS", "MIN_PAIRS", "VoteModel", "fit_vote_model"]

MIN_PAIRS = 20
MIN_CLUSTERS = 5
"""From fewer pairs, or fewer clusters of prompts, nothing is learnt."""

_FOLDS = 5
_DIRECTIONS = 256
_STRENGTHS = np.logspace(-3, 3, 13)
"""scikit-learn's C to choose from, where differences have a root mean square length of 1."""

Array = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class VoteModel:
    """A judge that learnt from votes; implements `Judge`.

    Attributes:
        base: The frozen model that embeds the answers.
        heads: An embedding's score is its product with a head, shape (folds + 1, d). The last head
            was fitted on all pairs, each other one without the pairs of its fold.
        folds: The head for each prompt whose cluster was learnt from, by prompt id: the one that
            did not see that cluster.
        n_pairs: How many pairs there were to learn from.
        reason: Why it can tell nothing; None where it judges.
    """

    base: LanguageModel
    heads: Array = field(repr=False)
    folds: Mapping[str, int] = field(repr=False)
    n_pairs: int
    reason: str | None = None
    name: str = "vote_model"
    pairings: Pairings = "all"

    def prefer(self, compared: pa.Table) -> Array:
        """Return which answers have the higher score, see `Judge.prefer`."""
        if self.reason is not None:
            return np.full(len(compared), np.nan)
        ids, prompts = compared["prompt_id"].to_pylist(), compared["prompt"].to_pylist()
        texts = compared["first"].to_pylist() + compared["second"].to_pylist()
        keys = list(zip(ids + ids, texts, strict=True))
        # An answer that meets several is embedded once.
        prompt_of = dict(zip(keys, prompts + prompts, strict=True))
        embedded = _embed(self.base, list(prompt_of.values()), [text for _, text in prompt_of])
        scores = {
            key: by_head[self.folds.get(key[0], -1)]
            for key, by_head in zip(prompt_of, embedded @ self.heads.T, strict=True)
        }
        first, second = np.split(np.array([scores[key] for key in keys], np.float64), 2)
        preferred: Array = (np.sign(first - second) + 1) / 2
        return preferred


def fit_vote_model(
    base: LanguageModel, pairs: pa.Table, clusters: Mapping[str, str], *, seed: int
) -> VoteModel:
    """Fit a vote model.

    Features are the base's embeddings, each over its standard deviation; a pair is the difference
    of its two answers, and weighs 2c - 1, where c is its confidence. Of the differences the 256
    strongest directions are kept (their choice sees no vote: it is blind to which answer was
    preferred), and a logistic regression without intercept is fitted, with the L2 penalty whose
    likelihood on unseen clusters is highest.

    Args:
        base: The frozen base model.
        pairs: The judge's own part, `tables.PAIRS`. No policy was trained on these prompts.
        clusters: The cluster of each prompt, by prompt id; without one, a prompt is its own.
        seed: Of the folds. The same pairs in any order and the same seed give the same model.

    Raises:
        ModelError: The base's embeddings are not finite.
    """
    pairs = pairs.sort_by("pair_id")
    prompt_ids, prompts = pairs["prompt_id"].to_pylist(), pairs["prompt"].to_pylist()
    fold_of = _folds({clusters.get(prompt_id, prompt_id) for prompt_id in prompt_ids}, seed)
    if len(pairs) < MIN_PAIRS or len(fold_of) < MIN_CLUSTERS:
        return _without_heads(
            base,
            len(pairs),
            f"there are {len(pairs):,} pairs from {len(fold_of):,} clusters of prompts to learn "
            f"from; it takes at least {MIN_PAIRS} from {MIN_CLUSTERS}",
        )
    sides = _embed(
        base, prompts + prompts, pairs["chosen"].to_pylist() + pairs["rejected"].to_pylist()
    )
    scale = sides.std(axis=0)
    scale[scale == 0] = 1
    differences = (sides[: len(pairs)] - sides[len(pairs) :]) / scale
    if not differences.any():
        return _without_heads(
            base, len(pairs), "the base model sees no difference between the answers of any pair"
        )
    folds = np.array([fold_of[clusters.get(name, name)] for name in prompt_ids])
    weights = 2 * pairs["confidence"].to_numpy() - 1
    heads = _fit_heads(differences, weights, folds, seed) / scale
    known = {name: fold_of[cluster] for name, cluster in clusters.items() if cluster in fold_of}
    own = dict(zip(prompt_ids, folds.tolist(), strict=True))
    return VoteModel(base, heads, known | own, len(pairs))


def _without_heads(base: LanguageModel, n_pairs: int, reason: str) -> VoteModel:
    return VoteModel(base, np.empty((0, 0)), {}, n_pairs, reason)


def _embed(base: LanguageModel, prompts: Sequence[Prompt], texts: Sequence[str]) -> Array:
    embedded = np.asarray(base.embed(prompts, texts), dtype=np.float64)
    if not np.isfinite(embedded).all():
        raise ModelError(
            "the base model's hidden states are not finite, so that the vote model cannot read "
            "them; use a base model that computes in float32 or bfloat16"
        )
    return embedded


def _folds(clusters: set[str], seed: int) -> dict[str, int]:
    """Return each cluster's fold: as many clusters in each as can be, drawn by the seed."""

    def drawn(cluster: str) -> bytes:
        return hashlib.blake2b(f"{seed} {cluster}".encode()).digest()

    return {cluster: number % _FOLDS for number, cluster in enumerate(sorted(clusters, key=drawn))}


def _fit_heads(differences: Array, weights: Array, folds: npt.NDArray[Any], seed: int) -> Array:
    """Return a head for each fold, fitted without it, and one fitted on all; (folds + 1, d)."""
    from sklearn.decomposition import TruncatedSVD

    svd = TruncatedSVD(min(_DIRECTIONS, *differences.shape), random_state=seed)
    reduced = svd.fit_transform(differences)
    reduced /= np.sqrt(np.mean(np.sum(reduced**2, axis=1)))
    weights = weights / weights.mean()
    fitted = [folds != fold for fold in range(_FOLDS)]

    def heads_at(strength: float) -> Array:
        return np.array([_fit(reduced[rows], weights[rows], strength) for rows in fitted])

    def log_likelihood(heads: Array) -> float:
        margins = np.einsum("nk,nk->n", reduced, heads[folds])
        return -float(weights @ np.logaddexp(0, -margins))

    candidates = [(strength, heads_at(strength)) for strength in _STRENGTHS]
    strength, heads = max(candidates, key=lambda candidate: log_likelihood(candidate[1]))
    together = np.vstack([heads, _fit(reduced, weights, strength)])
    return np.asarray(together @ svd.components_)


def _fit(differences: Array, weights: Array, strength: float) -> Array:
    """Return the regression's coefficients."""
    from sklearn.linear_model import LogisticRegression

    # Without an intercept a pair and its mirror image say the same; scikit-learn wants two classes.
    signs = np.where(np.arange(len(differences)) % 2, 1.0, -1.0)
    regression = LogisticRegression(C=strength, fit_intercept=False, max_iter=1000)
    regression.fit(differences * signs[:, None], signs, sample_weight=weights)
    return np.asarray(regression.coef_[0], dtype=np.float64)
