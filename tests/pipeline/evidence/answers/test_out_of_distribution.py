"""Prompts unlike the app's: the project's own, a user's file, and what is measured on them."""

from pathlib import Path

import pyarrow as pa
import pytest

from thumbwheel.config import EvaluationConfig
from thumbwheel.errors import DataError
from thumbwheel.evidence.answers import METRICS
from thumbwheel.evidence.answers.out_of_distribution import (
    PASSAGES,
    PROMPTS,
    measure_out_of_distribution,
    out_of_distribution_prompts,
    plain_text_log_perplexity,
)
from thumbwheel.language_model import AdaptedModel, load_base
from thumbwheel.tables import ANSWERS


@pytest.fixture
def base(tiny_model: Path, one_thread: None) -> AdaptedModel:
    return AdaptedModel(
        load_base(tiny_model), "base", settings=EvaluationConfig(batch_size=8), max_length=400
    )


def test_the_projects_own_prompts():
    """There are some forty, all different, under ids of their own kind."""
    prompts = out_of_distribution_prompts(None)
    assert len(prompts) == len(PROMPTS) >= 40
    assert all(name.startswith("ood:") for name in prompts)
    assert len({*PASSAGES}) == len(PASSAGES) >= 12


def test_a_users_file_adds_texts_and_conversations(tmp_path: Path):
    """Blank lines, a byte-order mark and other keys do not matter; nothing is asked twice."""
    file = tmp_path / "more.jsonl"
    file.write_text(
        '\ufeff{"prompt": "Say \u2028 hi", "source": 1}\n\n'
        '{"prompt": [{"role": "system", "content": "Brief."}, {"role": "user", "content": "Hi"}]}\n'
        '{"prompt": "Hello!"}\n',
        encoding="utf-8",
    )
    added = [*out_of_distribution_prompts(file).values()][len(PROMPTS) :]
    assert [[message["content"] for message in prompt] for prompt in added] == [
        ["Say \u2028 hi"],
        ["Brief.", "Hi"],
    ]


@pytest.mark.parametrize(
    "line",
    [
        "nonsense",
        "[]",
        '{"text": "a"}',
        '{"prompt": 1}',
        '{"prompt": " "}',
        '{"prompt": []}',
        '{"prompt": [{"role": "user"}]}',
        '{"prompt": [{"role": "", "content": "a"}]}',
    ],
)
def test_a_bad_line_is_named(tmp_path: Path, line: str):
    """The error has the number of the line, and says what it should be."""
    file = tmp_path / "bad.jsonl"
    file.write_text(f'{{"prompt": "fine"}}\n\n{line}\n')
    with pytest.raises(DataError, match=r"line 3 of .*bad\.jsonl is .*`prompt` is a text"):
        out_of_distribution_prompts(file)


def test_an_unreadable_file(tmp_path: Path):
    """A missing file and other bytes than UTF-8 are told plainly."""
    file = tmp_path / "latin.jsonl"
    file.write_bytes(b'{"prompt": "caf\xe9"}')
    for path in (file, tmp_path / "missing.jsonl"):
        with pytest.raises(DataError, match="cannot read the out-of-distribution prompts"):
            out_of_distribution_prompts(path)


def test_what_is_measured_is_declared(base):
    """All metrics but one are by prompt; plain text is by passage, in nats."""
    prompts = dict([*out_of_distribution_prompts(None).items()][:4])
    answers = pa.Table.from_pylist(
        [
            {"prompt_id": name, "prompt": prompt, "draw": 0, "answer": "Yes.", "finished": True}
            for name, prompt in prompts.items()
        ],
        schema=ANSWERS,
    )
    values = measure_out_of_distribution(answers, base, base, seed=0)
    declared = {m.name for m in METRICS if m.name.startswith(("ood_", "plain_text"))}
    assert values.keys() == declared
    plain = values.pop("plain_text_log_perplexity")
    assert len(plain) == len(PASSAGES)
    assert all(by_prompt.keys() == prompts.keys() for by_prompt in values.values())
    own = plain_text_log_perplexity(base, {"a": PASSAGES[0]})
    assert own["a"] == pytest.approx(next(iter(plain.values())), rel=1e-5)
    assert own["a"] > 0
