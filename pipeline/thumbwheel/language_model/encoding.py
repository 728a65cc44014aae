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
from typing import Any

from thumbwheel.errors import DataError
from thumbwheel.events import to_chat
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
    chats = [to_chat(prompt) for prompt in prompts]
    conversations = [
        [*chat, {"role": "assistant", "content": completion}]
        for chat, completion in zip(chats, completions, strict=True)
    ]
    pairs = []
    for prompt, whole in zip(
        _render(base, chats, add_generation_prompt=True),
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
    return _render(base, [to_chat(prompt) for prompt in prompts], add_generation_prompt=True)


def _render(
    base: LoadedBase, chats: Sequence[list[dict[str, Any]]], *, add_generation_prompt: bool
) -> list[list[int]]:
    if not chats:
        return []
    template = base.tokenizer.chat_template
    if "tool_calls" not in str(template) and any("tool_calls" in m for chat in chats for m in chat):
        raise DataError(
            f"a prompt has tool calls, which the chat template in {base.path} does not show; "
            "leave out such prompts, or use another base model"
        )
    try:
        ids: list[list[int]] = base.tokenizer.apply_chat_template(
            list(chats), add_generation_prompt=add_generation_prompt, return_dict=False
        )
    except Exception as error:
        # A template is a program of its own: given what it does not foresee, it raises anything.
        raise DataError(
            f"the chat template in {base.path} refuses a conversation: {_one_line(error)}; "
            "leave out prompts of that form, or use another base model"
        ) from error
    return ids


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split()) or type(error).__name__
