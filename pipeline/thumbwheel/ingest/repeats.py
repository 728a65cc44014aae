"""Answers that repeat the end of their prompt: a prompt misread, or a model that repeats a text.

Where the prompt's column holds whole conversations, every prompt ends with its answer. Where a
model was to correct, prove or summarise something, an answer now and then is the text it was given:
2% of the answers of a set of instructions with an input. One record does not tell the two apart; a
sample does.
"""

import pyarrow as pa

from thumbwheel.events.messages import ends_with

__all__ = ["repeats_by_chance"]

_FEWEST_ANSWERS = 50
_MOST_REPEATS = 0.1


def repeats_by_chance(events: pa.Table) -> int:
    """Return how many answers repeat the end of their prompt, where so few do that it is chance.

    Args:
        events: A sample, read with `prefilled`: `events.IDENTIFIED`.

    Returns:
        0 where none does; where so many do, or some prompt ends with a turn of the assistant, that
        the prompt is likely to be misread; and where the answers are too few to tell.
    """
    answers = [row for row in events.to_pylist() if row["prompt"] and row["completion"]]
    if any(row["prompt"][-1]["role"] == "assistant" for row in answers):
        return 0
    n = sum(ends_with(row["prompt"][-1]["content"], row["completion"]) for row in answers)
    return n if len(answers) >= _FEWEST_ANSWERS and n <= _MOST_REPEATS * len(answers) else 0
