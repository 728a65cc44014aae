"""Feedback that nobody gave: small tables for tests, and every oddity that real feedback has."""

import dataclasses
import inspect
import random
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any, Self

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from thumbwheel.events import content_id
from thumbwheel.tables import COMPARISONS, PAIRS, RATED

__all__ = [
    "Feedback",
    "made_pairs",
    "many_prompts",
    "odd_prompts",
    "ordinary_prompts",
    "pair_table",
    "rated_table",
]

_WORDS = (
    "river",
    "because",
    "42",
    "yes",
    "please",
    "**bold**",
    "`code`",
    "\n- item",
    "# é",
    "a",
    ".",
)


@dataclasses.dataclass(frozen=True, slots=True)
class Feedback:
    """What `make_pairs` takes, and pairs of the same prompts for `screen_pairs`.

    Attributes:
        rated: `tables.RATED`.
        comparisons: `tables.COMPARISONS`.
    """

    rated: pa.Table
    comparisons: pa.Table

    def __add__(self, other: Self) -> Self:
        return dataclasses.replace(
            self,
            rated=pa.concat_tables([self.rated, other.rated]),
            comparisons=pa.concat_tables([self.comparisons, other.comparisons]),
        )

    @property
    def prompt_ids(self) -> list[str]:
        """The prompts, in the order of their ids."""
        ids: list[str] = pc.unique(self.rated["prompt_id"]).to_pylist()
        return sorted(ids)

    def of(self, prompts: Sequence[str]) -> Self:
        """Return the feedback on some prompts."""
        wanted = pa.array(prompts, pa.string())
        tables = (
            table.filter(pc.is_in(table["prompt_id"], wanted))
            for table in (self.rated, self.comparisons)
        )
        return type(self)(*tables)

    def shuffled(self, seed: int) -> Self:
        """Return the same rows in another order."""
        order = np.random.default_rng(seed)
        tables = (
            table.take(pa.array(order.permutation(len(table))))
            for table in (self.rated, self.comparisons)
        )
        return type(self)(*tables)

    def overwhelmed(self, *, liked: bool) -> Self:
        """Return the same answers, all much longer, and all liked or all disliked by a hundred."""
        n = len(self.rated)
        columns = {name: self.rated[name] for name in RATED.names} | {
            "completion": pc.binary_repeat(self.rated["completion"], 20),
            "n_up": pa.repeat(100.0 if liked else 0.0, n),
            "n_down": pa.repeat(0.0 if liked else 100.0, n),
            "score": pa.repeat(1.0 if liked else -1.0, n),
        }
        return dataclasses.replace(self, rated=pa.table(columns, RATED))

    def pairs(self) -> pa.Table:
        """Return `tables.PAIRS`: each completion over the next of its prompt, by their ids."""
        rows = sorted(self.rated.to_pylist(), key=lambda r: (r["prompt_id"], r["completion_id"]))
        following = {
            one["completion_id"]: other
            for one, other in pairwise(rows)
            if one["prompt_id"] == other["prompt_id"]
        }
        return pa.Table.from_pylist(
            [
                _pair(row, following[row["completion_id"]])
                for row in self.rated.to_pylist()
                if row["completion_id"] in following
            ],
            PAIRS,
        )


def rated_table(answers: Mapping[str, Sequence[tuple[str, float, float]]]) -> pa.Table:
    """Return `tables.RATED` of prompts and their answers.

    Args:
        answers: For each prompt its answers: (text, raters for it, raters against it).
    """
    rows = [
        _row([{"role": "user", "content": prompt}], text, up, down)
        for prompt, texts in answers.items()
        for text, up, down in texts
    ]
    keys = [("prompt_id", "ascending"), ("completion_id", "ascending")]
    return pa.Table.from_pylist(rows, RATED).sort_by(keys)


def pair_table(sides: Sequence[tuple[str, str]]) -> pa.Table:
    """Return `tables.PAIRS` of (chosen, rejected) texts, each pair of a prompt of its own."""
    rows = []
    for number, texts in enumerate(sides):
        prompt = [{"role": "user", "content": f"prompt {number}"}]
        rows.append(_pair(*(_row(prompt, text, 1, 0) for text in texts)))
    return pa.Table.from_pylist(rows, PAIRS)


def made_pairs(
    plugin: Any, rated: pa.Table, comparisons: pa.Table | None = None
) -> list[tuple[str, str]]:
    """Return the (chosen, rejected) texts of the pairs that a plugin makes, sorted.

    Args:
        plugin: With a `make_pairs`.
        rated: As `rated_table` makes it.
        comparisons: `tables.COMPARISONS` of it; None for no comparisons.
    """
    given = {
        "rated": rated,
        "comparisons": COMPARISONS.empty_table() if comparisons is None else comparisons,
    }
    taken = inspect.signature(plugin.make_pairs).parameters
    proposed = plugin.make_pairs(**{name: given[name] for name in taken})
    texts = dict(
        zip(rated["completion_id"].to_pylist(), rated["completion"].to_pylist(), strict=True)
    )
    sides = (proposed[name].to_pylist() for name in ("chosen_id", "rejected_id"))
    return sorted((texts[chosen], texts[rejected]) for chosen, rejected in zip(*sides, strict=True))


def ordinary_prompts(number: int, seed: int) -> Feedback:
    """Return feedback as there is most of it: a few answers each, with few votes."""
    random_ = random.Random(seed)  # noqa: S311 - nothing is kept secret with it
    rows: list[dict[str, Any]] = []
    compared: list[dict[str, Any]] = []
    for question in range(number):
        prompt = [{"role": "user", "content": f"Question {seed}-{question}?"}]
        texts = [
            " ".join(random_.choices(_WORDS, k=random_.randint(2, 40)))
            for _ in range(random_.randint(2, 4))
        ]
        if random_.random() < 0.3:
            texts.append(f"{texts[0]}!")
        answers = [
            _row(
                prompt,
                text,
                *random_.choice([(1, 0), (0, 1), (3, 0), (0, 2), (2, 1), (1, 2), (0.5, 1.5)]),
                model_version=random_.choice(["v1", "v1", "v2", None]),
            )
            for text in texts
        ]
        rows += answers
        if random_.random() < 0.3:
            origin = random_.choice(["comparison", "correction", "annotation", "ai", "grades"])
            compared.append(_comparison(answers[0], answers[1], random_.randint(1, 3), 0, origin))
    return _feedback(rows, compared)


def odd_prompts() -> dict[str, Feedback]:
    """Return what real feedback has too, each oddity by its name."""
    ask = [{"role": "user", "content": "An odd question?"}]
    good, bad = _row(ask, "good", 3, 0), _row(ask, "bad", 0, 3)
    original, corrected = (_row(ask, text, 0, 0) for text in ("original", "corrected"))
    empty = _row(ask, "", 0, 1)
    tool = '{"name": "sky", "tool_call_id": "1"}'
    chat = [
        {"role": "system", "content": ""},
        {"role": "user", "content": "Is it \u202ebackwards\u202c? 🧑🏽‍🚀 \x00 e\u0301"},
        {"role": "assistant", "content": "Let me look."},
        {"role": "tool", "content": "{}", "extra": tool},
    ]
    return {
        "no prompt at all": _feedback([]),
        "a prompt with one answer": _feedback([good]),
        "a tie": _feedback([_row(ask, text, 2, 1) for text in ("this", "that")]),
        "answers that nobody voted on": _feedback([original, corrected]),
        "fractions of votes": _feedback([_row(ask, "a", 0.125, 0), _row(ask, "b", 1e-9, 0.7)]),
        "a thousand voters": _feedback([_row(ask, "a", 1000, 3), _row(ask, "b", 4, 1000)]),
        "a hundred answers": _feedback(
            [_row(ask, f"answer {i}", i % 7, i % 5 + 1) for i in range(100)]
        ),
        "a conversation, in signs of all kinds": _feedback(
            [_row(chat, "ß مرحبا 你好 \x1b[31m", 2, 0), _row(chat, "e\u0301 é 🏳️‍🌈\n\n\t", 0, 2)]
        ),
        "a very long answer": _feedback([_row(ask, "word " * 40_000, 1, 0), bad]),
        "answers that differ in a space": _feedback(
            [_row(ask, "a b", 2, 0), _row(ask, "a  b", 0, 2)]
        ),
        "no model version": _feedback(
            [_row(ask, "new", 2, 0, model_version=None), _row(ask, "old", 0, 2, model_version=None)]
        ),
        "a side-by-side choice": _feedback([good, bad], [_comparison(good, bad, 2, 0)]),
        "a choice that is a draw": _feedback([good, bad], [_comparison(good, bad, 1, 1)]),
        "a choice against the votes": _feedback([good, bad], [_comparison(bad, good, 2, 0)]),
        "a correction": _feedback(
            [original, corrected], [_comparison(corrected, original, 1, 0, "correction")]
        ),
        "a choice over an empty answer, which has no row": _feedback(
            [good, bad], [_comparison(good, empty, 1, 0)]
        ),
    }


def many_prompts(number: int) -> Feedback:
    """Return so many prompts with four answers each, quickly made."""
    some = ordinary_prompts(100, seed=1)
    parts = []
    for copy in range(-(-number // 100)):
        tables = []
        for table in (some.rated, some.comparisons):
            columns = {
                name: pc.binary_join_element_wise(column, f"{copy:08}", "")
                if name.endswith("_id")
                else column
                for name, column in zip(table.column_names, table.columns, strict=True)
            }
            tables.append(pa.table(columns, table.schema))
        parts.append(Feedback(*tables))
    rated, comparisons = (
        pa.concat_tables(tables).sort_by([("prompt_id", "ascending"), (key, "ascending")])
        for tables, key in (
            ([part.rated for part in parts], "completion_id"),
            ([part.comparisons for part in parts], "chosen_id"),
        )
    )
    return Feedback(rated, comparisons)


def _feedback(
    rows: Sequence[Mapping[str, Any]], compared: Sequence[Mapping[str, Any]] = ()
) -> Feedback:
    keys = [("prompt_id", "ascending"), ("completion_id", "ascending")]
    rated = pa.Table.from_pylist(rows, RATED).sort_by(keys)
    return Feedback(rated, pa.Table.from_pylist(compared, COMPARISONS))


def _row(
    prompt: Sequence[Mapping[str, Any]],
    text: str,
    up: float,
    down: float,
    model_version: str | None = "v1",
) -> dict[str, Any]:
    asked = content_id("prompt", *(message["content"] for message in prompt))
    return {
        "prompt_id": asked,
        "completion_id": content_id("completion", asked, text),
        "prompt": prompt,
        "completion": text,
        "n_up": up,
        "n_down": down,
        "score": (up - down) / (up + down) if up + down else 0.0,
        "model_version": model_version,
    }


def _comparison(
    chosen: Mapping[str, Any],
    rejected: Mapping[str, Any],
    n_for: float,
    n_against: float,
    origin: str = "comparison",
) -> dict[str, Any]:
    return {
        "prompt_id": chosen["prompt_id"],
        "chosen_id": chosen["completion_id"],
        "rejected_id": rejected["completion_id"],
        "n_for": n_for,
        "n_against": n_against,
        "origin": origin,
    }


def _pair(chosen: Mapping[str, Any], rejected: Mapping[str, Any]) -> dict[str, Any]:
    sides = chosen["completion_id"], rejected["completion_id"]
    return {
        "pair_id": content_id("pair", *sides),
        "prompt_id": chosen["prompt_id"],
        "chosen_id": sides[0],
        "rejected_id": sides[1],
        "confidence": 0.9,
        "plugin": "made_up",
        "origin": "votes",
        "prompt": chosen["prompt"],
        "chosen": chosen["completion"],
        "rejected": rejected["completion"],
    }
