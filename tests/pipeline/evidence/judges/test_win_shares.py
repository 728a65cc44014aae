"""Win shares: what a judge says of two models' answers, whoever's they are and in any order."""

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from planted_votes import ask

from thumbwheel.evidence.judges import Meeting, Wins, length_controlled, preferences, win_shares
from thumbwheel.evidence.judges.judge import Pairings
from thumbwheel.tables import ANSWERS


class LongerIsBetter:
    """Prefers the longer text, ties where they are as long; remembers what it was shown."""

    name = "longer"

    def __init__(self, pairings: Pairings = "all") -> None:
        self.pairings: Pairings = pairings
        self.shown: list[dict[str, object]] = []

    def prefer(self, compared: pa.Table):
        rows = compared.to_pylist()
        self.shown += rows
        return np.array([(np.sign(len(row["first"]) - len(row["second"])) + 1) / 2 for row in rows])


class FirstIsBetter(LongerIsBetter):
    def prefer(self, compared: pa.Table):
        return np.ones(len(compared))


class Silent(LongerIsBetter):
    """Says nothing of texts with a question mark."""

    def prefer(self, compared: pa.Table):
        said = super().prefer(compared)
        asked = ["?" in row["first"] + row["second"] for row in compared.to_pylist()]
        return np.where(asked, np.nan, said)


def answers(*per_prompt: tuple[str, ...]) -> pa.Table:
    """Return answers, `tables.ANSWERS`: one tuple of draws for each prompt."""
    rows = [
        {"prompt_id": f"p{n}", "prompt": ask(f"p{n}"), "draw": k, "answer": text, "finished": True}
        for n, texts in enumerate(per_prompt)
        for k, text in enumerate(texts)
    ]
    return pa.Table.from_pylist(rows, schema=ANSWERS)


def test_all_answers_meet_and_ties_count_half():
    """Of 2 x 2 meetings one is won, one lost, one is of equal texts, one of equal merit."""
    wins = win_shares(LongerIsBetter(), answers(("aaa", "b")), answers(("b", "xxx")))
    assert wins.shares == {"p0": (1 + 0.5 + 0.5 + 0) / 4}
    assert (wins.n_comparisons, wins.n_abstained) == (4, 0)
    assert wins.length_differences == {"p0": 0}


def test_answers_of_the_same_draw_meet_for_a_judge_that_costs():
    """Two draws are two meetings."""
    judge = LongerIsBetter("same_draw")
    wins = win_shares(judge, answers(("aaa", "b")), answers(("bb", "xxx")))
    assert wins.shares == {"p0": 0.5}
    assert len(judge.shown) == 2


def test_equal_texts_are_never_shown_and_others_once():
    """Three equal answers against three equal ones are one question to the judge."""
    judge = LongerIsBetter()
    candidate, champion = answers(("aa",) * 3, ("same",) * 3), answers(("b",) * 3, ("same",) * 3)
    assert win_shares(judge, candidate, champion).shares == {"p0": 1.0, "p1": 0.5}
    assert len(judge.shown) == 1


def test_prompts_that_one_model_did_not_answer_or_the_judge_cannot_tell_of_are_absent():
    """What cannot be compared has no share, and does not count as a loss."""
    candidate = answers(("aa", "b?"), ("c?", "d?"), ("e",))
    champion = answers(("b", "b"), ("x", "y"))
    wins = win_shares(Silent(), candidate, champion)
    assert wins.shares == {"p0": 1.0}
    assert wins.length_differences == {"p0": 1.0}
    assert (wins.n_comparisons, wins.n_abstained) == (8, 6)


@settings(max_examples=30)
@given(st.lists(st.tuples(st.text(max_size=4), st.text(max_size=4)), max_size=6))
def test_exchanging_the_models_exchanges_the_shares(texts):
    """Whatever the texts: the shares of both add up to one, and the judge is shown the same."""
    one = answers(*[(a, b) for a, b in texts])
    other = answers(*[(b, a + a) for a, b in texts])
    judges = LongerIsBetter(), LongerIsBetter()
    there, back = win_shares(judges[0], one, other), win_shares(judges[1], other, one)
    assert there.shares.keys() == back.shares.keys()
    for name, share in there.shares.items():
        assert share + back.shares[name] == pytest.approx(1)
    assert sorted(map(str, judges[0].shown)) == sorted(map(str, judges[1].shown))


def test_the_order_tells_nothing():
    """A judge that always takes the first one sees both models as equal."""
    meetings = [Meeting(f"p{n}", ask("q"), f"candidate {n}", f"champion {n}") for n in range(2000)]
    assert preferences(FirstIsBetter(), meetings).mean() == pytest.approx(0.5, abs=0.03)


def planted(by_length: float, by_merit: float, longer: float, n: int = 4000) -> Wins:
    """Shares that rise with the length difference, and by what the candidate is better at."""
    rng = np.random.default_rng(0)
    lengths = longer + rng.normal(0, 50, n)
    shares = 0.5 + by_merit + by_length * np.tanh(lengths / lengths.std()) + rng.normal(0, 0.1, n)
    names = [f"p{number}" for number in range(n)]
    return Wins(
        dict(zip(names, shares.tolist(), strict=True)),
        dict(zip(names, lengths.tolist(), strict=True)),
        n_comparisons=n,
        n_abstained=0,
    )


@pytest.mark.parametrize("by_merit", [0.0, 0.1])
@pytest.mark.parametrize("longer", [0.0, 40.0])
def test_length_control_takes_off_what_goes_with_length_and_nothing_else(by_merit, longer):
    """Where a judge loves length, what is left of the shares is the candidate's merit."""
    wins = planted(0.2, by_merit, longer)
    controlled = length_controlled(wins)
    assert np.mean(list(controlled.values())) == pytest.approx(0.5 + by_merit, abs=0.01)
    assert controlled.keys() == wins.shares.keys()


def test_without_differences_of_length_there_is_nothing_to_take_off():
    """Answers of the same length everywhere keep their shares; so does a model without prompts."""
    wins = Wins({"a": 0.75, "b": 0.25}, {"a": 3.0, "b": 3.0}, 8, 0)
    assert length_controlled(wins) == {"a": 0.75, "b": 0.25}
    assert length_controlled(Wins({}, {}, 0, 0)) == {}
