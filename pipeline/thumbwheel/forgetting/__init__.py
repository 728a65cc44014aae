"""Forgetting a rater or a generation: in the store and in everything that was made from it.

- `run`: the whole, in an order in which a kill at any moment is mended by running it again.
- `traces`: what is known of the forgotten, and whether a row, an object or a text tells of it.
- `logs`: the logs that connectors keep.
- `cycles`, `parquet`: what cycles keep on disk.
- `pages`: what cycles wrote into MLflow.
- `record`: what had been trained on it, without a word of what it was.
- `leftovers`: files of others that still tell of it.
"""

from thumbwheel.forgetting.record import TrainedOn
from thumbwheel.forgetting.run import Forgetting, Outcome, Plan

__all__ = ["Forgetting", "Outcome", "Plan", "TrainedOn"]
