"""What became of records, events, votes, completions and pairs: a value, and the words for it.

Programs keep and compare the values; people read the words. Where a fate has a detail, its words
have a place for it.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Self

__all__ = [
    "IN_PAIRS",
    "EventStatus",
    "Fate",
    "FateCount",
    "Fault",
    "NotStored",
    "Quarantine",
    "SourceStatus",
    "completions_in_words",
    "pairs_in_words",
    "recorded",
]


class _Told(StrEnum):
    """A value and its words."""

    words: str

    # Without words, because a value alone names a member that is there.
    def __new__(cls, value: str, words: str = "") -> Self:
        member = str.__new__(cls, value)
        member._value_ = value
        member.words = words
        return member


class Fate(_Told):
    """What became of a rated completion, or of a pair that was proposed.

    A completion whose pairs were all dropped has the fate of most of them; of as many, the one that
    is listed first here.
    """

    IN_TRAINING = "in_training", "in a training pair"
    FOR_JUDGE = "for_judge", "in a pair that teaches the judge"
    HELD_OUT = "held_out", "in a held-out pair"

    # Of completions that no pair was proposed for.
    EMPTY_COMPLETION = "empty_completion", "the answer is empty"
    ONLY_RATED_COMPLETION = "only_rated_completion", "the only rated answer to its prompt"
    NOT_PAIRED = "not_paired", "no plugin paired it"

    # Of two answers that were compared, and that no pair was proposed of.
    NO_ANSWER = "no_answer", "one of the answers is empty"
    DIVIDED = "divided", "as many prefer the one as the other"
    NOT_PROPOSED = "not_proposed", "too unsure for the plugins, or of an origin that none takes"

    # Of pairs that are not in the set. The detail is a screen's own words, and a cap's limit.
    PLUGIN_FAILED = "plugin_failed", "its plugin failed"
    STYLE_BALANCE = "style_balance", "left out to balance the style of chosen and rejected"
    OVER_PROMPT_CAP = "over_prompt_cap", "more than {detail} pairs of its prompt"
    OVER_CLUSTER_CAP = "over_cluster_cap", "more than {detail} pairs of near-duplicate prompts"
    ACROSS_SPLIT = "across_split", "near-duplicate of a prompt in another part"
    SCREENED = "screened", "{detail}"
    OVER_AI_SHARE = "over_ai_share", "too many pairs that a model wrote"
    OVER_RATER_CAP = "over_rater_cap", "too many pairs rest on one rater"

    # Earlier versions recorded nothing but words: they are the detail.
    IN_WORDS = "in_words", "{detail}"

    def of_pair(self, detail: str | None) -> str:
        """Return what to say of a pair."""
        return self.words.format(detail=detail)

    def of_completion(self, detail: str | None) -> str:
        """Return what to say of a completion."""
        return f"{_DROPPED if self in _OF_PAIRS else ''}{self.of_pair(detail)}"


IN_PAIRS = (Fate.IN_TRAINING, Fate.FOR_JUDGE, Fate.HELD_OUT)
"""The fates of completions that are in the set."""

_OF_PAIRS = frozenset(
    {
        Fate.PLUGIN_FAILED,
        Fate.STYLE_BALANCE,
        Fate.OVER_PROMPT_CAP,
        Fate.OVER_CLUSTER_CAP,
        Fate.ACROSS_SPLIT,
        Fate.SCREENED,
        Fate.OVER_AI_SHARE,
        Fate.OVER_RATER_CAP,
    }
)
_DROPPED = "its pairs were dropped: "


@dataclass(frozen=True, slots=True)
class FateCount:
    """How many completions or pairs met a fate; `by` is who dropped a pair, a plugin or `draw`."""

    fate: Fate
    n: int
    detail: str | None = None
    by: str | None = None


class NotStored(_Told):
    """What becomes of a record that is no stored event: a field of `store.SourceCounts`."""

    DUPLICATES = "duplicates", "received twice"
    DEAD_LETTERS = "dead_letters", "unreadable (kept as dead letters)"
    DROPPED = "dropped", "dropped by a plugin"
    PARKED = "parked", "waits for its answer"
    EXPIRED = "expired", "its answer did not come in time"
    FORGOTTEN = "forgotten", "about somebody or something that was forgotten"


class EventStatus(_Told):
    """Where an event stands."""

    # Of a stored event, the first of these that fits.
    PARKED = "parked", "waits for its answer"
    VOTE = "vote", "counts"
    CORRECTION = "correction", "the rater's own answer counts"
    SUPERSEDED = "superseded", "changed later by the same rater"
    WITHDRAWN = "withdrawn", "takes a vote back"
    QUARANTINED = "quarantined", "of a rater whose votes are left out"
    OVER_BUDGET = "over_budget", "beyond what counts of one rater"
    RETOLD = "retold", "changed later: another version of the record replaced it"
    ANSWER = "answer", "an answer that nobody rated"
    COMMENT = "comment", "words about an answer, no vote"

    # Of votes and corrections, where all events are counted after the pairs were made.
    UNCOMPARED = "uncompared", "a model's vote, or a correction, that decides no comparison"
    LATE = "late", "came in while the pairs were made"

    # Of what is no stored event, and known by the id that it bears.
    EXPIRED = "expired", "its answer did not come in time"
    DEAD_LETTER = "dead_letter", "a record that could not be read"


class IdConflict(_Told):
    """What is wrong with ids of answers or events; nothing that says so is obeyed."""

    PROMPTS = (
        "prompts",
        "{n} name answers to several prompts: a vote that names only such an id belongs to the "
        "answer told last before it; map an id that names one answer",
    )
    UNTIMED = (
        "untimed",
        "{n} name several answers told without a time, and votes name only the id: which answer "
        "they are about is a guess; map `occurred_at`",
    )
    OTHER_ANSWERS = (
        "other_answers",
        "{n} are told by the source {other} as well, with other answers: each source's votes are "
        "about its own",
    )
    OTHER_EVENTS = (
        "other_events",
        "{n} of events are those of events of the source {other} as well: both are kept",
    )
    ELSEWHERE = (
        "elsewhere",
        "{n} are of answers that came through the source {other}, and the votes on them wait: if "
        'the two belong together, set `ids = "shared"` on both',
    )


class Quarantine(_Told):
    """Why a rater's votes are left out."""

    FLOOD = "flood", "{n_votes:,} votes, more than five times a rater's budget"
    BURST = "burst", "{most} votes within {seconds:g} seconds"
    ALL_UP = "all_up", "all {n_votes:,} votes are up"
    ALL_DOWN = "all_down", "all {n_votes:,} votes are down"


class Fault(_Told):
    """What is wrong with a record that cannot be read, so coarse that it holds none of its data."""

    INVALID_JSON = "invalid_json", "invalid JSON"
    INVALID_FIELD = "invalid_field", "invalid {field}"
    UNKNOWN_RATING = "unknown_rating", "unknown rating"
    NOT_AN_EVENT = "not_an_event", "not an event"


class SourceStatus(_Told):
    """How a source fares that is read for as long as a process runs."""

    READING = "reading", "reading"
    CAUGHT_UP = "caught_up", "caught up"
    WAITING = "waiting", "waiting"
    DISK_FULL = "disk_full", "disk full"
    FAILED = "failed", "failed"


def completions_in_words(counts: Iterable[FateCount]) -> dict[str, int]:
    """Return how many completions met each fate, by the words for it."""
    return _tally((count.fate.of_completion(count.detail), count.n) for count in counts)


def pairs_in_words(counts: Iterable[FateCount]) -> dict[str, int]:
    """Return how many pairs met each fate, by the words for it."""
    return _tally((count.fate.of_pair(count.detail), count.n) for count in counts)


def _tally(counts: Iterable[tuple[str, int]]) -> dict[str, int]:
    tally: Counter[str] = Counter()
    for words, n in counts:
        tally[words] += n
    return dict(tally)


def recorded(
    counts: Sequence[FateCount | Mapping[str, Any]] | Mapping[str, int],
) -> list[FateCount]:
    """Return counts as a manifest or a report holds them.

    Args:
        counts: A list, as JSON may have it. Earlier versions recorded counts by words.
    """
    if isinstance(counts, Mapping):
        return [
            FateCount(_SAID[words], n) if words in _SAID else FateCount(Fate.IN_WORDS, n, words)
            for words, n in counts.items()
        ]
    return [
        count
        if isinstance(count, FateCount)
        else FateCount(Fate(count["fate"]), count["n"], count.get("detail"), count.get("by"))
        for count in counts
    ]


_SAID = {
    say(None): fate
    for fate in Fate
    if "{detail}" not in fate.words
    for say in (fate.of_pair, fate.of_completion)
}
# While there were two parts.
_SAID |= {
    f"{dropped}near-duplicate of a prompt on the other side": Fate.ACROSS_SPLIT
    for dropped in ("", _DROPPED)
}
