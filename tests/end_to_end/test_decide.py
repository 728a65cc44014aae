"""Deciding again on a candidate, in real processes, when people have compared its answers."""

import csv
import json

import pytest
from mlflow import MlflowClient

PEOPLE = """
[[judges]]
use = "people"
[[sources]]
name = "annotators"
connector = "file"
origin = "annotators"
options.path = "annotations"
"""


def fill_in(folder, model):
    """Fill in the table like somebody who always likes one model better."""
    tasks = map(json.loads, (folder / "tasks.jsonl").read_bytes().splitlines())
    writers = {t["task_id"]: [each["model_version"] for each in t["answers"]] for t in tasks}
    with (folder / "tasks.csv").open(encoding="utf-8-sig", newline="") as file:
        rows = list(csv.DictReader(file))
    for row in rows:
        row |= {"better": 1 + writers[row["task_id"]].index(model), "annotator": "ann"}
    with (folder / "filled.csv").open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")
def test_people_decide_on_a_candidate_that_was_refused(project, thumbwheel):
    """Nobody compared, so it is refused; then they have, and the same adapter is promoted."""
    with (project / "thumbwheel.toml").open("a") as file:
        file.write(PEOPLE)
    (project / "annotations").mkdir()

    def run(*arguments):
        code, out, err = thumbwheel(*arguments, cwd=project)
        assert code == 0, err
        return out

    assert "nobody has compared answers yet" in run("cycle")
    run("annotate", "compare", "--for", "csv", "--out", "compare")
    fill_in(project / "compare", "tiny@1")
    tasks = ("--tasks", "compare/tasks.jsonl", "--out", "annotations/first.jsonl")
    run("annotate", "import", "compare/filled.csv", *tasks)
    assert "Promoted." in run("decide")

    client = MlflowClient(f"sqlite:///{project / 'home' / 'mlflow.db'}")
    versions = {str(v.version): v.tags for v in client.search_model_versions("name = 'tiny'")}
    assert str(client.get_model_version_by_alias("tiny", "champion").version) == "2"
    assert versions["1"]["verdict"] == "not enough evidence"
    assert versions["2"]["verdict"] == "better"
    weights = [path.read_bytes() for path in project.glob("home/cycles/*/training/*/*.safetensors")]
    assert len(weights) == 2
    assert weights[0] == weights[1]

    code, _, err = thumbwheel("decide", cwd=project)
    assert code == 2
    assert "was promoted as version 2" in err
