"""Sources with several kinds of records: each kind is read in its own way."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from thumbwheel.events.mapping import KeyMapping
from thumbwheel.events.parts import LeftOut, Outcome, outcomes
from thumbwheel.events.paths import Key
from thumbwheel.events.rules import ReadingRules

__all__ = ["Readings"]

_NO_TEXT = "left out: without a vote, and without a prompt and an answer in text"
_NOBODYS = "left out: of no kind that the mapping reads"


@dataclass(frozen=True)
class Readings:
    """A list of mappings by keys: the first whose `where` holds reads the record.

    Where a mapping has `each`, the conditions on keys of the whole record decide.
    """

    readings: tuple[tuple[KeyMapping, ReadingRules], ...]

    def __call__(self, record: Mapping[str, Any]) -> dict[str, Any] | None:
        """Return the first event of a record."""
        events = self.events(record, ReadingRules())
        return next((event for event in events if isinstance(event, dict)), None)

    @property
    def thread(self) -> Key | None:
        """What the messages of a conversation share that are records of their own."""
        return next((m.thread for m, _ in self.readings if m.thread is not None), None)

    def gives_many(self, record: object) -> bool:
        """Tell that `events` is to be called."""
        return True

    def events(self, record: object, rules: ReadingRules) -> Iterator[Outcome]:
        """Yield what becomes of each part of a record, or of records that share a `thread`."""
        if not isinstance(record, list):
            yield from self._read_one(record)
            return
        rest = [item for item in record if isinstance(item, Mapping)]
        for mapping, own in self.readings:
            if mapping.thread is None:
                continue
            messages = [item for item in rest if _takes(mapping, own, item)]
            rest = [item for item in rest if not _takes(mapping, own, item)]
            if messages:
                yield from outcomes(mapping, messages, own)
        for item in rest:
            yield from self._read_one(item)

    def _read_one(self, record: object) -> Iterator[Outcome]:
        for mapping, own in self.readings:
            if _takes(mapping, own, record):
                for outcome in outcomes(mapping, record, own):
                    yield LeftOut(_NO_TEXT) if _says_nothing(outcome) else outcome
                return
        yield LeftOut(_NOBODYS)


def _says_nothing(outcome: Outcome) -> bool:
    """Tell whether it is a step without a text to learn from, as traces have many."""
    if not isinstance(outcome, dict) or outcome.get("score") is not None:
        return False
    has_answer = outcome.get("prompt") is not None and outcome.get("completion") is not None
    said = ("withdrawn", "comment", "correction")
    return not has_answer and not any(outcome.get(key) for key in said)


def _takes(mapping: KeyMapping, rules: ReadingRules, record: object) -> bool:
    if mapping.each is not None:
        return rules.take_whole(record)
    return rules.take(record, record)
