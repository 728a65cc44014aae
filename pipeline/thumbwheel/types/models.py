"""A language model, as those see it who measure one."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from thumbwheel.types.chat import Prompt

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

__all__ = [
    "Answer",
    "LanguageModel",
    "LogProb",
]


@dataclass(frozen=True, slots=True)
class Answer:
    """A sampled completion; `finished` is False where it was cut off at the longest length."""

    text: str
    finished: bool


@dataclass(frozen=True, slots=True)
class LogProb:
    """Summed log-probability of a completion's tokens given its prompt, in nats."""

    total: float
    n_tokens: int

    @property
    def mean(self) -> float:
        """Nats per token: the length-normalised log-likelihood."""
        return self.total / self.n_tokens


class LanguageModel(Protocol):
    """A model under evaluation, as `evaluate_model` hooks see it."""

    @property
    def name(self) -> str:
        """`base`, `champion` or `candidate`."""
        ...

    def log_probs(self, prompts: Sequence[Prompt], completions: Sequence[str]) -> Sequence[LogProb]:
        """Score each completion behind its prompt, end-of-turn included."""
        ...

    def generate(self, prompts: Sequence[Prompt]) -> Sequence[str]:
        """Sample one completion per prompt, with the configured sampling and seed."""
        ...

    def answers(
        self, prompts: Sequence[Prompt], n: int, *, first: int = 0
    ) -> Sequence[Sequence[Answer]]:
        """Sample `n` completions per prompt: the draws `first` to `first + n - 1` of each."""
        ...

    def embed(
        self, prompts: Sequence[Prompt], completions: Sequence[str]
    ) -> "npt.NDArray[np.float32]":
        """Return what the model makes of each completion behind its prompt, shape (n, d)."""
        ...
