"""The judge that a configuration names, or what is wrong with the name."""

from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from planted_votes import SeeingModel, ask, clusters_of, planted_pairs

from thumbwheel.config import EndpointConfig, JudgeConfig, PluginConfig
from thumbwheel.errors import ConfigError
from thumbwheel.evidence.judges import (
    EndpointJudge,
    Judge,
    Meeting,
    PeopleJudge,
    PluginJudge,
    VoteModel,
    fit_vote_model,
    make_judge,
    preferences,
)
from thumbwheel.plugin import PluginManager
from thumbwheel.store import COMPARISONS_FILE
from thumbwheel.tables import COMPARISONS

LONGER = """
import pyarrow as pa
import pyarrow.compute as pc
from pydantic.dataclasses import dataclass
from thumbwheel.authoring import hookimpl


@dataclass(frozen=True)
class Longer:
    @hookimpl
    def judge_answers(self, compared):
        assert len(compared) <= 1000
        first, second = (pc.utf8_length(compared[side]) for side in ("first", "second"))
        preferred = pc.if_else(pc.greater(first, second), 1.0, 0.0)
        unsure = pc.if_else(pc.equal(first, second), None, preferred)
        return pa.table({"comparison_id": compared["comparison_id"], "preference": unsure})
"""


@pytest.fixture
def make(tmp_path: Path):
    """Make the judge that `use` names, beside a plugin that judges and one that does not."""
    (tmp_path / "mine.py").write_text(LONGER)
    pq.write_table(COMPARISONS.empty_table(), tmp_path / COMPARISONS_FILE)
    listed = [PluginConfig(use="mine.py:Longer"), PluginConfig(use="all_pairs")]
    plugins = PluginManager(listed, tmp_path)

    def fit() -> VoteModel:
        pairs = planted_pairs(30)
        return fit_vote_model(SeeingModel(), pairs, clusters_of(pairs), seed=0)

    def made(use: str, endpoint: EndpointConfig | None = None) -> Judge:
        config = JudgeConfig(use=use)
        return make_judge(config, plugins=plugins, endpoint=endpoint, fit=fit, snapshot=tmp_path)

    return made


def test_each_judge_by_its_name(make):
    """Built-in judges and plugins are named alike."""
    endpoint = EndpointConfig(url="http://127.0.0.1:9/v1", model="m")
    assert isinstance(make("vote_model"), VoteModel)
    assert isinstance(make("endpoint", endpoint), EndpointJudge)
    assert isinstance(make("people"), PeopleJudge)
    assert isinstance(make("Longer"), PluginJudge)
    for use in ("vote_model", "endpoint", "people", "Longer"):
        assert make(use, endpoint).name == use


def test_a_plugin_judges_a_thousand_at_a_time(make):
    """More comparisons than one call takes come back in order, with nothing said as NaN."""
    meetings = [
        Meeting(f"p{n}", ask("q"), "ours" * (1 + n % 2), "theirs" if n % 4 else "our!")
        for n in range(2500)
    ]
    expected = [
        np.nan if len(m.ours) == len(m.theirs) else float(len(m.ours) > len(m.theirs))
        for m in meetings
    ]
    np.testing.assert_array_equal(preferences(make("Longer"), meetings), expected)


@pytest.mark.parametrize(
    ("use", "message"),
    [
        ("vote-model", r"no judge 'vote-model' \(did you mean 'vote_model'\?\)"),
        ("longer", r"did you mean 'Longer'"),
        ("all_pairs", "'all_pairs', which `judges` names, has no `judge_answers`"),
        ("endpoint", r"there is no \[endpoint\] in the configuration"),
    ],
)
def test_a_wrong_name_is_told_with_those_there_are(make, use, message):
    """What is no judge is named, with the nearest that is one, in one line."""
    with pytest.raises(ConfigError, match=message) as caught:
        make(use)
    assert "\n" not in str(caught.value)
