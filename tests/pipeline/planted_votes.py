"""Answers of which it is known how good they are, and people who mostly vote for the better."""

import hashlib
from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from fake_models import FakeModel

from thumbwheel.tables import PAIRS
from thumbwheel.types import Prompt

DIMENSIONS = 8


class SeeingModel(FakeModel):
    """Embeds each text as a random point that follows from prompt and text."""

    def __init__(self) -> None:
        self.n_embedded = 0

    def embed(
        self, prompts: Sequence[Prompt], completions: Sequence[str]
    ) -> npt.NDArray[np.float32]:
        self.n_embedded += len(completions)
        points = [
            _point(prompt[-1]["content"], completion)
            for prompt, completion in zip(prompts, completions, strict=True)
        ]
        return np.array(points, dtype=np.float32).reshape(-1, DIMENSIONS)


def goodness(question: str, text: str) -> float:
    """Return what people truly think of an answer: one direction of what the model sees."""
    return float(_point(question, text)[0])


def _point(question: str, text: str) -> npt.NDArray[np.float64]:
    seed = hashlib.blake2b(f"{question}\0{text}".encode(), digest_size=8).digest()
    return np.random.default_rng(int.from_bytes(seed)).standard_normal(DIMENSIONS)


def ask(question: str) -> Prompt:
    return [{"role": "user", "content": question, "extra": None}]


def planted_pairs(
    n_prompts: int, *, per_prompt: int = 2, right: float = 1.0, seed: int = 0, first: int = 0
) -> pa.Table:
    """Return pairs, `tables.PAIRS`, whose chosen side is better with probability `right`."""
    rng = np.random.default_rng(seed)
    rows = []
    for number in range(first, first + n_prompts):
        question = f"question {number}"
        for pair in range(per_prompt):
            sides = [f"answer {pair} a", f"answer {pair} b"]
            sides.sort(key=lambda text: -goodness(question, text))
            if rng.random() >= right:
                sides.reverse()
            rows.append(
                {
                    "pair_id": f"{number}-{pair}",
                    "prompt_id": question,
                    "confidence": max(right, 0.75),
                    "prompt": ask(question),
                    "chosen": sides[0],
                    "rejected": sides[1],
                }
            )
    return pa.Table.from_pylist(rows, schema=PAIRS)


def clusters_of(pairs: pa.Table, size: int = 1) -> Mapping[str, str]:
    """Return a cluster for each prompt: `size` prompts in a row share one."""
    names = dict.fromkeys(pairs["prompt_id"].to_pylist())
    return {name: f"cluster {number // size}" for number, name in enumerate(names)}
