"""The planted world's own checks: since the truth is known, answers can be checked, not guessed."""

import pyarrow as pa
from pydantic.dataclasses import dataclass

from thumbwheel.authoring import METRICS, Metric, hookimpl
from thumbwheel.demo.world import is_polite, is_right

__all__ = ["WorldJudge"]


@dataclass(frozen=True)
class WorldJudge:
    """Measures what the world's raters truly want, on the answers to each prompt."""

    metrics = (
        Metric("preferred_style", "how often an answer is polite", "higher", "share of answers"),
        Metric("right_answer", "how often an answer is right", "higher", "share of answers"),
    )

    @hookimpl
    def evaluate_model(self, answers: pa.Table) -> pa.Table:
        """Check every answer.

        Raises:
            DataError: A prompt is not of the planted world.
        """
        texts = answers["answer"].to_pylist()
        asked = [prompt[-1]["content"] for prompt in answers["prompt"].to_pylist()]
        verdicts = {
            "preferred_style": [is_polite(text) for text in texts],
            "right_answer": [
                is_right(prompt, text) for prompt, text in zip(asked, texts, strict=True)
            ],
        }
        return pa.concat_tables(
            _means(metric, answers["prompt_id"], per_answer)
            for metric, per_answer in verdicts.items()
        )


def _means(metric: str, prompts: pa.ChunkedArray, verdicts: list[bool]) -> pa.Table:
    values = pa.array(map(float, verdicts), pa.float64())
    means = pa.table({"prompt_id": prompts, "value": values}).group_by("prompt_id")
    of_prompt = means.aggregate([("value", "mean")])
    names = pa.repeat(metric, len(of_prompt))
    return pa.table([names, of_prompt["prompt_id"], of_prompt["value_mean"]], schema=METRICS)
