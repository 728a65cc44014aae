"""Every built-in plugin that makes or screens pairs keeps what every plugin promises."""

from pathlib import Path

import pytest

from thumbwheel.config import PluginConfig
from thumbwheel.conformance import PluginContract
from thumbwheel.plugin import PLUGINS_GROUP, PluginManager, installed

pytestmark = pytest.mark.slow  # checks run plugins in processes of their own


def hooks_of(name):
    (info,) = PluginManager([PluginConfig(use=name)], Path()).infos
    return set(info.hooks)


# A class for each, as an author would write it.
for name, point in installed(PLUGINS_GROUP).items():
    ours = point.dist is not None and point.dist.name == "thumbwheel"
    if ours and hooks_of(name) & {"make_pairs", "screen_pairs"}:
        members = {"use": name, "__doc__": f"What {name} promises.", "__module__": __name__}
        globals()[f"Test_{name}"] = type(f"Test_{name}", (PluginContract,), members)


def test_the_rules_and_screens_are_found():
    """The classes above are made for those that the documentation names."""
    assert {"best_worst", "all_pairs", "length_match", "near_identical"} <= {
        name.removeprefix("Test_") for name in globals() if name.startswith("Test_")
    }
