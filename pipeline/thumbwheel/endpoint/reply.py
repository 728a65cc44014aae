"""From the body of an answer to the text the model wrote, or to the reason why there is none."""

from dataclasses import dataclass

from pydantic import BaseModel, Field, ValidationError

__all__ = ["Reply", "RequestFailedError", "read_problem", "read_reply"]


class RequestFailedError(Exception):
    """One request got no usable answer; others may. The message continues "it ..."."""


@dataclass(frozen=True, slots=True)
class Reply:
    """A whole answer, and the tokens the endpoint counted (0 where it counts none)."""

    text: str
    input_tokens: int
    output_tokens: int


class _Message(BaseModel):
    content: str | None = None


class _Choice(BaseModel):
    message: _Message
    finish_reason: str | None = None


class _Counted(BaseModel):
    prompt_tokens: int = 0
    completion_tokens: int = 0


class _Completion(BaseModel):
    choices: list[_Choice] = Field(min_length=1)
    usage: _Counted | None = None


class _Problem(BaseModel):
    message: str = ""


class _Problems(BaseModel):
    error: _Problem | str


def read_reply(body: bytes, max_tokens: int) -> Reply:
    """Return the answer in a chat completion.

    Raises:
        RequestFailedError: It is no chat completion, or the answer is not whole.
    """
    try:
        completion = _Completion.model_validate_json(body)
    except ValidationError:
        raise RequestFailedError("answered with something else than a chat completion") from None
    choice = completion.choices[0]
    if choice.finish_reason == "length":
        raise RequestFailedError(f"wrote more than {max_tokens:,} tokens and was cut off")
    if choice.finish_reason == "content_filter":
        raise RequestFailedError("held its answer back (content_filter)")
    if choice.message.content is None:
        raise RequestFailedError("answered without a text")
    counted = completion.usage or _Counted()
    return Reply(choice.message.content, counted.prompt_tokens, counted.completion_tokens)


def read_problem(body: bytes) -> str:
    """Return in short what a server says was wrong; empty when it does not say."""
    try:
        problem = _Problems.model_validate_json(body).error
    except ValidationError:
        return ""
    words = " ".join((problem if isinstance(problem, str) else problem.message).split())
    return "".join(sign for sign in words if sign.isprintable())[:200]
