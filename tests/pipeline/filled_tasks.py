"""Annotation tasks as people hand them back: each tool's export with every task ranked."""

import csv
import json

from thumbwheel.labelling.people import read_tasks


def preferred(task):
    """Return the task's completions as an annotator who likes high numbers puts them in order."""
    return sorted(task.answers, key=lambda answer: answer.completion, reverse=True)


def fill_label_studio(folder, **annotation):
    """Return the export of a project into which the tasks were imported, all of them ranked."""
    exported = []
    tasks = read_tasks(folder / "tasks.jsonl")
    for number, imported in enumerate(json.loads((folder / "label-studio.json").read_bytes())):
        order = [a.completion_id for a in preferred(tasks[imported["data"]["task_id"]])]
        result = {
            "id": f"r{number}", "from_name": "rank", "to_name": "answers", "type": "ranker",
            "origin": "manual", "value": {"ranker": {"rank": order}},
        }  # fmt: skip
        ranked = {
            "id": number, "completed_by": 3, "result": [result], "was_cancelled": False,
            "ground_truth": False, "created_at": "2026-03-09T22:16:08.728353Z",
            "updated_at": "2026-03-09T22:17:08.728378Z", "lead_time": 4.2, **annotation,
        }  # fmt: skip
        exported.append({"id": number, "project": 1, "annotations": [ranked], **imported})
    path = folder / "project-1-at-2026-03-10.json"
    path.write_text(json.dumps(exported))
    return path


def fill_argilla(folder):
    """Return the export of the dataset, every record ranked by one user."""
    tasks = read_tasks(folder / "tasks.jsonl")
    records = json.loads((folder / "argilla" / "records.json").read_bytes())
    settings = json.loads((folder / "argilla" / ".argilla" / "settings.json").read_bytes())
    (question,) = settings["questions"]
    for record in records:
        task = tasks[record["id"]]
        best_first = [answer.completion_id for answer in preferred(task)]
        # The server wants a rank for every option, also where the record has no such answer.
        value = [
            {
                "value": option["value"],
                "rank": best_first.index(task.completion_of(option["value"])) + 1
                if task.completion_of(option["value"])
                else len(question["settings"]["options"]),
            }
            for option in question["settings"]["options"]
        ]
        response = {"value": value, "user_id": "3fa85f64-5717-4562-b3fc-2c963f66afa6"}
        record["responses"] = {question["name"]: [response]}
        record |= {"status": "completed", "_server_id": response["user_id"]}
    path = folder / "records.json"
    path.write_text(json.dumps(records))
    return path


def fill_csv(folder, delimiter=","):
    """Return the table, filled by somebody whose spreadsheet writes its own kind of CSV."""
    tasks = read_tasks(folder / "tasks.jsonl")
    with (folder / "tasks.csv").open(encoding="utf-8-sig", newline="") as file:
        rows = list(csv.DictReader(file))
    for row in rows:
        task = tasks[row["task_id"]]
        best_first = [answer.completion_id for answer in preferred(task)]
        for number, answer in enumerate(task.answers, start=1):
            row[f"rank_{number}"] = str(best_first.index(answer.completion_id) + 1)
        row["annotator"] = "anna"
    path = folder / "filled.csv"
    with path.open("w", encoding="utf-8-sig", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]), delimiter=delimiter)
        writer.writeheader()
        writer.writerows(rows)
    return path


FILL = {"label-studio": fill_label_studio, "argilla": fill_argilla, "csv": fill_csv}
