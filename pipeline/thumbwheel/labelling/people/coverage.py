"""A few texts that cover what many are about."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix

__all__ = ["cover"]

_N_FEATURES = 2**18
_NEIGHBOURS = 5
_OUTLIERS = 0.05
_SAME = 0.999
_ROWS_AT_ONCE = 500
_WORD = r"[\u3040-\u30ff\u3400-\u9fff]|\w+"
"""Chinese and Japanese are written without spaces: each sign counts."""


def cover(texts: Sequence[str], n: int) -> list[int]:
    """Return the indices of up to `n` texts that differ as much as possible from each other.

    Farthest-point traversal (Gonzalez, "Clustering to minimize the maximum intercluster distance",
    1985): first the most typical text, then always the one that is least like all before it, by
    the cosine of their TF-IDF vectors over hashed words. So every beginning of the list is a sample
    as well. The twentieth of the texts that resembles nothing else comes last: most of it is
    mistyped or meaningless, and farthest from everything. Texts of the same words are taken once.

    Deterministic. The work grows with the square of the number of texts: 5,000 take a second and
    100 MB.
    """
    if not texts:
        return []
    similar = _similarities(_vectors(texts))
    np.fill_diagonal(similar, 0)
    k = min(_NEIGHBOURS, len(texts) - 1)
    closest = np.partition(similar, len(texts) - k - 1, axis=1)[:, len(texts) - k :]
    company = closest.mean(axis=1) if k else np.zeros(len(texts))
    np.fill_diagonal(similar, 1)
    typical = company >= np.quantile(company, _OUTLIERS)
    seen = np.zeros(len(texts), dtype=np.float32)
    picked: list[int] = []
    for allowed in (typical, ~typical):
        while len(picked) < n:
            # What is most like the others goes first, while nothing has been seen.
            candidates = np.where(allowed, seen, np.inf)
            best = int(candidates.argmin() if picked else np.where(allowed, company, -1).argmax())
            if candidates[best] >= _SAME:
                break
            picked.append(best)
            np.maximum(seen, similar[best], out=seen)
    return picked


def _vectors(texts: Sequence[str]) -> "csr_matrix":
    from sklearn.feature_extraction.text import HashingVectorizer, TfidfTransformer

    counts = HashingVectorizer(
        n_features=_N_FEATURES,
        alternate_sign=False,
        norm=None,
        dtype=np.float32,
        token_pattern=_WORD,
    ).transform(texts)
    weighed: csr_matrix = TfidfTransformer(sublinear_tf=True).fit_transform(counts).tocsr()
    return weighed


def _similarities(vectors: "csr_matrix") -> npt.NDArray[np.float32]:
    n = vectors.shape[0]
    similar = np.empty((n, n), dtype=np.float32)
    for start in range(0, n, _ROWS_AT_ONCE):
        rows = vectors[start : start + _ROWS_AT_ONCE]
        similar[start : start + _ROWS_AT_ONCE] = (rows @ vectors.T).toarray()
    return similar
