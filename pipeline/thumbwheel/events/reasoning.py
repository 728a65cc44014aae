"""Hidden reasoning: what a model wrote before its answer and its users never saw."""

import re

__all__ = ["may_hide", "without_reasoning"]

_BLOCK = re.compile(
    r"\s*(?:<(think|thinking|thought|reasoning|reflection)>(.*?)(?:</\1>|\Z)"
    r"|\[THINK\](.*?)(?:\[/THINK\]|\Z)"
    r"|<\|channel\|>analysis<\|message\|>(.*?)(?:<\|end\|>|\Z))",
    re.IGNORECASE | re.DOTALL,
)
_FINAL = re.compile(r"\s*(?:<\|start\|>assistant)?<\|channel\|>final<\|message\|>")
# Where a chat template opens the block, the model only closes it, on a line of its own.
_CLOSING = re.compile(
    r"\A((?:(?!<think).)*?)(?:\A|\n)[ \t]*</think(?:ing)?>[ \t]*(?:\n|\Z)", re.DOTALL
)
_SIGNS = frozenset("<[ \n\r\t")


def may_hide(text: str) -> bool:
    """Tell at a glance whether an answer may begin with reasoning: hardly any does."""
    return text[0] in _SIGNS or "</think" in text if text else False


def without_reasoning(text: str) -> tuple[str, str | None]:
    """Return an answer without the reasoning that it begins with, and that reasoning.

    An answer that broke off within its reasoning is empty. Text about such marks, further on in an
    answer, is left as it is.
    """
    if not may_hide(text):
        return text, None
    thoughts: list[str] = []
    rest = text
    while block := _BLOCK.match(rest):
        thoughts.append(next(part for part in block.groups()[1:] if part is not None))
        rest = rest[block.end() :]
    if final := _FINAL.match(rest):
        rest = rest[final.end() :].removesuffix("<|return|>").removesuffix("<|end|>")
    elif not thoughts and (closing := _CLOSING.match(rest)):
        thoughts.append(closing[1])
        rest = rest[closing.end() :]
    elif not thoughts:
        return text, None
    return rest.strip(), "\n".join(thought.strip() for thought in thoughts)
