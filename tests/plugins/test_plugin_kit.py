"""The plugin kit: each broken promise is found and explained; a new plugin works as it is."""

import re
import subprocess
import sys
import textwrap

import pytest
from typer.testing import CliRunner

from thumbwheel.cli.commands.plugins import plugin_commands
from thumbwheel.cli.templates.plugin_files import plugin_use
from thumbwheel.config import PluginConfig
from thumbwheel.conformance import made_pairs, pair_table, rated_table
from thumbwheel.conformance.checks import BrokenPromiseError, Subject, checks_of
from thumbwheel.conformance.plugins import run_checks
from thumbwheel.errors import InputError, PluginError
from thumbwheel.plugin import PluginManager
from thumbwheel_plugins.best_worst import BestWorst
from thumbwheel_plugins.length_match import LengthMatch

pytestmark = pytest.mark.slow  # checks run plugins in processes of their own

HEAD = """\
import itertools, time
from typing import Any
import pyarrow as pa
import pyarrow.compute as pc
from pydantic import Field
from pydantic.dataclasses import dataclass
from thumbwheel.authoring import *

def proposed(rows):
    names = "prompt_id", "chosen_id", "rejected_id", "confidence"
    return pa.Table.from_pylist([dict(zip(names, row)) for row in rows], PROPOSED)

"""
PAIRING = """\
@dataclass(frozen=True)
class P(PairEachPrompt):
    def pair_prompt(self, prompt, completions):
"""
TABLES = """\
@dataclass(frozen=True)
class P:
    @hookimpl
    def make_pairs(self, rated):
"""
SCREEN = """\
@dataclass(frozen=True)
class P:
    @hookimpl
    def screen_pairs(self, pairs):
"""


def subject(folder, head, body, seconds=60.0):
    (folder / "mine.py").write_text(HEAD + head + textwrap.indent(textwrap.dedent(body), " " * 8))
    config = PluginConfig(use="mine.py:P")
    plugins = PluginManager([config], folder)
    return Subject(config, folder, plugins, seconds, 1024)


def failing(subject, *names):
    """Return what is found by the checks of these names, or by all that stay in this process."""
    (info,) = subject.plugins.infos
    found = {}
    for check in checks_of(info.hooks):
        name = check.name.rpartition(": ")[2]
        if name in names or (not names and name not in ("deterministic", "10,000 prompts")):
            try:
                check.run(subject)
            except (BrokenPromiseError, PluginError) as error:
                found[name] = str(error)
    return found


GOOD_PAIR = "yield PreferencePair(completions[0], completions[1], 0.9)"


def test_a_plugin_that_keeps_every_promise_passes(tmp_path):
    """The checks find nothing in a rule that looks at one prompt's rows only."""
    good = subject(tmp_path, PAIRING, GOOD_PAIR)
    assert failing(good) == failing(good, "deterministic", "10,000 prompts") == {}


@pytest.mark.parametrize(
    ("name", "head", "body", "message"),
    [
        pytest.param(
            "order-independent",
            TABLES,
            """\
            first = {}
            for row in rated.to_pylist():
                first.setdefault(row["prompt_id"], []).append(row["completion_id"])
            return proposed((p, c[0], c[1], 0.9) for p, c in first.items() if len(c) > 1)
            """,
            "with the rows in another order, .* pairs differ: '.*' over '.*' is",
            id="the first rows win",
        ),
        pytest.param(
            "chunk-independent",
            TABLES,
            """\
            groups = itertools.groupby(
                sorted(rated.to_pylist(), key=lambda r: (r["prompt_id"], r["completion_id"])),
                key=lambda r: r["prompt_id"],
            )
            rows = [(p, [r["completion_id"] for r in g]) for p, g in groups][:10]
            return proposed((p, ids[0], ids[1], 0.9) for p, ids in rows if len(ids) > 1)
            """,
            "with the prompts in 2 chunks, 10 pairs differ: '.*' over '.*' is new",
            id="ten prompts a table",
        ),
        pytest.param(
            "no leak",
            TABLES,
            """\
            mean = pc.mean(rated["score"]).as_py() or 0.0
            groups = itertools.groupby(
                sorted(rated.to_pylist(), key=lambda r: (r["prompt_id"], r["completion_id"])),
                key=lambda r: r["prompt_id"],
            )
            rows = [(p, sorted(g, key=lambda r: r["score"])) for p, g in groups]
            return proposed(
                (p, g[-1]["completion_id"], g[0]["completion_id"], 0.9)
                for p, g in rows if len(g) > 1 and g[0]["score"] < mean < g[-1]["score"]
            )
            """,
            "with other votes on other prompts, .* is (missing|new)",
            id="a mean over the table",
        ),
        pytest.param(
            "odd prompts",
            TABLES,
            """\
            ids = rated["completion_id"].to_pylist()
            return proposed([(rated["prompt_id"][0].as_py(), ids[0], ids[1], 0.9)])
            """,
            "given no prompt at all: .*IndexError",
            id="no empty table",
        ),
        pytest.param(
            "valid",
            TABLES,
            """\
            ids, prompts = rated["completion_id"].to_pylist(), rated["prompt_id"].to_pylist()
            return proposed([(prompts[0], ids[0], ids[-1], 0.9)] if ids else [])
            """,
            "no completion of the prompt",
            id="across prompts",
        ),
        pytest.param(
            "valid",
            SCREEN,
            """\
            return pa.table({"pair_id": pc.list_flatten([[i, i] for i in pairs["pair_id"]]),
                             "reason": ["too odd"] * 2 * len(pairs)})
            """,
            "named the pair .* twice",
            id="twice",
        ),
        pytest.param(
            "valid",
            SCREEN,
            'return pa.table({"pair_id": pairs["pair_id"], "reason": [""] * len(pairs)})',
            "without a reason",
            id="no reason",
        ),
        pytest.param(
            "valid",
            SCREEN,
            """\
            reasons = [f"longer by {len(c)}" + c for c in pairs["chosen"].to_pylist()]
            return pa.table({"pair_id": pairs["pair_id"], "reason": reasons})
            """,
            "different reasons, such as .*leave out what differs",
            id="many reasons",
        ),
        pytest.param(
            "no leak",
            SCREEN,
            """\
            lengths = pc.utf8_length(pairs["chosen"])
            long = pairs["pair_id"].filter(pc.greater(lengths, pc.mean(lengths)))
            return pa.table({"pair_id": long, "reason": ["long"] * len(long)}, REASONS)
            """,
            "is (missing|new)",
            id="a mean length",
        ),
    ],
)
def test_a_broken_promise_is_found(tmp_path, name, head, body, message):
    """The check that it is named after fails, with an example."""
    found = failing(subject(tmp_path, head, body))
    assert re.search(message, found[name])


def test_the_hash_of_a_text_is_not_deterministic(tmp_path):
    """What is the same twice in a process but not in the next one is found."""
    body = "yield PreferencePair(*sorted(completions[:2], key=lambda c: hash(c.completion)), 0.9)"
    found = failing(subject(tmp_path, PAIRING, body), "deterministic")
    assert "in another process" in found["deterministic"]


def test_a_slow_plugin_is_found(tmp_path):
    """What takes more than its time over 10,000 prompts is stopped and told where it was."""
    body = "time.sleep(0.01)\n" + GOOD_PAIR
    found = failing(subject(tmp_path, PAIRING, body, seconds=3.0), "10,000 prompts")
    assert "took longer than 3 s at mine.py:" in found["10,000 prompts"]


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ("@dataclass\nclass P(PairEachPrompt):\n    n: int = 1", "frozen=True"),
        ("@dataclass(frozen=True)\nclass P(PairEachPrompt):\n    n: Any = 1", "'n' takes anything"),
        (
            "@dataclass(frozen=True)\nclass P(PairEachPrompt):\n    n: int = Field(0, ge=1)",
            "`n`: .*greater than or equal to 1, got 0",
        ),
    ],
)
def test_careless_options_are_found(tmp_path, fields, message):
    """An option that can be changed, takes anything, or has a default that is not allowed."""
    head = f"{fields}\n    def pair_prompt(self, prompt, completions):\n"
    found = failing(subject(tmp_path, head, GOOD_PAIR), "options")
    assert re.search(message, found["options"])


def test_small_tables_for_tests_of_ones_own():
    """Texts and votes in, pairs of texts out."""
    rated = rated_table({"One?": [("a", 2, 0), ("b", 0, 2)], "Two?": [("c", 0, 1), ("d", 1, 0)]})
    assert made_pairs(BestWorst(), rated) == [("a", "b"), ("d", "c")]
    pairs = pair_table([("short", "very much longer"), ("same", "size")])
    reasons = LengthMatch().screen_pairs(pairs)
    assert reasons["pair_id"].to_pylist() == [pairs["pair_id"][0].as_py()]


# --- the commands ---------------------------------------------------------------------------------


def run(*arguments):
    return CliRunner().invoke(plugin_commands, [str(argument) for argument in arguments])


def refusal(*arguments):
    error = run(*arguments).exception
    assert isinstance(error, InputError), error
    assert "\n" not in str(error)
    return str(error)


def test_a_new_plugin_passes_its_own_test(tmp_path, monkeypatch):
    """What `plugins new` writes works as it is: its test passes, warnings as errors."""
    monkeypatch.chdir(tmp_path)
    result = run("new", "kind_words", "--dir", "rules")
    assert result.exit_code == 0, result.output
    assert "thumbwheel plugins check rules/kind_words.py:KindWords" in result.output
    command = [sys.executable, "-m", "pytest", "-q", "-W", "error", "rules"]
    tested = subprocess.run(command, capture_output=True, text=True)
    assert tested.returncode == 0, tested.stdout
    assert "10 passed" in tested.stdout


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("Kind", "cannot name a plugin"),
        ("kind-words", "cannot name a plugin"),
        ("../kind", "cannot name a plugin"),
        ("class", "cannot name a plugin"),
        ("random", "would hide another Python module"),
        ("pyarrow", "would hide another Python module"),
        ("test_kind", "would be taken for a test"),
        ("best_worst", "is installed already"),
        ("taken", "is there already"),
    ],
)
def test_names_that_cannot_be(tmp_path, name, message):
    """Nothing is written, and nothing overwritten, under a name that is taken or cannot be one."""
    (tmp_path / "test_taken.py").write_text("mine")
    assert message in refusal("new", name, "--dir", tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["test_taken.py"]
    assert (tmp_path / "test_taken.py").read_text() == "mine"


def test_check_prints_what_failed_and_how_to_mend_it(tmp_path, monkeypatch):
    """A table of every promise, and an error of exit code 2 that names the broken ones."""
    monkeypatch.chdir(tmp_path)
    body = 'return pa.table({"pair_id": pairs["pair_id"], "reason": [""] * len(pairs)})'
    subject(tmp_path, SCREEN, body)
    result = run("check", "mine.py")
    assert result.exception.exit_code == 2
    assert "breaks" in str(result.exception)
    assert "screen_pairs: valid" in str(result.exception)
    words = " ".join(result.output.split())
    assert "✗ screen_pairs: valid" in words
    assert "without a reason" in words
    assert "to mend: take ids" in words
    assert "✓ options" in words


def test_check_takes_options_and_a_name():
    """An installed plugin is checked by its name, with options as in TOML."""
    assert "`max_ratio`" in refusal("check", "length_match", "--option", "max_ratio=0.5")
    assert "got 'max_ratio'" in refusal("check", "length_match", "--option", "max_ratio")
    assert "did you mean 'length_match'" in refusal("check", "length_mach")
    assert "nothing else is checked" in refusal("check", "world_judge")


def test_a_failing_check_is_not_the_last(tmp_path):
    """A plugin that dies in one check is loaded anew for the next."""
    subject(
        tmp_path, PAIRING, f"if len(completions) > 50:\n    __import__('os')._exit(1)\n{GOOD_PAIR}"
    )
    config = PluginConfig(use="mine.py:P")
    outcomes = run_checks(config, tmp_path, seconds=60.0, memory_mb=1024)
    broken = {outcome.check.name: outcome.problem for outcome in outcomes if outcome.problem}
    assert list(broken) == ["make_pairs: odd prompts"]
    assert "given a hundred answers: P.make_pairs" in broken["make_pairs: odd prompts"]
    assert "exit code 1" in broken["make_pairs: odd prompts"]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("def f(:", "is not Python"),
        ("x = 1", "defines no plugin"),
        ("@dataclass\nclass A: ...\n@dataclass(frozen=True)\nclass B: ...", "defines A, B; name"),
        (None, "cannot read the plugin file"),
    ],
)
def test_a_path_that_means_no_one_plugin(tmp_path, content, message):
    """The class may be left out where the file has one; it is found without running the file."""
    path = tmp_path / "mine.py"
    if content is not None:
        path.write_text(content)
    with pytest.raises(PluginError, match=message):
        plugin_use(str(path))
    path.write_text("raise SystemExit\n@pydantic.dataclasses.dataclass(frozen=True)\nclass C: ...")
    assert plugin_use(str(path)) == f"{path}:C"
    assert plugin_use("best_worst") == "best_worst"
