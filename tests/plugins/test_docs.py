"""docs/plugins.md is followed to the letter, from the first file to the installed package."""

import json
import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pyarrow as pa
import pytest
from fake_models import FakeModel

from thumbwheel.config import PluginConfig, SourceConfig, load_config
from thumbwheel.conformance.checks import checks_of
from thumbwheel.hookspecs import HookSpecs
from thumbwheel.ingest import parser_for
from thumbwheel.plugin import HOOKS, PluginManager
from thumbwheel.tables import ANSWERS, COMPARED, COMPARISONS

DOCS = Path(__file__).parents[2] / "docs"
PAGE = (DOCS / "plugins.md").read_text()
# The line before each block, its language, and the block.
BLOCKS = [
    (PAGE[: fence.start()].rstrip().splitlines()[-1], *fence.groups())
    for fence in re.finditer(r"^```(\w+)\n(.*?)^```", PAGE, re.DOTALL | re.MULTILINE)
]


@pytest.fixture(scope="module")
def followed(tmp_path_factory):
    """Do what the page says, block by block; return the folder and what each command printed."""
    folder = tmp_path_factory.mktemp("project")
    packages = folder / "installed"
    environment = os.environ | {
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        "PYTHONPATH": str(packages),
        "COLUMNS": "120",
    }
    printed = {}
    for before, language, block in BLOCKS:
        if language == "sh":
            for line in block.splitlines():
                if line.startswith("pip install"):
                    install(folder / line.split()[-1], packages)
                    continue
                done = subprocess.run(
                    ["bash", "-c", line],
                    cwd=folder,
                    env=environment,
                    capture_output=True,
                    text=True,
                )
                assert done.returncode == 0, f"{line}\n{done.stdout}{done.stderr}"
                printed[line] = done.stdout
            continue
        name = re.search(r"`(\S+\.\w+)`:$", before)
        assert name, f"the page does not say which file this is: {block}"
        path = folder / name[1]
        path.parent.mkdir(exist_ok=True)
        adds = "Add to" in before
        path.write_text((path.read_text() + "\n" if adds else "") + block)
    return folder, printed


def install(project, packages):
    """Do what pip does with an editable project: a path to it, and its entry points."""
    metadata = tomllib.loads((project / "pyproject.toml").read_text())["project"]
    info = packages / f"{metadata['name'].replace('-', '_')}-{metadata['version']}.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text(
        f"Metadata-Version: 2.1\nName: {metadata['name']}\nVersion: {metadata['version']}\n"
    )
    sections = []
    for group, points in metadata["entry-points"].items():
        sections += [f"[{group}]", *(f"{name} = {target}" for name, target in points.items())]
    (info / "entry_points.txt").write_text("\n".join(sections))
    for package in project.glob("*/__init__.py"):
        (packages / package.parent.name).symlink_to(package.parent)


def test_every_block_is_of_a_kind_that_is_run():
    """No block on the page is only to look at: files are written, commands are run."""
    assert len(BLOCKS) == PAGE.count("\n```\n")
    assert {language for _, language, _ in BLOCKS} == {"json", "toml", "sh", "python"}


def test_the_example_is_short_and_shown_in_full(followed):
    """The example file has at most 25 lines, and is the one on the page to the letter."""
    folder, _ = followed
    code = (DOCS / "examples" / "concise_wins.py").read_text()
    assert len(code.splitlines()) <= 25
    assert code == (folder / "rules" / "concise_wins.py").read_text()


def test_what_the_commands_print(followed):
    """The rule pairs the short answers with the long ones, and is found where the page says."""
    _, printed = followed
    previews = [text for line, text in printed.items() if "--plugin rules/concise_wins.py" in line]
    previews.append(printed["thumbwheel pairs --plugin concise_wins"])
    for preview in previews:
        assert "Lima." in preview
        assert "Cusco." not in preview
    assert re.search(
        r"ConciseWins.*version \w+\n.*\n? *min_ratio = 1.5", printed["thumbwheel plugins"]
    )
    assert "9 passed" in printed["python -m pytest rules"]
    assert "apology" in printed[next(line for line in printed if "--dropped" in line)]
    for line, text in printed.items():
        if "plugins check" in line:
            assert "It keeps every promise" in text


def test_the_package_is_found_with_its_version(followed):
    """Installed, the plugin is known by its name and the version of its package."""
    folder, _ = followed
    script = (
        "from pathlib import Path; from thumbwheel.config import PluginConfig; "
        "from thumbwheel.plugin import PluginManager; "
        "print(PluginManager([PluginConfig(use='concise_wins')], Path()).infos[0].version)"
    )
    environment = os.environ | {"PYTHONPATH": str(folder / "installed")}
    command = [sys.executable, "-c", script]
    assert subprocess.check_output(command, env=environment, text=True) == "1.2\n"


def test_the_comparisons_rule_takes_clear_choices(followed, rated):
    """Two raters chose it and nobody the other: one pair; with one against, none."""
    folder, _ = followed
    plugins = PluginManager([PluginConfig(use="rules/clear_choices.py:ClearChoices")], folder)
    table = rated(("p", "a", 1, 0), ("p", "b", 0, 1))
    for against, sides in ((0, [("p-b", "p-a")]), (1, [])):
        choice = {"prompt_id": "p", "chosen_id": "p-b", "rejected_id": "p-a", "n_for": 2}
        compared = pa.Table.from_pylist([choice | {"n_against": against}], COMPARISONS)
        pairs = plugins.make_pairs(table, compared).to_pylist()
        assert [(pair["chosen_id"], pair["rejected_id"]) for pair in pairs] == sides


def test_the_metric_on_the_page(followed, pairs):
    """The metric has one value per prompt, and says what it is."""
    folder, _ = followed
    plugins = PluginManager([PluginConfig(use="rules/ends_properly.py:EndsProperly")], folder)
    rows = [{"prompt_id": "p", "answer": text} for text in ("Yes.", "Well")]
    answers = pa.Table.from_pylist(rows, ANSWERS)
    table = plugins.evaluate_model(FakeModel(), pairs(("a", "b"), ("c", "d")), answers)
    assert table.to_pylist() == [{"metric": "ends_properly", "prompt_id": "p", "value": 0.5}]
    assert [metric.name for metric in plugins.metrics] == ["ends_properly"]


def test_the_judge_on_the_page(followed):
    """The answer with fewer fillers is preferred, as the configuration on the page lists them."""
    folder, _ = followed
    config = load_config(folder / "thumbwheel.toml")
    assert [judge.use for judge in config.judges] == ["FewerFillers"]
    texts = [("It is Lima.", "Basically, it is Lima."), ("Actually, Lima.", "Lima."), ("A", "B")]
    compared = pa.Table.from_pylist(
        [
            {"comparison_id": str(n), "first": first, "second": second}
            for n, (first, second) in enumerate(texts)
        ],
        schema=COMPARED,
    )
    judged = PluginManager(config.plugins, folder).judge_answers(compared, "FewerFillers")
    assert judged["preference"].to_pylist() == [1, 0, 0.5]


def test_every_promise_is_in_the_table():
    """The page lists just the checks that `plugins check` makes of a pairing rule."""
    table = PAGE.split("| promise | why |\n|---|---|\n")[1].split("\n\n")[0]
    listed = re.findall(r"^\| (.*?) \|", table, re.MULTILINE)
    assert listed == [check.name.rpartition(": ")[2] for check in checks_of(["make_pairs"])]


@pytest.mark.parametrize("hook", HOOKS)
def test_every_hook_is_documented(hook):
    """Each hook has a docstring, and a row on the page."""
    assert len(getattr(HookSpecs, hook).__doc__) > 100
    assert f"| `{hook}` |" in PAGE


def test_the_mapping_on_the_events_page(tmp_path):
    """The source configured in docs/events.md reads a record as the page says."""
    *_, block, turns = re.findall(r"```toml\n(.*?)```", (DOCS / "events.md").read_text(), re.DOTALL)
    source = SourceConfig.model_validate(tomllib.loads(block + turns)["sources"][0])
    event = parser_for(source, DOCS).parse(
        b'{"question": "Human: a\\nAssistant: b\\nHuman: c", "answer": {"text": "d"}, "stars": 4,'
        b' "user": {"id": "guest"}}'
    )
    assert event is not None
    assert event["score"] == 0.5
    assert event["rater_id"] is None
    assert len(event["prompt"]) == 3
    assert event["completion"] == "d"


def test_the_example_configuration_reads_its_record():
    """docs/examples/export.toml loads, and its mapping reads the record in its comment."""
    config = load_config(DOCS / "examples" / "export.toml")
    PluginManager(config.plugins, config.base_dir)
    record = json.dumps(
        {
            "id": "r1",
            "conversation": {"prompt": "Human: a\n\nAssistant: b\n\nHuman: c", "reply": "d"},
            "stars": 4,
            "by": {"user": "u7"},
            "when": "2026-05-01T10:00:00Z",
            "bot_version": "v3",
        }
    )
    event = parser_for(config.sources[0], DOCS).parse(record.encode())
    assert event is not None
    assert (event["score"], event["rater_id"], event["model_version"]) == (1, "u7", "v3")
    assert [message["role"] for message in event["prompt"]] == ["user", "assistant", "user"]
