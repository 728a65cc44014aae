"""Label Studio: tasks to rank with its Ranker, and rankings from its JSON export.

https://labelstud.io/tags/ranker and https://labelstud.io/guide/task_format
"""

import json
from collections.abc import Iterator, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

from pydantic import BaseModel, TypeAdapter

from thumbwheel.labelling.people.rankings import Ranking
from thumbwheel.labelling.people.tasks import Task, shown_prompt

__all__ = ["LABELING_CONFIG", "read_label_studio", "write_label_studio"]

LABELING_CONFIG = """\
<View>
  <Text name="prompt" value="$prompt"/>
  <Header value="Put the answers in order, the best one on top."/>
  <List name="answers" value="$answers" title="Answers"/>
  <Ranker name="rank" toName="answers"/>
</View>
"""


def write_label_studio(directory: Path, tasks: Sequence[Task]) -> list[Path]:
    """Write the tasks to import, and the labeling configuration that shows them."""
    config, imported = directory / "label-studio.xml", directory / "label-studio.json"
    config.write_text(LABELING_CONFIG, encoding="utf-8")
    imported.write_text(json.dumps([_task(task) for task in tasks], indent=1), encoding="utf-8")
    return [config, imported]


def _task(task: Task) -> dict[str, Any]:
    answers = [
        {"id": answer.completion_id, "title": f"Answer {number}", "body": answer.completion}
        for number, answer in enumerate(task.answers, start=1)
    ]
    return {
        "data": {"task_id": task.task_id, "prompt": shown_prompt(task.prompt), "answers": answers}
    }


class _Value(BaseModel):
    ranker: dict[str, list[str]] | None = None


class _Result(BaseModel):
    from_name: str | None = None
    value: _Value = _Value()


class _User(BaseModel):
    id: int | str


class _Annotation(BaseModel):
    result: list[_Result] = []
    was_cancelled: bool | None = False
    completed_by: _User | int | str | None = None
    updated_at: datetime | None = None
    created_at: datetime | None = None


class _Data(BaseModel):
    task_id: str | None = None


class _ExportedTask(BaseModel):
    data: _Data
    annotations: list[_Annotation]


_EXPORT = TypeAdapter(list[_ExportedTask])


def read_label_studio(content: bytes) -> Iterator[Ranking]:
    """Yield the rankings in a JSON export, one for each annotation.

    Raises:
        ValidationError: It is no such export.
    """
    for task in _EXPORT.validate_json(content):
        for annotation in task.annotations:
            user = annotation.completed_by
            orders = [
                order
                for result in annotation.result
                if result.value.ranker is not None
                for order in result.value.ranker.values()
            ]
            # Without buckets there is one list.
            order = orders[0] if orders else []
            annotator = user.id if isinstance(user, _User) else user
            yield Ranking(
                task_id=task.data.task_id,
                annotator=None if annotator is None else str(annotator),
                ranks=[(completion, rank) for rank, completion in enumerate(order, start=1)],
                ranked_at=annotation.updated_at or annotation.created_at,
                skipped=bool(annotation.was_cancelled),
            )
