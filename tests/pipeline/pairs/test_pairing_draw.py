"""The draw: balance of style, and caps by prompt, cluster, rater and origin."""

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from thumbwheel.config import PairsConfig
from thumbwheel.events import content_id
from thumbwheel.pairs.draw import draw_pairs
from thumbwheel.tables import VOTES
from thumbwheel.types.fates import Fate

UNCAPPED = {"max_per_prompt": 10**6, "max_per_cluster": 10**6, "max_rater_share": 1.0}


def candidates(n, *, prompts=None, confidence=0.9, origin="votes"):
    """Return `n` candidates of two completions of their own; `prompts` names their prompts."""
    return pa.table(
        {
            "pair_id": [content_id("pair", str(i)) for i in range(n)],
            "prompt_id": prompts or [f"p{i}" for i in range(n)],
            "chosen_id": [f"c{i}" for i in range(n)],
            "rejected_id": [f"r{i}" for i in range(n)],
            "confidence": pa.array([confidence] * n, pa.float64()),
            "origin": [origin] * n if isinstance(origin, str) else origin,
        }
    )


def votes(n, up, down):
    """Return a vote for each chosen and against each rejected; `up` and `down` name the raters."""
    rows = [(f"c{i}", up(i), 1.0) for i in range(n)] + [(f"r{i}", down(i), -1.0) for i in range(n)]
    return pa.Table.from_pylist(
        [
            {"completion_id": c, "rater": rater, "event_id": str(k), "score": score, "weight": 1.0}
            for k, (c, rater, score) in enumerate(rows)
        ],
        schema=VOTES,
    )


def each_their_own(n):
    return votes(n, lambda i: f"up{i}", lambda i: f"down{i}")


def draw(table, style=None, spoken=None, clusters=None, **options):
    n = len(table)
    config = PairsConfig(**{**UNCAPPED, "balance": [], **options})
    style = np.zeros((n, len(config.balance))) if style is None else style
    spoken = each_their_own(n) if spoken is None else spoken
    clusters = table["prompt_id"].combine_chunks() if clusters is None else pa.array(clusters)
    outcome = draw_pairs(table, clusters, style, spoken, config)
    assert len(outcome.fates) == n
    return np.array([fate is None for fate in outcome.fates.to_pylist()]), outcome


def test_without_caps_and_confounds_everything_is_drawn():
    """Nothing is lost where there is nothing to mend."""
    kept, _ = draw(candidates(50), np.zeros((50, 1)), balance=["length"])
    assert kept.all()


@settings(max_examples=30, deadline=None)
@given(st.floats(0.5, 0.85), st.integers(0, 2**32 - 1))
def test_length_is_balanced(longer, seed):
    """However often the chosen side is longer, it is not in the set; most of the rest is kept."""
    rng = np.random.default_rng(seed)
    sign = np.where(rng.random(400) < longer, 1, -1)
    style = (sign * rng.uniform(0.01, 0.2, 400))[:, None]
    kept, outcome = draw(candidates(400), style, balance=["length"])
    assert not outcome.unbalanced
    assert abs(style[kept].mean()) < 0.03
    assert kept.sum() > 0.8 * 2 * min((sign > 0).sum(), (sign < 0).sum())


def test_several_features_are_balanced_at_once():
    """Length and lists go together here; both are brought to zero."""
    rng = np.random.default_rng(0)
    length = rng.normal(0.1, 0.2, 1000)
    lists = (rng.random(1000) < 0.3) * np.sign(length + rng.normal(0, 0.1, 1000))
    style = np.column_stack([length, lists])
    kept, _ = draw(candidates(1000), style, balance=["length", "lists"])
    assert np.abs(style.mean(axis=0)).min() > 0.05
    assert np.abs(style[kept].mean(axis=0)).max() < 0.03
    assert kept.sum() > 500


def test_what_always_differs_in_one_way_is_told_not_thrown_away():
    """Where chosen has a list in every pair, nothing could balance it: the pairs stay."""
    kept, outcome = draw(candidates(40), np.ones((40, 1)), balance=["lists"])
    assert kept.all()
    assert outcome.unbalanced == ["lists"]


def test_no_prompt_and_no_cluster_has_more_than_its_share():
    """Caps by prompt and by cluster leave that many, and no fewer."""
    prompts = [f"p{i // 5}" for i in range(50)]
    kept, _ = draw(candidates(50, prompts=prompts), max_per_prompt=3)
    assert np.bincount([i // 5 for i in np.flatnonzero(kept)]).tolist() == [3] * 10
    clusters = [f"k{i // 10}" for i in range(50)]
    kept, _ = draw(
        candidates(50, prompts=prompts), clusters=clusters, max_per_prompt=3, max_per_cluster=4
    )
    assert np.bincount([i // 10 for i in np.flatnonzero(kept)]).tolist() == [4] * 5


def test_surer_pairs_are_drawn_more_often():
    """Of a prompt's pairs, one of confidence .99 is taken before one of .6, mostly."""
    prompts = [f"p{i // 2}" for i in range(400)]
    table = candidates(400, prompts=prompts)
    confidence = pa.array([0.99 if i % 2 else 0.6 for i in range(400)])
    table = table.set_column(table.column_names.index("confidence"), "confidence", confidence)
    kept, _ = draw(table, max_per_prompt=1)
    assert kept.sum() == 200
    assert 140 < kept[1::2].sum() < 190


def test_one_rater_cannot_rule_the_set():
    """A rater who speaks for half of 600 pairs keeps about one in a hundred of what is left."""
    spoken = votes(600, lambda i: "flood" if i < 300 else f"u{i}", lambda i: f"d{i}")
    spoken_alone = votes(600, lambda i: "flood" if i < 300 else f"u{i}",
                         lambda i: "flood" if i < 300 else f"d{i}")  # fmt: skip
    for ballots, weight in ((spoken, 0.5), (spoken_alone, 1.0)):
        kept, outcome = draw(candidates(600), spoken=ballots, max_rater_share=0.01)
        rests = weight * kept[:300].sum()
        assert kept[300:].all()
        assert 0 < rests <= max(0.01 * kept.sum(), 5)
        assert {*outcome.fates.to_pylist()} - {None} == {Fate.OVER_RATER_CAP}


def test_an_absolute_cap_holds_too():
    """At most two pairs rest on any one rater."""
    spoken = votes(60, lambda i: f"u{i % 6}", lambda i: f"u{i % 6}")
    kept, _ = draw(candidates(60), spoken=spoken, max_per_rater=2)
    assert np.bincount([i % 6 for i in np.flatnonzero(kept)]).tolist() == [2] * 6


def test_three_raters_may_share_a_set():
    """Where a few people judge everything, an equal share is far beyond one in a hundred."""
    spoken = votes(90, lambda i: f"u{i % 3}", lambda i: f"u{(i + 1) % 3}")
    kept, _ = draw(candidates(90), spoken=spoken, max_rater_share=0.01)
    assert kept.all()


@pytest.mark.parametrize(("share", "expected"), [(0.2, 15), (0, 0), (1, 40)])
def test_what_a_model_wrote_has_a_cap(share, expected):
    """At a share of .2, 60 pairs of people admit 15 that a model wrote."""
    table = candidates(100, origin=["ai" if i < 40 else "votes" for i in range(100)])
    kept, _ = draw(table, max_ai_share=share)
    assert kept[40:].all()
    assert kept[:40].sum() == expected


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_the_order_of_candidates_does_not_matter(seed):
    """The same candidates in any order give the same set."""
    rng = np.random.default_rng(seed)
    n = 120
    table = candidates(n, prompts=[f"p{i // 4}" for i in range(n)])
    style = rng.normal(0.1, 0.3, (n, 2)).round(3)
    spoken = votes(n, lambda i: f"u{i % 7}", lambda i: f"d{i % 50}")
    options = {"max_per_prompt": 2, "max_rater_share": 0.05, "balance": ["length", "lists"]}
    kept, _ = draw(table, style, spoken, **options)
    order = rng.permutation(n)
    again, _ = draw(table.take(order), style[order], spoken.take(rng.permutation(2 * n)), **options)
    assert kept[order].tolist() == again.tolist()


def test_no_candidates_are_no_pairs():
    """An empty table is drawn from without an error."""
    kept, _ = draw(candidates(1).slice(1))
    assert not len(kept)
