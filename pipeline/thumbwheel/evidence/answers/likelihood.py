"""What the frozen base model thinks of answers, in nats per token.

The base stands for a reader who knows the language and the world, and has no taste of its own.
"""

import json
from collections.abc import Sequence
from random import Random

import numpy as np
import numpy.typing as npt

from thumbwheel.types import LanguageModel, Prompt

__all__ = ["mean_log_probs", "other_prompts", "relevance", "unlikely"]

Array = npt.NDArray[np.float64]

_FAR_BELOW = 2.0


def mean_log_probs(
    model: LanguageModel, prompts: Sequence[Prompt], answers: Sequence[str]
) -> Array:
    """Return the mean log-probability of each answer's tokens behind its prompt, shape (n,)."""
    scored = model.log_probs(prompts, answers)
    return np.array([score.total / max(score.n_tokens, 1) for score in scored])


def unlikely(log_probs: Array) -> Array:
    """Return 1 where an answer lies far below its set's median, by 2 nats a token; shape (n,).

    A model that takes on another style moves all of its answers, and the median with them; a few
    garbled answers leave it.
    """
    return (log_probs < np.median(log_probs) - _FAR_BELOW).astype(float)


def relevance(
    base: LanguageModel,
    prompts: Sequence[Prompt],
    answers: Sequence[str],
    log_probs: Array,
    others: Sequence[Prompt | None],
) -> Array:
    """Return 1 where an answer is likelier behind its own prompt than behind another.

    Args:
        base: The frozen base model.
        prompts: n prompts.
        answers: An answer to each.
        log_probs: `mean_log_probs` of them.
        others: For each answer the other prompt, see `other_prompts`.

    Returns:
        Shape (n,); 0.5 for a tie, and where there is no other prompt.
    """
    asked = [row for row, other in enumerate(others) if other is not None]
    elsewhere = mean_log_probs(
        base,
        [other for other in others if other is not None],
        [answers[row] for row in asked],
    )
    wins = np.full(len(answers), 0.5)
    wins[asked] = (np.sign(log_probs[asked] - elsewhere) + 1) / 2
    return wins


def other_prompts(
    prompts: Sequence[Prompt], ids: Sequence[str], draws: Sequence[int], seed: int
) -> list[Prompt | None]:
    """Draw another prompt for each answer; None where all prompts are the same.

    By chance and not by likeness: answers to near-duplicate prompts fit both. The same prompt and
    draw get the same other one, whichever model answered.
    """
    texts = [json.dumps([[m["role"], m["content"]] for m in prompt]) for prompt in prompts]
    known = dict(zip(texts, prompts, strict=True))
    order = sorted(known)
    drawn: list[Prompt | None] = []
    for text, prompt_id, draw in zip(texts, ids, draws, strict=True):
        rng = Random(f"{seed} {prompt_id} {draw}")  # noqa: S311 -- seeded on purpose
        others = [other for other in order if other != text]
        drawn.append(known[rng.choice(others)] if others else None)
    return drawn
