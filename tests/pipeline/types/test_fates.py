"""Fates: every value has its words, and what earlier versions recorded in words is still read."""

from dataclasses import asdict, fields

import pytest

from thumbwheel.types import SourceCounts
from thumbwheel.types.fates import (
    EventStatus,
    Fate,
    FateCount,
    Fault,
    NotStored,
    Quarantine,
    SourceStatus,
    completions_in_words,
    pairs_in_words,
    recorded,
)

SCREEN = "one side is more than 1.25 times as long as the other"


@pytest.mark.parametrize("kind", [Fate, NotStored, EventStatus, Quarantine, Fault, SourceStatus])
def test_every_value_has_words(kind):
    """A value alone names its member, and no two of a kind are told alike."""
    assert all(kind(str(member)) is member for member in kind)
    told = {member.words for member in kind if member.words != "{detail}"}
    assert "" not in told
    assert len(told) >= len(kind) - 2


def test_all_that_is_not_stored_has_a_name():
    """Whatever a source counts besides what it received and stored."""
    counted = {field.name for field in fields(SourceCounts)} - {"source", "received", "stored"}
    assert {*NotStored} == counted


def test_words_hold_the_detail():
    """A cap tells its limit, a screen its own words, whatever is in them; plugins are joined."""
    counts = [
        FateCount(Fate.IN_TRAINING, 5),
        FateCount(Fate.SCREENED, 4, "{odd} words", "mine"),
        FateCount(Fate.SCREENED, 3, "{odd} words", "yours"),
        FateCount(Fate.OVER_PROMPT_CAP, 2, "6", "draw"),
        FateCount(Fate.NOT_PAIRED, 1),
    ]
    assert completions_in_words(counts) == {
        "in a training pair": 5,
        "its pairs were dropped: {odd} words": 7,
        "its pairs were dropped: more than 6 pairs of its prompt": 2,
        "no plugin paired it": 1,
    }
    assert pairs_in_words(counts[1:4]) == {"{odd} words": 7, "more than 6 pairs of its prompt": 2}


def test_what_was_recorded_is_read():
    """As lists of values; and as counts by words, which are told as they were."""
    counts = [FateCount(Fate.SCREENED, 4, SCREEN, "length_match"), FateCount(Fate.HELD_OUT, 2)]
    assert recorded([asdict(count) for count in counts]) == counts == recorded(counts)
    completions = {
        "in a held-out pair": 9,
        "no plugin paired it": 8,
        "its pairs were dropped: too many pairs rest on one rater": 7,
        f"its pairs were dropped: {SCREEN}": 6,
        "its pairs were dropped: more than 6 pairs of its prompt": 5,
    }
    read = recorded(completions)
    assert completions_in_words(read) == completions
    assert [count.fate for count in read] == [
        Fate.HELD_OUT,
        Fate.NOT_PAIRED,
        Fate.OVER_RATER_CAP,
        Fate.IN_WORDS,
        Fate.IN_WORDS,
    ]
    pairs = {SCREEN: 3, "left out to balance the style of chosen and rejected": 2}
    read = recorded(pairs)
    assert pairs_in_words(read) == pairs
    assert [count.fate for count in read] == [Fate.IN_WORDS, Fate.STYLE_BALANCE]
