"""Style in numbers, pairs drawn so that it tells nothing, and whose votes a pair rests on."""

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from thumbwheel.measures.attribution import attribute, rater_shares
from thumbwheel.measures.style import FEATURES, difference, style_features
from thumbwheel.pairs.balance import balance_probabilities

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


# --- balance -------------------------------------------------------------------------------------


def planted(seed, n=400, k=3, share=0.7):
    """Differences whose first feature favours the chosen side with probability `share`."""
    rng = np.random.default_rng(seed)
    differences = rng.normal(size=(n, k)) * (rng.random((n, k)) < 0.6)
    swap = (rng.random(n) < share) != (differences[:, 0] > 0)
    return np.where(swap[:, None], -differences, differences)


@given(seed=st.integers(0, 1000), n=st.integers(0, 80), k=st.integers(0, 5))
def test_balanced_features_have_no_weighted_mean_difference(seed, n, k):
    """For whatever differences: p is in (0, 1], and sum p d vanishes where balance is claimed."""
    differences = planted(seed, n, k) if k else np.zeros((n, 0))
    balance = balance_probabilities(differences)
    p = balance.probabilities
    assert p.shape == (n,)
    assert np.all((p > 0) & (p <= 1))
    left = np.abs(p @ differences) - 1e-4 * (p @ np.abs(differences))
    assert np.all(left[balance.balanced] <= 1e-12)


def test_a_planted_confound_is_thinned_exactly():
    """Where 70% are longer, 3 of 7 of them are kept, and every shorter one: nothing is wasted."""
    rng = np.random.default_rng(1)
    size = rng.choice([0.2, 0.5, 1.0], size=1000)
    differences = (size * np.where(np.arange(1000) < 700, 1, -1))[:, None]
    differences[700:, 0] = -size[:300]
    balance = balance_probabilities(differences)
    assert balance.balanced.all()
    assert np.all(balance.probabilities[700:] == 1)
    assert balance.expected == pytest.approx(600, rel=1e-6)
    assert np.sum(balance.probabilities * np.sign(differences[:, 0])) == pytest.approx(0, abs=1e-6)


def test_the_sign_is_balanced_too():
    """Often a little longer, seldom much shorter: a mean of zero alone would leave that in."""
    sizes = {0.1: 80, -0.4: 20, 0.4: 10, -0.1: 10}
    differences = np.repeat(list(sizes), list(sizes.values()))[:, None]
    p = balance_probabilities(differences).probabilities
    assert p @ differences == pytest.approx(0, abs=1e-6)
    assert p @ np.sign(differences) == pytest.approx(0, abs=1e-6)


def test_what_cannot_be_balanced_is_named_and_the_rest_is_balanced():
    """A feature that always favours one side stays as it is; it costs no pair."""
    differences = planted(2)
    one_sided = np.column_stack([np.abs(differences[:, 1]), differences])
    balance = balance_probabilities(one_sided)
    assert balance.balanced.tolist() == [False, True, True, True]
    assert np.array_equal(balance.probabilities, balance_probabilities(differences).probabilities)


def test_features_that_are_one_sided_only_together_fall_back_to_the_first():
    """No direction may favour the chosen side throughout: then the later feature is left out."""
    rng = np.random.default_rng(3)
    first = rng.normal(size=200)
    differences = np.column_stack([first, -first + np.abs(rng.normal(size=200)) + 0.1])
    balance = balance_probabilities(differences)
    assert balance.balanced.tolist() == [True, False]
    assert balance.probabilities @ first == pytest.approx(0, abs=1e-6)


def test_a_feature_that_would_cost_too_many_pairs_is_left():
    """Two pairs against 98 would keep 4 of 100; `min_kept` prefers to leave the feature."""
    differences = np.concatenate([np.ones((98, 1)), -np.ones((2, 1))])
    assert balance_probabilities(differences).expected == pytest.approx(4, rel=1e-6)
    careful = balance_probabilities(differences, min_kept=0.1)
    assert careful.expected == 100
    assert not careful.balanced.any()


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
