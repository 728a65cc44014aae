"""What a plugin author imports.

```python
from pydantic.dataclasses import dataclass
from thumbwheel.authoring import PairEachPrompt, PreferencePair


@dataclass(frozen=True)
class LongestUpvote(PairEachPrompt):
    min_votes: int = 1

    def pair_prompt(self, prompt, completions):
        ...
        yield PreferencePair(chosen, rejected, confidence)
```
"""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from itertools import groupby

import pyarrow as pa

from thumbwheel.config import ConfigPath
from thumbwheel.hookspecs import hookimpl
from thumbwheel.measures.confidence import probability_better
from thumbwheel.tables import (
    ANSWERS,
    COMPARED,
    COUNTS_KEY,
    DEAD_LETTERS,
    EVENTS,
    METRICS,
    PAIRS,
    PREFERENCES,
    PROPOSED,
    RATED,
    REASONS,
)
from thumbwheel.types import LanguageModel, Metric, PreferencePair, Prompt, RatedCompletion

__all__ = [
    "ANSWERS",
    "COMPARED",
    "COUNTS_KEY",
    "DEAD_LETTERS",
    "EVENTS",
    "METRICS",
    "PAIRS",
    "PREFERENCES",
    "PROPOSED",
    "RATED",
    "REASONS",
    "ConfigPath",
    "LanguageModel",
    "Metric",
    "PairEachPrompt",
    "PreferencePair",
    "Prompt",
    "RatedCompletion",
    "hookimpl",
    "probability_better",
]


class PairEachPrompt(ABC):
    """Base class for a pairing rule that looks at one prompt at a time."""

    @abstractmethod
    def pair_prompt(
        self, prompt: Prompt, completions: Sequence[RatedCompletion]
    ) -> Iterable[PreferencePair]:
        """Yield the pairs of one prompt.

        Args:
            prompt: The chat messages the completions answer.
            completions: At least two rated completions, in a fixed order.
        """

    @hookimpl
    def make_pairs(self, rated: pa.Table) -> pa.Table:
        """Call `pair_prompt` for every prompt with at least two completions."""
        rows: dict[str, list[object]] = {name: [] for name in PROPOSED.names}
        records = rated.sort_by([("prompt_id", "ascending"), ("completion_id", "ascending")])
        for prompt_id, group in groupby(records.to_pylist(), key=lambda row: row["prompt_id"]):
            members = list(group)
            if len(members) < 2:
                continue
            completions = [
                RatedCompletion(**{name: row[name] for name in RatedCompletion.__slots__})
                for row in members
            ]
            for pair in self.pair_prompt(members[0]["prompt"], completions):
                rows["prompt_id"].append(prompt_id)
                rows["chosen_id"].append(pair.chosen.completion_id)
                rows["rejected_id"].append(pair.rejected.completion_id)
                rows["confidence"].append(pair.confidence)
        return pa.table(rows, schema=PROPOSED)
