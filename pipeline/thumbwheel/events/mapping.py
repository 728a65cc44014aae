"""From another tool's records to Thumbwheel's event format.

A mapping is a frozen pydantic dataclass: its fields are its options. Called with a record (a JSON
object), it returns the event, not yet validated, or None when the record is no feedback (another
tool's export may hold more). Mappings are found by name in the entry point group
`thumbwheel.mappings`; the plain one, `keys`, is here.
"""

from collections.abc import Iterator, Mapping
from dataclasses import field
from functools import cached_property
from typing import Any, Literal, Protocol, Self

from pydantic import model_validator
from pydantic.dataclasses import dataclass

from thumbwheel.events.asked import prompt_of, with_context
from thumbwheel.events.comparisons import Answer
from thumbwheel.events.exported import is_cut, without_apostrophe
from thumbwheel.events.messages import parted, text_of
from thumbwheel.events.parts import Outcome, outcomes
from thumbwheel.events.paths import Key, KeyPath, find
from thumbwheel.events.ratings import RatingOptions, Scale, flag_of
from thumbwheel.events.rules import Rating, ReadingRules, rating_key, spelt
from thumbwheel.events.wire import MalformedRecordError, invalid_field
from thumbwheel.types.fates import Fault

__all__ = [
    "EventMapping",
    "KeyMapping",
    "Rating",
    "RatingOptions",
    "RecordMapping",
    "Scale",
    "find",
]


class RecordMapping(Protocol):
    """What `thumbwheel.mappings` entry points name the classes of."""

    def __call__(self, record: Mapping[str, Any]) -> dict[str, Any] | None:
        """Return the event, or None for a record that is none.

        Raises:
            MalformedRecordError: The record should be feedback, but cannot be understood.
        """
        ...


@dataclass(frozen=True, config={"extra": "forbid"})
class EventMapping(RatingOptions):
    """Read Thumbwheel's own format, with a `score` that is a rating: 1 and 0, or stars.

    Args:
        up: See `RatingOptions`.
        down: See `RatingOptions`.
        withdrawn: See `RatingOptions`.
        scale: See `RatingOptions`.
        rank: See `RatingOptions`.
        null_is: See `RatingOptions`.
    """

    def __call__(self, record: Mapping[str, Any]) -> dict[str, Any]:
        """Return the event with its score between -1 and 1.

        Raises:
            MalformedRecordError: The score is none of those listed.
        """
        said = self.vote(record["score"]) if "score" in record else {}
        return {**record, "score": None, **said}


@dataclass(frozen=True, config={"extra": "forbid"})
class KeyMapping(RatingOptions):
    """Which key of a record holds what; a dot reaches into objects, and numbers into lists.

    Of a list of keys, the first that holds something counts.

    Args:
        prompt: The key of the prompt: text, or a list of messages, which may be text itself.
        system: The key of a system text, which comes before the prompt.
        history: The key of what was said before the prompt: messages, or pairs of question and
            answer.
        completion: The key of the model's answer.
        rating: The key of the vote.
        rater: The key of who voted.
        event_id: The key of the event's identity.
        generation_id: The key of the answer's identity.
        model_version: The key of what produced the answer.
        comment: The key of the rater's words.
        correction: The key of the rater's own better answer.
        comparison_id: The key that ties the votes of one side-by-side choice.
        occurred_at: The key of the time.
        updated_at: The key of when the record was changed last.
        up: See `RatingOptions`. A text in place of a list is the key of a column that is true for a
            vote up; there is no `rating` then.
        down: See `RatingOptions`. A text: the key of a column that is true for a vote down.
        withdrawn: See `RatingOptions`.
        scale: See `RatingOptions`.
        rank: See `RatingOptions`.
        null_is: See `RatingOptions`.
        anonymous: Rater ids that stand for "unknown", compared as ratings are.
        turns: Markers such as {"Human:": "user"} that split a prompt kept as one string into chat
            messages; a marker counts at the beginning of a line.
        each: The key of a list within the record whose elements are read one by one, or a table of
            keys of lists that run side by side. Keys are then looked up in the element; one that
            begins with `/` in the whole record.
        role: The key of who speaks. The elements are then the messages of a conversation: each of
            the assistant's is an answer, and those before it are its prompt.
        content: The key of what a message says.
        parent: The key of the id of the message before, where answers were given anew.
        children: The key under which a message holds those that follow it.
        thread: The key of what the messages of a conversation share that are records of their own.
        chosen: The key of the better of two answers: text, a message or a whole conversation.
        rejected: The key of the other.
        answers: The keys of answers that were compared, by what `winner` calls them.
        winner: The key of which of them won; or a table of the keys of flags, by the names of the
            answers and of draws (`tie`, `both_good`, `both_bad`).
        place: The key of the place of the answer among the prompt's messages, counted from 0: what
            comes before it is the prompt.
        cut_at: Texts that end with "..." behind so many characters were cut by the exporter: they
            are dead letters.
        formula_guard: Whether the exporter puts an apostrophe before texts that a spreadsheet would
            take for a formula; it is taken off.
    """

    up: tuple[Rating, ...] | str = RatingOptions.up  # type: ignore[assignment]
    down: tuple[Rating, ...] | str = RatingOptions.down  # type: ignore[assignment]
    prompt: Key = "prompt"
    system: Key | None = None
    history: Key | None = None
    completion: Key = "completion"
    rating: Key = "rating"
    rater: Key | None = None
    event_id: Key | None = None
    generation_id: Key | None = None
    model_version: Key | None = None
    comment: Key | None = None
    correction: Key | None = None
    comparison_id: Key | None = None
    occurred_at: Key | None = None
    updated_at: Key | None = None
    anonymous: tuple[Rating, ...] = ("", "anon", "anonymous")
    turns: dict[str, Literal["system", "user", "assistant"]] = field(default_factory=dict)
    each: Key | dict[str, str] | None = None
    role: Key | None = None
    content: Key = "content"
    parent: Key | None = None
    children: Key | None = None
    thread: Key | None = None
    chosen: Key | None = None
    rejected: Key | None = None
    answers: dict[str, str | Answer] = field(default_factory=dict)
    winner: Key | dict[str, Key] | None = None
    place: Key | None = None
    cut_at: int | None = None
    formula_guard: bool = False

    def __call__(self, record: Mapping[str, Any]) -> dict[str, Any]:
        """Return the record in Thumbwheel's event format, not yet validated.

        Raises:
            MalformedRecordError: The rating is none of those listed.
        """
        return self.event_of(record, record)

    def gives_many(self, record: object) -> bool:
        """Tell whether a record may give several events: `events` is to be called then."""
        return self._gives_many

    @cached_property
    def _gives_many(self) -> bool:
        return bool(self.each or self.role or self.thread or self.chosen or self.answers)

    def events(self, record: object, rules: ReadingRules) -> Iterator[Outcome]:
        """Yield what becomes of each part of a record.

        Args:
            record: An object, or the list of records that share a `thread`.
            rules: Which parts count, and who speaks by which name.
        """
        return outcomes(self, record, rules)

    def event_of(self, part: object, record: object) -> dict[str, Any]:
        """Return an element of a record, or all of it, as an event.

        Raises:
            MalformedRecordError: The rating is none of those listed, or a text was cut.
        """
        event = {name: path.find(part, record) for name, path in self._paths.items()}
        if "" in event.values():
            # An answer may be empty; of anything else, nothing was said.
            kept = ("prompt", "completion")
            event = {n: v if v != "" or n in kept else None for n, v in event.items()}
        if self.formula_guard:
            event = {name: without_apostrophe(value) for name, value in event.items()}
        event |= self._vote_in(part, record)
        rater = event.get("rater_id")
        if rater is not None and self._is_anonymous(rater):
            event["rater_id"] = None
        if isinstance(event.get("completion"), list):
            event["completion"] = text_of(event["completion"])
        if self.cut_at is not None:
            for name in ("prompt", "completion"):
                if is_cut(event.get(name), self.cut_at):
                    raise invalid_field(name, f" was cut by the exporter at {self.cut_at}")
        event["prompt"] = prompt_of(event.get("prompt"), self.turns)
        if self.place is not None:
            place = KeyPath.of(self.place).find(part, record)
            event["prompt"], event["completion"] = parted(event["prompt"], place)
        if self.system is not None or self.history is not None:
            context = event.pop("system", None), event.pop("history", None)
            event["prompt"] = with_context(event["prompt"], *context)
        return event

    def _is_anonymous(self, rater: object) -> bool:
        if isinstance(rater, str) and not rater.strip():
            return True
        return rating_key(rater) in self._unknown or rating_key(spelt(rater)) in self._unknown

    @cached_property
    def _unknown(self) -> frozenset[tuple[bool, object]]:
        return frozenset(
            key for name in self.anonymous for key in (rating_key(name), rating_key(spelt(name)))
        )

    @model_validator(mode="after")
    def _together(self) -> Self:
        if (self.chosen is None) is not (self.rejected is None):
            raise ValueError("`chosen` and `rejected` go together")
        if bool(self.answers) is not (self.winner is not None):
            raise ValueError("`answers` and `winner` go together")
        if self.answers and (len(self.answers) < 2 or self.chosen):
            raise ValueError("`answers` lists two or more, in place of `chosen` and `rejected`")
        if (self.parent or self.children) and self.role is None:
            raise ValueError(
                "`parent` and `children` are of messages: name the key of their `role` too"
            )
        if self.thread is not None and (self.role is None or self.each is not None):
            raise ValueError(
                "`thread` is of messages that are records: name the key of their `role`"
            )
        return self

    def _vote_in(self, part: object, record: object) -> dict[str, Any]:
        """Return the keys that tell the vote: of a rating, or of the flags `up` and `down`."""
        if self._flag_paths is None:
            rating = self._rating_path.find(part, record)
            if rating is None and not self._rating_path.is_there(part, record):
                return {}
            return self.vote(rating)
        up, down = (flag_of(path.find(part, record)) for path in self._flag_paths)
        if up and down:
            raise MalformedRecordError("it is a vote up and down", Fault.UNKNOWN_RATING)
        return {"score": 1.0 if up else -1.0} if up or down else self.vote(None)

    @cached_property
    def _flag_paths(self) -> tuple[KeyPath, KeyPath] | None:
        if isinstance(self.up, str) and isinstance(self.down, str):
            return KeyPath.of(self.up), KeyPath.of(self.down)
        return None

    @model_validator(mode="after")
    def _both_flags(self) -> Self:
        if isinstance(self.up, str) is not isinstance(self.down, str):
            raise ValueError(
                "`up` and `down` are both lists of ratings, or both the key of a column of flags"
            )
        return self

    @cached_property
    def _paths(self) -> dict[str, KeyPath]:
        keys = {
            "prompt": self.prompt,
            "system": self.system,
            "history": self.history,
            "completion": self.completion,
            "rater_id": self.rater,
            "event_id": self.event_id,
            "generation_id": self.generation_id,
            "model_version": self.model_version,
            "comment": self.comment,
            "correction": self.correction,
            "comparison_id": self.comparison_id,
            "occurred_at": self.occurred_at,
            "updated_at": self.updated_at,
        }
        return {name: KeyPath.of(key) for name, key in keys.items() if key is not None}

    @cached_property
    def _rating_path(self) -> KeyPath:
        return KeyPath.of(self.rating)
