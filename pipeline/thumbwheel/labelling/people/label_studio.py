"""Label Studio: tasks to rank with its Ranker or to compare with its Pairwise, and its JSON export.

https://labelstud.io/tags/ranker, https://labelstud.io/tags/pairwise and
https://labelstud.io/guide/task_format
"""

import json
from collections.abc import Iterator, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

from pydantic import BaseModel, TypeAdapter

from thumbwheel.labelling.people.rankings import Ranking, chosen
from thumbwheel.labelling.people.tasks import Task, shown_prompt

__all__ = ["read_label_studio", "write_label_studio", "write_pairwise"]

_RANKER = """\
<View>
  <Text name="prompt" value="$prompt"/>
  <Header value="Put the answers in order, the best one on top."/>
  <List name="answers" value="$answers" title="Answers"/>
  <Ranker name="rank" toName="answers"/>
</View>
"""

# The rubric comes with the tasks: in a configuration, a $ in it would name a field.
_PAIRWISE = """\
<View>
  <Header value="$rubric"/>
  <Text name="prompt" value="$prompt"/>
  <Pairwise name="better" toName="answer_1,answer_2"/>
  <View style="display: grid; grid-template-columns: 1fr 1fr; gap: 1em">
    <Text name="answer_1" value="$answer_1"/>
    <Text name="answer_2" value="$answer_2"/>
  </View>
  <Choices name="tie" toName="prompt" choice="single">
    <Choice value="tie"/>
  </Choices>
</View>
"""


def write_label_studio(directory: Path, tasks: Sequence[Task]) -> list[Path]:
    """Write the tasks to import, and the labeling configuration that shows them."""
    return _write(directory, _RANKER, [_task(task) for task in tasks])


def write_pairwise(directory: Path, tasks: Sequence[Task], rubric: str) -> list[Path]:
    """Write tasks of two answers to import, and the configuration that shows them side by side."""
    data = [
        {
            "task_id": task.task_id,
            "rubric": rubric,
            "prompt": shown_prompt(task.prompt),
            **{f"answer_{n}": answer.completion for n, answer in enumerate(task.answers, start=1)},
        }
        for task in tasks
    ]
    return _write(directory, _PAIRWISE, [{"data": fields} for fields in data])


def _write(directory: Path, config: str, tasks: Sequence[dict[str, Any]]) -> list[Path]:
    config_file, imported = directory / "label-studio.xml", directory / "label-studio.json"
    config_file.write_text(config, encoding="utf-8")
    imported.write_text(json.dumps(tasks, indent=1), encoding="utf-8")
    return [config_file, imported]


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
    selected: str | None = None
    choices: list[str] = []


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
_SIDES = {"left": "1", "right": "2"}


def read_label_studio(content: bytes) -> Iterator[Ranking]:
    """Yield the rankings in a JSON export, one for each annotation.

    Raises:
        ValidationError: It is no such export.
    """
    for task in _EXPORT.validate_json(content):
        for annotation in task.annotations:
            yield _ranking(task.data.task_id, annotation)


def _ranking(task_id: str | None, annotation: _Annotation) -> Ranking:
    user = annotation.completed_by
    user = user.id if isinstance(user, _User) else user
    annotator = None if user is None else str(user)
    when, skipped = annotation.updated_at or annotation.created_at, bool(annotation.was_cancelled)
    values = [result.value for result in annotation.result]
    said = [_SIDES[value.selected] for value in values if value.selected in _SIDES]
    said += [choice for value in values for choice in value.choices]
    if said:
        return chosen(task_id, annotator, " and ".join(said), when, skipped=skipped)
    orders = [order for value in values if value.ranker for order in value.ranker.values()]
    # Without buckets there is one list.
    order = orders[0] if orders else []
    ranks = [(completion, rank) for rank, completion in enumerate(order, start=1)]
    return Ranking(task_id, annotator, ranks, when, skipped)
