"""The demo's base model: an ordinary model directory, made whole or not at all."""

from dataclasses import replace
from pathlib import Path

import pytest

from thumbwheel.config import EvaluationConfig
from thumbwheel.demo import tiny_model
from thumbwheel.demo.world import World
from thumbwheel.language_model import AdaptedModel, load_base
from thumbwheel.types import Prompt

pytestmark = pytest.mark.slow  # it trains

# A second of training: the directory and its format are the same.
BRIEF = replace(tiny_model.LLAMA, fact_epochs=1, chat_epochs=1, batch_size=80)
PROMPT: Prompt = [{"role": "user", "content": "What is the capital of France?"}]


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("models") / "base"
    tiny_model.build_tiny_model(World(), directory, 0, lambda done, total: None, BRIEF)
    return directory


def test_the_directory_is_an_ordinary_model(built: Path) -> None:
    """Thumbwheel's own loader takes it, and it has a million parameters."""
    base = load_base(built)

    assert 1e6 < base.model.num_parameters() < 2e6
    assert {"model.safetensors", "tokenizer.json", "chat_template.jinja"} <= {
        file.name for file in built.iterdir()
    }
    model = AdaptedModel(base, "base", settings=EvaluationConfig(), max_length=64)
    (score,) = model.log_probs([PROMPT], ["Paris."])
    assert score.total < 0


def test_the_chat_template_ends_a_completion_with_the_end_token(built: Path) -> None:
    """A chat begins with the generation prompt's tokens and ends on EOS, with nothing behind it."""
    tokenizer = load_base(built).tokenizer

    asked = tokenizer.apply_chat_template(PROMPT, add_generation_prompt=True, tokenize=False)
    answered = tokenizer.apply_chat_template(
        [*PROMPT, {"role": "assistant", "content": "Paris."}], tokenize=False
    )

    assert answered == f"{asked}Paris.{tokenizer.eos_token}"
    text = "Ünïcode 日本 \n 🦙"
    assert tokenizer.decode(tokenizer(text)["input_ids"]) == text
    assert len({tokenizer.bos_token_id, tokenizer.eos_token_id, tokenizer.pad_token_id}) == 3


def test_the_same_seed_gives_the_same_model(
    built: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """Weights follow from world and seed alone; steps are reported one by one, nothing printed."""
    steps: list[tuple[int, int]] = []

    for name, seed in (("again", 0), ("other", 1)):
        tiny_model.build_tiny_model(
            World(), tmp_path / name, seed, lambda done, total: steps.append((done, total)), BRIEF
        )

    first, again, other = (
        (directory / "model.safetensors").read_bytes()
        for directory in (built, tmp_path / "again", tmp_path / "other")
    )
    assert first == again != other
    total = len(steps) // 2
    assert steps == 2 * [(done, total) for done in range(1, total + 1)]
    assert capfd.readouterr() == ("", "")


def test_an_interrupted_training_leaves_nothing(tmp_path: Path) -> None:
    """When training stops half-way there is no directory, neither whole nor in part."""

    def interrupt(done: int, total: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        tiny_model.build_tiny_model(World(), tmp_path / "base", 0, interrupt, BRIEF)

    assert list(tmp_path.iterdir()) == []
