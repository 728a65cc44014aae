"""A source as it would be read: the first of its records, and nothing is stored."""

from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from thumbwheel.config import SourceConfig
from thumbwheel.events import ParsedBatch
from thumbwheel.ingest.pipeline import connector_for, parser_for
from thumbwheel.store import VoteSides
from thumbwheel.store.sides import side_warnings
from thumbwheel.types import Prompt, Record

__all__ = ["Preview", "ReadEvent", "preview", "sample_of"]

SAMPLE = 1000
_SHOWN = 10


@dataclass(frozen=True, slots=True)
class ReadEvent:
    """An event as it would be stored; a vote by an id has the answer that is known of it."""

    prompt: Prompt | None
    completion: str | None
    vote: str
    rater: str | None
    time: datetime | None


@dataclass(frozen=True, slots=True)
class Preview:
    """What the first records of a source would become.

    Attributes:
        source: The source's name.
        records: How many were read, and whether these are all.
        is_all: Whether the source holds no more.
        events: How many events they give.
        votes: How many of these are votes.
        unrated_by: How many votes name no rater.
        shown: Some of the events, votes before answers.
        left_out: How many parts are no feedback, by the reason.
        unreadable: How many would be dead letters, and the position of one, by the reason.
        warnings: What is to be looked at, with the configuration that mends it.
    """

    source: str
    records: int
    is_all: bool
    events: int
    votes: int
    unrated_by: int
    shown: Sequence[ReadEvent]
    left_out: Mapping[str, int]
    unreadable: Mapping[str, tuple[int, str]]
    warnings: Sequence[str]


def preview(source: SourceConfig, base_dir: Path, size: int = SAMPLE) -> Preview:
    """Return what the first `size` records of a source would become.

    Raises:
        ConfigError: The source's connector or mapping is wrong.
        SourceError, UnavailableError: The source cannot be read.
    """
    records, is_all = sample_of(source, base_dir, size)
    parsed = parser_for(source, base_dir).parse_batch([record.raw for record in records])
    events = parsed.events.to_pylist()
    votes = [event for event in events if event["is_vote"]]
    unreadable: dict[str, tuple[int, str]] = {}
    for place, reason, *_ in parsed.malformed:
        count, position = unreadable.get(reason, (0, records[place].position))
        unreadable[reason] = count + 1, position
    return Preview(
        source.name,
        len(records),
        is_all,
        len(events),
        len(votes),
        sum(vote["rater_id"] is None for vote in votes),
        _shown(events),
        _left_out(parsed),
        unreadable,
        side_warnings([source], _sides(source.name, votes)),
    )


def sample_of(source: SourceConfig, base_dir: Path, size: int) -> tuple[list[Record], bool]:
    """Return the first records of a source, and whether these are all.

    Raises:
        ConfigError, SourceError, UnavailableError: It cannot be read.
    """
    connector = connector_for(source, base_dir, parser_for(source, base_dir))
    records: list[Record] = []
    with closing(connector.open(None)) as log:
        while len(records) < size:
            batch = log.poll(size - len(records))
            if batch is None:
                return records, True
            records += batch.records
    return records, False


def _shown(events: Sequence[Mapping[str, Any]]) -> list[ReadEvent]:
    answers = {event["generation_id"]: event for event in events if event["completion"] is not None}
    first = sorted(range(len(events)), key=lambda place: not events[place]["is_vote"])[:_SHOWN]
    shown = []
    for event in (events[place] for place in first):
        answer = event if event["completion"] is not None else answers.get(event["generation_id"])
        shown.append(
            ReadEvent(
                answer["prompt"] if answer else None,
                answer["completion"] if answer else None,
                _vote(event),
                event["rater_id"],
                event["occurred_at"],
            )
        )
    return shown


def _vote(event: Mapping[str, Any]) -> str:
    if event["is_vote"]:
        score = event["score"]
        if score is None:
            return "taken back"
        return {1.0: "up", -1.0: "down"}.get(score, f"{score:+.2f}")
    return "comment" if event["comment"] or event["correction"] else "no vote"


def _left_out(parsed: ParsedBatch) -> dict[str, int]:
    left_out = Counter(parsed.notes)
    explained = sum(n for what, n in parsed.notes.items() if what.startswith("left out"))
    if parsed.ignored > explained:
        left_out["left out: no feedback, says the mapping"] += parsed.ignored - explained
    return dict(left_out)


def _sides(source: str, votes: Sequence[Mapping[str, Any]]) -> list[VoteSides]:
    scores = [vote["score"] for vote in votes if vote["score"] is not None]
    if not scores:
        return []
    up, down = sum(score > 0 for score in scores), sum(score < 0 for score in scores)
    return [VoteSides(source, len(scores), up, down, all(score in (0, 1) for score in scores))]
