"""Can one tell chosen from rejected by style alone?"""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from thumbwheel.evidence.audit.report import FEWEST, FeatureAudit
from thumbwheel.measures.language import other_language, sentiment
from thumbwheel.measures.style import FEATURES, difference
from thumbwheel.types import Estimate

__all__ = ["AUDITED", "feature_audits", "style_auc", "style_differences"]

Array = npt.NDArray[np.float64]

AUDITED = (*FEATURES, "language", "sentiment")
"""The features that an audit looks at."""

_FOLDS = 5
_RESAMPLES = 500
_COVERAGE = 0.95
# A few dozen pairs and 20 columns need a strong prior; some thousand pairs do not feel it.
_INVERSE_PENALTY = 0.03


def style_differences(pairs: pa.Table) -> Array:
    """Return chosen minus rejected in each of `AUDITED`, shape (n, k)."""
    cheap = difference(pairs["chosen"], pairs["rejected"])
    chosen, rejected = pairs["chosen"].to_pylist(), pairs["rejected"].to_pylist()
    asked = [_last_question(prompt) for prompt in pairs["prompt"].to_pylist()]
    language = other_language([*chosen, *rejected], [*asked, *asked])
    mood = sentiment([*chosen, *rejected])
    n = len(pairs)
    slow = [values[:n] - values[n:] for values in (language, mood)]
    return np.column_stack([cheap, *slow])


def _last_question(prompt: Sequence[dict[str, str]]) -> str:
    asked = [message["content"] for message in prompt if message["role"] == "user"]
    return asked[-1] or "" if asked else ""


def feature_audits(differences: Array, intended: Sequence[str]) -> list[FeatureAudit]:
    """Return what each of `AUDITED` alone tells.

    Args:
        differences: From `style_differences`.
        intended: Names of features that are meant to differ.
    """
    return [
        FeatureAudit(
            name,
            float(column.mean()) if len(column) else 0.0,
            float(np.mean(column != 0)) if len(column) else 0.0,
            _mirrored_auc(column, np.ones(len(column))),
            name in intended,
        )
        for name, column in zip(AUDITED, differences.T, strict=True)
    ]


def style_auc(
    differences: Array, prompts: pa.ChunkedArray, intended: Sequence[str], seed: int
) -> Estimate | None:
    """Return the cross-validated AUC of a classifier that sees only style.

    A pair and its mirror image (sides swapped, label swapped) are one example each, so that chance
    is 0.5 whatever the data. A logistic regression without intercept sees each feature's difference
    and its sign, both over their root mean square. Folds hold whole prompts. The interval is a
    bootstrap over prompts of the scores that the pairs got while held out.

    Pairs that were balanced in these very features tend to come out somewhat below 0.5: what a
    fold lacks is the mirror image of what it holds. It means what 0.5 means.

    Args:
        differences: From `style_differences`, shape (n, k).
        prompts: Each pair's prompt_id, shape (n,).
        intended: Features that the classifier does not see.
        seed: Of folds and resampling.

    Returns:
        None where there are too few prompts to tell.
    """
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import GroupKFold

    group = prompts.combine_chunks().dictionary_encode().indices.to_numpy().astype(np.int64)
    n_prompts = int(group.max(initial=-1)) + 1
    if n_prompts < FEWEST:
        return None
    seen = differences[:, [name not in intended for name in AUDITED]]
    contrasts = np.concatenate([seen, np.sign(seen)], axis=1)
    scores = np.zeros(len(contrasts))
    folds = GroupKFold(_FOLDS, shuffle=True, random_state=seed)
    for fitted, held_out in folds.split(contrasts, groups=group):
        scale = np.sqrt(np.mean(contrasts[fitted] ** 2, axis=0))
        scale[scale == 0] = 1.0
        rows = contrasts[fitted] / scale
        model = LogisticRegression(C=_INVERSE_PENALTY, fit_intercept=False)
        model.fit(np.concatenate([rows, -rows]), np.repeat([1, 0], len(rows)))
        scores[held_out] = (contrasts[held_out] / scale) @ model.coef_[0]
    times = np.random.default_rng(seed).multinomial(
        n_prompts, np.full(n_prompts, 1 / n_prompts), size=_RESAMPLES
    )
    resampled = [_mirrored_auc(scores, drawn[group]) for drawn in times]
    low, high = np.quantile(resampled, [(1 - _COVERAGE) / 2, (1 + _COVERAGE) / 2])
    return Estimate(_mirrored_auc(scores, np.ones(len(scores))), float(low), float(high), n_prompts)


def _mirrored_auc(scores: Array, weights: npt.ArrayLike) -> float:
    """Return the AUC of scores against their negatives, P(s_i > -s_j) + P(s_i = -s_j) / 2."""
    weights = np.asarray(weights, dtype=np.float64)
    total = weights.sum()
    if total == 0:
        return 0.5
    order = np.argsort(scores, kind="stable")
    ranked, cumulated = scores[order], np.concatenate([[0.0], np.cumsum(weights[order])])
    above = total - cumulated[np.searchsorted(ranked, -scores, side="right")]
    not_below = total - cumulated[np.searchsorted(ranked, -scores, side="left")]
    return float(np.sum(weights * (above + not_below)) / (2 * total**2))
