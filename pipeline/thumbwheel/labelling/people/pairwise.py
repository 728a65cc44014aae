"""Two models' answers for people to compare: a fair sample that does not tell which model is which.

What annotators see follows from the texts alone. Which model wrote which is kept in `tasks.jsonl`.
"""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from thumbwheel.errors import DataError
from thumbwheel.events import content_id, normal_completion, text_identity
from thumbwheel.labelling.people.tasks import Answer, Task, make_task, shown_prompt
from thumbwheel.tables import ANSWERS
from thumbwheel.types import Prompt

__all__ = ["Compared", "compare", "read_answers"]

_LONGEST = 20_000
"""Characters: nobody reads a longer text with care."""

_ALIKE = "the two answers differ in case and spacing at most: a tie that nobody needs to read"
_LONG = f"too long for anybody to read: over {_LONGEST:,} characters"


@dataclass(frozen=True, slots=True)
class Compared:
    """Tasks of two answers each, and why other answers became none.

    Attributes:
        tasks: In an order that is a sample at every point: the first prompts are drawn first.
        n_left: Tasks that were not drawn.
        problems: How often answers were left out, by why.
    """

    tasks: Sequence[Task]
    n_left: int
    problems: Mapping[str, int]


def compare(
    candidate: pa.Table,
    champion: pa.Table,
    names: tuple[str, str],
    *,
    n: int,
    per_prompt: int,
    seed: int,
) -> Compared:
    """Draw tasks that compare the answers of two models to the same prompts.

    Answers of the same draw meet, the first draws of a prompt first: draws are alike, so that each
    beginning of them is a fair sample. Prompts are drawn by the seed. Every prompt gets a task
    before any gets a second one, since more prompts tell more than more answers to one. With the
    two models swapped, the tasks have the same texts in the same order.

    Args:
        candidate: The candidate's answers, `tables.ANSWERS`.
        champion: The champion's, or those of whoever it is compared with.
        names: What the answers of each are attributed to, in this order. An answer that both gave
            is attributed to neither.
        n: How many tasks at most.
        per_prompt: How many draws of a prompt at most.
        seed: Of the draw of prompts. With the same seed, fewer tasks are the first of more.

    Raises:
        DataError: There is nothing to compare.
    """
    ours, theirs = _answers(candidate), _answers(champion)
    prompts = sorted(
        ours.keys() & theirs.keys(), key=lambda prompt_id: content_id(f"{seed}", prompt_id)
    )
    problems: Counter[str] = Counter()
    tasks: dict[str, Task] = {}
    for place in range(per_prompt):
        for prompt_id in prompts:
            (prompt, answered), (_, other) = ours[prompt_id], theirs[prompt_id]
            draws = sorted(answered.keys() & other.keys())
            if place >= len(draws):
                continue
            texts = answered[draws[place]], other[draws[place]]
            problem = _problem(prompt, *texts)
            if problem is not None:
                problems[problem] += 1
                continue
            wrote = {
                text: frozenset(
                    name
                    for name, told in zip(names, (answered, other), strict=True)
                    if text in told.values()
                )
                for text in texts
            }
            task = make_task(prompt, _attributed(prompt, wrote))
            tasks.setdefault(task.task_id, task)
    if not tasks:
        told = "; ".join(f"{count:,} times {why}" for why, count in problems.items())
        raise DataError(
            f"the two models' answers give nothing to compare: {told or 'no prompt in common'}"
        )
    drawn = list(tasks.values())
    return Compared(drawn[:n], len(drawn[n:]), dict(problems))


def read_answers(folder: Path) -> tuple[pa.Table, pa.Table]:
    """Return what a cycle's candidate and its champion answered, `tables.ANSWERS`.

    Args:
        folder: The cycle's folder of answers.

    Raises:
        DataError: They are not there, or cannot be read.
    """
    try:
        one, other = (
            pq.read_table(folder / f"{name}.parquet", schema=ANSWERS)
            for name in ("candidate", "champion")
        )
    except FileNotFoundError as error:
        raise DataError(
            f"{folder} does not hold the answers of both models: the cycle was refused before they "
            "answered, or an earlier version made it; name another cycle"
        ) from error
    except pa.ArrowException as error:
        raise DataError(f"the answers in {folder} cannot be read: {error}") from error
    return one, other


def _answers(table: pa.Table) -> dict[str, tuple[Prompt, dict[int, str]]]:
    """Return each prompt with its answers by draw."""
    columns = (table[name].to_pylist() for name in ("prompt_id", "prompt", "draw", "answer"))
    by_prompt: dict[str, tuple[Prompt, dict[int, str]]] = {}
    for prompt_id, prompt, draw, answer in zip(*columns, strict=True):
        by_prompt.setdefault(prompt_id, (prompt, {}))[1][draw] = answer
    return by_prompt


def _problem(prompt: Prompt, one: str, other: str) -> str | None:
    if normal_completion(one) == normal_completion(other):
        return _ALIKE
    if max(map(len, (shown_prompt(prompt), one, other))) > _LONGEST:
        return _LONG
    return None


def _attributed(prompt: Prompt, wrote: Mapping[str, frozenset[str]]) -> Iterator[Answer]:
    for text, names in wrote.items():
        _, completion_id = text_identity(prompt, text)
        name = next(iter(names)) if len(names) == 1 else None
        yield Answer(completion_id, text, name, generated=True)
