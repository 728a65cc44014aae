"""The configuration file: every mistake is one clear line."""

import re
from pathlib import Path

import pytest

from thumbwheel.cli.templates.config import TEMPLATE
from thumbwheel.config import load_config
from thumbwheel.errors import ConfigError

MINIMAL = """
project = "p"
home = "h"
model.path = "m"
[[sources]]
name = "s"
connector = "file"
[[plugins]]
use = "best_worst"
"""


def load(tmp_path, text):
    path = tmp_path / "thumbwheel.toml"
    path.write_text(text, encoding="utf-8")
    return load_config(path)


def test_the_template_is_a_whole_configuration(tmp_path):
    """What `thumbwheel init` writes loads as it is."""
    config = load(tmp_path, TEMPLATE)
    assert [plugin.use for plugin in config.plugins] == [
        "comparisons",
        "all_pairs",
        "length_match",
        "near_identical",
    ]


def test_the_template_shows_the_defaults(tmp_path):
    """The values written out in the template's sections are the defaults."""
    config, bare = load(tmp_path, TEMPLATE), load(tmp_path, MINIMAL)
    for section in (
        "votes",
        "pairs",
        "audit",
        "dataset",
        "training",
        "evaluation",
        "gate",
        "mlflow",
    ):
        assert getattr(config, section) == getattr(bare, section)


def test_paths_are_relative_to_the_file(tmp_path):
    """Relative paths start at the file's folder, wherever the command runs."""
    config = load(tmp_path, MINIMAL)
    assert config.home == tmp_path / "h"
    assert config.model.path == tmp_path / "m"
    assert config.tracking_uri == f"sqlite:///{tmp_path / 'h' / 'mlflow.db'}"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (MINIMAL + "[training]\nbetta = 1\n", "unknown key `training.betta`"),
        (MINIMAL + "[training]\nbeta = 'x'\n", "`training.beta`.*got 'x'"),
        (MINIMAL + "[training]\nloss_weights = [1.0]\n", "loss_weights"),
        (MINIMAL + "[dataset]\nheld_out = 1.0\n", "`dataset.held_out`"),
        (MINIMAL + "[gate]\nimprove = []\n", "at least one metric"),
        (MINIMAL + "[[gate.guards]]\nmetric = 'x'\n", "`max_drop` or `max_rise`"),
        (MINIMAL.replace('project = "p"', 'project = "a b"'), "`project`"),
        (MINIMAL.replace('project = "p"', ""), "`project` is required"),
        (MINIMAL + '[[sources]]\nname = "s"\nconnector = "kafka"\n', "two sources are named 's'"),
        ("project = ", "not valid TOML"),
    ],
)
def test_mistakes_name_the_key_and_the_value(tmp_path, text, message):
    """A wrong key or value is named in one line."""
    with pytest.raises(ConfigError, match=message) as caught:
        load(tmp_path, text)
    assert "\n" not in str(caught.value)


def test_keys_of_earlier_versions_mean_what_they_meant(tmp_path):
    """How plugins run was told under `pairs`."""
    old = '[pairs]\nrunner = "ray"\nplugin_seconds = 5\nmax_per_prompt = 2\n'
    new = '[execution]\nrunner = "ray"\nplugin_seconds = 5\n[pairs]\nmax_per_prompt = 2\n'
    assert load(tmp_path, MINIMAL + old) == load(tmp_path, MINIMAL + new)
    with pytest.raises(ConfigError, match=r"`execution.plugin_seconds`.*got -1"):
        load(tmp_path, MINIMAL + "[pairs]\nplugin_seconds = -1\n")


def test_a_guard_takes_the_place_of_the_default_on_its_metric(tmp_path):
    """The others stay, unless none of them is wanted."""
    usual = load(tmp_path, MINIMAL).gate.guards
    mine = "[gate]\nguards = [{ metric = 'length', max_rise = 0.5 }]\n"
    changed = load(tmp_path, MINIMAL + mine).gate.guards
    assert {guard.metric for guard in changed} == {guard.metric for guard in usual}
    assert len(changed) == len(usual)
    assert [guard.max_rise for guard in changed if guard.metric == "length"] == [0.5]
    only = load(tmp_path, MINIMAL + mine + "default_guards = false\n").gate.guards
    assert [guard.metric for guard in only] == ["length"]
    assert load(tmp_path, MINIMAL + "[gate]\ndefault_guards = false\n").gate.guards == []


def test_how_plugins_run_is_not_in_the_digest(tmp_path):
    """What does not shape a candidate does not begin a new cycle."""
    limits = "[execution]\nplugin_seconds = 5\nplugin_memory_mb = 512\n"
    assert load(tmp_path, MINIMAL + limits).digest() == load(tmp_path, MINIMAL).digest()


def test_a_missing_file_says_how_to_make_one(tmp_path):
    """Without a configuration, the message names the command that writes one."""
    with pytest.raises(ConfigError, match="thumbwheel init"):
        load_config(tmp_path / "none.toml")


def test_the_digest_sees_what_shapes_a_candidate(tmp_path):
    """Training options change the digest; the place of the store does not."""
    first = load(tmp_path, MINIMAL).digest()
    assert load(tmp_path, MINIMAL.replace('home = "h"', 'home = "other"')).digest() == first
    assert load(tmp_path, MINIMAL + "[training]\nbeta = 0.2\n").digest() != first


def test_the_examples_of_the_page_on_pairs_load(tmp_path):
    """Every block of docs/pairs.md is a section of a configuration."""
    page = (Path(__file__).parents[2] / "docs" / "pairs.md").read_text(encoding="utf-8")
    blocks = re.findall(r"```toml\n(.*?)```", page, re.DOTALL)
    assert len(blocks) == 4
    config = load(tmp_path, MINIMAL + "\n".join(blocks))
    assert config.dataset.judge == 0.2
    assert config.votes.half_life_days == 60
    assert config.audit.max_auc == 0.6
