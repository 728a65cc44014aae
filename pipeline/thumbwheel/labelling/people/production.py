"""What production answered: prompts and their completions as the store holds them, rated or not."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Protocol

import pyarrow as pa

from thumbwheel.config import Config
from thumbwheel.types import Prompt

__all__ = ["Produced", "ProductionPrompt", "Queryable", "read_pool", "read_prompts"]

_QUERY_SECONDS = 300.0
_FEATURE_CHARACTERS = 1000
_LONGEST = 20_000
"""Characters: nobody reads a longer text with care."""
_ANSWERS_PER_PROMPT = 8
_PROMPTS_PER_QUERY = 100


class Queryable(Protocol):
    """The store, or its owner asked over HTTP."""

    def query(self, sql: str, *, max_rows: int, timeout_seconds: float) -> pa.Table:
        """Return the first rows of one SELECT."""
        ...


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


def read_pool(store: Queryable, config: Config, size: int) -> Mapping[str, str]:
    """Return up to `size` prompts drawn at random: the end of each one's text, by prompt_id.

    Ids are hashes, so the smallest are a uniform draw, and the same one every time. Prompts that
    annotators had before, and those that only a model's pairs brought in, are left out.
    """
    # What the store looks at are ids alone: texts are read for those that were drawn.
    sql = f"""
        WITH drawn AS (
            SELECT prompt_id, arg_min(arrival, event_id) AS arrival FROM events
            WHERE prompt_id IS NOT NULL AND {_of_users(config)} AND prompt_id NOT IN (
                SELECT prompt_id FROM events
                WHERE prompt_id IS NOT NULL AND {_of_annotators(config)})
            GROUP BY prompt_id ORDER BY prompt_id LIMIT {size:d}
        ), told AS (
            SELECT drawn.prompt_id,
                   array_to_string(list_transform(prompt, lambda m: m.content), ' ') AS text
            FROM drawn JOIN events USING (arrival)
        )
        SELECT prompt_id, right(text, {_FEATURE_CHARACTERS}) AS text FROM told
        WHERE length(text) <= {_LONGEST} ORDER BY prompt_id
    """  # noqa: S608 - names of sources are checked by the configuration
    rows = store.query(sql, max_rows=size, timeout_seconds=_QUERY_SECONDS)
    return dict(zip(rows["prompt_id"].to_pylist(), rows["text"].to_pylist(), strict=True))


def read_prompts(
    store: Queryable, config: Config, prompt_ids: Sequence[str]
) -> list[ProductionPrompt]:
    """Return prompts with up to eight completions each, in the order of the ids.

    A prompt whose completions are all empty, or too long for anybody to read, is left out.
    """
    found = {
        prompt.prompt_id: prompt
        for start in range(0, len(prompt_ids), _PROMPTS_PER_QUERY)
        for prompt in _read(store, config, prompt_ids[start : start + _PROMPTS_PER_QUERY])
    }
    return [found[prompt_id] for prompt_id in prompt_ids if prompt_id in found]


def _read(store: Queryable, config: Config, ids: Sequence[str]) -> Iterator[ProductionPrompt]:
    sql = f"""
        WITH drawn AS (
            SELECT prompt_id, completion_id, arg_min(arrival, event_id) AS arrival FROM events
            WHERE prompt_id IN ({_listed(ids)}) AND {_of_users(config)}
            GROUP BY prompt_id, completion_id
        ), told AS (
            SELECT drawn.prompt_id, drawn.completion_id, prompt, completion, model_version
            FROM drawn JOIN events USING (arrival)
            WHERE length(completion) <= {_LONGEST} AND trim(completion) <> ''
        )
        SELECT * FROM told
        QUALIFY row_number() OVER (
            PARTITION BY prompt_id ORDER BY completion_id) <= {_ANSWERS_PER_PROMPT}
        ORDER BY prompt_id, completion_id
    """  # noqa: S608 - ids are hashes
    rows = store.query(
        sql, max_rows=len(ids) * _ANSWERS_PER_PROMPT, timeout_seconds=_QUERY_SECONDS
    ).to_pylist()
    for prompt_id, answers in groupby(rows, key=lambda row: str(row["prompt_id"])):
        told = list(answers)
        yield ProductionPrompt(
            prompt_id,
            told[0]["prompt"],
            [Produced(a["completion_id"], a["completion"], a["model_version"]) for a in told],
        )


def _of_users(config: Config) -> str:
    others = [source.name for source in config.sources if source.origin != "users"]
    return f"source NOT IN ({_listed(others)})" if others else "true"


def _of_annotators(config: Config) -> str:
    names = [source.name for source in config.sources if source.origin == "annotators"]
    return f"source IN ({_listed(names)})" if names else "false"


def _listed(texts: Sequence[str]) -> str:
    return ", ".join("'" + text.replace("'", "''") + "'" for text in texts)
