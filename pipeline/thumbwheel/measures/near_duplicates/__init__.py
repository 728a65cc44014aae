"""Near-duplicate prompts: which of them say the same thing in almost the same words.

Two prompts are near-duplicates from a Jaccard similarity of their word 3-shingles on. Three words
tell "the capital of Iran" from "the capital of Iraq", where n-grams of characters see one prompt.
System messages are left out: the prompts of an app share theirs.

- `fingerprints`: what is kept of a prompt, so that it can be compared when its text is gone.
- `similarity_join`: the similar pairs among many fingerprints, without comparing all with all.
- `clusters`: near-duplicates of near-duplicates, but no templates.

Everything follows from the texts alone: the order of the input, the process and the versions of
libraries do not matter, and nothing is left to chance.
"""

from thumbwheel.measures.near_duplicates.clusters import cluster_fingerprints, cluster_prompts
from thumbwheel.measures.near_duplicates.fingerprints import FINGERPRINTS, fingerprints

__all__ = ["FINGERPRINTS", "cluster_fingerprints", "cluster_prompts", "fingerprints"]
