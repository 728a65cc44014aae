"""The licence: granted where a judge is seen to agree with people, told apart from what is luck."""

from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest
from planted_votes import SeeingModel, clusters_of, goodness, planted_pairs

from thumbwheel.evidence.judges import fit_vote_model, grant
from thumbwheel.evidence.judges.judge import Pairings
from thumbwheel.types import Licence


class KnowingJudge:
    """Is right in a share of cases that follow from the comparison, and says nothing in others."""

    name = "knowing"
    pairings: Pairings = "all"

    def __init__(self, right: float = 1.0, silent: float = 0.0) -> None:
        self.right, self.silent = right, silent

    def prefer(self, compared: pa.Table):
        said = []
        for row in compared.to_pylist():
            better = goodness(row["prompt_id"], row["first"]) > goodness(
                row["prompt_id"], row["second"]
            )
            luck = int(row["comparison_id"][-8:], 16) / 2**32
            said.append(float(better if luck < self.right else not better))
            if luck < self.silent:
                said[-1] = np.nan
        return np.array(said)


def licence(judge, pairs, held_out=None, threshold=0.55, size=1) -> Licence:
    held_out = pairs.slice(0, 0) if held_out is None else held_out
    clusters = clusters_of(pa.concat_tables([pairs, held_out]), size)
    return grant(judge, pairs, held_out, clusters, threshold=threshold, confidence=0.95)


def test_a_judge_that_knows_is_seen_to_be_as_good_as_the_votes_are():
    """With votes that are right in 80%, a perfect judge scores 80%, which is its ceiling."""
    seen = licence(KnowingJudge(), planted_pairs(400, right=0.8))
    assert seen.granted
    assert seen.ceiling == pytest.approx(0.8)
    assert seen.accuracy.low < seen.ceiling < seen.accuracy.high
    assert seen.accuracy.n == 400
    assert seen.pairs_needed is None


def test_a_judge_that_guesses_gets_none_and_no_promise():
    """Where accuracy is no better than chance, nobody can tell how many votes would do."""
    seen = licence(KnowingJudge(0.5), planted_pairs(100))
    assert not seen.granted
    assert seen.pairs_needed is None


def test_what_a_few_pairs_cannot_show_more_can():
    """A fair judge of few pairs is told how many it takes, and with twice as many it has them."""
    judge = KnowingJudge(0.65)
    few = licence(judge, planted_pairs(25, per_prompt=1))
    assert not few.granted
    assert few.pairs_needed is not None
    assert few.pairs_needed > 25
    assert licence(judge, planted_pairs(2 * few.pairs_needed, per_prompt=1)).granted


def test_sure_pairs_weigh_more():
    """A judge that is right where votes are sure beats one that is right where they are not."""
    sure, unsure = planted_pairs(50), planted_pairs(50, first=50)
    confidence = pa.array([0.55] * len(unsure))
    column = unsure.column_names.index("confidence")
    unsure = unsure.set_column(column, "confidence", confidence)

    class RightOnFirst(KnowingJudge):
        def prefer(self, compared):
            number = [int(name.split()[1]) for name in compared["prompt_id"].to_pylist()]
            return np.where(np.array(number) < 50, super().prefer(compared), 0.5)

    assert licence(RightOnFirst(), sure, unsure).accuracy.value > 0.95


def test_near_duplicates_count_once():
    """The same pairs in clusters of five give a wider interval and a fifth of the clusters."""
    pairs = planted_pairs(100)
    apart, together = (licence(KnowingJudge(0.7), pairs, size=size) for size in (1, 5))
    assert (apart.accuracy.n, together.accuracy.n) == (100, 20)
    assert apart.accuracy.value == pytest.approx(together.accuracy.value)


def test_pairs_that_the_judge_says_nothing_of_are_left_out():
    """Half of the pairs are enough, and of none there is no accuracy."""
    pairs = planted_pairs(100)
    assert licence(KnowingJudge(silent=0.5), pairs).accuracy.value == pytest.approx(1)
    silent = licence(KnowingJudge(silent=1), pairs)
    assert np.isnan(silent.accuracy.value)
    assert not silent.granted


def test_the_reason_of_a_judge_that_learnt_nothing_is_told():
    """A vote model from too few pairs has no licence, and the licence says why."""
    pairs = planted_pairs(5)
    judge = fit_vote_model(SeeingModel(), pairs, clusters_of(pairs), seed=0)
    seen = licence(judge, pairs)
    assert not seen.granted
    assert seen.reason == judge.reason


def test_own_pairs_are_judged_by_heads_that_did_not_see_them():
    """From votes at random the vote model is not seen to be good, not even on its own pairs."""
    pairs = planted_pairs(40, per_prompt=1, right=0.5)
    judge = fit_vote_model(SeeingModel(), pairs, clusters_of(pairs), seed=0)
    assert licence(judge, pairs).accuracy.value < 0.6
    # As it would be by the head that saw them all.
    assert licence(replace(judge, folds={}), pairs).accuracy.value > 0.6


def test_the_interval_covers_where_clusters_are_few():
    """With 20 clusters whose pairs are alike, the interval holds the truth in about 95%."""
    rng = np.random.default_rng(0)
    pairs = planted_pairs(20)
    chosen = set(zip(pairs["prompt_id"].to_pylist(), pairs["chosen"].to_pylist(), strict=True))

    class Drawn:
        name = "drawn"
        pairings: Pairings = "all"

        def prefer(self, compared: pa.Table):
            # Half of the spread is shared by all pairs of a prompt.
            prompts = compared["prompt_id"].to_pylist()
            shared = dict(zip(sorted(set(prompts)), rng.beta(2.6, 1.4, 20), strict=True))
            first = compared["first"].to_pylist()
            agrees = [rng.random() < shared[prompt] for prompt in prompts]
            is_chosen = [row in chosen for row in zip(prompts, first, strict=True)]
            return np.equal(agrees, is_chosen).astype(float)

    seen = [licence(Drawn(), pairs).accuracy for _ in range(150)]
    assert np.mean([one.low <= 0.65 <= one.high for one in seen]) > 0.92
