"""TRL's `DPOTrainer`, quiet and intolerant of NaN, that has the model read each prompt once.

Imports torch, transformers and trl: only `train` imports this module, when it is called.
"""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import datasets
import torch
from peft import LoraConfig
from torch.utils.data import DataLoader
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
from thumbwheel.training.batches import Example, StepSampler
from thumbwheel.training.collating import Collator
from thumbwheel.training.job import Progress
from thumbwheel.training.sequences import identity
from thumbwheel.training.shared_prompts import (
    MaskForm,
    attention_of,
    attention_square,
    mask_forms,
    read_packed,
)

__all__ = ["Trainer", "lora_config", "trainer_arguments"]


class Trainer(DPOTrainer):
    """`DPOTrainer` whose batches are packed, and that stops at the first loss that is not finite.

    In one process, all pairs of an optimizer step come as one batch, which is cut into parts that
    fit into memory. The step's loss is TRL's on the whole batch, for all losses that are a mean
    over pairs or tokens; those that sort a batch (`aot`, `aot_unpaired`) sort each part. Several
    processes take TRL's batches.

    Args:
        progress: Told of every optimizer step.
        warn: Told in one line where prompts cannot be shared, and why.
        pairs_at_once: As many of the longest pairs fit into memory in TRL's layout.
        kwargs: `DPOTrainer`'s.
    """

    train_dataset: datasets.Dataset

    def __init__(
        self,
        *,
        progress: Progress,
        warn: Callable[[str], None] = lambda message: None,
        pairs_at_once: int = 2,
        **kwargs: Any,
    ) -> None:
        super().__init__(callbacks=[_Report(progress)], **kwargs)
        # It would print every step's log, now that the progress bar is off.
        self.remove_callback(PrinterCallback)
        if len(self.train_dataset) == 0:
            return
        plain: Any = self.data_collator
        self.max_length: int = plain.max_length
        lengths = [_length(pair) for pair in self._rows()]
        longest = min(max(lengths), self.max_length)
        budget = 2 * pairs_at_once * longest
        square = attention_square(self._causal_model())
        self.collator = Collator(plain, budget=budget, square=square)
        if reason := self._reason_to_read_plainly(self.collator, lengths):
            self.collator = Collator(plain, budget=budget, square=None)
            warn(
                f"prompts are not shared in training, as {reason}; each pair is read as two whole "
                "sequences"
            )
        # Several processes take TRL's batches.
        self.data_collator = self.collator.batch

    def get_train_dataloader(self) -> DataLoader[Any]:
        """Return the batches of an epoch, one for each step: see `batches` and `collating`."""
        if self.args.world_size > 1:
            loader: DataLoader[Any] = super().get_train_dataloader()
            return loader
        dataset = self._remove_unused_columns(self.train_dataset, description="training")
        pairs = [
            (
                identity(pair["prompt_ids"]),
                (identity(pair["chosen_ids"]), identity(pair["rejected_ids"])),
            )
            for pair in self._rows()
        ]
        steps = DataLoader(
            dataset,
            batch_sampler=StepSampler(pairs, self.args.per_device_train_batch_size, self.args.seed),
            collate_fn=self.collator.step,
            pin_memory=self.args.dataloader_pin_memory,
        )
        prepared: DataLoader[Any] = self.accelerator.prepare(steps)
        return prepared

    def training_step(
        self, model: torch.nn.Module, inputs: dict[str, Any], *args: Any, **kwargs: Any
    ) -> torch.Tensor:
        """Run one batch, part by part; see `transformers.Trainer.training_step`.

        Raises:
            TrainingError: The loss is NaN or infinite. The optimizer has not stepped on it.
        """
        parts = inputs.get("parts", [inputs])
        shares = [part.get("share", 1.0) for part in parts]
        before = {name: len(values) for name, values in self._metrics["train"].items()}
        total = torch.zeros((), device=self.args.device)
        for part in parts:
            loss = super().training_step(model, part, *args, **kwargs)  # type: ignore[no-untyped-call]
            if not torch.isfinite(loss):
                raise TrainingError(
                    f"the loss became {loss.item()} at step {self.state.global_step + 1}; "
                    f"lower `learning_rate` ({self.args.learning_rate}), or check the base model"
                )
            total += loss
        for name, values in self._metrics["train"].items():
            new = values[before.get(name, 0) :]
            if len(new) == len(parts):
                mean = sum(value * share for value, share in zip(new, shares, strict=True))
                values[before.get(name, 0) :] = [mean]
        return total

    def compute_loss(
        self, model: torch.nn.Module, inputs: dict[str, Any], *args: Any, **kwargs: Any
    ) -> Any:
        """Return TRL's loss of a batch, or what a part of a step adds to the step's."""
        inputs = dict(inputs)
        share, of_sft = inputs.pop("share", None), inputs.pop("share_of_sft", None)
        if share is None:
            return super().compute_loss(model, inputs, *args, **kwargs)  # type: ignore[no-untyped-call]
        whole = self.loss_weights
        # `sft` is a mean over tokens, all else over pairs.
        self.loss_weights = [
            weight * (of_sft / share if name == "sft" else 1.0)
            for name, weight in zip(self.loss_types, whole, strict=True)
        ]
        try:
            return share * super().compute_loss(model, inputs, *args, **kwargs)  # type: ignore[no-untyped-call]
        finally:
            self.loss_weights = whole

    def reference_of(self, pairs: Sequence[Example]) -> list[tuple[float, float]]:
        """Return the reference's log-probabilities of each pair's chosen and rejected completion.

        In nats, summed over the completion's tokens.
        """
        self._policy.eval()
        batch = self._prepare_inputs(self.collator.batch(pairs))
        chosen, rejected = self.compute_ref_log_probs(self._policy, batch)  # type: ignore[no-untyped-call]
        return list(zip(chosen.tolist(), rejected.tolist(), strict=True))

    def know_reference(self, chosen: Sequence[float], rejected: Sequence[float]) -> None:
        """Take the reference's log-probabilities of the dataset's completions as given.

        Args:
            chosen: In nats, one for each pair of `train_dataset`.
            rejected: The same of the other completion.
        """
        self.train_dataset = self.train_dataset.add_column(
            "ref_chosen_logps", list(chosen)
        ).add_column("ref_rejected_logps", list(rejected))
        # TRL's name for it; its own way to get there scores the whole dataset.
        self.precompute_ref_logps = True

    def _reason_to_read_plainly(self, collator: Collator, lengths: Sequence[int]) -> str | None:
        """Have the model read packed sequences; return why it cannot, or None."""
        if self.aux_loss_enabled:
            return "the loss that balances its experts counts the tokens that are read"
        model = self._causal_model()
        forms = mask_forms(model, min(max(lengths), self.max_length))
        if not forms:
            return f"its attention is {attention_of(model)}, which takes no mask"
        self._policy.eval()
        batch = self._prepare_inputs(collator.batch(self._sample(forms, lengths)))
        return read_packed(model, forms, batch, self._log_probs)

    def _log_probs(self, batch: dict[str, Any]) -> torch.Tensor:
        inputs = {name: batch[name] for name in ("input_ids", "attention_mask")}
        labels = batch["input_ids"].masked_fill(batch["completion_mask"] == 0, -100)
        if "packed" in batch:
            inputs["packed"] = batch["packed"]
        with torch.no_grad(), self.accelerator.autocast():
            outputs = self._policy(**inputs, labels=labels, use_cache=False, fused_lm_head=True)
        values: torch.Tensor = outputs.log_probs
        return values

    def _sample(self, forms: Sequence[MaskForm], lengths: Sequence[int]) -> list[Example]:
        """Return a few short pairs, and one that is longer than any window of the model."""
        order = sorted(range(len(lengths)), key=lambda index: lengths[index])
        window = max(form.window or 0 for form in forms)
        longer = [index for index in order if lengths[index] > window > 0]
        return list(self._rows().select([*order[:4], *longer[:1]]))

    def _rows(self) -> datasets.Dataset:
        return self.train_dataset.select_columns(["prompt_ids", "chosen_ids", "rejected_ids"])

    @property
    def _policy(self) -> torch.nn.Module:
        assert self.model is not None  # noqa: S101 - `train` passes one
        return self.model

    def _causal_model(self) -> Any:
        return self.accelerator.unwrap_model(self._policy).get_base_model()

    def create_model_card(self, *args: Any, **kwargs: Any) -> None:
        """Write no model card: the registry's description is the card."""

    def _send_telemetry(self) -> None:
        """Tell nobody: TRL would report the model's kind and the machine to a server."""


def _length(pair: Example) -> int:
    return len(pair["prompt_ids"]) + max(len(pair["chosen_ids"]), len(pair["rejected_ids"]))


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
    arguments = DPOConfig(
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
    if arguments.world_size == 1:
        # A step's pairs come as one batch, which the trainer itself cuts.
        arguments.per_device_train_batch_size *= arguments.gradient_accumulation_steps
        arguments.gradient_accumulation_steps = 1
    return arguments
