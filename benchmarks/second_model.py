"""The second world's base model, a Qwen2 of about a million parameters, and its configuration."""

from typing import TYPE_CHECKING

from thumbwheel.demo.tiny_model import Recipe

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerFast

__all__ = ["CONFIG", "QWEN2"]


def _untrained_qwen2(tokenizer: "PreTrainedTokenizerFast") -> "PreTrainedModel":
    from transformers import Qwen2Config, Qwen2ForCausalLM

    return Qwen2ForCausalLM(
        Qwen2Config(
            vocab_size=len(tokenizer),
            hidden_size=160,
            intermediate_size=320,
            num_hidden_layers=3,
            num_attention_heads=4,
            num_key_value_heads=2,
            max_position_embeddings=512,
            tie_word_embeddings=True,
            initializer_range=0.06,
            bos_token_id=tokenizer.bos_token_id,
            eos_token_id=tokenizer.eos_token_id,
            pad_token_id=tokenizer.pad_token_id,
        )
    )


QWEN2 = Recipe(_untrained_qwen2, fact_epochs=24, chat_epochs=24)

CONFIG = """\
project = "second-world"
home = "home"

[model]
path = "{model}"

[[sources]]
name = "app"
connector = "file"
options.path = "events.jsonl"

[[plugins]]
use = "all_pairs"

[pairs]                         # these users are known to care for length and for lists
balance = ["bold", "headings", "code", "emoji"]
max_per_prompt = 6
max_per_cluster = 6

[audit]
intended = ["exclamations", "sentiment", "length", "lists"]
max_wrong_pairs = 1             # noise is trained on too, to show what the gate says of it

[dataset]
held_out = 0.3
judge = 0.2

[training]
target_modules = "all-linear"
learning_rate = 5e-4
beta = 0.3
loss_type = ["sigmoid", "sft"]
loss_weights = [1.0, 1.0]
max_steps = 160
per_device_train_batch_size = 8
gradient_accumulation_steps = 1
max_length = 160

[evaluation]
temperature = 0.9
top_p = 0.95
max_new_tokens = 72
batch_size = 64

[gate]
guards = [                      # concise answers are half as long
    {{ metric = "length", max_drop = 0.6, max_rise = 0.25, relative = true }},
]
"""
"""With a place for the `model`'s path; nothing in it knows the truth."""
