"""Pairing as Ray tasks, on a real Ray of this machine."""

import random
import sys
from typing import Any

import psutil
import pyarrow as pa
import pytest

from thumbwheel.config import Config, PluginConfig
from thumbwheel.errors import ConfigError, PluginError, UnavailableError
from thumbwheel.events import text_identity
from thumbwheel.pairs import pair_chunk
from thumbwheel.pairs.ray_tasks import pair_with_ray
from thumbwheel.plugin import PluginManager
from thumbwheel.tables import COMPARISONS, RATED
from thumbwheel.types import Prompt

pytestmark = pytest.mark.slow  # Ray's tasks are processes

MINE = """
import pyarrow as pa
from pydantic.dataclasses import dataclass
from thumbwheel.authoring import REASONS, PairEachPrompt, PreferencePair, hookimpl

@dataclass(frozen=True)
class First(PairEachPrompt):
    def pair_prompt(self, prompt, completions):
        yield PreferencePair(completions[0], completions[-1], 0.9)

@dataclass(frozen=True)
class Fails(PairEachPrompt):
    def pair_prompt(self, prompt, completions):
        raise ValueError("no pairs today")

@dataclass(frozen=True)
class Screen:
    @hookimpl
    def screen_pairs(self, pairs: pa.Table) -> pa.Table:
        if "question 9 0" in str(pairs["prompt"].to_pylist()):
            raise ValueError("cannot read that")
        return REASONS.empty_table()
"""


@pytest.fixture
def config(tmp_path):
    """A configuration whose plugins are files of its own, which is what tasks must find."""
    (tmp_path / "mine.py").write_text(MINE)

    def make(*plugins):
        return Config(
            project="p",
            home=tmp_path,
            model={"path": tmp_path},
            sources=[{"name": "s", "connector": "file"}],
            plugins=[PluginConfig(use=use) for use in plugins],
            base_dir=tmp_path,
        )

    return make


def chunks(n_chunks, n_prompts=20):
    rng = random.Random(0)
    for number in range(n_chunks):
        rows = []
        for question in range(n_prompts):
            prompt: Prompt = [{"role": "user", "content": f"question {number} {question}"}]
            for answer in range(4):
                text = f"answer {answer} " + "word " * rng.randint(1, 4)
                prompt_id, completion_id = text_identity(prompt, text)
                rows.append(
                    {
                        "prompt_id": prompt_id,
                        "completion_id": completion_id,
                        "prompt": prompt,
                        "completion": text,
                        "n_up": float(rng.randint(0, 5)),
                        "n_down": float(rng.randint(0, 5)),
                        "score": 0.0,
                    }
                )
        rated = pa.Table.from_pylist(rows, schema=RATED)
        yield number / n_chunks, rated.sort_by("prompt_id"), COMPARISONS.empty_table()


def listening_addresses():
    """Return the addresses that this process and those it started listen on."""
    ours = [psutil.Process(), *psutil.Process().children(recursive=True)]
    pids = {process.pid for process in ours}
    return {
        connection.laddr.ip.removeprefix("::ffff:")
        for connection in psutil.net_connections("inet")
        if connection.status == psutil.CONN_LISTEN and connection.pid in pids and connection.laddr
    }


def test_ray_gives_the_pairs_that_one_process_gives(config, tmp_path):
    """Chunk for chunk, without a plugin that fails, until a screen fails; nobody else can call."""
    settings = config("best_worst", "mine.py:First", "near_identical", "mine.py:Screen")
    expected = PluginManager(settings.plugins, tmp_path)
    with_failing = config(
        "best_worst", "mine.py:Fails", "mine.py:First", "near_identical", "mine.py:Screen"
    )
    addresses = set()
    results: list[Any] = []

    def watched():
        for chunk in chunks(10):
            yield chunk
            addresses.update(listening_addresses())

    plugins = PluginManager(with_failing.plugins, tmp_path)
    with pytest.raises(PluginError, match="cannot read that") as caught:
        results.extend(pair_with_ray(watched(), plugins, with_failing))
    assert "\n" not in str(caught.value)
    assert [done for done, _ in results] == [number / 10 for number in range(9)]
    for (_, result), (_, rated, compared) in zip(results, chunks(9), strict=True):
        alone = pair_chunk(rated, compared, expected)
        assert len(alone.candidates) > 0
        assert result.candidates.equals(alone.candidates)
        assert result.dropped.equals(alone.dropped)
        assert result.unpaired.equals(alone.unpaired)
    assert [("no pairs today" in failure) for failure in plugins.failed.values()] == [True]
    assert addresses == {"127.0.0.1"}


def test_without_ray_the_remedy_is_named(config, tmp_path, monkeypatch):
    """The extra to install, or the setting to change."""
    monkeypatch.setitem(sys.modules, "ray", None)
    settings = config("best_worst")
    plugins = PluginManager(settings.plugins, tmp_path)
    with pytest.raises(ConfigError, match=r'pip install "thumbwheel\[ray\]"'):
        next(pair_with_ray(chunks(1), plugins, settings))


def test_a_cluster_that_is_not_there_is_named(config, tmp_path, monkeypatch):
    """What the environment says is in the message."""
    monkeypatch.setenv("RAY_ADDRESS", "nowhere")
    settings = config("best_worst")
    plugins = PluginManager(settings.plugins, tmp_path)
    with pytest.raises(UnavailableError, match="RAY_ADDRESS=nowhere") as caught:
        next(pair_with_ray(chunks(1), plugins, settings))
    assert "\n" not in str(caught.value)
