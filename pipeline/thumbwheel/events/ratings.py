"""Which ratings are which votes: words, truth values, flags, and numbers on a scale."""

import math
from functools import cached_property
from itertools import combinations
from typing import Any, Literal, Self

from pydantic import model_validator
from pydantic.dataclasses import dataclass

from thumbwheel.events.rules import Rating, rating_key, spelt
from thumbwheel.events.shown import shown_rating
from thumbwheel.events.wire import MalformedRecordError
from thumbwheel.types.fates import Fault

__all__ = ["RatingOptions", "Scale", "flag_of"]


@dataclass(frozen=True, config={"extra": "forbid"})
class Scale:
    """A numeric rating as a vote: `down` and what lies beyond it is -1, `up` and beyond is +1.

    Values between are linear. `up` may be the smaller number (an error count).
    """

    down: float
    up: float

    @model_validator(mode="after")
    def _distinct(self) -> Self:
        if self.down == self.up:
            raise ValueError("`down` and `up` must differ")
        return self

    def is_beyond(self, rating: object) -> bool:
        """Tell whether a number lies beyond the scale's ends."""
        number = _to_number(rating)
        ends = sorted((self.down, self.up))
        return number is not None and not ends[0] <= number <= ends[1]

    def score(self, rating: object) -> float:
        """Return the vote, in [-1, 1].

        Raises:
            MalformedRecordError: The rating is no finite number.
        """
        number = _to_number(rating)
        if number is None:
            raise MalformedRecordError(
                f"rating {shown_rating(rating)} is not a number on the `scale`",
                Fault.UNKNOWN_RATING,
            )
        return max(-1.0, min(1.0, 2 * (number - self.down) / (self.up - self.down) - 1))


@dataclass(frozen=True, config={"extra": "forbid"})
class RatingOptions:
    """Which ratings are which votes: the options that every mapping of ratings has.

    Text is compared without case, and text that spells a number or a truth value also counts as
    that value, because CSV has nothing else: "1" is in `up = [1]`, "true" in `up = [true]`. A JSON
    `true` is never 1.

    Args:
        up: Ratings that are +1.
        down: Ratings that are -1.
        withdrawn: Ratings that take an earlier vote back, numbers of a `scale` too. `""` and
            `"null"` mean null and blank text, as `null_is` does.
        scale: Anchors of a numeric rating; numbers are then not looked up in `up` and `down`.
        rank: Whether a number is a rank among the answers to a prompt: 1 is the best. A rater's
            ranks are compared with each other, so each needs a rater, or a `comparison_id`.
        null_is: `withdrawn` where null or blank text, under a key that is there, takes an earlier
            vote back; `none` where it is no vote.
    """

    up: tuple[Rating, ...] = ("up", "thumbs_up", "like", "positive", True, 1)
    down: tuple[Rating, ...] = ("down", "thumbs_down", "dislike", "negative", False, -1)
    withdrawn: tuple[Rating, ...] = ("withdrawn", "retracted")
    scale: Scale | None = None
    rank: bool = False
    null_is: Literal["none", "withdrawn"] = "none"

    def vote(self, rating: object) -> dict[str, Any]:
        """Return the keys of an event that tell the vote; none for null or blank text.

        Raises:
            MalformedRecordError: The rating is none of those listed.
        """
        if rating is None or (isinstance(rating, str) and not rating.strip()):
            return {"withdrawn": True} if self.takes_null_back else {}
        score = self._score(rating)
        if score is None:
            return {"withdrawn": True}
        if self.scale and abs(score) == 1 and self.scale.is_beyond(rating):
            return {"score": score, "note": "a rating beyond the `scale`, taken as its end"}
        return {"score": score}

    @cached_property
    def takes_null_back(self) -> bool:
        """Whether null and blank text take an earlier vote back."""
        return self.null_is == "withdrawn" or any(
            rating_key(rating) in _NULLS for rating in self.withdrawn
        )

    @model_validator(mode="after")
    def _has_effect(self) -> Self:
        """Refuse what a configuration lists to no effect, rather than to let it be believed in."""
        if self.rank and self.scale:
            raise ValueError("`rank` and `scale` are two readings of a number; leave out one")
        listed = {
            name: [rating_key(rating) for rating in ratings]
            for name in ("up", "down", "withdrawn")
            if isinstance(ratings := getattr(self, name), tuple)
            and ratings != type(self).__dataclass_fields__[name].default
        }
        for name in listed.keys() - {"withdrawn"}:
            if rating_key("") in listed[name]:
                raise ValueError(
                    f"`{name}` lists blank text, which is no rating, as null is none; where it "
                    'takes a vote back, set `null_is = "withdrawn"`'
                )
            if self._counts and any(_is_number(rating) for rating in getattr(self, name)):
                raise ValueError(
                    f"`{name}` lists a number, but with `{self._counts}` numbers are not looked "
                    "up; leave out one of them"
                )
        for one, other in combinations(listed, 2):
            if both := set(listed[one]) & set(listed[other]):
                raise ValueError(
                    f"{min(str(rating) for _, rating in both)!r} is in `{one}` and in `{other}`; "
                    "list it once"
                )
        return self

    @property
    def _counts(self) -> str | None:
        """The option by which a number is a measure, and not looked up."""
        return "scale" if self.scale else "rank" if self.rank else None

    @cached_property
    def _votes(self) -> dict[tuple[bool, object], float | None]:
        # True == 1 in Python, but a user who lists 1 does not mean true.
        votes: dict[tuple[bool, object], float | None] = {}
        for ratings, vote in ((self.withdrawn, None), (self.down, -1.0), (self.up, 1.0)):
            for rating in ratings:
                votes[rating_key(rating)] = vote
        return votes

    @cached_property
    def _taken_back(self) -> frozenset[tuple[bool, object]]:
        return frozenset(rating_key(rating) for rating in self.withdrawn)

    def _score(self, rating: object) -> float | None:
        """Return the vote, in [-1, 1], or None when it takes an earlier one back."""
        key = rating_key(rating)
        if key in self._votes and not (self._counts and _is_number(rating)):
            return self._votes[key]
        if self._counts and {key, rating_key(spelt(rating))} & self._taken_back:
            return None
        number = _to_number(rating)
        if self.scale and number is not None:
            return self.scale.score(number)
        if self.rank and number is not None:
            return _score_of_rank(number)
        if isinstance(rating, str):
            key = rating_key(spelt(rating))
            if key in self._votes:
                return self._votes[key]
        if self.scale:
            return self.scale.score(rating)
        raise MalformedRecordError(
            f"rating {shown_rating(rating)} is neither in `up`, `down` nor `withdrawn`; "
            "list it, or set `scale`",
            Fault.UNKNOWN_RATING,
        )


_NULLS = frozenset({rating_key(""), rating_key("null")})

_FLAGS: dict[tuple[bool, object], bool] = {}
for _flags, _is_set in (
    ((True, 1, "true", "t", "yes", "y", "x", "on", "1"), True),
    ((False, 0, "false", "f", "no", "n", "off", "0", ""), False),
):
    _FLAGS |= {rating_key(flag): _is_set for flag in _flags}


def flag_of(value: object) -> bool:
    """Return whether a column of flags says yes; nothing is no."""
    if value is None:
        return False
    found = _FLAGS.get(rating_key(spelt(value)), _FLAGS.get(rating_key(value)))
    if found is None:
        raise MalformedRecordError(
            "a flag of `up` and `down` is neither true nor false", Fault.UNKNOWN_RATING
        )
    return found


def _score_of_rank(rank: float) -> float:
    """Return a vote in (-1, 1] that falls with the rank, whatever the number of answers."""
    if rank < 1:
        raise MalformedRecordError(
            f"rank {shown_rating(rank)} is below 1, which is the best; without `rank`, `scale` "
            "reads other numbers",
            Fault.UNKNOWN_RATING,
        )
    return 2 / rank - 1


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _to_number(value: object) -> float | None:
    if isinstance(value, str):
        try:
            value = float(value)
        except ValueError:
            return None
    if not isinstance(value, int | float) or isinstance(value, bool):
        return None
    try:
        number = float(value)
    except OverflowError:
        return None
    return number if math.isfinite(number) else None
