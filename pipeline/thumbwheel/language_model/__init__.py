"""Language models in memory: one base, and any number of LoRA adapters on it.

- `cache`: what models said, on disk, across cycles and processes.
- `cache_table`: its table.
- `kept`: what one model said, in memory and in the cache.
- `loading`: a base model from a local directory, safely and in silence.
- `templates`, `template_trial`: a chat template, tried within limits before it is used.
- `encoding`: the token ids of prompts and completions.
- `adapted`: the base under one of its adapters, scoring, embedding and sampling completions.
- `forward`: one batch of token ids through the model.
- `sampling`: a random stream for each text.

torch, transformers and peft are imported only when a model is loaded.
"""

from thumbwheel.language_model.adapted import AdaptedModel
from thumbwheel.language_model.cache import ModelCache
from thumbwheel.language_model.loading import (
    LoadedBase,
    load_base,
    model_digest,
    without_migration_warnings,
)

__all__ = [
    "AdaptedModel",
    "LoadedBase",
    "ModelCache",
    "load_base",
    "model_digest",
    "without_migration_warnings",
]
