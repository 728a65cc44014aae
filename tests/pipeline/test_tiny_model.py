"""The demo's base model: an ordinary model directory, made whole or not at all."""

from pathlib import Path

import pytest

from thumbwheel.config import EvaluationConfig
from thumbwheel.demo import tiny_model
from thumbwheel.demo.world import World
from thumbwheel.language_model import AdaptedModel, load_base

PROMPT = [{"role": "user", "content": "What is the capital of France?"}]


@pytest.fixture
def _brief(monkeypatch: pytest.MonkeyPatch) -> None:
    """Train for a second: the directory and its format are the same."""
    monkeypatch.setattr(tiny_model, "FACT_EPOCHS", 1)
    monkeypatch.setattr(tiny_model, "CHAT_EPOCHS", 1)


@pytest.mark.usefixtures("_brief")
def test_the_directory_is_an_ordinary_model(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """Thumbwheel's own loader takes it, it has a million parameters, and nothing was printed."""
    steps: list[tuple[int, int]] = []

    tiny_model.build_tiny_model(
        World(), tmp_path / "base", 0, lambda done, total: steps.append((done, total))
    )

    assert capfd.readouterr() == ("", "")
    total = len(steps)
    assert steps == [(done, total) for done in range(1, total + 1)]
    base = load_base(tmp_path / "base")
    assert 1e6 < base.model.num_parameters() < 2e6
    assert {"model.safetensors", "tokenizer.json", "chat_template.jinja"} <= {
        file.name for file in (tmp_path / "base").iterdir()
    }
    model = AdaptedModel(base, "base", settings=EvaluationConfig(), max_length=64)
    (score,) = model.log_probs([PROMPT], ["Paris."])
    assert score.total < 0


@pytest.mark.usefixtures("_brief")
def test_the_chat_template_ends_a_completion_with_the_end_token(tmp_path: Path) -> None:
    """A chat begins with the generation prompt's tokens and ends on EOS, with nothing behind it."""
    tiny_model.build_tiny_model(World(), tmp_path / "base", 0, lambda done, total: None)
    tokenizer = load_base(tmp_path / "base").tokenizer

    asked = tokenizer.apply_chat_template(PROMPT, add_generation_prompt=True, tokenize=False)
    answered = tokenizer.apply_chat_template(
        [*PROMPT, {"role": "assistant", "content": "Paris."}], tokenize=False
    )

    assert answered == f"{asked}Paris.{tokenizer.eos_token}"
    text = "Ünïcode 日本 \n 🦙"
    assert tokenizer.decode(tokenizer(text)["input_ids"]) == text
    assert len({tokenizer.bos_token_id, tokenizer.eos_token_id, tokenizer.pad_token_id}) == 3


@pytest.mark.usefixtures("_brief")
def test_the_same_seed_gives_the_same_model(tmp_path: Path) -> None:
    """The weights follow from the world and the seed, not from what torch drew before."""
    for name, seed in (("a", 0), ("b", 0), ("c", 1)):
        tiny_model.build_tiny_model(World(), tmp_path / name, seed, lambda done, total: None)

    a, b, c = ((tmp_path / name / "model.safetensors").read_bytes() for name in "abc")
    assert a == b != c


def test_an_interrupted_training_leaves_nothing(tmp_path: Path) -> None:
    """When training stops half-way there is no directory, neither whole nor in part."""

    def interrupt(done: int, total: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        tiny_model.build_tiny_model(World(), tmp_path / "base", 0, interrupt)

    assert list(tmp_path.iterdir()) == []
