"""The planted world's own judge: since the truth is known, answers can be checked, not guessed."""

import pyarrow as pa
from pydantic.dataclasses import dataclass

from thumbwheel.authoring import METRICS, LanguageModel, hookimpl
from thumbwheel.demo.world import is_polite, is_right

__all__ = ["WorldJudge"]


@dataclass(frozen=True)
class WorldJudge:
    """Measures what the world's raters truly want, on one sampled answer per held-out prompt.

    `preferred_style` is 1 for a polite answer, `right_answer` is 1 for a right one, else 0.
    """

    @hookimpl
    def evaluate_model(self, model: LanguageModel, pairs: pa.Table) -> pa.Table:
        """Judge one answer to each distinct prompt.

        Raises:
            DataError: A prompt is not of the planted world.
        """
        ids, prompts = pairs["prompt_id"].to_pylist(), pairs["prompt"].to_pylist()
        by_id = dict(sorted(zip(ids, prompts, strict=True), key=lambda item: item[0]))
        answers = model.generate(list(by_id.values()))
        verdicts = {
            "preferred_style": [is_polite(answer) for answer in answers],
            "right_answer": [
                is_right(prompt[-1]["content"], answer)
                for prompt, answer in zip(by_id.values(), answers, strict=True)
            ],
        }
        return pa.concat_tables(
            pa.table(
                {
                    "metric": [metric] * len(by_id),
                    "prompt_id": list(by_id),
                    "value": [float(verdict) for verdict in per_prompt],
                },
                schema=METRICS,
            )
            for metric, per_prompt in verdicts.items()
        )
