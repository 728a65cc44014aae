"""What is to be trained, and what came of it."""

from collections.abc import Callable
from dataclasses import dataclass, fields
from pathlib import Path

from thumbwheel.config import TrainingConfig
from thumbwheel.types import TrainingReport

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
        cache: The file of a `ModelCache`, for what the reference makes of the completions.
    """

    base: Path
    dataset: Path
    out_dir: Path
    config: TrainingConfig
    cache: Path | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainResult(TrainingReport):
    """A finished training run.

    `adapter` is the directory with `adapter_config.json` and `adapter_model.safetensors`.
    """

    adapter: Path

    @property
    def report(self) -> TrainingReport:
        """What the run did, without where its adapter lies."""
        return TrainingReport(
            **{item.name: getattr(self, item.name) for item in fields(TrainingReport)}
        )
