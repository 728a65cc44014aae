"""Pairing: from what raters hold to the preference pairs that a model may learn from.

- `chunks`: plugins propose pairs of whole prompts, and screen them.
- `candidates`: what they left, kept on disk, so that only prompts that changed are paired anew.
- `evidence`: what the draw looks at, without holding their texts.
- `draw`: which of these become the set: balanced in style, capped by prompt, cluster and rater.
- `merge`: answers to near-duplicate prompts, where they are to be paired.
- `ray_tasks`: chunks as tasks of Ray.
- `run`: all of it for a snapshot.
"""

from thumbwheel.pairing.chunks import DROPPED, pair_chunk
from thumbwheel.pairing.evidence import votes_on
from thumbwheel.pairing.run import Pairing, chunk_runner, pair_snapshot

__all__ = ["DROPPED", "Pairing", "chunk_runner", "pair_chunk", "pair_snapshot", "votes_on"]
