"""Token ids of prompts and completions, exactly those that training scores.

As TRL's `DPOTrainer` does it: the prompt is rendered with the generation prompt, the conversation
with the completion as the assistant's turn, and the completion is what follows their common
beginning. So template text after the end-of-turn token counts as completion. TRL cuts both
completions of a pair where the earlier one departs from the prompt; that differs from what is done
here only when a token spans the end of the prompt, or the template renders an answered prompt
differently.
"""

from collections.abc import Sequence
from itertools import takewhile

from thumbwheel.errors import DataError
from thumbwheel.language_model.loading import LoadedBase
from thumbwheel.types import Prompt

__all__ = ["encode", "encode_prompts"]


def encode(
    base: LoadedBase, prompts: Sequence[Prompt], completions: Sequence[str]
) -> list[tuple[list[int], list[int]]]:
    """Return the token ids of each prompt and of the completion behind it.

    Raises:
        DataError: The chat template refuses a prompt.
    """
    conversations: list[Prompt] = [
        [*prompt, {"role": "assistant", "content": completion}]
        for prompt, completion in zip(prompts, completions, strict=True)
    ]
    pairs = []
    for prompt, whole in zip(
        encode_prompts(base, prompts),
        _render(base, conversations, add_generation_prompt=False),
        strict=True,
    ):
        alike = takewhile(lambda ids: ids[0] == ids[1], zip(prompt, whole, strict=False))
        # Nothing predicts the first token of a sequence, so it is never part of a completion.
        shared = max(1, sum(1 for _ in alike))
        pairs.append((whole[:shared], whole[shared:]))
    return pairs


def encode_prompts(base: LoadedBase, prompts: Sequence[Prompt]) -> list[list[int]]:
    """Return the token ids of each prompt, up to where the model's answer begins.

    Raises:
        DataError: The chat template refuses a prompt.
    """
    return _render(base, prompts, add_generation_prompt=True)


def _render(
    base: LoadedBase, conversations: Sequence[Prompt], *, add_generation_prompt: bool
) -> list[list[int]]:
    from jinja2 import TemplateError

    if not conversations:
        return []
    try:
        ids: list[list[int]] = base.tokenizer.apply_chat_template(
            [list(conversation) for conversation in conversations],
            add_generation_prompt=add_generation_prompt,
            return_dict=False,
        )
    except TemplateError as error:
        raise DataError(
            f"the chat template in {base.path} refuses a conversation: {error}; "
            "leave out prompts of that form, or use another base model"
        ) from error
    return ids
