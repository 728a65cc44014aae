"""The built-in pairing rules: best_worst, all_pairs and comparisons."""

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from thumbwheel.tables import COMPARISONS
from thumbwheel_plugins.all_pairs import AllPairs
from thumbwheel_plugins.best_worst import BestWorst
from thumbwheel_plugins.comparisons import Comparisons


def sides(table):
    return sorted(
        zip(table["chosen_id"].to_pylist(), table["rejected_id"].to_pylist(), strict=True)
    )


def propose(plugin, table, comparisons=None):
    """Have a rule make pairs where nobody compared anything, unless somebody did."""
    return plugin.make_pairs(table, comparisons or COMPARISONS.empty_table())


def test_best_worst_takes_the_extremes(rated):
    """The best-rated answer is paired with the worst-rated, one pair a prompt."""
    table = rated(
        ("p", "a", 3, 0), ("p", "b", 1, 1), ("p", "c", 0, 2), ("q", "d", 1, 0), ("q", "e", 0, 1)
    )
    assert sides(propose(BestWorst(), table)) == [("p-a", "p-c"), ("q-d", "q-e")]


def test_more_votes_outweigh_a_lone_one(rated):
    """Nine of ten votes up is better evidence than one of one."""
    table = rated(("p", "often", 9, 1), ("p", "once", 1, 0), ("p", "bad", 0, 5))
    assert sides(propose(BestWorst(), table)) == [("p-often", "p-bad")]


@pytest.mark.parametrize("plugin", [BestWorst(min_confidence=0.5), AllPairs(min_confidence=0.5)])
def test_ties_are_never_paired(plugin, rated):
    """Equal votes say nothing about which is better, even at the lowest confidence."""
    assert len(propose(plugin, rated(("p", "a", 2, 1), ("p", "b", 2, 1)))) == 0


@pytest.mark.parametrize("plugin", [BestWorst(), AllPairs()])
def test_weak_evidence_is_left_out(plugin, rated):
    """2:1 against 1:2 is below 0.8; 1:0 against 0:1 is above it."""
    assert len(propose(plugin, rated(("p", "a", 2, 1), ("p", "b", 1, 2)))) == 0
    assert len(propose(plugin, rated(("p", "a", 1, 0), ("p", "b", 0, 1)))) == 1


def test_all_pairs_takes_every_contrast(rated):
    """Every better answer is paired with every worse one that the votes are sure about."""
    table = rated(("p", "a", 5, 0), ("p", "b", 1, 0), ("p", "c", 0, 1), ("p", "d", 0, 5))
    proposed = sides(propose(AllPairs(), table))
    assert proposed == [("p-a", "p-c"), ("p-a", "p-d"), ("p-b", "p-c"), ("p-b", "p-d")]


def test_what_was_judged_side_by_side_is_paired_as_judged(rated):
    """Such answers meet no others, unless the option says so; a correction leaves votes alone."""
    table = rated(("p", "a", 2, 0), ("p", "b", 0, 2), ("p", "c", 1, 0), ("p", "d", 0, 1))
    judged = {"prompt_id": "p", "chosen_id": "p-c", "rejected_id": "p-d", "n_for": 1.0}
    rows = [judged | {"n_against": 0.0, "origin": "comparison"}]
    rows.append(rows[0] | {"chosen_id": "p-a", "rejected_id": "p-b", "origin": "correction"})
    comparisons = pa.Table.from_pylist(rows, schema=COMPARISONS)
    assert sides(propose(AllPairs(), table, comparisons)) == [("p-a", "p-b"), ("p-c", "p-d")]
    assert sides(propose(BestWorst(), table, comparisons)) == [("p-a", "p-b")]
    assert len(propose(AllPairs(judged_only=False), table, comparisons)) == 4


def test_grades_tell_apart_what_votes_do_not(rated):
    """Who graded two answers has compared them; where many others voted, the surer counts."""
    table = rated(("p", "a", 0.9, 0.1), ("p", "b", 0.6, 0.4), ("p", "c", 30, 2), ("p", "d", 2, 30))
    graded = compared(("p-a", "p-b", 1, 0, "grades"), ("p-d", "p-c", 1, 0, "grades"))
    assert ("p-a", "p-b") not in sides(propose(AllPairs(), table))
    found = sides(propose(AllPairs(), table, graded))
    assert {("p-a", "p-b"), ("p-c", "p-d")} < set(found)
    assert ("p-d", "p-c") not in found
    assert sides(propose(BestWorst(), table, graded)) == [("p-c", "p-d")]


@pytest.mark.parametrize("plugin", [BestWorst, AllPairs])
def test_model_versions_may_be_kept_apart(plugin, rated):
    """With the option, answers of different or unknown versions are never paired."""
    table = rated(
        ("p", "a", 2, 0), ("p", "b", 0, 2), ("p", "c", 2, 0), ("p", "d", 0, 2), ("p", "e", 0, 3)
    )
    versions = pa.array(["1", "1", "2", "2", None], pa.string())
    table = table.set_column(table.column_names.index("model_version"), "model_version", versions)
    assert sides(propose(plugin(same_model_version=True), table)) == [
        ("p-a", "p-b"),
        ("p-c", "p-d"),
    ]


@pytest.mark.parametrize("plugin", [BestWorst(min_confidence=0.5), AllPairs(min_confidence=0.5)])
def test_texts_without_votes_are_left_to_comparisons(plugin, rated):
    """No votes at all are no evidence, however bad the others are."""
    assert len(propose(plugin, rated(("p", "a", 0, 0), ("p", "b", 0, 9)))) == 0


def test_one_prompt_with_very_many_answers_stays_cheap(rated):
    """Of ten thousand answers to one prompt, the 16 best meet the 16 worst."""
    table = rated(*(("p", f"{i:05}", 1 + i % 7, 1 + i % 5) for i in range(10_000)))
    assert len(propose(AllPairs(min_confidence=0.5), table)) == 16 * 16


def compared(*rows):
    names = ("chosen_id", "rejected_id", "n_for", "n_against", "origin")
    return pa.Table.from_pylist(
        [{"prompt_id": "p", **dict(zip(names, row, strict=True))} for row in rows], COMPARISONS
    )


def test_comparisons_are_paired_as_judged(rated):
    """The preferred side is chosen, with P(most raters prefer it); a draw is no pair."""
    table = rated(("p", "a", 0, 0), ("p", "b", 0, 1), ("p", "c", 1, 0))
    judged = compared(
        ("p-a", "p-b", 1, 0, "comparison"),
        ("p-c", "p-a", 3, 0, "annotation"),
        ("p-b", "p-c", 1, 1, "comparison"),
        ("p-b", "p-gone", 1, 0, "comparison"),
    )
    proposed = Comparisons().make_pairs(table, judged)
    assert proposed.select(["chosen_id", "rejected_id", "confidence"]).to_pylist() == [
        {"chosen_id": "p-a", "rejected_id": "p-b", "confidence": 0.75},
        {"chosen_id": "p-c", "rejected_id": "p-a", "confidence": 0.9375},
    ]
    assert sides(Comparisons(min_confidence=0.8).make_pairs(table, judged)) == [("p-c", "p-a")]
    only = Comparisons(origins=("comparison",)).make_pairs(table, judged)
    assert sides(only) == [("p-a", "p-b")]


counts = st.tuples(st.sampled_from("pqr"), st.integers(0, 4), st.integers(0, 4))


@settings(
    max_examples=50, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(st.lists(counts.filter(lambda row: row[1] + row[2]), max_size=12), st.randoms())
@pytest.mark.parametrize("plugin", [BestWorst(), AllPairs()])
def test_laws(plugin, rated, rows, random):
    """Row order does not matter; the chosen side has the better votes; nothing is invented."""
    table = rated(*((p, f"c{i}", up, down) for i, (p, up, down) in enumerate(rows)))
    proposed = propose(plugin, table)
    order = list(range(len(table)))
    random.shuffle(order)
    shuffled = propose(plugin, table.take(np.array(order, dtype=int)))
    assert sides(shuffled) == sides(proposed)
    by_id = {row["completion_id"]: row for row in table.to_pylist()}
    for pair in proposed.to_pylist():
        chosen, rejected = by_id[pair["chosen_id"]], by_id[pair["rejected_id"]]
        assert chosen["prompt_id"] == rejected["prompt_id"] == pair["prompt_id"]
        assert 0.8 <= pair["confidence"] <= 1

        def quality(row):
            return (1 + row["n_up"]) / (2 + row["n_up"] + row["n_down"])

        assert quality(chosen) > quality(rejected)
