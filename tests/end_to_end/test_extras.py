"""What `pip install thumbwheel` brings is enough, or one line says which extra is needed.

The commands run in a process that finds nothing else: what the base's requirements do not bring is
hidden from it.
"""

import json
import re
import subprocess
import sys
import tomllib
from importlib.metadata import PackageNotFoundError, packages_distributions, requires
from pathlib import Path

import pytest
import typer
from feedback import feedback
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from projects import configuration
from thumbwheel.cli.app import app
from thumbwheel.process.extras import EXTRAS, explain

PROJECT = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text())["project"]

CONFIG = configuration(
    '[endpoint]\nurl = "http://127.0.0.1:1/v1"\nmodel = "none"\n',
    path="feedback.jsonl",
    source="app",
    keys="""
[sources.mapping]
prompt = "prompt"
completion = "answer"
rating = "rating"
rater = "user"
""",
)

# What is typed, and what it ends with: 0, or 2 and what the line says. In this order.
NEEDS = "thumbwheel[{}]".format
COMMANDS = {
    "init": ("init new.toml", None),
    "cycle": ("cycle", NEEDS("train")),
    "decide": ("decide", NEEDS("train")),
    "power": ("power", NEEDS("train")),
    "demo": ("demo --directory demo", NEEDS("train")),
    "serve": ("serve", NEEDS("serve")),
    "audit": ("audit", NEEDS("audit")),
    "annotate sample": ("annotate sample --out tasks", NEEDS("audit")),
    "ui": ("ui", NEEDS("mlflow")),
    "ingest": ("ingest", None),
    "pairs": ("pairs", None),
    "yield": ("yield", None),
    "status": ("status", None),
    "query": ("query 'SELECT count(*) FROM events'", None),
    "explain": ("explain nothing", "nothing is known of 'nothing'"),
    "export": ("export current --out exported", None),
    "export datasets": ("export current --out sets --format datasets", NEEDS("train")),
    "write-pairs": ("write-pairs --out written.jsonl --dry-run", None),
    "annotate compare": ("annotate compare --out compared", "no cycle"),
    "annotate import": ("annotate import none.csv --tasks none --out e.jsonl", "none"),
    "show": ("show", "cycle"),
    "history": ("history", None),
    "plugins list": ("plugins list", None),
    "plugins new": ("plugins new mine", None),
    "plugins check": ("plugins check none.py", "cannot read the plugin file"),
    "dead-letters list": ("dead-letters list", None),
    "dead-letters show": ("dead-letters show 1", "1"),
    "dead-letters replay": ("dead-letters replay", None),
    "rebuild": ("rebuild", None),
    "forget": ("forget u1 --yes", None),
    "from kafka": ("ingest -c kafka.toml", NEEDS("kafka")),
    "from mlflow": ("ingest -c mlflow.toml", NEEDS("mlflow")),
}

RUN = """
import contextlib, io, json, shlex, sys
from pathlib import Path

class Hidden:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in hidden:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)

hidden, commands = json.load(sys.stdin)
sys.meta_path.insert(0, Hidden())

from thumbwheel.cli import main

ended = {}
for name, typed in commands.items():
    before = sorted(str(path) for path in Path().iterdir())
    out, err = (io.TextIOWrapper(io.BytesIO(), write_through=True) for _ in range(2))
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            main(shlex.split(typed))
        except SystemExit as stop:
            code = stop.code or 0
    made = sorted({str(path) for path in Path().iterdir()} - {*before})
    texts = [stream.buffer.getvalue().decode() for stream in (out, err)]
    ended[name] = [code, *texts, made]
print(json.dumps(ended))
"""


def base_distributions():
    """Return all that the base's requirements bring, without their extras."""
    found, ahead = set(), [Requirement(line) for line in PROJECT["dependencies"]]
    while ahead:
        name = canonicalize_name(ahead.pop().name)
        if name in found:
            continue
        try:
            listed = requires(name) or []
        except PackageNotFoundError:  # of another Python or system
            continue
        found.add(name)
        ahead += [
            requirement
            for requirement in map(Requirement, listed)
            if requirement.marker is None or requirement.marker.evaluate({"extra": ""})
        ]
    return found


@pytest.fixture(scope="module")
def ended(tmp_path_factory):
    """Run every command on a base installation; what each ended with, printed and made."""
    folder = tmp_path_factory.mktemp("base")
    (folder / "model").mkdir()
    with (folder / "feedback.jsonl").open("w") as file:
        file.writelines(json.dumps(record) + "\n" for record in feedback(40))
    (folder / "thumbwheel.toml").write_text(CONFIG)
    for name, options in (
        ("kafka", 'options.topics = "thumbs"'),
        ("mlflow", 'options = { tracking_uri = "sqlite:///m.db", experiment = "e" }'),
    ):
        source = f'[[sources]]\nname = "{name}"\nconnector = "{name}"\n{options}\n'
        (folder / f"{name}.toml").write_text(CONFIG.replace("[[plugins]]", source + "[[plugins]]"))
    base = base_distributions()
    hidden = [
        module
        for module, distributions in packages_distributions().items()
        if not {canonicalize_name(name) for name in distributions} & (base | {"thumbwheel"})
        and not module.startswith("thumbwheel")
    ]
    assert {"torch", "mlflow", "kafka", "sklearn", "starlette", "ray", "pandas"} <= {*hidden}
    assert not {"duckdb", "pyarrow", "pydantic", "typer", "rich"} & {*hidden}
    typed = {name: arguments for name, (arguments, _) in COMMANDS.items()}
    done = subprocess.run(
        [sys.executable, "-c", RUN],
        input=json.dumps([hidden, typed]),
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_works_or_says_what_it_needs(name, ended):
    """On the base alone: code 0, or code 2 and one line on what to install or mend."""
    code, out, err, made = ended[name]
    expected = COMMANDS[name][1]
    if expected is None:
        assert (code, err) == (0, ""), out
        return
    assert code == 2, out + err
    assert expected in err
    assert re.fullmatch(r"(✓ .*\n)*error: .*\n", err)
    if expected.startswith("thumbwheel["):
        assert re.fullmatch(
            rf"error: .* not installed: pip install \"{re.escape(expected)}\"\n", err
        )
        assert made == []


def test_no_command_is_forgotten():
    """Every command that typer lists is run above."""

    def walk(command, path=()):
        children = getattr(command, "commands", None)
        if children is None:
            yield " ".join(path)
        else:
            for name, child in children.items():
                yield from walk(child, (*path, name))

    assert {*walk(typer.main.get_command(app))} <= {*COMMANDS}


def test_connectors_that_need_more_are_listed_with_a_note(ended):
    """`thumbwheel plugins list` shows them all, and which cannot be used yet."""
    listed = " ".join(ended["plugins list"][1].split())
    for name in ("kafka", "mlflow", "redact"):
        assert f'not usable yet: pip install "thumbwheel[{name}]"' in listed
    assert listed.count("not usable yet") == 3


def test_the_extras_are_those_of_the_project():
    """`process.extras` lists what pyproject.toml does, and what the base brings is in none."""
    extras = PROJECT["optional-dependencies"]
    for extra, distributions in EXTRAS.items():
        needed = [Requirement(line) for line in extras[extra]]
        unconditional = [it.name for it in needed if not it.marker and it.name != "thumbwheel"]
        assert sorted(unconditional) == sorted(distributions)
    (everything,) = extras["all"]
    assert Requirement(everything).extras == {*EXTRAS}
    assert {*extras} == {*EXTRAS, "all", "benchmarks", "dev"}
    base = {Requirement(line).name for line in PROJECT["dependencies"]}
    assert not base & {name for names in EXTRAS.values() for name in names}


def test_a_module_that_no_extra_brings_is_a_bug():
    """Only what an extra brings is explained."""
    told = explain(ModuleNotFoundError("none", name="sklearn.linear_model"))
    assert re.fullmatch(r'this needs scikit-learn, .*"thumbwheel\[audit\]"', str(told))
    assert explain(ModuleNotFoundError("none", name="elsewhere")) is None
