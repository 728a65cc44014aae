"""Plugins: found, checked, ordered, called; every mistake is one error that names the plugin."""

from pathlib import Path

import pyarrow as pa
import pytest

from thumbwheel.config import PluginConfig, SourceConfig
from thumbwheel.errors import ConfigError, PluginError
from thumbwheel.plugin import PluginManager, load_connector
from thumbwheel.tables import COMPARED, COMPARISONS, PAIRS, RATED

HEAD = """
import pyarrow as pa
from pydantic.dataclasses import dataclass
from thumbwheel.authoring import *

"""


@pytest.fixture
def load(tmp_path):
    """Write a plugin file and load the named classes from it."""

    def make(body, *uses, **options):
        (tmp_path / "mine.py").write_text(HEAD + body)
        configs = [PluginConfig(use=f"mine.py:{use}", options=options) for use in uses or ["P"]]
        return PluginManager(configs, tmp_path)

    return make


def pairing(returned, name="P"):
    return (
        f"@dataclass(frozen=True)\nclass {name}:\n    @hookimpl\n"
        f"    def make_pairs(self, rated):\n        return {returned}\n"
    )


def proposal(chosen="a", rejected="b", confidence=0.9):
    row = {"prompt_id": "p", "chosen_id": chosen, "rejected_id": rejected, "confidence": confidence}
    return f"pa.Table.from_pylist([{row!r}])"


RATED_ROWS = pa.Table.from_pylist(
    [{"prompt_id": "p", "completion_id": name, "completion": name} for name in "ab"], schema=RATED
)


def test_built_in_plugins_load_by_name_with_their_options():
    """A listed plugin is configured, described and versioned."""
    configs = [PluginConfig(use="length_match", options={"max_ratio": 2})]
    (info,) = PluginManager(configs, Path()).infos
    assert info.name == "length_match"
    assert info.hooks == ["screen_pairs"]
    assert info.options == {"max_ratio": 2.0}
    assert info.version


@pytest.mark.parametrize(
    ("use", "options", "message"),
    [
        ("best_wurst", {}, "no plugin 'best_wurst' .did you mean 'best_worst'"),
        ("nowhere.py:P", {}, "no plugin file .*nowhere.py"),
        (
            "length_match",
            {"max_ration": 2},
            "unknown option 'max_ration' .did you mean 'max_ratio'",
        ),
        ("length_match", {"max_ratio": 0.5}, "`max_ratio`.*got 0.5"),
        ("length_match", {"max_ratio": "wide"}, "`max_ratio`.*got 'wide'"),
    ],
)
def test_wrong_names_and_options(tmp_path, use, options, message):
    """An unknown plugin or option is named, with the nearest that exists."""
    with pytest.raises(PluginError, match=message) as caught:
        PluginManager([PluginConfig(use=use, options=options)], tmp_path)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ("class P: pass", "not a pydantic dataclass"),
        ("@dataclass(frozen=True)\nclass P: pass", "implements no hook"),
        ("x = (", "cannot be imported: SyntaxError"),
        ("import no_such_module", "cannot be imported: ModuleNotFoundError"),
        ("class Q: pass", "no class 'P'"),
        (
            "@dataclass(frozen=True)\nclass P:\n    def make_pairs(self, rated): ...",
            "make_pairs .* not marked; write @hookimpl",
        ),
        (
            "@dataclass(frozen=True)\nclass P:\n    @hookimpl\n    def make_pear(self, rated): ...",
            "does not fit the hooks.*make_pear",
        ),
        (
            "@dataclass(frozen=True)\nclass P:\n    @hookimpl\n    def make_pairs(self, x): ...",
            "does not fit the hooks.*x",
        ),
    ],
)
def test_broken_plugins_are_refused_when_loaded(load, body, message):
    """A plugin that cannot work is refused before anything runs."""
    with pytest.raises(PluginError, match=message) as caught:
        load(body)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("returned", "message"),
    [
        ("1 / 0", "P.make_pairs .* raised ZeroDivisionError"),
        ("None", "must return a pyarrow.Table, got NoneType"),
        ("rated", "without the columns chosen_id, rejected_id, confidence"),
        (proposal(chosen="z"), "proposed the chosen_id 'z', which is no completion"),
        (proposal(rejected="a"), "paired a completion with itself"),
        (proposal(confidence=0.5), "confidence outside"),
        (proposal(confidence=float("nan")).replace("nan", "float('nan')"), "confidence outside"),
        (proposal(confidence="high"), "column of the wrong type"),
    ],
)
def test_bad_results_name_the_plugin(load, returned, message):
    """What a plugin returns is checked against its contract."""
    with pytest.raises(PluginError, match=message):
        load(pairing(returned)).make_pairs(RATED_ROWS, COMPARISONS.empty_table())


def test_the_first_listed_plugin_owns_a_pair(load):
    """Two plugins that name the same two answers give one pair, the first one's."""
    body = pairing(proposal(), "P") + pairing(proposal("b", "a"), "Q")
    (row,) = load(body, "P", "Q").make_pairs(RATED_ROWS, COMPARISONS.empty_table()).to_pylist()
    assert (row["plugin"], row["chosen_id"]) == ("P", "a")
    (row,) = load(body, "Q", "P").make_pairs(RATED_ROWS, COMPARISONS.empty_table()).to_pylist()
    assert (row["plugin"], row["chosen_id"]) == ("Q", "b")


SCREEN = """
@dataclass(frozen=True)
class {name}:
    @hookimpl
    def screen_pairs(self, pairs):
        hit = [p for p in pairs["pair_id"].to_pylist() if p in {hits!r}]
        rows = [{{"pair_id": pair, "reason": "by {name}"}} for pair in hit]
        return pa.Table.from_pylist(rows, schema=REASONS)
"""


def test_screens_see_what_is_left(load):
    """A dropped pair has one reason: that of the first screen that names it."""
    body = SCREEN.format(name="P", hits="xy") + SCREEN.format(name="Q", hits="yz")
    pairs = pa.Table.from_pylist([{"pair_id": name} for name in "wxyz"], schema=PAIRS)
    rows = load(body, "P", "Q").screen_pairs(pairs).to_pylist()
    assert {(row["pair_id"], row["reason"]) for row in rows} == {
        ("x", "by P"),
        ("y", "by P"),
        ("z", "by Q"),
    }


def test_a_screen_cannot_invent_pairs(load):
    """Naming a pair that was not given is an error."""
    body = SCREEN.format(name="P", hits="x").replace('pairs["pair_id"].to_pylist()', '["x"]')
    with pytest.raises(PluginError, match="which it was not given"):
        load(body).screen_pairs(PAIRS.empty_table())


COMPARED_ROWS = pa.Table.from_pylist(
    [{"comparison_id": name, "first": "a", "second": "b"} for name in "xyz"], schema=COMPARED
)


def judge(rows, name="P"):
    return (
        f"@dataclass(frozen=True)\nclass {name}:\n    @hookimpl\n"
        "    def judge_answers(self, compared):\n"
        f"        return pa.Table.from_pylist({rows}, schema=PREFERENCES)\n"
    )


def said(**preferences):
    return [{"comparison_id": name, "preference": value} for name, value in preferences.items()]


def test_a_judge_is_asked_alone_and_answers_in_order(load):
    """Only the named plugin judges; its rows come back in the order of the question."""
    body = judge(said(z=0.0, x=1.0, y=None), "P") + judge(said(x=0.5, y=0.5, z=0.5), "Q")
    plugins = load(body, "P", "Q")
    assert plugins.judge_answers(COMPARED_ROWS, "P").to_pylist() == said(x=1.0, y=None, z=0.0)
    assert plugins.judge_answers(COMPARED_ROWS, "Q")["preference"].to_pylist() == [0.5] * 3
    with pytest.raises(PluginError, match="no plugin R that implements judge_answers"):
        plugins.judge_answers(COMPARED_ROWS, "R")


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        (said(x=1.0, y=0.0), "said nothing of the comparison 'z'"),
        (said(x=1.0, y=0.0, z=0.0, w=0.0), "4 rows for 3 comparisons"),
        (said(x=1.0, y=0.0, z=1.5), r"outside \[0, 1\]"),
        (said(x=1.0, y=0.0, z=float("nan")), r"outside \[0, 1\].*null where"),
    ],
)
def test_what_a_judge_says_is_checked(load, rows, message):
    """Every comparison has one preference, between 0 and 1, or null."""
    rows = repr(rows).replace("nan", "float('nan')")
    with pytest.raises(PluginError, match=f"P.judge_answers.*{message}"):
        load(judge(rows)).judge_answers(COMPARED_ROWS)


def test_observers_cannot_break_a_cycle(load):
    """A failing observer is reported, and the others are still told."""
    body = """
@dataclass(frozen=True)
class P:
    @hookimpl
    def cycle_finished(self, report):
        raise RuntimeError("no network")

@dataclass(frozen=True)
class Q:
    @hookimpl
    def cycle_finished(self, report):
        report.append("told")
"""
    told: list[str] = []
    (failure,) = load(body, "P", "Q").cycle_finished(told)
    assert "no network" in failure
    assert told == ["told"]


def test_options_may_be_paths_relative_to_the_configuration(load, tmp_path):
    """A ConfigPath option is resolved like the configuration's own paths."""
    body = pairing("rated").replace("class P:\n", "class P:\n    words: ConfigPath\n")
    (info,) = load(body, words="words.txt").infos
    assert info.options == {"words": str(tmp_path / "words.txt")}


def test_unknown_connectors_and_options(tmp_path):
    """A wrong connector name or option is one clear error."""
    with pytest.raises(ConfigError, match=r"no connector 'kafak' .did you mean 'kafka'"):
        load_connector(SourceConfig(name="s", connector="kafak"), tmp_path)
    with pytest.raises(ConfigError, match=r"unknown option 'pth' .did you mean 'path'"):
        load_connector(SourceConfig(name="s", connector="file", options={"pth": 1}), tmp_path)
