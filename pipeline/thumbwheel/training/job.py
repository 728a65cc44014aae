"""What is to be trained, and what came of it."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from thumbwheel.config import TrainingConfig

__all__ = ["Progress", "TrainJob", "TrainResult"]

Progress = Callable[[int, int, float], None]
"""Called after every optimizer step with its number, the number of steps, and its loss."""


@dataclass(frozen=True, slots=True)
class TrainJob:
    """One training run.

    Attributes:
        base: The base model's directory.
        dataset: A Parquet file of pairs. Its columns `prompt`, `chosen` and `rejected` hold chat
            messages, the latter two a single one from the assistant; other columns are ignored.
        out_dir: Where the adapter is written (`adapter/`), and checkpoints while training lasts.
        config: LoRA, loss and optimizer.
    """

    base: Path
    dataset: Path
    out_dir: Path
    config: TrainingConfig


@dataclass(frozen=True, slots=True)
class TrainResult:
    """A finished training run.

    Attributes:
        adapter: The directory with `adapter_config.json` and `adapter_model.safetensors`.
        steps: Optimizer steps, those before a resumption included.
        seconds: Wall-clock time of this process's part of the run.
        n_pairs: Pairs trained on.
        n_dropped: Pairs left out because their prompt alone fills `max_length`.
        n_truncated: Pairs trained on with the end of a completion cut off at `max_length`.
        peak_memory: Largest memory use of the process, in bytes: of the GPU where one is used,
            else resident, whatever was loaded before included.
        metrics: What TRL logged at the last step. Its accuracy counts ties as wrong and averages
            over batches: it is for watching a run, not for judging a model.
    """

    adapter: Path
    steps: int
    seconds: float
    n_pairs: int
    n_dropped: int
    n_truncated: int
    peak_memory: int
    metrics: Mapping[str, float] = field(default_factory=dict)
