"""What is known of the forgotten, and whether a row, an object or a text tells of it."""

import html
import json
import re
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from thumbwheel.events import completion_id
from thumbwheel.events.identity import prompt_id
from thumbwheel.store import Found, Subject

__all__ = ["REMOVED", "Traces"]

REMOVED = "[removed]"
"""What stands in the place of a text that was removed from a longer one."""

_SHORTEST_NAME = 4


@dataclass(frozen=True)
class Traces:
    """What tells of a rater or a generation. The sets are described in `store.Found`."""

    subject: Subject
    event_ids: frozenset[str]
    generations: frozenset[str]
    completion_ids: frozenset[str]
    prompt_ids: frozenset[str]
    texts: frozenset[str]

    @classmethod
    def of(cls, subject: Subject, found: Iterable[Found]) -> "Traces":
        """Return the traces in several stores together."""
        stores = list(found)

        def all_of(name: str) -> frozenset[str]:
            return frozenset[str]().union(*(getattr(store, name) for store in stores))

        return cls(
            subject,
            all_of("event_ids"),
            all_of("generations"),
            all_of("completion_ids"),
            all_of("prompt_ids"),
            all_of("texts"),
        )

    @cached_property
    def columns(self) -> Mapping[str, Collection[str]]:
        """Values by the name of a column: a row that has one of them tells of the forgotten."""
        is_rater, name = self.subject.kind == "rater", self.subject.name
        return {
            "event_id": self.event_ids,
            "generation_id": self.generations,
            "completion_id": self.completion_ids,
            "chosen_id": self.completion_ids,
            "rejected_id": self.completion_ids,
            "prompt_id": self.prompt_ids,
            "rater": {f"rater:{name}"} if is_rater else set(),
            "rater_id": {name} if is_rater else set(),
        }

    def tells(self, item: Mapping[str, Any]) -> bool:
        """Tell whether a JSON object, such as a sample of an evaluation, tells of the forgotten."""
        values = ((item.get(name), forgotten) for name, forgotten in self.columns.items())
        if any(isinstance(value, str) and value in forgotten for value, forgotten in values):
            return True
        prompt = item.get("prompt")
        if not isinstance(prompt, list) or not all(map(_is_message, prompt)):
            return False
        asked = prompt_id(prompt)
        answers = (item.get("chosen"), item.get("rejected"))
        return asked in self.prompt_ids or any(
            completion_id(asked, answer) in self.completion_ids
            for answer in answers
            if isinstance(answer, str)
        )

    def without(self, text: str) -> str:
        """Return a text with everything removed from it that was written by the forgotten."""
        for written in self._longest_first:
            for spelling in {written, json.dumps(written, ensure_ascii=False)[1:-1]}:
                text = text.replace(spelling, REMOVED)
        return text

    def is_in_page(self, page: str) -> bool:
        """Tell whether a page of HTML shows a text of the forgotten, or their id."""
        plain = html.unescape(page)
        return self._is_named_in(plain) or any(text in plain for text in self._longest_first)

    def is_in_file(self, text: str) -> bool:
        """Tell whether a file's text, whatever its format, tells of the forgotten.

        Of many texts that they wrote, the longest are looked for.
        """
        plain = html.unescape(text)
        return self._is_named_in(text) or any(
            spelling in text or spelling in plain
            for written in self._longest_first[:200]
            for spelling in {written, json.dumps(written)[1:-1]}
        )

    @cached_property
    def _longest_first(self) -> list[str]:
        return sorted(self.texts, key=lambda text: (-len(text), text))

    def _is_named_in(self, text: str) -> bool:
        name = self.subject.name
        # What is shorter occurs anywhere.
        return len(name) >= _SHORTEST_NAME and bool(
            re.search(rf"(?<![\w-]){re.escape(name)}(?![\w-])", text)
        )


def _is_message(value: object) -> bool:
    return isinstance(value, dict) and "role" in value and "content" in value
