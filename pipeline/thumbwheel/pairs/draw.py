"""The draw: which candidates become the set, so that it teaches what was judged and little else.

Everything here is decided by the candidates and by hashes of their identities: the same candidates
give the same set.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from thumbwheel.config import PairsConfig
from thumbwheel.measures.attribution import attribute
from thumbwheel.pairs.balance import balance_probabilities
from thumbwheel.types.fates import Fate

__all__ = ["Draw", "draw_pairs"]

Floats = npt.NDArray[np.float64]

_LEAST_PAIRS_OF_A_RATER = 5.0
_LEAST_KEPT = 0.1
_TRIALS = 20


@dataclass(frozen=True, slots=True)
class Draw:
    """The outcome of a draw.

    Attributes:
        fates: The `Fate` of each candidate that is not in the set; null for those that are, shape
            (n,).
        unbalanced: Style features that could not be balanced.
    """

    fates: pa.Array
    unbalanced: Sequence[str]


def draw_pairs(
    candidates: pa.Table, clusters: pa.Array, style: Floats, votes: pa.Table, config: PairsConfig
) -> Draw:
    """Draw a set from the candidates of one side of the split.

    Candidates are taken by a weighted random order (Efraimidis & Spirakis 2006: the key u^(1/w)),
    where the weight is how likely balancing would keep a pair, times how much surer than a coin its
    confidence is; u is a hash of the pair's identity. Caps take the first of that order. What is
    left is thinned by another hash, so that chosen and rejected have the same style on average. A
    pair stays or goes by itself: a few votes more change few other pairs.

    Args:
        candidates: `pair_id`, `prompt_id`, `chosen_id`, `rejected_id`, `confidence`, `origin`.
        clusters: The cluster of each candidate's prompt, shape (n,).
        style: Style of chosen minus rejected by the features of `config.balance`, shape (n, k).
        votes: `tables.VOTES`; none are needed without caps on raters.
        config: Caps, and what to balance.
    """
    n = len(candidates)
    fates = np.full(n, None, dtype=object)
    if not n:
        return Draw(pa.array(fates, pa.string()), ())
    keep = balance_probabilities(style, min_kept=_LEAST_KEPT).probabilities
    surer = 2 * candidates["confidence"].to_numpy() - 1
    key = np.log(_uniform(candidates["pair_id"], 0)) / (keep * surer)
    order = np.argsort(-key, kind="stable")

    for groups, limit, over_cap in (
        (candidates["prompt_id"], config.max_per_prompt, Fate.OVER_PROMPT_CAP),
        (clusters, config.max_per_cluster, Fate.OVER_CLUSTER_CAP),
    ):
        left = order[fates[order] == None]  # noqa: E711 - elementwise
        rank = _rank_within(pc.take(groups, pa.array(left)))
        fates[left[rank >= limit]] = over_cap
    left = order[fates[order] == None]  # noqa: E711
    over = _over_rater_caps(candidates.take(pa.array(left)), votes, config)
    fates[left[over]] = Fate.OVER_RATER_CAP
    left = order[fates[order] == None]  # noqa: E711
    is_ai = pc.equal(candidates["origin"].take(pa.array(left)), "ai").to_numpy(zero_copy_only=False)
    share = config.max_ai_share
    most = len(left) if share == 1 else int((~is_ai).sum() * share / (1 - share))
    fates[left[is_ai][most:]] = Fate.OVER_AI_SHARE

    left = np.flatnonzero(fates == None)  # noqa: E711
    balance = balance_probabilities(style[left], min_kept=_LEAST_KEPT)
    chance = _uniform(candidates["pair_id"], 12)[left]
    fates[left[chance >= balance.probabilities]] = Fate.STYLE_BALANCE
    unbalanced = [
        name for name, done in zip(config.balance, balance.balanced, strict=True) if not done
    ]
    return Draw(pa.array(fates, pa.string()), unbalanced)


def _uniform(identities: pa.ChunkedArray, start: int) -> Floats:
    """Return numbers in (0, 1) that follow from twelve hexadecimal digits of identities."""
    digits = pc.utf8_slice_codeunits(identities, start, start + 12).to_pylist()
    parts = np.frombuffer(bytes.fromhex("".join(digits)), ">u2").reshape(-1, 3)
    return np.asarray((parts @ np.array([2.0**32, 2.0**16, 1.0]) + 0.5) / 16**12)


def _rank_within(groups: pa.Array | pa.ChunkedArray) -> npt.NDArray[np.int64]:
    """Return how many of the same group stand before each."""
    codes = pc.dictionary_encode(groups)
    codes = codes.combine_chunks() if isinstance(codes, pa.ChunkedArray) else codes
    members = codes.indices.to_numpy()
    by_group = np.argsort(members, kind="stable")
    starts = np.flatnonzero(np.diff(members[by_group], prepend=-1))
    sizes = np.diff(np.append(starts, len(members)))
    ranks = np.empty(len(members), np.int64)
    ranks[by_group] = np.arange(len(members)) - np.repeat(starts, sizes)
    return ranks


def _over_rater_caps(
    ordered: pa.Table, votes: pa.Table, config: PairsConfig
) -> npt.NDArray[np.bool_]:
    """Tell which pairs, in the order of their key, take a rater beyond the cap."""
    parts = attribute(ordered, votes)
    pair = parts["pair_id"].combine_chunks().indices.to_numpy()
    rater = parts["rater"].combine_chunks().indices.to_numpy()
    share = parts["share"].to_numpy()
    over = np.zeros(len(ordered), bool)
    # Without the pairs that go, a share of what is left is less: until it settles.
    for _ in range(_TRIALS):
        kept = ~over[pair]
        n_pairs, n_raters = int((~over).sum()), len(np.unique(rater[kept]))
        cap = max(
            config.max_rater_share * n_pairs,
            1.5 * n_pairs / max(n_raters, 1),
            _LEAST_PAIRS_OF_A_RATER,
        )
        if config.max_per_rater is not None:
            cap = min(cap, config.max_per_rater)
        totals = np.bincount(rater[kept], share[kept])
        busy = np.flatnonzero(totals > cap + 1e-9)
        if not len(busy):
            break
        for who in busy:
            own = np.flatnonzero((rater == who) & ~over[pair])
            used = np.cumsum(share[own])
            over[pair[own[used > cap + 1e-9]]] = True
    return over
