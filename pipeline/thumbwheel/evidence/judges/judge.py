"""A judge, and the one place where judges are asked."""

import hashlib
from collections.abc import Sequence
from typing import Literal, NamedTuple, Protocol, TypeAlias

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from thumbwheel.tables import COMPARED
from thumbwheel.types import Prompt

__all__ = ["Judge", "Meeting", "Pairings", "preferences"]

Pairings: TypeAlias = Literal["all", "same_draw"]
"""Which answers to a prompt meet: each of one model each of the other, or, where it costs, those of
one number."""


class Judge(Protocol):
    """Whoever says which of two answers to a prompt is better; ask through `preferences`."""

    @property
    def name(self) -> str:
        """As the configuration names it."""
        ...

    @property
    def pairings(self) -> Pairings:
        """Which answers of two models it is asked about."""
        ...

    def prefer(self, compared: pa.Table) -> npt.NDArray[np.float64]:
        """Return which answers are better, shape (n,), in the order of the rows.

        Args:
            compared: `tables.COMPARED`; the two answers of a row differ.

        Returns:
            1 where the first is better, 0 where the second is, 0.5 for a tie, NaN where the judge
            cannot tell. Values between are shares of several opinions.
        """
        ...


class Meeting(NamedTuple):
    """Two answers to a prompt, and whose they are, which no judge is told."""

    prompt_id: str
    prompt: Prompt
    ours: str
    theirs: str


def preferences(judge: Judge, meetings: Sequence[Meeting]) -> npt.NDArray[np.float64]:
    """Return how far a judge prefers our answer in each meeting.

    Two equal texts are a tie, and no judge is asked. Any other two texts are shown once, however
    many meetings are theirs, in an order that follows from the texts and not from whose they are.

    Args:
        judge: Who is asked.
        meetings: n of them.

    Returns:
        1 for ours, 0 for theirs, 0.5 for a tie, NaN where the judge says nothing; shape (n,).
    """
    shown = [_show(meeting) for meeting in meetings]
    distinct = {row[0]: row for row in shown if row[3] != row[4]}
    columns = zip(*distinct.values(), strict=True) if distinct else ([] for _ in COMPARED)
    compared = pa.table(
        [pa.array(column, field.type) for column, field in zip(columns, COMPARED, strict=True)],
        schema=COMPARED,
    )
    said = dict(zip(distinct, judge.prefer(compared), strict=True)) if distinct else {}
    preferred = np.full(len(meetings), 0.5)
    for row, (meeting, (comparison_id, _, _, first, _)) in enumerate(
        zip(meetings, shown, strict=True)
    ):
        if comparison_id in said:
            preference = said[comparison_id]
            preferred[row] = preference if first == meeting.ours else 1 - preference
    return preferred


def _show(meeting: Meeting) -> tuple[str, str, Prompt, str, str]:
    """Return a row of `tables.COMPARED`, the same whoever wrote which text."""
    one, other = sorted((meeting.ours, meeting.theirs))
    digest = hashlib.blake2b(digest_size=16)
    for part in (meeting.prompt_id, one, other):
        text = part.encode("utf-8", "surrogatepass")
        digest.update(len(text).to_bytes(8, "big") + text)
    if digest.digest()[0] % 2:
        one, other = other, one
    return digest.hexdigest(), meeting.prompt_id, meeting.prompt, one, other
