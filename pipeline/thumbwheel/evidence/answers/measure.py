"""All metrics of one model's answers: one value for each prompt."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from thumbwheel.errors import DataError
from thumbwheel.evidence.answers.diversity import distinct_n, self_bleu, vendi
from thumbwheel.evidence.answers.likelihood import (
    mean_log_probs,
    other_prompts,
    relevance,
    unlikely,
)
from thumbwheel.evidence.answers.texts import (
    copied_prompt,
    empty,
    junk,
    refusals,
    repetition,
)
from thumbwheel.measures.language import other_language
from thumbwheel.types import LanguageModel, Prompt

__all__ = ["PerDraw", "Values", "measure_answers", "measure_draws"]

Array = npt.NDArray[np.float64]

Values = dict[str, dict[str, float]]
"""metric -> prompt id -> value."""

PerDraw = dict[str, dict[str, list[float]]]
"""metric -> prompt id -> a value for each of its answers."""

_DRAWS_COMPARED = 4
"""Draws of which self-BLEU is computed: it takes a second for a hundred answers."""


def measure_answers(
    answers: pa.Table, base: LanguageModel, model: LanguageModel, *, seed: int
) -> Values:
    """Measure what a model answered.

    Args:
        answers: `tables.ANSWERS` of that model, as many to each prompt.
        base: The frozen base model, which says how likely they are.
        model: The model itself, which says how far it went from the base.
        seed: Decides which other prompt an answer is tried behind.

    Returns:
        For each metric of `METRICS` that is about the answers themselves, the mean over each
        prompt's answers.

    Raises:
        DataError: There are no answers.
    """
    drawn = measure_draws(answers, base, model, seed=seed)
    values = {
        metric: {prompt_id: float(np.mean(of_prompt)) for prompt_id, of_prompt in by_prompt.items()}
        for metric, by_prompt in drawn.items()
    }
    texts: dict[str, list[str]] = {}
    for row in answers.select(["prompt_id", "answer"]).to_pylist():
        texts.setdefault(row["prompt_id"], []).append(row["answer"])
    values["vendi"] = {prompt_id: vendi(of_prompt) for prompt_id, of_prompt in texts.items()}
    return values


def measure_draws(
    answers: pa.Table, base: LanguageModel, model: LanguageModel, *, seed: int
) -> PerDraw:
    """Measure every answer by itself; see `measure_answers`.

    What compares answers to different prompts (`distinct_1`, `distinct_2`, `self_bleu`) does so
    within a draw, so that it does not change with the number of draws.
    """
    if not len(answers):
        raise DataError("there are no answers to measure; have the model answer some prompts")
    answers = answers.sort_by([("draw", "ascending"), ("prompt_id", "ascending")])
    ids: list[str] = answers["prompt_id"].to_pylist()
    draws: list[int] = answers["draw"].to_pylist()
    prompts: list[Prompt] = answers["prompt"].to_pylist()
    texts: list[str] = answers["answer"].to_pylist()

    log_probs = mean_log_probs(base, prompts, texts)
    others = other_prompts(prompts, ids, draws, seed)
    measured: dict[str, Array] = {
        "answer_log_prob": log_probs,
        "unlikely": unlikely(log_probs),
        "relevance": relevance(base, prompts, texts, log_probs, others),
        "kl_from_base": mean_log_probs(model, prompts, texts) - log_probs,
        "repetition": repetition(texts),
        "cut_off": 1.0 - answers["finished"].to_numpy().astype(float),
        "empty": empty(texts),
        "refusals": refusals(texts),
        "copied_prompt": copied_prompt(prompts, texts),
        "other_language": other_language(texts, list(map(_last_message, prompts))),
        "junk": junk(texts),
        "length": np.array([float(len(text)) for text in texts]),
    }
    values = {metric: _by_prompt(ids, column) for metric, column in measured.items()}
    values |= _diversity(ids, draws, texts)
    return values


def _diversity(ids: Sequence[str], draws: Sequence[int], texts: Sequence[str]) -> PerDraw:
    values: PerDraw = {"distinct_1": {}, "distinct_2": {}, "self_bleu": {}}
    for number, draw in enumerate(sorted({*draws})):
        rows = [row for row, of_row in enumerate(draws) if of_row == draw]
        drawn = [texts[row] for row in rows]
        measured = {"distinct_1": distinct_n(drawn, 1), "distinct_2": distinct_n(drawn, 2)}
        if number < _DRAWS_COMPARED:
            measured["self_bleu"] = self_bleu(drawn)
        for metric, column in measured.items():
            for row, value in zip(rows, column, strict=True):
                values[metric].setdefault(ids[row], []).append(value)
    return values


def _by_prompt(ids: Sequence[str], column: Array) -> dict[str, list[float]]:
    values: dict[str, list[float]] = {}
    for prompt_id, value in zip(ids, column.tolist(), strict=True):
        values.setdefault(prompt_id, []).append(value)
    return values


def _last_message(prompt: Prompt) -> str:
    return prompt[-1]["content"] if prompt else ""
