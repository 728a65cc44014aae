"""Models that are asked, and what they are asked, for tests of `language_model`."""

from pathlib import Path
from typing import Any

from thumbwheel.config import EvaluationConfig
from thumbwheel.language_model import AdaptedModel, LoadedBase, ModelCache
from thumbwheel.types import Prompt

SETTINGS = EvaluationConfig(batch_size=4, max_new_tokens=12, temperature=0.8, top_p=0.95)


def user(text: str) -> Prompt:
    return [{"role": "user", "content": text}]


PROMPTS: list[Prompt] = [
    user("Hi"),
    user("A longer question, with some more words in it?"),
    [{"role": "system", "content": "Be brief."}, *user("And now?")],
    user("ünïcode ☃"),
    user("x" * 60),
    user("Hi"),
]
COMPLETIONS = ["Yes.", "", "A much longer answer than the others. " * 3, "☃", "no", "No."]


def adapted(
    base: LoadedBase,
    adapter: Path | None = None,
    *,
    max_length: int = 500,
    cache: ModelCache | None = None,
    **settings: Any,
) -> AdaptedModel:
    """Return a model as an evaluation makes one; `settings` are those of its configuration."""
    return AdaptedModel(
        base,
        "base" if adapter is None else "candidate",
        adapter,
        settings=SETTINGS.model_copy(update=settings),
        max_length=max_length,
        cache=cache,
    )
