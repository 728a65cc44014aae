"""People compare two models: what they get is blind, and what they say comes back to the judge."""

import json
import shutil
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from answered_cycle import NAMES, answered_cycle, answers, fill_csv, fill_label_studio, two_models
from hypothesis import given
from hypothesis import strategies as st
from more_pairs import attempt, ingest, make_project, run

from thumbwheel.config import load_config
from thumbwheel.errors import DataError, InputError
from thumbwheel.evidence.judges import Meeting, preferences, read_people
from thumbwheel.labelling.people import compare, read_tasks, write_pairs_for
from thumbwheel.registry import open_registry
from thumbwheel.store import RATED_FILE, Store


def draw(candidate, champion, names=NAMES, n=100, per_prompt=1, seed=0):
    return compare(candidate, champion, names, n=n, per_prompt=per_prompt, seed=seed)


@pytest.mark.parametrize("tool", ["csv", "label-studio"])
def test_what_annotators_get_is_the_same_for_swapped_models(tmp_path, tool):
    """Byte by byte: no order, id or field tells which model wrote which answer."""
    candidate, champion = two_models(20)
    written = []
    for name, pair in {"a": (candidate, champion), "b": (champion, candidate)}.items():
        (tmp_path / name).mkdir()
        tasks = draw(*pair, per_prompt=2).tasks
        files = write_pairs_for(tool, tmp_path / name, tasks, "Prefer what is right.")
        written.append([path.read_bytes() for path in files])
        if name == "a":
            first = sum(task.answers[0].model_version == NAMES[0] for task in tasks)
            assert 8 <= first <= 32
    assert written[0] == written[1]
    together = b"".join(written[0])
    assert b"Prefer what is right." in together
    assert not any(name.encode() in together for name in NAMES)


def test_what_annotators_do_not_get_says_who_wrote_what():
    """The key stays in the tasks; an answer that both models gave belongs to neither."""
    tasks = draw(answers({"q": ["both", "ours"]}), answers({"q": ["theirs", "both"]}), per_prompt=2)
    wrote = {answer.completion: answer.model_version for t in tasks.tasks for answer in t.answers}
    assert wrote == {"both": None, "ours": NAMES[0], "theirs": NAMES[1]}


@given(
    st.integers(1, 12),
    st.integers(1, 3),
    st.integers(1, 40),
    st.integers(0, 5),
)
def test_more_tasks_begin_with_fewer(n_prompts, per_prompt, n, seed):
    """Every beginning of a draw is a draw, prompts come before second tasks, limits hold."""
    models = two_models(n_prompts, draws=3)
    every = draw(*models, n=1000, per_prompt=per_prompt, seed=seed)
    some = draw(*models, n=n, per_prompt=per_prompt, seed=seed)
    assert some.tasks == every.tasks[:n]
    assert len(some.tasks) + some.n_left == len(every.tasks) == n_prompts * per_prompt
    assert len({task.prompt_id for task in every.tasks[:n_prompts]}) == n_prompts


def test_answers_that_nobody_needs_to_read_are_left_out():
    """Identical answers, and those that are too long, are counted; with none left, it is told."""
    ours = answers({"same": ["yes"], "spaced": ["Yes\n"], "long": ["x" * 30_000], "q": ["a"]})
    theirs = answers({"same": ["yes"], "spaced": ["yes"], "long": ["y"], "q": ["b"], "other": [""]})
    compared = draw(ours, theirs)
    assert [{a.completion for a in task.answers} for task in compared.tasks] == [{"a", "b"}]
    assert sorted(compared.problems.values()) == [1, 2]
    with pytest.raises(DataError, match="nothing to compare: 1 times"):
        draw(answers({"same": ["yes"]}), answers({"same": ["yes"]}))
    with pytest.raises(DataError, match="no prompt in common"):
        draw(answers({"a": ["yes"]}), answers({"b": ["no"]}))


# --- the commands ------------------------------------------------------------------------------


FILL = {"csv": fill_csv, "label-studio": fill_label_studio}


def polite(one: str, other: str) -> str:
    """Choose as somebody who likes politeness, finds all alike in question 3, and skips 4."""
    if "question 3" in one:
        return "tie"
    if "question 4" in one:
        return ""
    return "1" if "Certainly" in one else "2"


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A project with a finished cycle whose two models answered six prompts."""
    config = make_project(tmp_path, tmp_path / "tiny")
    (tmp_path / "thumbs.jsonl").touch()
    answered_cycle(load_config(config), 6)
    return config


def bring_back(config: Path, *exported: object, out: str = "first") -> str:
    tasks, events = config.parent / "tasks", config.parent / "annotations" / f"{out}.jsonl"
    return run(
        "annotate", "import", *exported, "--tasks", tasks / "tasks.jsonl", "--out", events,
        "-c", config,
    )  # fmt: skip


def judged(config: Path) -> dict[str, float]:
    """Return how the people of the store prefer the candidate's answer to each question."""
    settings = ingest(config)
    with Store(settings.layout.store) as store:
        assert not store.dead_letters(limit=1)
        snapshot = store.snapshot(config.parent / "snapshot", settings.vote_policy)
    candidate, champion = (table.to_pylist() for table in two_models(6))
    meetings = [
        Meeting(row["prompt_id"], row["prompt"], row["answer"], other["answer"])
        for row, other in zip(candidate, champion, strict=True)
        if row["draw"] == 0
    ]
    said = preferences(read_people(snapshot.path), meetings)
    return dict(zip((m.prompt[0]["content"][-1] for m in meetings), said, strict=True))


SAID = {"0": 1, "1": 1, "2": 1, "3": 0.5, "4": np.nan, "5": 1}
"""What `polite` prefers, by question."""


@pytest.mark.parametrize("tool", FILL)
def test_a_round_trip_ends_at_the_judge(project, tool):
    """What a tool was filled with is what the judge says, ties and gaps too, and once only."""
    folder = project.parent / "tasks"
    printed = run("annotate", "compare", "-c", project, "--out", folder, "--for", tool)
    assert "Wrote 6 tasks of 6 prompts" in printed
    exported = FILL[tool](folder, polite)
    assert "5 rankings with 4 judgements and 1 ties" in bring_back(project, exported)
    assert judged(project) == pytest.approx(SAID, nan_ok=True)
    assert "Nothing new" in bring_back(project, exported)
    # Given again under another name, they are known.
    bring_back(project, exported, out="again")
    assert judged(project) == pytest.approx(SAID, nan_ok=True)
    assert len(stored(project)) == 10


def stored(config: Path) -> dict[str, str]:
    """Return who wrote each answer in the store."""
    settings = load_config(config)
    with Store(settings.layout.store) as store:
        snapshot = store.snapshot(config.parent / "snapshot", settings.vote_policy)
    rows = pq.read_table(snapshot.path / RATED_FILE).to_pylist()
    return {row["completion"]: row["model_version"] for row in rows}


# As elsewhere, MLflow's own queries use what SQLAlchemy is about to remove.
@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")
def test_a_round_trip_over_mlflow(project, fresh_database, monkeypatch, tmp_path):
    """A review queue holds each task once, tells nothing of the models, and gives the choices."""
    (tmp_path / "cwd").mkdir()
    monkeypatch.chdir(tmp_path / "cwd")
    settings = load_config(project)
    shutil.copy(fresh_database, settings.layout.mlflow_database)
    folder = project.parent / "tasks"
    command = ("annotate", "compare", "-c", project, "--out", folder, "--for", "mlflow")
    assert "review-queue" in run(*command, "--reviewer", "Ann")
    # As after a kill before the tasks were written down.
    (folder / "tasks.jsonl").unlink()
    run(*command)
    registry = open_registry(settings)
    with registry._connection.client() as client:
        review(client)
    printed = bring_back(project)
    assert "5 rankings with 4 judgements and 1 ties" in printed
    assert judged(project) == pytest.approx(SAID, nan_ok=True)
    registry.erase_texts(
        str, page="-", is_in_page=lambda text: "question 1" in text, instead="", spared=()
    )
    assert "4 rankings" in bring_back(project, out="later")
    assert b"about question 1" not in settings.layout.mlflow_database.read_bytes()


def review(client) -> None:
    """Answer every item of the only queue, as its reviewer ann does in MLflow's pages."""
    import mlflow
    from mlflow.entities import AssessmentSource
    from mlflow.genai import review_queues

    experiment = client.get_experiment_by_name("support-bot")
    (queue,) = review_queues.list_review_queues(experiment_id=experiment.experiment_id)
    assert queue.users == ["ann"]
    items = review_queues.list_review_queue_items(queue.queue_id)
    assert len(items) == 6
    for item in items:
        trace = mlflow.get_trace(item.item_id)
        told = json.dumps([trace.info.tags, trace.info.trace_metadata])
        assert not any(name in told for name in (*NAMES, "candidate", "champion"))
        (span,) = trace.data.spans
        assert set(span.inputs) == {"rubric", "prompt"}
        choice = polite(span.outputs["answer_1"], span.outputs["answer_2"])
        if not choice:
            continue
        mlflow.log_feedback(
            trace_id=item.item_id,
            name="better_answer",
            value={"1": "Answer 1", "2": "Answer 2", "tie": "Tie"}[choice],
            source=AssessmentSource(source_type="HUMAN", source_id="ann"),
        )


def test_the_models_are_known_at_home(project):
    """The events name the model of each answer; the rubric of the configuration is shown."""
    text = project.read_text() + '\n[[judges]]\nuse = "people"\nrubric = "Prefer <rhymes>, $5."\n'
    project.write_text(text)
    folder = project.parent / "tasks"
    run("annotate", "compare", "c1", "-c", project, "--out", folder, "-n", 3, "--seed", 7)
    tasks = read_tasks(folder / "tasks.jsonl")
    bring_back(project, fill_csv(folder, polite))
    assert "Prefer <rhymes>, $5." in (folder / "tasks.csv").read_text()
    ingest(project)
    assert (
        stored(project).items()
        <= {
            answer.completion: answer.model_version
            for task in tasks.values()
            for answer in task.answers
        }.items()
    )
    assert {"Certainly" in text: name for text, name in stored(project).items()} == {
        True: NAMES[0],
        False: NAMES[1],
    }


def test_choices_that_cannot_be_read_are_counted_with_their_reason(project):
    """A word that is no choice, and a tie that is none, are told; the rest is used."""
    folder = project.parent / "tasks"
    run("annotate", "compare", "-c", project, "--out", folder, "--for", "label-studio")
    exported = json.loads(fill_label_studio(folder, lambda one, other: "1").read_bytes())
    exported[0]["annotations"][0]["result"].append(
        {"from_name": "tie", "type": "choices", "value": {"choices": ["tie"]}}
    )
    exported[1]["annotations"][0]["result"] = []
    path = folder / "mixed.json"
    path.write_text(json.dumps(exported))
    printed = bring_back(project, path)
    assert "4 rankings with 4 judgements" in printed
    assert "what it says is better is none of 1, 2 and tie" in printed
    assert "nothing is ranked in it" in printed


def test_mistakes_are_told(project):
    """A cycle without answers, a folder that is taken, and a queue that is not there."""
    folder = project.parent / "tasks"
    command = ("annotate", "compare", "-c", project, "--out", folder)
    run(*command)
    assert "is there already" in str(attempt(*command).exception)
    queue = ("annotate", "import", "--tasks", folder / "tasks.jsonl", "-c", project)
    missing = attempt(*queue, "--out", folder / "events.jsonl").exception
    assert isinstance(missing, InputError)
    shutil.rmtree(load_config(project).layout.cycles / "c1" / "answers")
    unknown = attempt(*command[:-1], folder / "other").exception
    assert isinstance(unknown, DataError)
    assert "does not hold the answers of both models" in str(unknown)
