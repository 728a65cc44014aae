"""Sampling with a random stream for each text, by the Gumbel-max trick.

Imports torch: only `forward.sample` imports this module.
"""

from collections.abc import Sequence

import torch
from transformers import LogitsProcessor, TopPLogitsWarper

__all__ = ["GumbelSampler"]


class GumbelSampler(LogitsProcessor):
    """Turns the most likely token into a sample: adds Gumbel noise to the scaled logits.

    With G independent and standard Gumbel, argmax(logits / temperature + G) is a sample from
    softmax(logits / temperature) (Maddison et al., "A* Sampling", 2014, section 2).

    Args:
        seeds: One for each row of the batch.
        temperature: Above 0.
        top_p: Only the smallest set of tokens that holds this probability is sampled from.
    """

    def __init__(self, seeds: Sequence[int], temperature: float, top_p: float) -> None:
        self._streams = [torch.Generator().manual_seed(seed) for seed in seeds]
        self._temperature = temperature
        self._nucleus = TopPLogitsWarper(top_p) if top_p < 1 else None

    def __call__(self, input_ids: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
        """Return perturbed scores, shape (batch, vocabulary), like those given."""
        scores = scores.float() / self._temperature
        if self._nucleus is not None:
            scores = self._nucleus(input_ids, scores)
        noise = torch.empty(scores.shape)
        for row, stream in zip(noise, self._streams, strict=True):
            row.exponential_(generator=stream)
        # The negative logarithm of an exponential variable is a Gumbel variable.
        return scores - noise.log().to(scores.device)
