"""The reference's log-probabilities: computed once, for every run and for evaluation."""

from pathlib import Path
from typing import Any

import pytest
from datasets import Dataset

from thumbwheel.config import EvaluationConfig, TrainingConfig
from thumbwheel.language_model import AdaptedModel, LoadedBase, ModelCache, load_base
from thumbwheel.language_model.kept import kept_scores, model_identity
from thumbwheel.training.reference import give_reference
from thumbwheel.types import Prompt

pytestmark = [
    pytest.mark.usefixtures("one_thread"),
    pytest.mark.filterwarnings("ignore:.*is deprecated and will be removed in v6:FutureWarning"),
]

# Two pairs share a completion, and one is cut at the longest length.
PAIRS = [("Hi", "Hello.", "What?"), ("Hi", "Hello.", "No."), ("Why?", "So", "Because. " * 9)]
MAX_LENGTH = 90


def make_trainer(
    base: LoadedBase, folder: Path, pairs: list[tuple[str, str, str]], **changes: Any
) -> Any:
    from thumbwheel.training.trainer import Trainer, lora_config, trainer_arguments

    config = TrainingConfig(max_length=MAX_LENGTH, **changes)
    rows = [
        {
            "prompt": [{"role": "user", "content": prompt}],
            "chosen": [{"role": "assistant", "content": chosen}],
            "rejected": [{"role": "assistant", "content": rejected}],
        }
        for prompt, chosen, rejected in pairs
    ]
    return Trainer(
        progress=lambda step, total, loss: None,
        model=base.model,
        args=trainer_arguments(config, folder / "run", max_length=MAX_LENGTH),
        train_dataset=Dataset.from_list(rows),
        processing_class=base.tokenizer,
        peft_config=lora_config(config),
    )


def score(model: Path, folder: Path, pairs: list[tuple[str, str, str]], **changes: Any) -> int:
    """Return how many completions were read, by a run in a process that knows nothing yet."""
    base = load_base(model)
    trainer = make_trainer(base, folder, pairs, **changes)
    with ModelCache(folder / "cache.db", warn=pytest.fail) as cache:
        return give_reference(trainer, kept_scores(cache, model_identity(base, None)))


def test_only_what_is_new_is_scored(tiny_model: Path, tmp_path: Path) -> None:
    """Another beta, seed or rank scores nothing; one more pair scores its own completions."""
    assert score(tiny_model, tmp_path, PAIRS) == 5
    assert score(tiny_model, tmp_path, PAIRS, beta=0.4, seed=3, lora_r=2) == 0
    more = [*PAIRS, ("Why?", "So", "Well.")]
    assert score(tiny_model, tmp_path, more, loss_type=["ipo"], loss_weights=[1.0]) == 1


def test_evaluation_and_training_share_what_they_score(tiny_model: Path, tmp_path: Path) -> None:
    """What one has scored, the other finds; it is what TRL would compute by itself."""
    from trl import DPOTrainer

    base = load_base(tiny_model)
    with ModelCache(tmp_path / "cache.db", warn=pytest.fail) as cache:
        model = AdaptedModel(
            base, "base", settings=EvaluationConfig(), max_length=MAX_LENGTH, cache=cache
        )
        prompts: list[Prompt] = [[{"role": "user", "content": prompt}] for prompt, *_ in PAIRS]
        model.log_probs(prompts[:2], [chosen for _, chosen, _ in PAIRS[:2]])
    assert score(tiny_model, tmp_path, PAIRS) == 4
    with ModelCache(tmp_path / "cache.db", warn=pytest.fail) as cache:
        model = AdaptedModel(
            base, "base", settings=EvaluationConfig(), max_length=MAX_LENGTH, cache=cache
        )
        rejected = model.log_probs(prompts, [rejected for *_, rejected in PAIRS])
        assert (model.n_computed, model.n_kept) == (0, 3)

    trainer = make_trainer(load_base(tiny_model), tmp_path, PAIRS)
    plain = trainer.collator.plain(list(trainer.train_dataset))
    _, expected = DPOTrainer.compute_ref_log_probs(trainer, trainer.model, plain)
    assert [it.total for it in rejected] == pytest.approx(expected.tolist(), abs=1e-4)
    give_reference(trainer, kept_scores(None, ""))
    again = trainer.train_dataset["ref_rejected_logps"]
    assert list(again) == pytest.approx(expected.tolist(), abs=1e-4)
