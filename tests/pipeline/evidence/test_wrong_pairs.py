"""The estimated share of wrong pairs: near the truth where it is known, and silent where it is not.

A planted world knows how good each answer is to most raters. Its raters vote up with a chance that
is logistic in that, in the answer's length and in what is particular to the prompt.
"""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from thumbwheel.evidence.audit import RatedAnswers, estimate_wrong_pairs, rated_answers
from thumbwheel.measures.confidence import probability_better
from thumbwheel.measures.variance_components import Judgements
from thumbwheel.store import RATED_FILE
from thumbwheel.tables import PAIRS, RATED, VOTES

BALANCED = ["length"]


@dataclass
class Planted:
    """Answers, votes, what pairing makes of them, and the share of it that is wrong."""

    rated: pa.Table
    votes: pa.Table
    pairs: pa.Table
    wrong: float

    @property
    def answers(self):
        return RatedAnswers(self.rated, self.rated["prompt_id"].unique())


def planted(
    seed=0, prompts=300, answers=6, votes=(1, 7), taste=1.0, by_length=0.0, flipped=0.0, spam=0.0,
    matched=False, named=True,
):  # fmt: skip
    rng = np.random.default_rng(seed)
    prompt = np.repeat(np.arange(prompts), answers)
    n = len(prompt)
    words = rng.integers(4, 60, n)
    quality = rng.standard_normal(n) * taste
    length = np.log(words / 16) * by_length
    p_up = 1 / (1 + np.exp(-quality - length - rng.standard_normal(prompts)[prompt]))
    p_up = p_up * (1 - 2 * flipped) + flipped
    cast = []
    for answer in range(n):
        for rater in rng.choice(150, rng.integers(*votes), replace=False):
            up = rater < 150 * spam or rng.random() < p_up[answer]
            cast.append((answer, rater, 1.0 if up else -1.0))
    voted, rater, score = map(np.array, zip(*cast, strict=True))
    up, down = (np.bincount(voted, score == side, n) for side in (1, -1))
    first = np.repeat(np.arange(n), answers)
    other = prompt[first] * answers + np.tile(np.arange(answers), n)
    sure = probability_better(up[first], down[first], up[other], down[other]) >= 0.8
    alike = np.abs(np.log(words[first] / words[other])) < (np.log(1.25) if matched else 9)
    rows = list(zip(first[sure & alike], other[sure & alike], strict=True))
    texts = [" ".join(["word"] * count) for count in words]
    kind = "rater" if named else "event"
    return Planted(
        pa.table(
            {
                "prompt_id": [f"p{number}" for number in prompt],
                "completion_id": [f"c{number}" for number in range(n)],
                "completion": texts,
            }
        ),
        pa.Table.from_pylist(
            [
                {"completion_id": f"c{answer}", "rater": f"{kind}:{who}", "score": score}
                | {"event_id": f"{answer} {who}", "weight": 1.0}
                for answer, who, score in cast
            ],
            VOTES,
        ),
        pairs_of([(f"p{prompt[a]}", f"c{a}", f"c{b}") for a, b in rows]),
        float(np.mean([quality[a] < quality[b] for a, b in rows])),
    )


def pairs_of(rows, origin="votes"):
    names = ["prompt_id", "chosen_id", "rejected_id"]
    return pa.Table.from_pylist(
        [dict(zip(names, row, strict=True)) | {"origin": origin} for row in rows], PAIRS
    )


def share(found: Any) -> Any:
    assert found.share is not None
    return found.share


def estimate(world, no_merit=BALANCED):
    return estimate_wrong_pairs(world.pairs, world.answers, world.votes, no_merit, seed=0)


@pytest.mark.parametrize(
    ("trouble", "knobs", "least", "most"),
    [
        ("none", {}, 0.1, 0.25),
        ("hardly any taste", {"taste": 0.4}, 0.28, 0.4),
        ("20% flipped", {"flipped": 0.2}, 0.2, 0.4),
        ("half flipped", {"flipped": 0.5}, 0.4, 0.6),
        ("30% of raters vote up", {"spam": 0.3}, 0.15, 0.35),
        ("by length", {"by_length": 3.0, "taste": 0.6}, 0.3, 0.5),
        ("by length, matched", {"by_length": 3.0, "taste": 0.4, "matched": True}, 0.25, 0.45),
    ],
)
def test_it_is_near_the_truth(trouble, knobs, least, most):
    """In each world the true share is within the interval, or as near as one in twenty.

    Where votes follow length strongly it is below the truth: what length does to a vote up is no
    straight line, and what is left of it passes for merit.
    """
    world = planted(**knobs)
    found = estimate(world)
    assert found.share is not None
    assert least < world.wrong < most, "the world is as it was meant"
    assert found.share.low - 0.05 < world.wrong < found.share.high + 0.05
    assert abs(found.share.value - world.wrong) < (0.12 if "matched" in trouble else 0.08)
    assert found.share.high - found.share.low < 0.3
    assert (found.n_pairs, found.reason) == (len(world.pairs), None)


def test_without_a_look_at_length_it_would_be_taken_for_merit():
    """Where votes follow length and that counts as merit, hardly any pair seems wrong."""
    world = planted(by_length=3.0, taste=0.4)
    found, naive = share(estimate(world)), share(estimate(world, []))
    assert world.wrong > 0.35
    assert naive.high < 0.15 < 0.3 < found.low


def test_prompts_with_pairs_alone_would_flatter():
    """How far votes are to be trusted is told by prompts that were drawn without a look at them."""
    world = planted(flipped=0.5, answers=2)
    paired = RatedAnswers(world.rated, world.pairs["prompt_id"].unique())
    flattered = estimate_wrong_pairs(world.pairs, paired, world.votes, BALANCED, seed=0)
    assert share(flattered).value < 0.25 < 0.35 < share(estimate(world)).value


def test_choices_between_answers_are_held_against_choices():
    """Raters who compare the same two answers and err in a fifth: the majority's pairs say so."""
    rng = np.random.default_rng(1)
    votes: list[dict[str, Any]] = []
    rows, wrong = [], []
    for number in range(400):
        lead = 0
        # The first is the better one, whichever id is the smaller.
        better, worse = rng.permutation([f"a{number}", f"b{number}"])
        for rater in rng.choice(40, 2, replace=False):
            right = rng.random() > 0.2
            lead += 1 if right else -1
            votes += [
                {"completion_id": text, "score": score, "weight": 1.0, "event_id": f"{len(votes)}"}
                | {"rater": f"rater:{rater}", "comparison_id": f"{rater} {number}"}
                for text, score in ((better, 1.0 if right else -1.0), (worse, -1.0 if right else 1))
            ]
        if lead:
            rows.append((f"p{number}", *((better, worse) if lead > 0 else (worse, better))))
            wrong.append(lead < 0)
    rated = pa.table(
        {
            "prompt_id": [f"p{number}" for number in range(400) for _ in "ab"],
            "completion_id": [f"{side}{number}" for number in range(400) for side in "ab"],
            "completion": ["the same length"] * 800,
        }
    )
    answers = RatedAnswers(rated, rated["prompt_id"].unique())
    cast = pa.Table.from_pylist(votes, VOTES)
    found = estimate_wrong_pairs(pairs_of(rows, "comparison"), answers, cast, [], seed=0)
    assert np.mean(wrong) == pytest.approx(0.06, abs=0.03)
    assert found.n_pairs == len(rows)
    assert share(found).value == pytest.approx(np.mean(wrong), abs=0.05)
    guessed = pa.Table.from_pylist(
        [
            row | {"score": row["score"] * (-1) ** int(row["comparison_id"].split()[0])}
            for row in votes
        ],
        VOTES,
    )
    found = estimate_wrong_pairs(pairs_of(rows, "comparison"), answers, guessed, [], seed=0)
    assert share(found).value > 0.4, "two raters who contradict each other in half of all cases"
    assert estimate_wrong_pairs(pairs_of(rows, "ai"), answers, cast, [], seed=0).share is None


def test_grades_are_held_against_each_raters_own():
    """Raters of their own scales, who order the same answers nearly alike: few pairs are wrong."""
    rng = np.random.default_rng(2)
    quality = rng.standard_normal((100, 4))
    votes: list[dict[str, Any]] = []
    rows, wrong = [], []
    for prompt in range(100):
        grades = {}
        for rater in range(3):
            scale = rng.uniform(0.05, 0.3), rng.uniform(-0.5, 0.5)
            seen = quality[prompt] + rng.standard_normal(4) * 0.5
            grades[rater] = seen
            votes += [
                {"completion_id": f"{prompt} {each}", "rater": f"rater:{prompt % 5 * 3 + rater}"}
                | {"score": float(np.clip(seen[each] * scale[0] + scale[1], -1, 1))}
                | {"weight": 1.0, "event_id": f"{len(votes)}"}
                for each in range(4)
            ]
        for a, b in ((0, 1), (2, 3), (0, 2)):
            lead = sum(np.sign(seen[a] - seen[b]) for seen in grades.values())
            chosen, rejected = (a, b) if lead > 0 else (b, a)
            rows.append((f"p{prompt}", f"{prompt} {chosen}", f"{prompt} {rejected}"))
            wrong.append(quality[prompt, chosen] < quality[prompt, rejected])
    rated = pa.table(
        {
            "prompt_id": [f"p{number}" for number in range(100) for _ in range(4)],
            "completion_id": [f"{number} {each}" for number in range(100) for each in range(4)],
            "completion": ["the same length"] * 400,
        }
    )
    answers = RatedAnswers(rated, rated["prompt_id"].unique())
    cast = pa.Table.from_pylist(votes, VOTES)
    found = estimate_wrong_pairs(pairs_of(rows, "grades"), answers, cast, [], seed=0)
    assert (found.n_pairs, share(found).n) == (300, 100)
    assert share(found).value == pytest.approx(np.mean(wrong), abs=0.04)


@pytest.mark.parametrize(
    ("knobs", "reason"),
    [
        ({"prompts": 45}, "there are 43 prompts, and it takes 50"),
        ({"votes": (1, 2)}, "fewer than 50 prompts have an answer that two raters judged"),
        ({"named": False}, "no vote names its rater"),
    ],
)
def test_where_it_cannot_be_told_it_is_not(knobs, reason):
    """Few prompts, nobody who judged the same, or nobody known: no share, and the reason."""
    found = estimate(planted(**knobs))
    assert (found.share, found.n_pairs, found.reason) == (None, 0, reason)


def test_the_same_votes_in_another_order_say_the_same():
    """Neither the order of votes nor that of answers matters."""
    world = planted(prompts=60)
    rated, votes = (
        table.take(np.random.default_rng(0).permutation(len(table)))
        for table in (world.rated, world.votes)
    )
    shuffled = replace(world, rated=rated, votes=votes)
    one, other = share(estimate(world)), share(estimate(shuffled))
    assert one.value == pytest.approx(other.value, abs=1e-9)
    assert (one.low, one.high) == pytest.approx((other.low, other.high), abs=0.02)


def test_answers_are_read_of_prompts_with_pairs_and_of_some_drawn(tmp_path):
    """A prompt with one answer is none of those drawn; its pair cannot be."""
    rows = [
        {"prompt_id": f"p{prompt}", "completion_id": f"{prompt} {answer}", "completion": "a"}
        for prompt in range(2500)
        for answer in range(1 + prompt % 2)
    ]
    pq.write_table(pa.Table.from_pylist(rows, RATED), tmp_path / RATED_FILE)
    pairs = pairs_of([("p1", "1 0", "1 1"), ("p7", "7 1", "7 0")])
    read = rated_answers(tmp_path, pairs, seed=0)
    assert len(read.drawn) == 1250
    assert all(int(name[1:]) % 2 for name in read.drawn.to_pylist())
    assert pc.count_distinct(read.table["prompt_id"]).as_py() == 1250


def test_variances_of_known_parts_are_recovered():
    """Judgements made of parts with known variances: each part is found."""
    rng = np.random.default_rng(3)
    group = np.repeat(np.arange(1500), 4)
    unit = np.repeat(np.arange(len(group)), 3)
    feature = rng.standard_normal((len(group), 2))
    own, of_group = rng.standard_normal(len(group)) * 0.7, rng.standard_normal(1500) * 0.5
    value = (own + of_group[group] + feature[:, 0] * 0.6)[unit] + rng.standard_normal(len(unit))
    judged = Judgements(unit, rng.integers(0, 500, len(unit)), value, group, feature)
    found = judged.components()
    assert found.own == pytest.approx(0.49, rel=0.1)
    assert found.of_group == pytest.approx(0.25, rel=0.15)
    assert found.chance == pytest.approx(1, rel=0.05)
    assert found.style.std(axis=0) == pytest.approx([0.6, 0], abs=0.05)
    merits = np.array([True, True])
    first, second = np.arange(0, len(group), 4), np.arange(1, len(group), 4)
    better = found.better(first, second, merits)
    truth = (own + feature[:, 0] * 0.6)[first] > (own + feature[:, 0] * 0.6)[second]
    for low, high in ((0.0, 0.2), (0.2, 0.5), (0.5, 0.8), (0.8, 1.0)):
        taken = (better >= low) & (better <= high)
        assert truth[taken].mean() == pytest.approx(better[taken].mean(), abs=0.07)
    assert found.better(second, first, merits) == pytest.approx(1 - better)
