"""`train(job)`: one function, the same in a process, under torchrun or inside a cluster's worker.

It never starts a process group: whoever launches several processes does.
"""

import json
import logging
import resource
import shutil
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.parquet as pq

from thumbwheel.errors import ConfigError, DataError, TrainingError
from thumbwheel.language_model import (
    LoadedBase,
    ModelCache,
    load_base,
    without_migration_warnings,
)
from thumbwheel.language_model.encoding import encode_prompts
from thumbwheel.language_model.kept import kept_scores, model_identity
from thumbwheel.pairs.dataset import rich_prompts
from thumbwheel.process.durable import replacing
from thumbwheel.training.checkpoints import checkpoint_dir, last_checkpoint
from thumbwheel.training.job import Progress, TrainJob, TrainResult
from thumbwheel.training.reference import give_reference

if TYPE_CHECKING:
    from thumbwheel.training.trainer import Trainer

__all__ = ["train"]

_COLUMNS = ["prompt", "chosen", "rejected"]


def train(
    job: TrainJob,
    progress: Progress | None = None,
    warn: Callable[[str], None] = lambda message: None,
) -> TrainResult:
    """Train a LoRA adapter with DPO, going on from the last whole checkpoint if there is one.

    The reference model is the base with the adapter disabled; it scores a completion once, and not
    again where the job has a cache. On a CPU the same job gives the same
    adapter, killed and resumed or not. The adapter appears whole or not at all, and replaces one
    that an earlier run left.

    Args:
        job: What to train.
        progress: Called after every optimizer step.
        warn: Told in one line what does not stop the training.

    Raises:
        ModelError: The base model cannot be loaded.
        DataError: The dataset cannot be read, or no pair of it can be trained on.
        ConfigError: The base model or TRL refuses the training configuration.
        TrainingError: The loss or the adapter is not finite, or memory ran out.
    """
    started = time.monotonic()
    pairs = _read_pairs(job.dataset)
    base = load_base(job.base)
    job.out_dir.mkdir(parents=True, exist_ok=True)
    checkpoints = checkpoint_dir(job, base.digest)
    progress = progress or (lambda step, total, loss: None)
    max_length = min(job.config.max_length, base.context_length)
    try:
        with without_migration_warnings():
            trainer = _build(job, base, pairs, checkpoints, progress, warn, max_length)
            _score_reference(trainer, job, base, warn)
            _run(trainer, last_checkpoint(checkpoints))
            adapter = _write_adapter(trainer.model, job)
    except TrainingError:
        # A checkpoint may already hold the values that made the loss NaN.
        shutil.rmtree(checkpoints, ignore_errors=True)
        raise
    shutil.rmtree(checkpoints)
    used = trainer.train_dataset
    return TrainResult(
        adapter=adapter,
        steps=trainer.state.global_step,
        seconds=time.monotonic() - started,
        n_pairs=len(used),
        n_dropped=pairs.num_rows - len(used),
        n_truncated=_count_truncated(used, max_length),
        peak_memory=_peak_memory(),
        # The trainer's own summary is wrong after a resumption; its log is restored.
        metrics=next(entry for entry in reversed(trainer.state.log_history) if "loss" in entry),
    )


def _read_pairs(path: Path) -> pa.Table:
    try:
        pairs = pq.read_table(path, columns=_COLUMNS)
    except (OSError, pa.ArrowException) as error:
        raise DataError(f"cannot read the training pairs {path}: {error}") from error
    missing = [name for name in _COLUMNS if name not in pairs.column_names]
    if missing:
        raise DataError(f"{path} lacks the columns {', '.join(missing)}; it needs chat messages")
    if pairs.num_rows == 0:
        raise DataError(f"{path} holds no pairs; nothing can be trained")
    return pairs


def _build(
    job: TrainJob,
    base: LoadedBase,
    pairs: pa.Table,
    checkpoints: Path,
    progress: Progress,
    warn: Callable[[str], None],
    max_length: int,
) -> "Trainer":
    # Imported here and not above, since these take seconds to import.
    import datasets
    from jinja2 import TemplateError

    from thumbwheel.training.trainer import Trainer, lora_config, trainer_arguments

    # Inside of TRL, what a template raises about tool calls could not be told from other errors.
    encode_prompts(base, rich_prompts(pairs))
    datasets.disable_progress_bars()
    logging.getLogger("trl").setLevel(logging.ERROR)
    try:
        trainer = Trainer(
            progress=progress,
            warn=warn,
            pairs_at_once=job.config.per_device_train_batch_size,
            model=base.model,
            args=trainer_arguments(job.config, checkpoints, max_length=max_length),
            train_dataset=datasets.Dataset(pairs),
            processing_class=base.tokenizer,
            peft_config=lora_config(job.config),
        )
    except TemplateError as error:
        raise DataError(
            f"the chat template in {job.base} refuses a pair: {error}; "
            "leave out prompts of that form, or use another base model"
        ) from error
    except ValueError as error:
        raise ConfigError(f"the training configuration is refused: {error}") from error
    if len(trainer.train_dataset) == 0:
        raise DataError(
            f"all {pairs.num_rows} prompts fill `max_length` ({max_length} tokens) by themselves; "
            "raise it"
        )
    return trainer


def _score_reference(
    trainer: "Trainer", job: TrainJob, base: LoadedBase, warn: Callable[[str], None]
) -> None:
    with ExitStack() as stack, _memory_told():
        cache = None
        if job.cache is not None:
            cache = stack.enter_context(ModelCache(job.cache, warn=warn))
        give_reference(trainer, kept_scores(cache, model_identity(base, None)))


def _run(trainer: "Trainer", resume: Path | None) -> None:
    try:
        with _memory_told():
            trainer.train(resume_from_checkpoint=str(resume) if resume else None)
    except ValueError as error:
        raise ConfigError(f"the training configuration is refused: {error}") from error


@contextmanager
def _memory_told() -> Iterator[None]:
    import torch

    try:
        yield
    except torch.OutOfMemoryError as error:
        raise TrainingError(
            "the GPU's memory ran out; lower `per_device_train_batch_size` or `max_length`, or set "
            "`gradient_checkpointing`"
        ) from error


def _write_adapter(model: Any, job: TrainJob) -> Path:
    import torch

    broken = [
        name for name, p in model.named_parameters() if p.requires_grad and not p.isfinite().all()
    ]
    if broken:
        raise TrainingError(
            f"the last step made {len(broken)} tensors of the adapter NaN or infinite, such as "
            f"{broken[0]}; lower `learning_rate` ({job.config.learning_rate})"
        )
    adapter = job.out_dir / "adapter"
    with replacing(adapter) as part:
        with torch.no_grad():
            model.save_pretrained(part, save_embedding_layers=False)
        (part / "README.md").unlink(missing_ok=True)
        _clean_config(part / "adapter_config.json", base_name=job.base.resolve().name)
    return adapter


def _clean_config(file: Path, *, base_name: str) -> None:
    """Keep the machine's paths and the order of a set's members out of the adapter."""
    config = json.loads(file.read_text(encoding="utf-8"))
    config["base_model_name_or_path"] = base_name
    if isinstance(config["target_modules"], list):
        config["target_modules"].sort()
    file.write_text(json.dumps(config, indent=2, sort_keys=True) + "\n", encoding="utf-8")


def _count_truncated(dataset: Any, max_length: int) -> int:
    columns = (dataset[name] for name in ("prompt_ids", "chosen_ids", "rejected_ids"))
    return sum(
        len(prompt) + max(len(chosen), len(rejected)) > max_length
        for prompt, chosen, rejected in zip(*columns, strict=True)
    )


def _peak_memory() -> int:
    import torch

    if torch.cuda.is_available():
        return int(torch.cuda.max_memory_allocated())
    # Linux counts in KiB, macOS in bytes.
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
