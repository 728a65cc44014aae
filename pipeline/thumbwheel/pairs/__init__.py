"""Pairing: from what raters hold to the preference pairs that a model may learn from.

- `run`: all of it for a snapshot.
- `pairing`: the outcome: the set, and what became of everything else.
- `chunks`: plugins propose pairs of whole prompts, and screen them.
- `candidates`: what they left, kept on disk, so that only prompts that changed are paired anew.
- `evidence`: what the draw looks at, without holding their texts.
- `split`: which prompts are for training, for the judge, or held out, for ever.
- `shares`: how many prompts to hold out where there are few.
- `draw`: which of these become the set: balanced in style, capped by prompt, cluster and rater.
- `balance`: with what probability each is kept, so that style tells nothing.
- `merge`: answers to near-duplicate prompts, where they are to be paired.
- `ray_tasks`: chunks as tasks of Ray.
- `dataset`: the set as files, named by their content.
- `lineage`: from each pair to the votes behind it.
- `yields`: what became of every event.
- `exports`: the set in other programs' formats.
"""

from thumbwheel.pairs.chunks import DROPPED, pair_chunk
from thumbwheel.pairs.evidence import votes_on
from thumbwheel.pairs.pairing import Pairing
from thumbwheel.pairs.run import chunk_runner, pair_snapshot

__all__ = ["DROPPED", "Pairing", "chunk_runner", "pair_chunk", "pair_snapshot", "votes_on"]
