"""Records as a receiver keeps them in its log: as plugins leave records, and still read alike.

A plugin knows a record of any form only as JSON, in which a rater called by an address looks like
an address in a text. So what the record says besides texts is put away first: the ids, which tie
events together, and where a plugin takes a time for a number of somebody's, all numbers.
"""

import re
from collections.abc import Callable, Sequence
from typing import Any

import pyarrow as pa
import pydantic_core

from thumbwheel.events import EventParser, MalformedRecordError
from thumbwheel.plugin.host import Plugins
from thumbwheel.tables import DEAD_LETTERS

__all__ = ["Keep", "keeping"]

Keep = Callable[[Sequence[bytes]], Sequence[bytes]]
"""Returns records as they may be kept; raises `MalformedRecordError` where that cannot be."""

_IDS = ("event_id", "generation_id", "rater_id", "comparison_id", "model_version")
_SAID = ("rater_id", "model_version", "is_vote", "score", "occurred_at", "updated_at")
_NUMBER = re.compile(r"[0-9.+-]{6,40}")
# Private signs, in which nothing is found.
_MASK = re.compile("\ue0f1([0-9]+)\ue0f2")


def keeping(plugins: Plugins, parser: EventParser) -> Keep | None:
    """Return what a receiver keeps of records, or None where no plugin changes any.

    Args:
        plugins: Whose `process_dead_letters` see every record.
        parser: Reads what is kept.
    """
    if not plugins.has("process_dead_letters"):
        return None

    def keep(raws: Sequence[bytes]) -> Sequence[bytes]:
        said = [_said(raw, parser) for raw in raws]
        kept = _processed(raws, [ids for ids, _ in said], plugins, numbers=False)
        changed = [n for n, raw in enumerate(kept) if _said(raw, parser)[1] != said[n][1]]
        if changed:
            again = _processed(
                [raws[n] for n in changed], [said[n][0] for n in changed], plugins, numbers=True
            )
            for n, raw in zip(changed, again, strict=True):
                if _said(raw, parser)[1] != said[n][1]:
                    raise MalformedRecordError(
                        "a plugin that redacts would change its vote, rater or time; send these "
                        "without personal data"
                    )
                kept[n] = raw
        return kept

    return keep


def _said(raw: bytes, parser: EventParser) -> tuple[frozenset[str], object]:
    """Return the ids in a record, and what it says besides texts."""
    parsed = parser.parse_batch([raw])
    events = parsed.events.to_pylist()
    ids = frozenset(event[name] for event in events for name in _IDS if event[name] is not None)
    said = [
        [event[name] for name in _SAID] + [event["prompt"] is None, event["completion"] is None]
        for event in events
    ]
    return ids, (said, len(parsed.malformed), parsed.ignored)


def _processed(
    raws: Sequence[bytes], ids: Sequence[frozenset[str]], plugins: Plugins, *, numbers: bool
) -> list[bytes]:
    masks = [_Mask(of, numbers=numbers) for of in ids]
    masked = [mask.put_on(raw) for mask, raw in zip(masks, raws, strict=True)]
    letters = pa.table([masked, [""] * len(masked)], schema=DEAD_LETTERS)
    processed = plugins.process_dead_letters(letters)["raw"].to_pylist()
    return [
        raw if after == before else mask.take_off(after)
        for mask, raw, before, after in zip(masks, raws, masked, processed, strict=True)
    ]


class _Mask:
    """Signs in the place of values that are not to be changed."""

    def __init__(self, ids: frozenset[str], *, numbers: bool) -> None:
        self._ids, self._numbers = ids, numbers
        self._hidden: list[Any] = []

    def put_on(self, raw: bytes) -> bytes:
        return pydantic_core.to_json(self._hide(pydantic_core.from_json(raw)))

    def take_off(self, raw: bytes) -> bytes:
        return pydantic_core.to_json(self._show(pydantic_core.from_json(raw)))

    def _hide(self, value: Any) -> Any:
        if isinstance(value, dict):
            return {key: self._hide(inner) for key, inner in value.items()}
        if isinstance(value, list):
            return [self._hide(inner) for inner in value]
        if value is None or isinstance(value, bool) or not self._is_fixed(str(value)):
            return value
        self._hidden.append(value)
        return f"\ue0f1{len(self._hidden) - 1}\ue0f2"

    def _is_fixed(self, text: str) -> bool:
        return text in self._ids or (self._numbers and bool(_NUMBER.fullmatch(text)))

    def _show(self, value: Any) -> Any:
        if isinstance(value, dict):
            return {key: self._show(inner) for key, inner in value.items()}
        if isinstance(value, list):
            return [self._show(inner) for inner in value]
        if isinstance(value, str) and (mask := _MASK.fullmatch(value)):
            number = int(mask[1])
            return self._hidden[number] if number < len(self._hidden) else value
        return value
