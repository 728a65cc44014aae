"""A task: a prompt with a few completions that an annotator puts in order.

`tasks.jsonl` keeps the tasks with all their texts. What the tools get are copies of these under the
same ids, so that only ids are read back from them.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter, ValidationError

from thumbwheel.errors import InputError
from thumbwheel.events import content_id, from_chat, readable, text_identity, to_chat
from thumbwheel.process.durable import write_bytes
from thumbwheel.types import Prompt

__all__ = ["Answer", "Task", "make_task", "read_tasks", "shown_prompt", "write_tasks"]


@dataclass(frozen=True, slots=True)
class Answer:
    """A completion of a task; `generated` when it was written for the task."""

    completion_id: str
    completion: str
    model_version: str | None
    generated: bool


@dataclass(frozen=True, slots=True)
class Task:
    """A prompt and its completions in the order in which annotators see them."""

    task_id: str
    prompt_id: str
    prompt: Prompt
    answers: Sequence[Answer]

    def completion_of(self, label: str) -> str | None:
        """Return the completion_id that a label names: `answer_2`, or the id itself."""
        by_label = {f"answer_{n}": a.completion_id for n, a in enumerate(self.answers, start=1)}
        known = set(by_label.values())
        return by_label.get(label, label if label in known else None)


@dataclass(frozen=True, slots=True)
class _Line:
    task_id: str
    prompt_id: str
    prompt: list[dict[str, Any]]
    answers: list[Answer]


_LINE = TypeAdapter(_Line)


def make_task(prompt: Prompt, answers: Iterable[Answer]) -> Task:
    """Return a task; the order of its answers tells nothing about who answered."""
    prompt_id, _ = text_identity(prompt, "")
    # Ids are hashes: this is a shuffle, and the same one every time.
    shuffled = sorted(answers, key=lambda answer: answer.completion_id)
    task_id = content_id("task", prompt_id, *(answer.completion_id for answer in shuffled))
    return Task(task_id, prompt_id, prompt, shuffled)


def shown_prompt(prompt: Prompt) -> str:
    """Return a prompt as annotators read it: a single message as it is, else who said what."""
    if len(prompt) == 1:
        return readable(prompt[0])[1]
    turns = (readable(message) for message in prompt)
    return "\n\n".join(f"[{speaker}]\n{text}" for speaker, text in turns)


def write_tasks(path: Path, tasks: Sequence[Task]) -> None:
    """Write the tasks, one a line; the file appears whole or not at all."""
    lines = (
        _LINE.dump_json(_Line(t.task_id, t.prompt_id, to_chat(t.prompt), list(t.answers)))
        for t in tasks
    )
    write_bytes(path, b"".join(line + b"\n" for line in lines))


def read_tasks(path: Path) -> dict[str, Task]:
    """Return the tasks by id, in the order of the file.

    Raises:
        InputError: The file cannot be read, or a line of it is no task.
    """
    try:
        lines = path.read_bytes().splitlines()
    except OSError as error:
        raise InputError(
            f"cannot read {path}: {error.strerror}; name the tasks.jsonl that `thumbwheel annotate "
            "sample` wrote"
        ) from error
    tasks = {}
    for number, raw in enumerate(lines, start=1):
        try:
            line = _LINE.validate_json(raw)
            prompt = from_chat(line.prompt)
        except (ValidationError, LookupError) as error:
            raise InputError(
                f"{path}:{number} is no task; name the tasks.jsonl that `thumbwheel annotate "
                "sample` wrote, unchanged"
            ) from error
        tasks[line.task_id] = Task(line.task_id, line.prompt_id, prompt, line.answers)
    return tasks
