"""Clusters: near-duplicates of near-duplicates, but no templates."""

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from scipy import sparse
from scipy.sparse.csgraph import connected_components

from thumbwheel.measures.near_duplicates.arrays import Ints
from thumbwheel.measures.near_duplicates.fingerprints import SIGNATURE_SIZE, Prompts, fingerprints
from thumbwheel.measures.near_duplicates.similarity_join import Signatures, similar_pairs

__all__ = ["cluster_fingerprints", "cluster_prompts"]

# More prompts than these in one cluster are no repetitions of a question, but a template that is
# filled in again and again: among them the threshold is raised until they fall apart.
_LARGEST = 50
_RAISED = (0.0, 1 / 2, 3 / 4, 7 / 8, 15 / 16)


def cluster_prompts(prompts: Prompts, threshold: float) -> pa.Array:
    """Return one cluster id per prompt: near-duplicates share it.

    Near-duplicates of near-duplicates are in one cluster. Its id is the smallest
    `events.cluster_id` in it, so that a prompt without near-duplicates keeps its own.

    Where more than 50 distinct prompts would be one cluster, they are a template filled in in many
    ways, or questions about one long text. Only those still share a cluster that are so much more
    alike that they form smaller ones.

    Args:
        prompts: Chat messages, or a column of `tables.MESSAGES`.
        threshold: Jaccard similarity of word 3-shingles from which on two prompts are
            near-duplicates, in (0, 1]. At 1 only case and punctuation are ignored.
    """
    return cluster_fingerprints(fingerprints(prompts), threshold)


def cluster_fingerprints(fingerprints: pa.Table, threshold: float) -> pa.Array:
    """Return what `cluster_prompts` does, of `FINGERPRINTS`."""
    words_ids = fingerprints["words_id"].combine_chunks()
    if threshold >= 1:
        return words_ids
    distinct = words_ids.unique()
    distinct = distinct.take(pc.sort_indices(distinct))
    signatures = fingerprints["signature"].combine_chunks()
    labels = _labels(signatures.take(pc.index_in(distinct, words_ids)), threshold)
    # Identities are sorted, so that the first of a label is its smallest.
    _, firsts, members = np.unique(labels, return_index=True, return_inverse=True)
    return distinct.take(pa.array(firsts[members])).take(pc.index_in(words_ids, distinct))


def _labels(signatures: pa.ListArray, threshold: float) -> Ints:
    """Return a number per row that the rows of a cluster share."""
    sets = Signatures.of(signatures)
    hashes = sets.hashes()
    # The same words under another system message are one prompt. Prompts without words are not
    # alike for that, and long ones whose samples are the same need not be.
    alone = np.isin(sets.sizes, (0, SIGNATURE_SIZE))
    hashes[alone] = np.flatnonzero(alone)
    _, firsts, members = np.unique(hashes, return_index=True, return_inverse=True)
    families = _families(Signatures.of(signatures.take(pa.array(firsts))), threshold)
    labels: Ints = firsts[families][members]
    return labels


def _families(sets: Signatures, threshold: float) -> Ints:
    pairs = similar_pairs(sets, threshold)
    labels = np.arange(len(sets))
    for raised in reversed(_RAISED):
        close = pairs.similarity >= threshold + (1 - threshold) * raised
        links = (np.ones(np.count_nonzero(close), bool), (pairs.first[close], pairs.second[close]))
        graph = sparse.coo_array(links, shape=(len(sets), len(sets)))
        _, components = connected_components(graph, directed=False)
        small = np.bincount(components, minlength=1)[components] <= _LARGEST
        _, firsts = np.unique(components, return_index=True)
        labels[small] = firsts[components[small]]
    return labels
