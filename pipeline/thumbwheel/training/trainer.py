"""TRL's `DPOTrainer`, quiet and intolerant of NaN.

Imports torch, transformers and trl: only `train` imports this module, when it is called.
"""

from pathlib import Path
from typing import Any

import datasets
import torch
from peft import LoraConfig
from transformers import (
    PrinterCallback,
    TrainerCallback,
    TrainerControl,
    TrainerState,
    TrainingArguments,
)
from trl import DPOConfig, DPOTrainer

from thumbwheel.config import TrainingConfig
from thumbwheel.errors import TrainingError
from thumbwheel.training.job import Progress

__all__ = ["Trainer", "lora_config", "trainer_arguments"]


class Trainer(DPOTrainer):
    """`DPOTrainer` that stops at the first loss that is not finite, and reports to `progress`."""

    train_dataset: datasets.Dataset

    def __init__(self, *, progress: Progress, **kwargs: Any) -> None:
        super().__init__(callbacks=[_Report(progress)], **kwargs)
        # It would print every step's log, now that the progress bar is off.
        self.remove_callback(PrinterCallback)

    def training_step(self, *args: Any, **kwargs: Any) -> torch.Tensor:
        """Run one micro-batch; see `transformers.Trainer.training_step`.

        Raises:
            TrainingError: The loss is NaN or infinite. The optimizer has not stepped on it.
        """
        loss: torch.Tensor = super().training_step(*args, **kwargs)  # type: ignore[no-untyped-call]
        if not torch.isfinite(loss):
            raise TrainingError(
                f"the loss became {loss.item()} at step {self.state.global_step + 1}; "
                f"lower `learning_rate` ({self.args.learning_rate}), or check the base model"
            )
        return loss

    def create_model_card(self, *args: Any, **kwargs: Any) -> None:
        """Write no model card: the registry's description is the card."""

    def _send_telemetry(self) -> None:
        """Tell nobody: TRL would report the model's kind and the machine to a server."""


class _Report(TrainerCallback):
    def __init__(self, progress: Progress) -> None:
        self._progress = progress

    def on_log(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        logs: dict[str, float] | None = None,
        **kwargs: Any,
    ) -> None:
        if logs is not None and "loss" in logs:
            self._progress(state.global_step, state.max_steps, logs["loss"])


def lora_config(config: TrainingConfig) -> LoraConfig:
    """Return peft's configuration. There is no dropout: TRL turns it off in any case."""
    return LoraConfig(
        r=config.lora_r,
        lora_alpha=config.lora_alpha,
        target_modules=config.target_modules,
        task_type="CAUSAL_LM",
    )


def trainer_arguments(config: TrainingConfig, output_dir: Path, *, max_length: int) -> DPOConfig:
    """Return TRL's configuration, its defaults replaced where they do harm here."""
    on_gpu = torch.cuda.is_available()
    return DPOConfig(
        output_dir=str(output_dir),
        beta=config.beta,
        loss_type=list[str](config.loss_type),
        loss_weights=config.loss_weights,
        learning_rate=config.learning_rate,
        num_train_epochs=config.num_train_epochs,
        max_steps=config.max_steps,
        per_device_train_batch_size=config.per_device_train_batch_size,
        gradient_accumulation_steps=config.gradient_accumulation_steps,
        max_length=max_length,
        # The new name of gradient_checkpointing, which TRL still turns on by its old one.
        activation_checkpointing=config.gradient_checkpointing,
        seed=config.seed,
        # TRL's default; bfloat16 on a CPU takes about three times as long.
        bf16=on_gpu and torch.cuda.is_bf16_supported(),
        use_cpu=not on_gpu,
        dataloader_pin_memory=on_gpu,
        save_strategy="steps",
        save_steps=config.save_steps,
        save_total_limit=1,
        logging_steps=1,
        logging_first_step=True,
        # It would replace a NaN in the log by an average.
        logging_nan_inf_filter=False,
        disable_tqdm=True,
        report_to="none",
    )
