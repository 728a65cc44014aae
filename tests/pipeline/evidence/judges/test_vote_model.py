"""The vote model learns what people want, and judges no cluster that it learnt from."""

from functools import partial

import numpy as np
import pyarrow as pa
import pytest
from planted_votes import SeeingModel, ask, clusters_of, goodness, planted_pairs

from thumbwheel.config import EvaluationConfig
from thumbwheel.errors import ModelError
from thumbwheel.evidence.judges import Meeting, fit_vote_model, preferences
from thumbwheel.language_model import AdaptedModel, load_base

fit = partial(fit_vote_model, seed=0)


def fresh_meetings(n: int) -> list[Meeting]:
    """Answers to prompts that nobody voted on."""
    return [
        Meeting(f"new {number}", ask(f"new {number}"), f"ours {number}", f"theirs {number}")
        for number in range(n)
    ]


def agreement(judge, meetings) -> float:
    """Share of meetings in which a judge prefers what is truly better."""
    truly = [goodness(m.prompt_id, m.ours) > goodness(m.prompt_id, m.theirs) for m in meetings]
    return float(np.mean(preferences(judge, meetings) == truly))


def test_it_learns_what_people_want_from_some_dozens_of_pairs():
    """Votes that are mostly right teach a judge that is nearly always right on new answers."""
    pairs = planted_pairs(100, right=0.85)
    judge = fit(SeeingModel(), pairs, clusters_of(pairs))
    assert judge.reason is None
    assert agreement(judge, fresh_meetings(300)) > 0.85


def test_no_head_judges_a_cluster_that_it_learnt_from():
    """Turning the votes of one cluster around changes nothing that is said of its prompts."""
    pairs = planted_pairs(60, right=0.85)
    clusters = clusters_of(pairs, size=3)
    own = pa.compute.is_in(pairs["prompt_id"], pa.array(["question 0", "question 1", "question 2"]))
    sides = pairs["chosen"], pairs["rejected"]
    columns = {
        "chosen": pa.compute.if_else(own, sides[1], sides[0]),
        "rejected": pa.compute.if_else(own, sides[0], sides[1]),
    }
    turned = pairs
    for name, column in columns.items():
        turned = turned.set_column(pairs.column_names.index(name), name, column)
    meetings = [
        Meeting(f"question {n}", ask(f"question {n}"), f"ours {draw}", f"theirs {draw}")
        for n in range(3)
        for draw in range(20)
    ]
    judges = fit(SeeingModel(), pairs, clusters), fit(SeeingModel(), turned, clusters)
    said = [preferences(judge, meetings) for judge in judges]
    np.testing.assert_array_equal(said[0], said[1])
    # While the head for new prompts did learn from them.
    assert not np.allclose(judges[0].heads[-1], judges[1].heads[-1])


def test_a_prompt_without_pairs_in_a_known_cluster_is_judged_by_that_clusters_head():
    """A near-duplicate of a prompt with votes is as known as the prompt itself."""
    pairs = planted_pairs(30)
    clusters = {**clusters_of(pairs), "a twin": clusters_of(pairs)["question 7"]}
    judge = fit(SeeingModel(), pairs, clusters)
    assert judge.folds["a twin"] == judge.folds["question 7"]
    assert "elsewhere" not in judge.folds


def test_order_of_pairs_does_not_matter_and_the_seed_decides():
    """The same pairs in another order give the same model, bit by bit."""
    pairs = planted_pairs(40, right=0.8)
    clusters = clusters_of(pairs)
    again = pairs.take(np.random.default_rng(1).permutation(len(pairs)))
    one, other = fit(SeeingModel(), pairs, clusters), fit(SeeingModel(), again, clusters)
    np.testing.assert_array_equal(one.heads, other.heads)
    assert one.folds == other.folds
    assert fit_vote_model(SeeingModel(), pairs, clusters, seed=1).folds != one.folds


@pytest.mark.parametrize(("n_prompts", "size"), [(9, 1), (40, 10), (0, 1)])
def test_from_too_little_it_learns_nothing_and_says_so(n_prompts, size):
    """Too few pairs, or clusters, make a judge that never says anything, and has a reason."""
    pairs = planted_pairs(n_prompts)
    judge = fit(SeeingModel(), pairs, clusters_of(pairs, size))
    assert judge.reason is not None
    assert f"{len(pairs)} pairs" in judge.reason
    assert np.isnan(preferences(judge, fresh_meetings(3))).all()


def test_a_base_that_sees_no_difference_makes_no_judge():
    """Where all embeddings of a prompt's answers are the same there is nothing to learn from."""

    class Blind(SeeingModel):
        def embed(self, prompts, completions):
            return np.ones((len(completions), 5), np.float32)

    pairs = planted_pairs(40)
    judge = fit(Blind(), pairs, clusters_of(pairs))
    assert judge.reason is not None
    assert "sees no difference" in judge.reason


def test_embeddings_that_are_not_finite_are_an_error():
    """A base that overflows is told, not fitted."""

    class Broken(SeeingModel):
        def embed(self, prompts, completions):
            return super().embed(prompts, completions) * np.float32("nan")

    pairs = planted_pairs(40)
    with pytest.raises(ModelError, match="not finite"):
        fit(Broken(), pairs, clusters_of(pairs))


def test_an_answer_is_embedded_once_however_many_it_meets():
    """K x k meetings of k answers each ask the base for 2k embeddings."""
    pairs = planted_pairs(40)
    base = SeeingModel()
    judge = fit(base, pairs, clusters_of(pairs))
    base.n_embedded = 0
    texts = [f"text {n}" for n in range(6)]
    preferences(judge, [Meeting("p", ask("p"), a, b) for a in texts[:3] for b in texts[3:]])
    assert base.n_embedded == 6


def test_a_real_model_sees_what_a_taste_goes_by(tiny_model):
    """On a real model's hidden states, untrained as it is, a plain taste is learnt."""
    pairs = planted_pairs(60, per_prompt=1)
    chosen = pa.array([f"{text}! Thank you!" for text in pairs["chosen"].to_pylist()])
    pairs = pairs.set_column(pairs.column_names.index("chosen"), "chosen", chosen)
    settings = EvaluationConfig(batch_size=32)
    base = AdaptedModel(load_base(tiny_model), "base", settings=settings, max_length=128)
    judge = fit(base, pairs, clusters_of(pairs))
    meetings = [
        Meeting(f"new {n}", ask(f"new {n}"), f"answer {n}! Thank you!", f"answer {n} of another")
        for n in range(20)
    ]
    assert preferences(judge, meetings).mean() > 0.9
