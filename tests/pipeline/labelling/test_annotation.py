"""Annotation, from the store to tasks, through each tool's format, and back as comparisons."""

import csv
import json
import random
import shutil
from collections import Counter
from typing import Any

import pyarrow.parquet as pq
import pytest
from filled_tasks import FILL, fill_csv, fill_label_studio
from more_pairs import attempt, compared, ingest, make_project, run

from thumbwheel.errors import DataError, InputError, UnavailableError
from thumbwheel.events import EventParser, from_chat, text_identity
from thumbwheel.labelling.people import make_task, read_tasks
from thumbwheel.labelling.people.tasks import Answer
from thumbwheel.store import COMPARISONS_FILE, Store

pytestmark = pytest.mark.usefixtures("one_thread")


def thumbs(n_prompts, answers=2):
    """Yield feedback on prompts of five topics; half of the answers are rated by nobody."""
    topics = ("refund", "login", "delivery", "invoice", "=HYPERLINK")
    for prompt in range(n_prompts):
        topic = topics[prompt % 5]
        for number in range(answers):
            event = {
                "prompt": f"{topic} question {prompt} of user {prompt * 7}",
                "completion": f"the answer {number} about {topic} {prompt}",
                "model_version": f"v{number}",
            }
            yield event | ({"score": 1, "rater_id": f"u{prompt}"} if number % 2 else {})


@pytest.fixture(scope="module")
def prepared(tmp_path_factory, tiny_model, running):
    folder = tmp_path_factory.mktemp("project")
    ingest(make_project(folder, tiny_model, running.url), list(thumbs(12)))
    return folder


@pytest.fixture
def project(tmp_path, prepared, server):
    """A project with twelve prompts of two answers each in its store."""
    return shutil.copytree(prepared, tmp_path / "project") / "more-pairs.toml"


def sample(config, tool="csv", completions=2, n=6, **options):
    """Write tasks and return their folder."""
    folder = config.parent / f"tasks-{tool}"
    more = [text for key, value in options.items() for text in (f"--{key}", value)]
    run(
        "annotate", "sample", "-c", config, "--out", folder, "--for", tool, "--n", n,
        "--completions", completions, *more,
    )  # fmt: skip
    return folder


def bring_back(config, exported, folder, *options):
    """Import what a tool exported, and return the printed report."""
    out = config.parent / "annotations" / "batch.jsonl"
    tasks = folder / "tasks.jsonl"
    return run(
        "annotate", "import", exported, "--tasks", tasks, "--out", out, "-c", config, *options
    )


@pytest.mark.parametrize("tool", FILL)
def test_a_round_trip_ends_as_comparisons(project, tool):
    """Tasks written for a tool, ranked in it and imported, are comparisons of annotators."""
    folder = sample(project, tool)
    exported = FILL[tool](folder)
    report = bring_back(project, exported, folder)
    assert "6 rankings with 6 judgements" in report
    assert "The source 'annotators' reads it" in report
    rows = compared(ingest(project), project.parent)
    assert [origin for _, _, origin in rows] == ["annotation"] * 6
    for chosen, rejected, _ in rows:
        assert chosen.replace("answer 1", "answer 0") == rejected
    assert "Nothing new" in bring_back(project, exported, folder)


def test_every_event_is_in_the_event_format(project):
    """Each line of the file parses, with a rater, a time, and the model version it had."""
    folder = sample(project, "label-studio")
    bring_back(project, fill_label_studio(folder), folder)
    lines = (project.parent / "annotations" / "batch.jsonl").read_bytes().splitlines()
    parsed = EventParser().parse_batch(lines)
    assert not parsed.malformed
    events = parsed.events.to_pylist()
    votes = [event for event in events if event["is_vote"]]
    assert (len(events), len(votes)) == (24, 12)
    assert {vote["rater_id"] for vote in votes} == {"annotator:3"}
    assert {vote["occurred_at"].isoformat() for vote in votes} == {
        "2026-03-09T22:17:08.728378+00:00"
    }
    assert set(Counter(vote["comparison_id"] for vote in votes).values()) == {2}
    assert {event["model_version"] for event in events if not event["is_vote"]} == {"v0", "v1"}


def test_label_studio_gets_what_its_tags_read(project):
    """The tasks hold what the labeling configuration names: a text, and items with id and body."""
    folder = sample(project, "label-studio")
    config = (folder / "label-studio.xml").read_text()
    for task in json.loads((folder / "label-studio.json").read_bytes()):
        assert {f'value="${key}"' in config for key in ("prompt", "answers")} == {True}
        assert isinstance(task["data"]["prompt"], str)
        for item in task["data"]["answers"]:
            assert set(item) == {"id", "title", "body"}


def test_the_order_does_not_tell_who_answered():
    """However answers are given, each is shown first about as often, and a task is itself again."""
    first: Counter[Any] = Counter()
    for number in range(300):
        prompt = from_chat([{"role": "user", "content": f"question {number}"}])
        texts = ["by production", "by the new model", "by another"]
        answers = [
            Answer(text_identity(prompt, text)[1], text, None, generated=False) for text in texts
        ]
        task = make_task(prompt, answers)
        assert task == make_task(prompt, answers[::-1])
        first[task.answers[0].completion] += 1
    assert all(70 < count < 130 for count in first.values())


def test_missing_answers_are_written_by_the_current_model(project):
    """Production's answers come first; the base model, as there is no champion, writes a third."""
    folder = sample(project, completions=3, n=3)
    for task in read_tasks(folder / "tasks.jsonl").values():
        made = Counter(answer.generated for answer in task.answers)
        assert made == {False: 2, True: 1}
        (new,) = (answer for answer in task.answers if answer.generated)
        assert new.model_version == load_name(project)
        assert (task.prompt_id, new.completion_id) == text_identity(task.prompt, new.completion)
    assert not (folder / "generated.jsonl").exists()


def load_name(config):
    from thumbwheel.config import load_config

    return load_config(config).model.path.name


def test_missing_answers_are_written_by_the_endpoint(project, server):
    """With --with endpoint the same comes from there; a request that fails costs one answer."""
    server.next.extend(["400"])
    folder = sample(project, completions=3, n=4, **{"with": "endpoint"})
    tasks = read_tasks(folder / "tasks.jsonl").values()
    versions = Counter(a.model_version for task in tasks for a in task.answers if a.generated)
    # The one that failed was asked for again.
    assert versions == {"qwen3-8b": 4}
    assert len(server.requests) == 5


def test_an_interrupted_run_does_not_pay_twice(project, server):
    """When the endpoint goes away, what it wrote is kept, and the next run asks for the rest."""
    server.next.extend(["answer"] * 3 + ["cut"] * 60)
    folder = project.parent / "tasks"
    command = (
        "annotate", "sample", "-c", project, "--out", folder, "--n", 12, "--completions", 4,
        "--with", "endpoint",
    )  # fmt: skip
    result = attempt(*command)
    assert isinstance(result.exception, UnavailableError)
    n_kept = len((folder / "generated.jsonl").read_bytes().splitlines())
    assert n_kept >= 1
    assert not (folder / "tasks.jsonl").exists()
    server.reset()
    run(*command)
    assert len(server.requests) == 24 - n_kept


def test_the_estimate_comes_before_anything_is_written(project, server):
    """--dry-run shows what is there, what is to be written, and what it costs; nothing is asked."""
    folder = project.parent / "tasks"
    command = ("annotate", "sample", "-c", project, "--out", folder, "--completions", 3)
    printed = run(*command, "--with", "endpoint", "--hourly-rate", 60, "--dry-run")
    assert "12 tasks" in printed
    rows = {line.strip().split("  ")[0]: line.split() for line in printed.splitlines()}
    assert rows["answers that production gave"][-2:] == ["2.0", "24"]
    assert rows["answers to write"][-2:] == ["1.0", "12"]
    minutes, _, usd = rows["minutes to read everything, about"][-3:]
    # A dollar a minute.
    assert float(usd) == pytest.approx(float(minutes), abs=0.6)
    assert float(rows["cost, about"][-1]) >= float(usd) > 0
    assert not folder.exists()
    assert not server.requests


def test_what_was_annotated_is_not_drawn_again(project):
    """Once rankings are ingested, the next sample leaves their prompts out, until none is left."""
    folder = sample(project, n=7)
    bring_back(project, fill_csv(folder), folder)
    ingest(project)
    first = {task.prompt_id for task in read_tasks(folder / "tasks.jsonl").values()}
    again = sample(project, "argilla", n=12)
    second = {task.prompt_id for task in read_tasks(again / "tasks.jsonl").values()}
    assert (len(first), len(second)) == (7, 5)
    assert not first & second


def test_pairs_of_all_or_of_adjacent_ranks(project):
    """Of three ranks, all give three judgements a task and adjacent ones two."""
    folder = sample(project, "label-studio", completions=3, n=2)
    exported = fill_label_studio(folder)
    assert "2 rankings with 4 judgements" in bring_back(
        project, exported, folder, "--pairs", "adjacent"
    )
    out = project.parent / "annotations" / "all.jsonl"
    command = ("annotate", "import", exported, "--tasks", folder / "tasks.jsonl", "-c", project)
    assert "2 rankings with 6 judgements" in run(*command, "--out", out)


def test_ties_are_told_as_ties(project):
    """Equal ranks in the table are a tie: a comparison that neither answer wins, and no pair."""
    folder = sample(project, completions=3, n=2)
    text = (folder / "tasks.csv").read_text(encoding="utf-8-sig")
    (folder / "tied.csv").write_text(text.replace(",,,,", ",ben,1.0,2,2"), encoding="utf-8")
    table = (folder / "tied.csv").read_text().replace(",ben,1.0,2,2", ",ben,1.0,2,2,")
    (folder / "tied.csv").write_text(table, encoding="utf-8")
    report = bring_back(project, folder / "tied.csv", folder)
    assert "2 rankings with 4 judgements and 2 ties" in report
    settings = ingest(project)
    assert len(compared(settings, project.parent)) == 6
    with Store(settings.layout.store) as store:
        snapshot = store.snapshot(project.parent / "snapshot", settings.vote_policy)
    rows = pq.read_table(snapshot.path / COMPARISONS_FILE).to_pylist()
    counts = Counter((row["n_for"], row["n_against"]) for row in rows)
    assert counts == {(1, 0): 4, (0.5, 0.5): 2}


def test_what_cannot_be_used_is_counted_with_its_reason(project):
    """Rankings of unknown tasks, with gaps, skipped or given again are told, the rest is used."""
    folder = sample(project, "label-studio")
    exported = json.loads(fill_label_studio(folder).read_bytes())
    exported[0]["data"]["task_id"] = "unknown"
    exported[1]["annotations"][0]["result"][0]["value"]["ranker"]["rank"].pop()
    exported[2]["annotations"][0]["was_cancelled"] = True
    exported[3]["annotations"][0]["result"] = []
    exported[4]["annotations"].append(
        json.loads(json.dumps(exported[4]["annotations"][0]).replace("22:17", "22:18"))
    )
    exported[4]["annotations"][1]["result"][0]["value"]["ranker"]["rank"].reverse()
    exported[5]["annotations"][0]["completed_by"] = None
    path = folder / "mixed.json"
    path.write_text(json.dumps(exported))
    report = bring_back(project, path, folder)
    assert "1 rankings with 1 judgements" in report
    for reason in (
        "its task is not in tasks.jsonl",
        "a rank is missing in it",
        "the annotator skipped the task",
        "nothing is ranked in it",
        "the same annotator ranked the task again",
        "it names no annotator; --annotator gives a name",
    ):
        assert reason in report
    # The later ranking counts.
    ((chosen, rejected, _),) = compared(ingest(project), project.parent)
    assert chosen.replace("answer 0", "answer 1") == rejected


def test_nothing_to_use_is_an_error(project):
    """When no ranking can be used, nothing is written and the exit code says wrong input."""
    folder = sample(project, "label-studio")
    exported = fill_label_studio(folder, was_cancelled=True)
    with pytest.raises(DataError, match="holds no ranking that can be used"):
        bring_back(project, exported, folder)
    assert DataError.exit_code == 2
    assert not list((project.parent / "annotations").iterdir())


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.json", "[1, 2", "no export that is known"),
        ("a.json", '{"tasks": []}', "no export that is known"),
        ("a.csv", "task,rank\n1,2\n", "it needs task_id"),
        ("a.csv", b"task_id,rank_1\n\xff\xfe,1\n", "not UTF-8"),
    ],
)
def test_other_files_are_refused(project, name, content, message):
    """What is no export is refused with a line that says what to export."""
    folder = sample(project)
    path = folder / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(InputError, match=message):
        bring_back(project, path, folder)


def test_a_file_of_events_is_never_changed(project):
    """Other rankings need another file: what a source has read may not change."""
    folder = sample(project)
    exported = fill_csv(folder)
    bring_back(project, exported, folder)
    exported.write_text(exported.read_text(encoding="utf-8-sig").replace("anna", "ben"))
    with pytest.raises(InputError, match="give another name in the same folder"):
        bring_back(project, exported, folder)


def test_a_table_of_semicolons_is_read(project):
    """Spreadsheets of half the world divide by semicolons."""
    folder = sample(project)
    assert "6 rankings" in bring_back(project, fill_csv(folder, ";"), folder)


def test_no_text_becomes_a_formula(project):
    """A prompt that begins like a formula is written so that no spreadsheet runs it."""
    folder = sample(project, n=12)
    with (folder / "tasks.csv").open(encoding="utf-8-sig", newline="") as file:
        cells = [cell for row in csv.reader(file) for cell in row]
    assert any("=HYPERLINK" in cell for cell in cells)
    assert not [cell for cell in cells if cell.startswith(("=", "+", "-", "@"))]


def test_a_task_keeps_the_identity_of_a_chat_with_tools(tmp_path):
    """Tool calls go through tasks.jsonl and the events unharmed: the prompt keeps its identity."""
    call = {"id": "c1", "type": "function", "function": {"name": "f", "arguments": {"x": [1, "é"]}}}
    prompt = from_chat(
        [
            {"role": "user", "content": "weather?"},
            {"role": "assistant", "content": "", "tool_calls": [call]},
            {"role": "tool", "content": "sunny", "tool_call_id": "c1"},
        ]
    )
    answers = [
        Answer(text_identity(prompt, text)[1], text, None, generated=False) for text in ("a", "b")
    ]
    from thumbwheel.labelling.people import Ranking, to_events, write_events, write_tasks

    task = make_task(prompt, answers)
    write_tasks(tmp_path / "tasks.jsonl", [task])
    assert read_tasks(tmp_path / "tasks.jsonl") == {task.task_id: task}
    ranking = Ranking(task.task_id, "anna", [("answer_1", 1), ("answer_2", 2)])
    imported = to_events({task.task_id: task}, [ranking], "all", None)
    write_events(tmp_path / "events.jsonl", imported.events)
    lines = (tmp_path / "events.jsonl").read_bytes().splitlines()
    events = EventParser().parse_batch(lines).events.to_pylist()
    assert {e["prompt_id"] for e in events if e["prompt"]} == {task.prompt_id}
    assert {e["completion_id"] for e in events if e["prompt"]} == {a.completion_id for a in answers}


def test_the_same_rankings_in_any_order_give_the_same_events():
    """Events follow from who said what, not from the order of the export."""
    from thumbwheel.labelling.people import Ranking, to_events

    prompt = from_chat([{"role": "user", "content": "q"}])
    answers = [
        Answer(text_identity(prompt, text)[1], text, None, generated=False) for text in "abcd"
    ]
    task = make_task(prompt, answers)
    draw = random.Random(0)
    rankings = [
        Ranking(task.task_id, who, [(f"answer_{n}", draw.randint(1, 3)) for n in range(1, 5)])
        for who in ("anna", "ben", "cleo")
    ]
    once = to_events({task.task_id: task}, rankings, "all", None)
    again = to_events({task.task_id: task}, rankings[::-1], "all", None)
    assert once == again
    assert once.n_judgements + once.n_ties == 3 * 6
    ids = [event["event_id"] for event in once.events]
    assert len(ids) == len(set(ids))
