"""The style of a text in numbers.

What people choose is often longer, or has more lists, than what they reject, and a model learns
that first.
"""

from collections.abc import Callable, Sequence
from typing import TypeAlias

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

__all__ = ["FEATURES", "difference", "style_features"]

Array = npt.NDArray[np.float64]
Texts: TypeAlias = pa.Array | pa.ChunkedArray | Sequence[str]


# Patterns are RE2's. A literal at the beginning lets it skip to candidates at the speed of memory,
# which is why texts get a newline in front and lines are recognised by the one before them.

_REFUSAL = (
    r"(?i)\A\W*(?:(?:i['’]?m|i am) (?:(?:very|really|so|truly) )?sorry|sorry|i apologi[sz]e|"
    r"my apologies|unfortunately)?,? ?(?:but )?(?:as an? (?:ai|(?:large )?language model)\b|"
    r"(?:i am|i['’]?m) (?:not able|unable) to\b|i must (?:decline|refuse)\b|"
    r"i (?:can['’]?t|can ?not|could ?n['’]?t|won['’]?t|will not)"
    r"(?: (?:help|assist|provide|fulfil|answer|comply|complete|do that|create|write|generate|"
    r"engage|discuss|offer|give|support|share|respond)|\W*\z))"
)
_HEDGE = (
    r"(?i)\b(?:maybe|perhaps|possibly|probably|presumably|apparently|arguably|might|may be|"
    r"could be|it depends|depending on|i (?:think|believe|guess|suppose)|in my opinion|it seems|"
    r"seems to|as far as i know|not (?:entirely |completely )?(?:sure|certain)|generally|usually|"
    r"typically|in (?:most|some) cases|it['’]?s (?:important|worth) (?:to note|noting))\b"
)


def _length(lines: pa.Array) -> pa.Array:
    return pc.subtract(pc.utf8_length(lines), 1)


def _counter(pattern: str) -> Callable[[pa.Array], pa.Array]:
    return lambda lines: pc.count_substring_regex(lines, pattern=pattern)


def _emoji(lines: pa.Array) -> pa.Array:
    # Most texts have none, and are told by being ASCII five times faster than by the pattern.
    pattern = r"[\x{1F1E6}-\x{1F1FF}\x{1F300}-\x{1FAFF}\x{2600}-\x{27BF}\x{2B50}\x{2B55}]"
    other = pc.invert(pc.string_is_ascii(lines))
    found = pc.count_substring_regex(lines.filter(other), pattern=pattern)
    return pc.replace_with_mask(pa.array(np.zeros(len(lines), np.int64)), other, found)


_COUNTERS: dict[str, Callable[[pa.Array], pa.Array]] = {
    "length": _length,
    "lists": _counter(r"\n[ \t]*(?:[-*+•]|\d{1,3}[.)])[ \t]+[^ \t\n]"),
    "bold": _counter(r"\*\*[^*\s](?:[^*\n]*[^*\s])?\*\*"),
    "headings": _counter(r"\n#{1,6}[ \t]+[^ \t\n]"),
    "code": _counter("`[^`]+`"),
    "emoji": _emoji,
    "exclamations": _counter(r"[!！]+(?:[^=!！]|\z)"),
    "refusals": lambda lines: pc.match_substring_regex(lines, pattern=_REFUSAL),
    "hedges": _counter(_HEDGE),
}

FEATURES: tuple[str, ...] = tuple(_COUNTERS)
"""The features in their order.

`length` counts characters; `lists`, `headings` lines that are an item or a heading of Markdown;
`bold`, `code` spans and blocks; `emoji`, `exclamations` (runs of the mark), `hedges` (such as
"perhaps", "it depends") occurrences; `refusals` is 1 where a text begins with a well-known one.
Phrases are English.
"""


def style_features(texts: Texts, names: Sequence[str] = FEATURES) -> Array:
    """Measure the style of texts: log(1 + count) of each feature.

    The logarithm makes differences ratios, so that the tenth list item weighs less than the first.

    Args:
        texts: The texts, n of them; a null counts as empty.
        names: Some of `FEATURES`, k of them, in any order.

    Returns:
        Shape (n, k).
    """
    flat = texts if isinstance(texts, pa.Array | pa.ChunkedArray) else pa.array(texts, pa.string())
    # Offsets of `string` end at 2 GB of text in one array, which a join of chunks may pass.
    chunks = flat.chunks if isinstance(flat, pa.ChunkedArray) else [flat]
    measured = [_features_of(chunk, names) for chunk in chunks]
    return np.concatenate(measured) if measured else np.empty((0, len(names)))


def _features_of(texts: pa.Array, names: Sequence[str]) -> Array:
    newline, nothing = pa.scalar("\n", pa.large_string()), pa.scalar("", pa.large_string())
    texts = pc.fill_null(texts.cast(pa.large_string()), nothing)
    lines = pc.binary_join_element_wise(newline, texts, nothing)
    features = np.empty((len(texts), len(names)))
    for column, name in enumerate(names):
        count = _COUNTERS[name](lines).cast(pa.float64())
        features[:, column] = np.log1p(count.to_numpy(zero_copy_only=False))
    return features


def difference(chosen: Texts, rejected: Texts, names: Sequence[str] = FEATURES) -> Array:
    """Return how far the chosen side's style exceeds the rejected side's, shape (n, k)."""
    return style_features(chosen, names) - style_features(rejected, names)
