"""Training: a preference dataset and a base model in, a LoRA adapter out. Alone imports trl.

- `job`: what is to be trained, and what came of it.
- `run`: `train(job)`, from start or from where a killed run stopped.
- `reference`: what the reference makes of the completions, kept by content.
- `checkpoints`: which checkpoints of a killed run can be trusted.
- `trainer`: TRL's `DPOTrainer`, quiet and intolerant of NaN, on packed batches.
- `batches`: which pairs a step learns from, and which go through the model together.
- `sequences`, `packing`, `arrangement`: completions behind one copy of their prompt, in rows.
- `collating`: TRL's batch, and the same packed.
- `shared_prompts`: a model that reads packed batches, and answers in TRL's layout.
"""

from thumbwheel.training.job import Progress, TrainJob, TrainResult
from thumbwheel.training.run import train

__all__ = ["Progress", "TrainJob", "TrainResult", "train"]
