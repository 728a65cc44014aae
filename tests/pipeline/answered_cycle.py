"""A finished cycle whose candidate and champion answered, and people who compare their answers."""

import csv
import json
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
from cycle_reports import data_report, training_report

from thumbwheel.config import Config
from thumbwheel.cycle.journal import CycleJournal, CyclePlan
from thumbwheel.events import from_chat, text_identity
from thumbwheel.tables import ANSWERS
from thumbwheel.types import CycleReport, DatasetManifest, Decision, EvalReport

__all__ = ["NAMES", "answered_cycle", "answers", "fill_csv", "fill_label_studio", "two_models"]

NAMES = ("support-bot@2", "support-bot@1")


REPORT = CycleReport(
    cycle_id="c1",
    project="support-bot",
    started_at="2026-11-20T00:00:00+00:00",
    outcome="refused",
    champion_before="1",
    model_version="2",
    data=data_report("d"),
    dataset=DatasetManifest(
        snapshot="s",
        plugins=[],
        digest="d",
        n_pairs=1,
        n_train=1,
        n_train_prompts=1,
        n_eval=0,
        n_eval_prompts=0,
    ),
    training=training_report(),
    evaluation=EvalReport("1", 0.95, 6, 6, {}),
    decision=Decision(False, []),
)


def answers(texts: dict[str, list[str]]) -> pa.Table:
    """Return what a model answered to each question."""
    rows = []
    for question, given_answers in texts.items():
        prompt = from_chat([{"role": "user", "content": question}])
        prompt_id, _ = text_identity(prompt, "")
        for draw, answer in enumerate(given_answers):
            row = {"prompt_id": prompt_id, "prompt": prompt, "draw": draw, "answer": answer}
            rows.append(row | {"finished": True})
    return pa.Table.from_pylist(rows, schema=ANSWERS)


def two_models(n: int, draws: int = 2) -> tuple[pa.Table, pa.Table]:
    """Return answers of a polite candidate and of a curt champion to n prompts."""
    questions = [f"question {number}" for number in range(n)]
    polite = {q: [f"=Certainly, {d}: about {q}." for d in range(draws)] for q in questions}
    curt = {q: [f"-{d} {q}" for d in range(draws)] for q in questions}
    return answers(polite), answers(curt)


def answered_cycle(config: Config, n: int) -> None:
    """Leave what a cycle leaves whose two models answered n prompts."""
    journal = CycleJournal(config.layout.cycles / "c1")
    empty = config.layout.home / "empty"
    empty.mkdir(parents=True)
    started = datetime(2026, 11, 20, tzinfo=UTC)
    journal.begin(CyclePlan("c1", started, "s", "s", "1", REPORT.data), empty)
    journal.write("report", REPORT)
    (journal.path / "answers").mkdir()
    for name, table in zip(("candidate", "champion"), two_models(n), strict=True):
        pq.write_table(table, journal.path / "answers" / f"{name}.parquet")


def fill_csv(folder: Path, choose: Callable[[str, str], str]) -> Path:
    """Fill the table in, as an annotator would."""
    with (folder / "tasks.csv").open(encoding="utf-8-sig", newline="") as file:
        rows = list(csv.DictReader(file))
    for row in rows:
        # What looks like a formula has an apostrophe in front.
        shown = (row[name].removeprefix("'") for name in ("answer_1", "answer_2"))
        row |= {"better": choose(*shown), "annotator": "ann"}
    path = folder / "filled.csv"
    with path.open("w", encoding="utf-8-sig", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]), delimiter=";")
        writer.writeheader()
        writer.writerows(rows)
    return path


def fill_label_studio(folder: Path, choose: Callable[[str, str], str]) -> Path:
    """Return the export of a project into which the tasks were imported."""
    config = (folder / "label-studio.xml").read_text()
    exported = []
    for number, task in enumerate(json.loads((folder / "label-studio.json").read_bytes())):
        for field in ("rubric", "prompt", "answer_1", "answer_2"):
            assert f'value="${field}"' in config
        choice = choose(task["data"]["answer_1"], task["data"]["answer_2"])
        result = {
            "id": f"r{number}",
            "from_name": "better",
            "to_name": "answer_1,answer_2",
            "type": "pairwise",
            "value": {"selected": "left" if choice == "1" else "right"},
        }
        if choice == "tie":
            result |= {
                "from_name": "tie",
                "to_name": "prompt",
                "type": "choices",
                "value": {"choices": ["tie"]},
            }
        annotation = {
            "id": number, "completed_by": {"id": 3}, "result": [result] if choice else [],
            "was_cancelled": False, "updated_at": "2026-11-20T22:17:08.728378Z",
        }  # fmt: skip
        exported.append({"id": number, "annotations": [annotation], **task})
    path = folder / "export.json"
    path.write_text(json.dumps(exported))
    return path
