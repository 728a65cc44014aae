"""A language model for tests of what looks at answers, not of models."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from thumbwheel.types import Answer, LogProb, Prompt


class FakeModel:
    """Gives every prompt the answer that a subclass's `generate` gives; the rest is never asked."""

    name = "candidate"

    def generate(self, prompts: Sequence[Prompt]) -> Sequence[str]:
        raise AssertionError("nobody should ask this model for answers")

    def answers(
        self, prompts: Sequence[Prompt], n: int, *, first: int = 0
    ) -> Sequence[Sequence[Answer]]:
        return [[Answer(text, True)] * n for text in self.generate(prompts)]

    def log_probs(self, prompts: Sequence[Prompt], completions: Sequence[str]) -> Sequence[LogProb]:
        raise AssertionError("nobody should ask this model for likelihoods")

    def embed(
        self, prompts: Sequence[Prompt], completions: Sequence[str]
    ) -> npt.NDArray[np.float32]:
        raise AssertionError("nobody should ask this model for embeddings")
