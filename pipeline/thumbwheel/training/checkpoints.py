"""The checkpoints of a run that was killed: which can be trusted, which belong to another run."""

import hashlib
import json
import shutil
from pathlib import Path

from thumbwheel.training.job import TrainJob

__all__ = ["checkpoint_dir", "last_checkpoint"]


def checkpoint_dir(job: TrainJob, base_digest: str) -> Path:
    """Return the directory for the job's checkpoints, clear of those of any other job.

    Its name is a hash of all that shapes the run, so that a run never goes on from the checkpoint
    of another configuration, dataset or base model.

    Args:
        job: The run.
        base_digest: The `model_digest` of its base.
    """
    digest = hashlib.sha256(job.config.model_dump_json().encode())
    with job.dataset.open("rb") as stream:
        digest.update(hashlib.file_digest(stream, "sha256").digest())
    digest.update(base_digest.encode())
    own = job.out_dir / f"checkpoints-{digest.hexdigest()[:16]}"
    for other in job.out_dir.glob("checkpoints-*"):
        if other != own:
            shutil.rmtree(other)
    return own


def last_checkpoint(directory: Path) -> Path | None:
    """Return the last whole checkpoint under `directory`, and remove the torn ones."""
    whole = {}
    for checkpoint in directory.glob("checkpoint-*"):
        # The trainer writes this file last; a kill in the middle of it leaves broken JSON.
        try:
            state = json.loads((checkpoint / "trainer_state.json").read_text(encoding="utf-8"))
        except (OSError, ValueError):
            shutil.rmtree(checkpoint)
        else:
            whole[int(state["global_step"])] = checkpoint
    return whole[max(whole)] if whole else None
