"""Pairs of which a model writes one side or both, each with a fault that has a name.

- `failure_modes`: the faults, and what they are called.
- `jobs`: prompts that lack a side, or get both.
- `asking`: what the model is asked, and what is taken for an answer.
- `writing`: the pairs as events, in a file that grows.
"""

from thumbwheel.labelling.model.asking import estimate_job
from thumbwheel.labelling.model.failure_modes import FAILURE_MODES, FailureMode, find_modes
from thumbwheel.labelling.model.jobs import Job, Kept, one_sided_jobs, prompts_of_file
from thumbwheel.labelling.model.writing import WritingReport, read_written, write_pairs

__all__ = [
    "FAILURE_MODES",
    "FailureMode",
    "Job",
    "Kept",
    "WritingReport",
    "estimate_job",
    "find_modes",
    "one_sided_jobs",
    "prompts_of_file",
    "read_written",
    "write_pairs",
]
