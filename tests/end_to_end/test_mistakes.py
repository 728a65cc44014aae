"""Wrong input: one clear line, the documented exit code, no traceback, nothing lost."""

import json
import random
import shutil
import socket

import pytest

from thumbwheel.cli import main
from thumbwheel.cycle import stages
from thumbwheel.errors import TrainingError
from thumbwheel.store import Store


@pytest.fixture
def run(project, monkeypatch, capsys):
    """Run a command in the project's directory, in this process."""
    monkeypatch.chdir(project)
    monkeypatch.setenv("COLUMNS", "200")

    def call(*arguments):
        with pytest.raises(SystemExit) as stop:
            main(arguments)
        captured = capsys.readouterr()
        return stop.value.code, captured.out, captured.err

    return call


def edit(project, old, new):
    path = project / "thumbwheel.toml"
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))


def break_model(project):
    (project / "model").unlink()
    (project / "model").mkdir()


def cut_weights(project):
    model = (project / "model").resolve()
    (project / "model").unlink()
    shutil.copytree(model, project / "model")
    weights = project / "model" / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:1000])


def closed_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def flip_coins(project):
    """Replace the feedback by votes of which no two raters agree more than by chance."""
    draw = random.Random(0)
    with (project / "feedback.jsonl").open("w") as file:
        for question in range(200):
            for answer in ("one", "two", "three"):
                record = {"prompt": f"question {question}", "answer": answer}
                for user in draw.sample(range(40), 6):
                    rating = draw.choice(("up", "down"))
                    file.write(json.dumps(record | {"rating": rating, "user": f"u{user}"}) + "\n")


def keep_few(project):
    path = project / "feedback.jsonl"
    path.write_text("".join(path.read_text().splitlines(keepends=True)[:36]))


MISTAKES = {
    "no configuration": (lambda p: (p / "thumbwheel.toml").unlink(), 2, "thumbwheel init"),
    "not TOML": (lambda p: edit(p, '"tiny"', "tiny"), 2, "not valid TOML"),
    "wrong key": (lambda p: edit(p, "held_out", "heldout"), 2, "unknown key `dataset.heldout`"),
    "wrong value": (lambda p: edit(p, "0.4", "4"), 2, "`dataset.held_out`"),
    "unknown plugin": (lambda p: edit(p, "all_pairs", "al_pairs"), 2, "did you mean 'all_pairs'"),
    "unknown connector": (lambda p: edit(p, '"file"', '"fiel"'), 2, "did you mean 'file'"),
    "missing export": (lambda p: (p / "feedback.jsonl").unlink(), 2, "feedback.jsonl"),
    "no model": (break_model, 2, "holds no model"),
    "no model directory": (lambda p: (p / "model").unlink(), 2, "model"),
    "cut weights": (cut_weights, 2, "cannot load the model"),
    "nothing readable": (lambda p: edit(p, '"answer"', '"anser"'), 2, "no pairs"),
    "too few asked": (
        lambda p: edit(p, "min_prompts = 10", "min_prompts = 30"),
        2,
        "`max_generations` in [evaluation] is 20",
    ),
    "too few held out": (keep_few, 2, "no candidate is promoted on fewer than 10"),
    "votes by chance": (flip_coins, 7, "nothing was trained: an estimated "),
    "MLflow down": (
        lambda p: edit(
            p, "[gate]", f'[mlflow]\ntracking_uri = "http://127.0.0.1:{closed_port()}"\n[gate]'
        ),
        4,
        "127.0.0.1",
    ),
}


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")
@pytest.mark.parametrize("mistake", MISTAKES)
def test_mistakes_are_one_line(project, run, mistake):
    """`thumbwheel cycle` with a mistake says what was wrong and ends with the documented code."""
    make, expected, message = MISTAKES[mistake]
    make(project)
    code, _, err = run("cycle")
    assert code == expected, err
    assert message in err
    assert len(err.strip().splitlines()) == 1
    assert "Traceback" not in err


def test_a_refusal_before_training_leaves_no_trace(project, run, monkeypatch):
    """No part of the split is remembered; the same is refused again, and a higher limit trains."""
    flip_coins(project)
    for _ in range(2):
        code, _, err = run("cycle")
        assert code == 7
        assert "`max_wrong_pairs` in [audit] allows 30%" in err
    assert not (project / "home" / "split.parquet").exists()
    edit(project, "[gate]", "[audit]\nmax_wrong_pairs = 1\n[gate]")

    def train(*_):
        raise TrainingError("it came to training")

    monkeypatch.setattr(stages, "train", train)
    code, _, err = run("cycle")
    assert code == 5, err
    assert "it came to training" in err


def test_a_held_store_is_told(project, run):
    """While another connection of this kind holds the store, `ingest` says so."""
    assert run("ingest")[0] == 0
    import multiprocessing

    context = multiprocessing.get_context("spawn")
    ready, done = context.Event(), context.Event()
    holder = context.Process(target=hold, args=(project / "home/store.duckdb", ready, done))
    holder.start()
    try:
        assert ready.wait(60)
        code, _, err = run("ingest")
        assert code == 3
        assert "held by another process" in err
        assert len(err.splitlines()) == 1
    finally:
        done.set()
        holder.join(60)
    code, out, _ = run("status")
    assert code == 0
    assert "80" in out


def hold(path, ready, done):
    with Store(path):
        ready.set()
        done.wait(60)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("show", "nothing"), "no cycle 'nothing'"),
        (("status",), "thumbwheel ingest"),
        (("pairs",), "thumbwheel ingest"),
        (("init",), "is there already"),
        (("cycle", "--confg", "x"), "No such option"),
        (("cylce",), "No such command"),
    ],
)
def test_commands_that_cannot_work_say_why(run, arguments, message):
    """Each command names what is missing and what to run."""
    code, _, err = run(*arguments)
    assert code == 2
    assert message in err
    assert "Traceback" not in err


def test_nothing_is_lost_by_a_mistake(project, run):
    """What was ingested before a mistake is there after it is mended."""
    edit(project, '"all_pairs"', '"nowhere.py:P"')
    assert run("ingest")[0] == 2
    edit(project, '"nowhere.py:P"', '"all_pairs"')
    assert run("ingest")[0] == 0
    code, out, _ = run("pairs", "--limit", "1")
    assert code == 0
    assert "chosen" in out


def test_the_newcomers_path(run):
    """`init` writes a configuration and names the next commands; `plugins` lists what there is."""
    code, out, _ = run("init", "fresh/thumbwheel.toml")
    assert code == 0
    assert "thumbwheel cycle -c fresh/thumbwheel.toml" in out
    code, out, _ = run("plugins")
    assert code == 0
    for name in ("all_pairs", "best_worst", "length_match", "near_identical", "file", "kafka"):
        assert name in out
    code, out, _ = run("--help")
    assert code == 0
    for command in ("init", "ingest", "pairs", "cycle", "status", "show", "plugins", "demo", "ui"):
        assert command in out
