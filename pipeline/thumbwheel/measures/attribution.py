"""Whose votes a preference pair rests on."""

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

__all__ = ["attribute", "rater_shares"]

Integers = npt.NDArray[np.int64]


def attribute(pairs: pa.Table, votes: pa.Table) -> pa.Table:
    """Divide each pair among the raters who speak for it.

    A rater speaks for a pair with what their votes on the chosen completion count up, and with
    what those on the rejected one count down: a vote of score s and weight w counts w (1 + s) / 2
    up and w (1 - s) / 2 down.

    Args:
        pairs: Has `pair_id`, `chosen_id` and `rejected_id`; a pair_id occurs once.
        votes: `tables.VOTES`. Of identifiers, only equality matters: integers will do.

    Returns:
        One row per pair and rater: `pair_id` and `rater` (dictionary-encoded) and `share`.
        The shares of a pair sum to 1; a pair that no vote speaks for has no row. The dictionary of
        `pair_id` is the column of `pairs`, so that its indices are row numbers there. Rows are
        sorted by them, then by the first vote of the rater in `votes`.
    """
    raters = votes["rater"].combine_chunks().dictionary_encode()
    rater = raters.indices.to_numpy(zero_copy_only=False).astype(np.int64)
    score, weight = votes["score"].to_numpy(), votes["weight"].to_numpy()
    n_completions, (voted, chosen, rejected) = _encode(
        votes["completion_id"], pairs["chosen_id"], pairs["rejected_id"]
    )
    order = np.argsort(voted, kind="stable")
    n_votes = np.bincount(voted, minlength=n_completions)
    ends = np.cumsum(n_votes)
    sides = []
    for side, amount in ((chosen, weight * (1 + score) / 2), (rejected, weight * (1 - score) / 2)):
        # The votes on one completion lie side by side in `order`.
        row = np.repeat(np.arange(len(side)), n_votes[side])
        last = np.cumsum(n_votes[side])
        vote = order[np.arange(len(row)) + np.repeat(ends[side] - last, n_votes[side])]
        speaks = amount[vote] > 0
        sides.append((row[speaks], rater[vote[speaks]], amount[vote[speaks]]))
    row, who, amount = (np.concatenate(both) for both in zip(*sides, strict=True))
    n_raters = max(len(raters.dictionary), 1)
    key, where = np.unique(row * n_raters + who, return_inverse=True)
    row, who = key // n_raters, key % n_raters
    amount = np.bincount(where, weights=amount, minlength=len(key))
    total = np.bincount(row, weights=amount, minlength=len(pairs))
    return pa.table(
        {
            "pair_id": _decode(row, pairs["pair_id"].combine_chunks()),
            "rater": _decode(who, raters.dictionary),
            "share": amount / total[row],
        }
    )


def rater_shares(pairs: pa.Table, votes: pa.Table) -> pa.Table:
    """Return each rater's share of the pairs that votes speak for.

    Args:
        pairs: See `attribute`.
        votes: `tables.VOTES`.

    Returns:
        `rater` (string) and `share`, the largest first; the shares sum to 1.
    """
    table = attribute(pairs, votes)
    who = table["rater"].combine_chunks()
    amount = np.bincount(
        who.indices.to_numpy(), weights=table["share"].to_numpy(), minlength=len(who.dictionary)
    )
    named = pa.table({"rater": who.dictionary, "share": amount / max(amount.sum(), 1e-300)})
    named = named.filter(pc.greater(named["share"], 0))
    return named.sort_by([("share", "descending"), ("rater", "ascending")])


def _encode(*columns: pa.ChunkedArray) -> tuple[int, list[Integers]]:
    """Return how many distinct values there are, and the columns as numbers below that."""
    chunks = [column.combine_chunks() for column in columns]
    joined = pa.chunked_array(chunks, chunks[0].type).dictionary_encode()
    encoded = joined.unify_dictionaries().combine_chunks()
    codes = encoded.indices.to_numpy().astype(np.int64)
    return len(encoded.dictionary), np.split(codes, np.cumsum(list(map(len, columns)))[:-1])


def _decode(indices: Integers, dictionary: pa.Array) -> pa.DictionaryArray:
    return pa.DictionaryArray.from_arrays(pa.array(indices.astype(np.int32)), dictionary)
