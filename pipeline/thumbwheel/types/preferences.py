"""Rated completions, and the preference pairs and datasets that are made of them."""

from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

__all__ = [
    "Part",
    "PreferenceDataset",
    "PreferencePair",
    "RatedCompletion",
]


class Part(StrEnum):
    """What a prompt and its pairs are for."""

    TRAIN = "train"
    JUDGE = "judge"
    HELD_OUT = "held_out"


@dataclass(frozen=True, slots=True)
class RatedCompletion:
    """One completion of one prompt with its votes, one row of `tables.RATED`.

    `n_up` and `n_down` count distinct raters. A graded vote s in [-1, 1] counts (1 + s) / 2 up and
    (1 - s) / 2 down, so that both may be fractions. `score` is the mean vote, in [-1, 1].
    """

    completion_id: str
    completion: str
    n_up: float
    n_down: float
    score: float
    model_version: str | None


@dataclass(frozen=True, slots=True)
class PreferencePair:
    """Two completions of one prompt; `confidence` is P(chosen is better), in (0.5, 1]."""

    chosen: RatedCompletion
    rejected: RatedCompletion
    confidence: float


@dataclass(frozen=True, slots=True)
class PreferenceDataset:
    """An immutable dataset on disk: `train`, `judge` and `eval.parquet` under `path`.

    `digest` identifies its content: the same pairs give the same digest and the same bytes.
    """

    path: Path
    digest: str
    n_train: int
    n_eval: int
    n_eval_prompts: int
    n_judge: int = 0
    n_judge_prompts: int = 0
