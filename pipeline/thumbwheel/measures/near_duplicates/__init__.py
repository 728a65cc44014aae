"""Near-duplicate prompts: which of them say the same thing in almost the same words.

Two prompts are near-duplicates from a Jaccard similarity of their word 3-shingles on. Three words
tell "the capital of Iran" from "the capital of Iraq", where n-grams of characters see one prompt.
System messages are left out: the prompts of an app share theirs.

- `fingerprints`: what is kept of a prompt, so that it can be compared when its text is gone.
- `similarity_join`: the similar pairs among many fingerprints, without comparing all with all.
- `clusters`: near-duplicates of near-duplicates, but no templates.

Everything follows from the texts alone: the order of the input, the process and the versions of
libraries do not matter, and nothing is left to chance.

It is written by hand because banded MinHash leaves much to chance: of 16,930 pairs at .8 among
30,000 prompts, `datasketch` 2.0 (128 permutations) missed 6,000 before, 6,842 after its estimate,
and took in 1,982 that are below, in 3.2 CPU-s against .4 of the join. The join took in none that is
below, and missed 1,090: among very many prompts alike its work is bounded (`similarity_join`).
"""

from thumbwheel.measures.near_duplicates.clusters import cluster_fingerprints, cluster_prompts
from thumbwheel.measures.near_duplicates.fingerprints import FINGERPRINTS, fingerprints

__all__ = ["FINGERPRINTS", "cluster_fingerprints", "cluster_prompts", "fingerprints"]
