"""Intervals and tests of what was measured, for prompts that come in near-duplicate clusters.

- `intervals`: means, and paired differences of models, with their intervals.
- `sign_flip`: the exact test of whether one model is better.
- `power`: what that test can see.
"""

from thumbwheel.measures.statistics.intervals import cluster_estimate, paired_report, ratio_estimate
from thumbwheel.measures.statistics.power import clusters_needed, power, smallest_gain
from thumbwheel.measures.statistics.sign_flip import cluster_means, sign_flip_test

__all__ = [
    "cluster_estimate",
    "cluster_means",
    "clusters_needed",
    "paired_report",
    "power",
    "ratio_estimate",
    "sign_flip_test",
    "smallest_gain",
]
