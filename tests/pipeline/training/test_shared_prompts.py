"""Packed batches: TRL's losses and gradients from a model that reads each prompt once."""

import copy
import random
from itertools import product
from pathlib import Path
from typing import Any, NamedTuple, get_args

import pytest

from thumbwheel.config import TrainingConfig
from thumbwheel.config.model import LossType
from thumbwheel.language_model import load_base
from thumbwheel.training.collating import Collator

pytestmark = [
    pytest.mark.usefixtures("one_thread"),
    pytest.mark.filterwarnings("ignore:.*is deprecated and will be removed in v6:FutureWarning"),
    pytest.mark.filterwarnings("ignore:fan_in_fan_out is set to False:UserWarning"),
]

MAX_LENGTH = 40
SMALL = {
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 8,
    "max_position_embeddings": 64,
    "initializer_range": 0.2,
}
GPT = {"n_embd": 32, "n_layer": 2, "n_head": 4, "n_positions": 64, "initializer_range": 0.2}
FAMILIES: dict[str, tuple[str, dict[str, Any]]] = {
    "llama": ("llama", SMALL),
    "qwen2": ("qwen2", SMALL),
    "qwen2 with windows": (
        "qwen2",
        SMALL | {"use_sliding_window": True, "sliding_window": 9, "max_window_layers": 1},
    ),
    "qwen3": ("qwen3", SMALL),
    "gemma3": ("gemma3_text", SMALL | {"sliding_window": 9, "sliding_window_pattern": 2}),
    "mistral": ("mistral", SMALL | {"sliding_window": 9}),
    "phi": ("phi", SMALL | {"num_key_value_heads": 4}),
    "phi3": ("phi3", SMALL | {"sliding_window": 9}),
    "gpt2": ("gpt2", GPT),
}
TARGETS = {"gpt2": ["c_attn"], "mixtral": ["q_proj", "v_proj"]}
# One pair alone, one of two, all pairs of 2 up x 3 down, and of 3 x 4.
GROUPS = [(1, 1), (1, 2), (2, 3), (3, 4)]


class Both(NamedTuple):
    """Two trainers with the same weights."""

    stock: Any
    ours: Any


def make_model(kind: str, settings: dict[str, Any], n_tokens: int) -> Any:
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM

    config = AutoConfig.for_model(
        kind, vocab_size=n_tokens, pad_token_id=0, bos_token_id=1, eos_token_id=2, **settings
    )
    with torch.random.fork_rng():
        torch.manual_seed(1)
        return AutoModelForCausalLM.from_config(config, dtype=torch.float32).eval()


def make_both(
    kind: str, settings: dict[str, Any], tiny_model: Path, folder: Path, warnings: list[str]
) -> Both:
    """Make stock TRL and ours on a model; the adapter differs from the base."""
    import torch
    from datasets import Dataset
    from trl import DPOTrainer

    from thumbwheel.training.trainer import Trainer, lora_config, trainer_arguments

    tokenizer = load_base(tiny_model).tokenizer
    model = make_model(kind, settings, len(tokenizer))
    config = TrainingConfig(
        lora_r=4,
        target_modules=TARGETS.get(kind, "all-linear"),
        per_device_train_batch_size=3,
        gradient_accumulation_steps=100,
    )
    # TRL looks at texts when it is made; what is compared are token ids.
    texts = [("Hi", "a" * 9, "b"), ("Yo", "c", "d")]
    dataset = Dataset.from_list(
        [
            {
                "prompt": [{"role": "user", "content": prompt}],
                "chosen": [{"role": "assistant", "content": chosen}],
                "rejected": [{"role": "assistant", "content": rejected}],
            }
            for prompt, chosen, rejected in texts
        ]
    )
    trainers: list[Any] = []
    kinds: list[tuple[Any, dict[str, Any]]] = [
        (DPOTrainer, {}),
        (Trainer, {"progress": print, "warn": warnings.append, "pairs_at_once": 3}),
    ]
    for cls, more in kinds:
        arguments = trainer_arguments(config, folder / cls.__name__, max_length=MAX_LENGTH)
        arguments.label_smoothing = 0.01
        trainers.append(
            cls(
                model=copy.deepcopy(model),
                args=arguments,
                train_dataset=dataset,
                processing_class=tokenizer,
                peft_config=lora_config(config),
                **more,
            )
        )
    stock, ours = trainers
    with torch.random.fork_rng(), torch.no_grad():
        torch.manual_seed(2)
        for name, parameter in stock.model.named_parameters():
            if "lora_B" in name:
                parameter.normal_(std=0.2)
    ours.model.load_state_dict(stock.model.state_dict())
    return Both(stock, ours)


@pytest.fixture(scope="module")
def both(
    request: pytest.FixtureRequest, tiny_model: Path, tmp_path_factory: pytest.TempPathFactory
) -> Both:
    warnings: list[str] = []
    folder = tmp_path_factory.mktemp("trainers")
    made = make_both(*FAMILIES[request.param], tiny_model, folder, warnings)
    assert warnings == []
    return made


def make_pairs(seed: int = 0) -> list[dict[str, list[int]]]:
    """Make pairs of token ids: some cut at the longest length, some equal once they are cut."""
    rng = random.Random(seed)

    def ids(n: int) -> list[int]:
        return [rng.randrange(3, 200) for _ in range(n)]

    pairs = []
    for n_up, n_down in GROUPS:
        prompt = ids(rng.choice([1, 2, 12, 20, 37]))
        ups, downs = ([ids(rng.randrange(1, 20)) for _ in range(n)] for n in (n_up, n_down))
        pairs += [
            {"prompt_ids": prompt, "chosen_ids": u, "rejected_ids": d} for u in ups for d in downs
        ]
    start = ids(30)
    pairs.append({"prompt_ids": ids(25), "chosen_ids": start + ids(3), "rejected_ids": [*start, 9]})
    rng.shuffle(pairs)
    return pairs


def gradient(trainer: Any, batches: list[dict[str, Any]]) -> tuple[float, Any]:
    """Return the loss of some batches, and its gradient in one vector."""
    import torch

    trainer.model.zero_grad()
    total = 0.0
    for batch in batches:
        loss = trainer.compute_loss(trainer.model, batch)
        loss.backward()
        total += loss.item()
    found = [p.grad.flatten() for p in trainer.model.parameters() if p.grad is not None]
    return total, torch.cat(found)


def compare(both: Both, losses: list[str], *, weights: list[float], in_parts: bool = True) -> None:
    pairs = make_pairs()
    whole = both.stock.data_collator(pairs)
    parts = both.ours.collator.step(pairs)["parts"]
    at_once = both.ours.data_collator(pairs)
    assert len(parts) > 1
    for trainer in both:
        trainer.model.train()
        trainer.loss_types, trainer.loss_weights = losses, weights
    expected, steep = gradient(both.stock, [whole])
    for batches in ([at_once], parts) if in_parts else ([at_once],):
        found, slope = gradient(both.ours, batches)
        assert found == pytest.approx(expected, rel=1e-5, abs=1e-5), losses
        assert (slope - steep).norm() <= 1e-4 * steep.norm(), losses


@pytest.mark.parametrize("both", FAMILIES, indirect=True)
def test_all_families_learn_as_with_trl(both: Both) -> None:
    """At once or in parts, the loss is TRL's to 1e-5 and its gradient to 1e-4 of its length."""
    losses = [loss for loss in get_args(LossType) if not loss.startswith("aot")]
    compare(both, losses, weights=[1 / n for n in range(1, len(losses) + 1)])


@pytest.mark.parametrize("both", ["llama"], indirect=True)
def test_every_loss_is_trls(both: Both) -> None:
    """The same for each loss by itself; those that sort a batch see it whole."""
    for loss in get_args(LossType):
        compare(both, [loss], weights=[0.7], in_parts=not loss.startswith("aot"))


@pytest.mark.parametrize("both", ["llama"], indirect=True)
def test_a_batch_is_read_once(both: Both) -> None:
    """Of all pairs of 2 up x 3 down, a prompt and five completions go through the layers."""
    prompt, *answers = (list(range(3 + n, 13 + n)) for n in range(6))
    pairs = [
        {"prompt_ids": prompt, "chosen_ids": up, "rejected_ids": down}
        for up, down in product(answers[:2], answers[2:])
    ]
    read: list[Any] = []
    layers = both.ours.model.get_base_model().base_model
    handle = layers.register_forward_pre_hook(
        lambda module, args, kwargs: read.append(kwargs["input_ids"]), with_kwargs=True
    )
    collator = Collator(both.stock.data_collator, budget=10**6, square=1e9)
    both.ours.compute_loss(both.ours.model, collator.batch(pairs))
    handle.remove()
    policy, reference = read
    # The last token of the prompt begins each branch, whose own last predicts nothing.
    assert policy.numel() == reference.numel() == 9 + 5 * 10


REFUSED: dict[str, tuple[str, dict[str, Any]]] = {
    "its attention's biases are the mask's": (
        "bloom",
        {"hidden_size": 32, "n_layer": 1, "n_head": 4},
    ),
    "experts": ("mixtral", SMALL | {"num_local_experts": 2, "num_experts_per_tok": 1}),
}


@pytest.mark.parametrize("kind", REFUSED)
def test_a_model_that_cannot_share_is_trained_as_trl_does(
    kind: str, tiny_model: Path, tmp_path: Path
) -> None:
    """One line says so, and the losses are TRL's all the same."""
    warnings: list[str] = []
    both = make_both(*REFUSED[kind], tiny_model, tmp_path, warnings)
    (line,) = warnings
    assert line.startswith("prompts are not shared in training, as ")
    assert "\n" not in line
    losses = ["sigmoid", "sft"]
    if kind == "experts":
        # Their balance is that of the tokens of a batch.
        for trainer in both:
            trainer.aux_loss_enabled = False
    compare(both, losses, weights=[1.0, 0.3])
