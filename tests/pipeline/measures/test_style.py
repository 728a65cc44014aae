"""Style in numbers, and whose votes a pair rests on."""

import numpy as np
import pyarrow as pa
import pytest

from thumbwheel.measures.attribution import attribute, rater_shares
from thumbwheel.measures.style import FEATURES, difference, style_features

TEXTS = {
    "length": ("naïve", 5),
    "lists": ("To do:\n- tea\n  * milk\n3. sugar\n10) go\nnot - this, 4. nor this\n-nor this", 4),
    "bold": ("**Tea** and **milk and\nsugar** and **salt**; 2 ** 3, __no__", 2),
    "headings": ("# Tea\n## Milk\nC# and # no\n#no\n###### six", 3),
    "code": ("Call `f()`:\n```python\nx = `y`\n```\n", 3),
    "emoji": ("Tea ☕ is ok 👍🏽 and 🇩🇪, not ©", 5),
    "exclamations": ("Yes! No!!! a != b. 好！ End!", 4),
    "refusals": ("I'm sorry, but as an AI language model I can't help with that.", 1),
    "hedges": ("Perhaps it might rain; it depends. Mightily so, I think.", 4),
}


@pytest.mark.parametrize("name", FEATURES)
def test_a_feature_counts_what_its_name_says(name):
    """Each feature finds what it is named for in a text, and only that; a plain text has none."""
    text, count = TEXTS[name]
    assert np.expm1(style_features([text], [name]))[0, 0] == pytest.approx(count)
    plain = style_features(["Tea is made of leaves", "", None], [name])
    assert not plain[1:].any()
    assert plain[0, 0] == pytest.approx(np.log1p(21) if name == "length" else 0)


@pytest.mark.parametrize(
    ("text", "refuses"),
    [
        ("I can't assist with that request.", True),
        ("I’m sorry, but I cannot provide that.", True),
        ("As an AI, I have no opinion.", True),
        ("Unfortunately, I am unable to do this.", True),
        ("I cannot agree more!", False),
        ("I'm sorry to hear that. Have some tea.", False),
        ("You can say: I cannot help with that.", False),
    ],
)
def test_refusals_are_told_by_how_a_text_begins(text, refuses):
    """A refusal is one at the beginning; being sorry, or quoting one, is none."""
    assert bool(style_features([text], ["refusals"])[0, 0]) is refuses


def test_any_form_of_texts_gives_the_same_features():
    """A list, an array and a chunked array measure alike, chunks without rows included."""
    texts = [text for text, _ in TEXTS.values()]
    listed = style_features(texts)
    assert listed.shape == (len(texts), len(FEATURES))
    chunked = pa.chunked_array([texts[:2], [], texts[2:]], pa.string())
    assert np.array_equal(style_features(pa.array(texts)), listed)
    assert np.array_equal(style_features(chunked), listed)
    assert style_features(pa.chunked_array([], pa.string())).shape == (0, len(FEATURES))
    assert np.array_equal(difference(texts, texts[::-1]), listed - listed[::-1])


# --- attribution ---------------------------------------------------------------------------------

PAIRS = pa.table(
    {
        "pair_id": ["p", "q", "r"],
        "chosen_id": ["a", "a", "x"],
        "rejected_id": ["b", "c", "y"],
    }
)


def votes(*rows):
    names = ["completion_id", "rater", "score", "weight"]
    return pa.Table.from_pylist([dict(zip(names, row, strict=True)) for row in rows])


def test_a_pair_counts_in_parts_to_those_who_speak_for_it():
    """Votes for chosen and against rejected count by weight and score; those against do not."""
    cast = votes(
        ("a", "one", 1.0, 1.0),
        ("b", "two", -1.0, 0.5),
        ("b", "three", 1.0, 1.0),  # speaks against p
        ("c", "one", -1.0, 1.0),
        ("c", "four", 0.0, 1.0),  # half down
        ("z", "five", 1.0, 1.0),  # in no pair
    )
    table = attribute(PAIRS, cast)
    shares = {(row["pair_id"], row["rater"]): row["share"] for row in table.to_pylist()}
    assert shares == {
        ("p", "one"): pytest.approx(2 / 3),
        ("p", "two"): pytest.approx(1 / 3),
        ("q", "one"): pytest.approx(0.8),
        ("q", "four"): pytest.approx(0.2),
    }
    # The indices are row numbers of the pairs.
    assert table["pair_id"].combine_chunks().indices.to_pylist() == [0, 0, 1, 1]
    assert rater_shares(PAIRS, cast).to_pylist() == [
        {"rater": "one", "share": pytest.approx((2 / 3 + 0.8) / 2)},
        {"rater": "two", "share": pytest.approx(1 / 6)},
        {"rater": "four", "share": pytest.approx(0.1)},
    ]


def test_no_pairs_and_no_votes_have_no_raters():
    """Empty tables of either kind give empty tables."""
    cast = votes(("a", "one", 1.0, 1.0))
    for pairs, some in ((PAIRS.slice(0, 0), cast), (PAIRS, cast.slice(0, 0))):
        assert len(attribute(pairs, some)) == 0
        assert len(rater_shares(pairs, some)) == 0
