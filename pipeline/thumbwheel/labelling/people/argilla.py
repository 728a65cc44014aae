"""Argilla 2: a dataset to rank, and rankings from its export of records.

The folder is that of `Dataset.to_disk`; `Dataset.from_disk` puts it on a server. The export is that
of `dataset.records.to_json`, or the `records.json` of `to_disk`.
"""

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from pydantic import BaseModel, TypeAdapter

from thumbwheel.labelling.people.rankings import Ranking
from thumbwheel.labelling.people.tasks import Task, shown_prompt

__all__ = ["read_argilla", "write_argilla"]

_QUESTION = "ranking"
_GUIDELINES = (
    "Put the answers in order, the best one first. Answers may share a rank. Where a task has "
    "fewer answers than others, give those that are not there the last rank: they do not count."
)


def write_argilla(directory: Path, tasks: Sequence[Task]) -> list[Path]:
    """Write the dataset's folder: its settings, and one record for each task."""
    folder = directory / "argilla"
    (folder / ".argilla").mkdir(parents=True, exist_ok=True)
    n_answers = max(len(task.answers) for task in tasks)
    fewest = min(len(task.answers) for task in tasks)
    for path, content in (
        (".argilla/settings.json", _settings(n_answers, fewest)),
        (".argilla/dataset.json", {"name": "thumbwheel", "guidelines": _GUIDELINES}),
        ("records.json", [_record(task) for task in tasks]),
    ):
        (folder / path).write_text(json.dumps(content, indent=1), encoding="utf-8")
    return [folder]


def _settings(n_answers: int, fewest: int) -> dict[str, Any]:
    labels = {f"answer_{n}": f"Answer {n}" for n in range(1, n_answers + 1)}
    fields = [_field("prompt", "Prompt", required=True)]
    for number, (name, title) in enumerate(labels.items(), start=1):
        fields.append(_field(name, title, required=number <= fewest))
    question = {
        "name": _QUESTION,
        "title": "Which answer is best?",
        "description": _GUIDELINES,
        "required": True,
        "settings": {
            "type": "ranking",
            "options": [{"value": name, "text": title} for name, title in labels.items()],
        },
    }
    return {
        "guidelines": _GUIDELINES,
        "fields": fields,
        "questions": [question],
        "vectors": [],
        "metadata": [],
        "allow_extra_metadata": False,
    }


def _field(name: str, title: str, *, required: bool) -> dict[str, Any]:
    settings = {"type": "text", "use_markdown": False}
    return {"name": name, "title": title, "required": required, "settings": settings}


def _record(task: Task) -> dict[str, Any]:
    fields = {"prompt": shown_prompt(task.prompt)}
    for number, answer in enumerate(task.answers, start=1):
        fields[f"answer_{number}"] = answer.completion
    empty: dict[str, Any] = {}
    return {
        "id": task.task_id,
        "fields": fields,
        "metadata": empty,
        "suggestions": empty,
        "responses": empty,
        "vectors": empty,
    }


class _Rank(BaseModel):
    value: str
    rank: int | None = None


class _Response(BaseModel):
    value: list[_Rank] = []
    user_id: str | None = None


class _Record(BaseModel):
    id: str | None = None
    responses: dict[str, list[_Response]] | None = None


_EXPORT = TypeAdapter(list[_Record])


def read_argilla(content: bytes) -> Iterator[Ranking]:
    """Yield the rankings in an export, one for each response. It holds no times.

    Raises:
        ValidationError: It is no such export.
    """
    for record in _EXPORT.validate_json(content):
        for response in (record.responses or {}).get(_QUESTION, []):
            yield Ranking(
                task_id=record.id,
                annotator=response.user_id,
                ranks=[(rank.value, rank.rank) for rank in response.value],
            )
