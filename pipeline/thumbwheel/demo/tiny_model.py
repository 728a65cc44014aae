"""A planted world's base model: about a million parameters, trained from scratch in a minute.

The demo's is a Llama; another `Recipe` makes another. What comes of it is an ordinary Hugging Face
model directory, with a chat template and safetensors.
"""

import os
import shutil
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING

from thumbwheel.demo.users import PlantedWorld

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel, PreTrainedTokenizerFast

__all__ = ["LLAMA", "Recipe", "build_tiny_model"]

BOS, END, PAD = "<|bos|>", "<|end|>", "<|pad|>"
ROLES = ("<|system|>", "<|user|>", "<|assistant|>")

# Nothing follows the end token of a turn: what follows it would be scored with the completion.
CHAT_TEMPLATE = (
    "{{ bos_token }}"
    "{% for message in messages %}"
    "<|{{ message['role'] }}|>{{ message['content'] }}{{ eos_token }}"
    "{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|>{% endif %}"
)

Turns = Sequence[tuple[str, str]]


@dataclass(frozen=True, slots=True)
class Recipe:
    """How a base model is made.

    Attributes:
        untrained: Returns a model with random weights for a tokenizer.
        vocabulary: Tokens of the tokenizer, at most.
        fact_epochs: How often each prompt is taught with its bare answer.
        chat_epochs: How often with an answer of the app.
        batch_size: Answers in a step.
        peak_learning_rate: AdamW's, after the first twentieth of the steps.
    """

    untrained: "Callable[[PreTrainedTokenizerFast], PreTrainedModel]"
    vocabulary: int = 1600
    fact_epochs: int = 28
    chat_epochs: int = 28
    batch_size: int = 16
    peak_learning_rate: float = 2e-3


def build_tiny_model(
    world: PlantedWorld,
    out_dir: Path,
    seed: int,
    progress: Callable[[int, int], None],
    recipe: Recipe | None = None,
) -> None:
    """Train the world's base model and save it as `out_dir`, which appears whole or not at all.

    Args:
        world: Its facts and chats are the training text.
        out_dir: A directory that does not exist yet.
        seed: Of the initial weights and of the order of the text.
        progress: Called with the steps done and the steps in all.
        recipe: How the model is made; None makes the demo's.
    """
    import torch

    recipe = recipe or LLAMA
    facts, chats = list(world.facts(recipe.fact_epochs)), list(world.chats(recipe.chat_epochs))
    out_dir.parent.mkdir(parents=True, exist_ok=True)
    unfinished = Path(tempfile.mkdtemp(prefix=f".{out_dir.name}.", dir=out_dir.parent))
    try:
        tokenizer = _train_tokenizer(chats, recipe.vocabulary)
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            model = recipe.untrained(tokenizer)
            batches = _curriculum(facts, chats, recipe.batch_size, seed)
            _train_model(model, tokenizer, batches, recipe.peak_learning_rate, progress)
        _save(tokenizer, model, unfinished)
        os.replace(unfinished, out_dir)
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)


def _curriculum(facts: Turns, chats: Turns, batch_size: int, seed: int) -> list[Turns]:
    """Return the batches in the order of teaching.

    A third of the bare facts comes first, the rest among half of the chats, then the other half. A
    bare fact is half as long as a chat and all about the answer, so this takes far less time than
    chats alone; ending on chats makes the model talk like the app.
    """
    fact_batches, chat_batches = (
        [turns[start : start + batch_size] for start in range(0, len(turns), batch_size)]
        for turns in (facts, chats)
    )
    third, half = len(fact_batches) // 3, len(chat_batches) // 2
    mixed = fact_batches[third:] + chat_batches[:half]
    Random(seed).shuffle(mixed)  # noqa: S311 -- seeded on purpose
    return fact_batches[:third] + mixed + chat_batches[half:]


def _train_tokenizer(corpus: Turns, vocabulary: int) -> "PreTrainedTokenizerFast":
    """Return a byte-level BPE tokenizer of the corpus, so that it can spell any text."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocabulary,
        special_tokens=[BOS, END, PAD, *ROLES],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator((text for turns in corpus for text in turns), trainer)
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        bos_token=BOS,
        eos_token=END,
        pad_token=PAD,
        additional_special_tokens=list(ROLES),
        chat_template=CHAT_TEMPLATE,
        model_max_length=512,
        padding_side="left",
        clean_up_tokenization_spaces=False,
    )


def _untrained_llama(tokenizer: "PreTrainedTokenizerFast") -> "PreTrainedModel":
    from transformers import LlamaConfig, LlamaForCausalLM

    return LlamaForCausalLM(
        LlamaConfig(
            vocab_size=len(tokenizer),
            hidden_size=192,
            intermediate_size=384,
            num_hidden_layers=2,
            num_attention_heads=6,
            max_position_embeddings=512,
            tie_word_embeddings=True,
            initializer_range=0.06,  # the usual 0.02 starts so narrow a model too slowly
            bos_token_id=tokenizer.bos_token_id,
            eos_token_id=tokenizer.eos_token_id,
            pad_token_id=tokenizer.pad_token_id,
        )
    )


LLAMA = Recipe(_untrained_llama)
"""The demo's."""


def _train_model(
    model: "PreTrainedModel",
    tokenizer: "PreTrainedTokenizerFast",
    batches: Sequence[Turns],
    peak_learning_rate: float,
    progress: Callable[[int, int], None],
) -> None:
    """Train a model to predict the completions, one pass over the batches."""
    import torch

    steps = len(batches)
    optimizer = torch.optim.AdamW(
        model.parameters(), lr=peak_learning_rate, betas=(0.9, 0.95), weight_decay=0.01
    )
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, peak_learning_rate, total_steps=steps, pct_start=0.05, cycle_momentum=False
    )
    model.train()
    for done, turns in enumerate(batches, start=1):
        loss = model(**_batch(tokenizer, turns)).loss
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        progress(done, steps)
    model.eval()


def _batch(tokenizer: "PreTrainedTokenizerFast", turns: Turns) -> "dict[str, torch.Tensor]":
    """Return right-padded token ids with labels on the completions only, (batch, length) each."""
    import torch

    prompts = tokenizer([f"{BOS}{ROLES[1]}{prompt}{END}{ROLES[2]}" for prompt, _ in turns])
    completions = tokenizer([f"{completion}{END}" for _, completion in turns])
    ids, labels = [], []
    for prompt, completion in zip(prompts["input_ids"], completions["input_ids"], strict=True):
        ids.append(torch.tensor(prompt + completion))
        labels.append(torch.tensor([-100] * len(prompt) + completion))
    pad = torch.nn.utils.rnn.pad_sequence
    return {
        "input_ids": pad(ids, batch_first=True, padding_value=tokenizer.pad_token_id),
        "labels": pad(labels, batch_first=True, padding_value=-100),
    }


def _save(tokenizer: "PreTrainedTokenizerFast", model: "PreTrainedModel", directory: Path) -> None:
    from transformers.utils import logging

    # transformers draws its own progress bar for a save that takes milliseconds.
    shown = logging.is_progress_bar_enabled()
    logging.disable_progress_bar()
    try:
        tokenizer.save_pretrained(directory)
        model.save_pretrained(directory)
    finally:
        if shown:
            logging.enable_progress_bar()
