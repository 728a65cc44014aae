"""What the values of ratings and times in a sample mean: the options that read them."""

import re
from collections import Counter
from collections.abc import Sequence
from typing import Any

from pydantic_core import to_json

from thumbwheel.events import EventParser
from thumbwheel.events.mapping import RatingOptions
from thumbwheel.events.rules import ReadingRules, rating_key, spelt

__all__ = ["rating_options", "time_options"]

_UP = [
    "good",
    "helpful",
    "yes",
    "y",
    "positive",
    "great",
    "excellent",
    "correct",
    "useful",
    "thumbsup",
    "👍",
    "+",
    "accept",
    "accepted",
]
_DOWN = [
    "bad",
    "unhelpful",
    "nothelpful",
    "no",
    "n",
    "negative",
    "poor",
    "terrible",
    "incorrect",
    "useless",
    "thumbsdown",
    "👎",
    "-",
    "reject",
    "rejected",
]
_TIME_FORMATS = (
    *("%d.%m.%Y %H:%M:%S", "%d.%m.%Y %H:%M", "%d.%m.%Y", "%d/%m/%Y %H:%M:%S", "%d/%m/%Y %H:%M"),
    *("%d/%m/%Y", "%m/%d/%Y %H:%M:%S", "%m/%d/%Y %H:%M", "%m/%d/%Y", "%Y/%m/%d %H:%M:%S"),
    *("%Y/%m/%d %H:%M", "%Y/%m/%d", "%Y%m%d", "%m/%d/%y %H:%M", "%d/%m/%y %H:%M"),
)
_SCALES = ((0, 1), (1, 5), (0, 5), (1, 7), (1, 10), (0, 10), (0, 100))


def rating_options(
    values: Sequence[Any], recognised: list[str], questions: list[str]
) -> dict[str, Any]:
    """Return the options that read ratings as votes.

    Args:
        values: The ratings.
        recognised: What was recognised is added here.
        questions: What somebody has to decide is added here.
    """
    said = [spelt(value) for value in values if value is not None and value != ""]
    numbers = [v for v in said if isinstance(v, int | float) and not isinstance(v, bool)]
    words = Counter(str(value).strip() for value in said if isinstance(value, str))
    if numbers and not words:
        return _numbers(numbers, recognised, questions)
    known = RatingOptions()
    listed = {rating_key(rating) for rating in (*known.up, *known.down, *known.withdrawn)}
    new = [word for word in words if rating_key(word) not in listed]
    if not new:
        return {}
    up = [word for word in new if _plain(word) in _UP]
    down = [word for word in new if _plain(word) in _DOWN]
    for word in [word for word in new if word not in (*up, *down)][:10]:
        questions.append(f"the rating {word!r} ({words[word]:,} times): put it in `up` or `down`")
    if not up and not down:
        return {}
    return {
        "up": [*up, *(w for w in words if rating_key(w) in map(rating_key, known.up))],
        "down": [*down, *(w for w in words if rating_key(w) in map(rating_key, known.down))],
    }


def _plain(word: str) -> str:
    return re.sub(r"[\s_-]", "", word.casefold()) or word


def _numbers(
    numbers: Sequence[float], recognised: list[str], questions: list[str]
) -> dict[str, Any]:
    values = set(numbers)
    if values <= {1, -1}:
        return {}
    if values <= {0, 1}:
        recognised.append("ratings are 0 and 1: 0 is read as down")
        return {"up": [1], "down": [0]}
    low, high = min(values), max(values)
    scale: tuple[float, float]
    if low >= -1 and high <= 1 and low < 0:
        scale = (-1, 1)
    elif high <= 0:
        scale = (low, 0)
    else:
        fits = [s for s in _SCALES if s[0] <= low and high <= s[1]]
        scale = fits[0] if fits else (low, high)
    questions.append(
        f"ratings go from {low:g} to {high:g}: is the worst {scale[0]:g} and the best {scale[1]:g}?"
    )
    return {"scale": {"down": _whole(scale[0]), "up": _whole(scale[1])}}


def _whole(number: float) -> float:
    return int(number) if number == int(number) else number


def time_options(
    values: Sequence[Any], recognised: list[str], questions: list[str]
) -> dict[str, Any]:
    """Return the option that reads times which are not read by themselves; see `rating_options`."""
    some = [value for value in values if value is not None and value != ""][:100]
    if _are_times(some, ReadingRules()):
        return {}
    fitting = [f for f in _TIME_FORMATS if _are_times(some, ReadingRules(time_format=f))]
    if not fitting:
        questions.append("how are the times written? say so with `time_format` or `time_unit`")
        return {}
    if len(fitting) > 1:
        questions.append(f"are times {fitting[0]} or {fitting[1]}? both fit")
    return {"time_format": fitting[0]}


def _are_times(values: Sequence[Any], rules: ReadingRules) -> bool:
    events = [{"prompt": "?", "completion": "!", "occurred_at": value} for value in values]
    return not EventParser(None, rules).parse_batch([to_json(event) for event in events]).malformed
