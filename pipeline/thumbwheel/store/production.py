"""What production answered: prompts and their completions as they are stored, rated or not."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby

from thumbwheel.config import VotePolicy
from thumbwheel.store.connection import Connection
from thumbwheel.types import Prompt

__all__ = ["Produced", "ProductionPrompt", "production_prompts", "prompt_pool"]

_FEATURE_CHARACTERS = 1000
_LONGEST = 20_000
"""Characters: nobody reads a longer text with care."""
_ANSWERS_PER_PROMPT = 8


@dataclass(frozen=True, slots=True)
class Produced:
    """A completion, and the model version that answered with it."""

    completion_id: str
    completion: str
    model_version: str | None


@dataclass(frozen=True, slots=True)
class ProductionPrompt:
    """A prompt of users with some of the completions that production gave."""

    prompt_id: str
    prompt: Prompt
    answers: Sequence[Produced]


# What is looked at first are ids alone: texts are read for those that were drawn.
_POOL = f"""
WITH drawn AS (
    SELECT prompt_id, arg_min(arrival, event_id) AS arrival FROM events
    WHERE prompt_id IS NOT NULL AND NOT list_contains($others, source) AND prompt_id NOT IN (
        SELECT prompt_id FROM events
        WHERE prompt_id IS NOT NULL AND list_contains($annotators, source))
    GROUP BY prompt_id ORDER BY prompt_id LIMIT $size
), answered AS (
    SELECT drawn.prompt_id,
           array_to_string(list_transform(prompt, lambda m: m.content), ' ') AS text
    FROM drawn JOIN events USING (arrival)
)
SELECT prompt_id, right(text, {_FEATURE_CHARACTERS}) FROM answered
WHERE length(text) <= {_LONGEST} ORDER BY prompt_id
"""  # noqa: S608 - no user text: numbers only

_PROMPTS = f"""
WITH drawn AS (
    SELECT prompt_id, completion_id, arg_min(arrival, event_id) AS arrival FROM events
    WHERE list_contains($ids, prompt_id) AND NOT list_contains($others, source)
    GROUP BY prompt_id, completion_id
), answered AS (
    SELECT drawn.prompt_id, prompt, drawn.completion_id, completion, model_version
    FROM drawn JOIN events USING (arrival)
    WHERE length(completion) <= {_LONGEST} AND trim(completion) <> ''
)
SELECT * FROM answered
QUALIFY row_number() OVER (
    PARTITION BY prompt_id ORDER BY completion_id) <= {_ANSWERS_PER_PROMPT}
ORDER BY prompt_id, completion_id
"""  # noqa: S608


def prompt_pool(connection: Connection, policy: VotePolicy, size: int) -> dict[str, str]:
    """Return up to `size` prompts drawn at random: the end of each one's text, by prompt_id.

    Ids are hashes, so the smallest are a uniform draw, and the same one every time. Prompts that
    annotators had before, and those that only a model's pairs brought in, are left out.

    Args:
        connection: In a transaction.
        policy: Says which sources are of users.
        size: How many to draw.
    """
    annotators = [name for name, origin in policy.origins.items() if origin == "annotators"]
    params = {"others": _others(policy), "annotators": annotators, "size": size}
    return dict(connection.execute(_POOL, params).fetchall())


def production_prompts(
    connection: Connection, policy: VotePolicy, prompt_ids: Sequence[str]
) -> list[ProductionPrompt]:
    """Return prompts with up to eight completions each, in the order of the ids.

    A prompt whose completions are all empty, or too long for anybody to read, is left out.

    Args:
        connection: In a transaction.
        policy: Says which sources are of users.
        prompt_ids: Which prompts.
    """
    params = {"ids": list(prompt_ids), "others": _others(policy)}
    found: Mapping[str, ProductionPrompt] = {
        prompt.prompt_id: prompt
        for prompt in _prompts(connection.execute(_PROMPTS, params).fetchall())
    }
    return [found[prompt_id] for prompt_id in prompt_ids if prompt_id in found]


def _prompts(
    rows: Sequence[tuple[str, Prompt, str, str, str | None]],
) -> Iterator[ProductionPrompt]:
    for prompt_id, group in groupby(rows, key=lambda row: row[0]):
        answers = list(group)
        yield ProductionPrompt(prompt_id, answers[0][1], [Produced(*row[2:]) for row in answers])


def _others(policy: VotePolicy) -> list[str]:
    return [name for name, origin in policy.origins.items() if origin != "users"]
