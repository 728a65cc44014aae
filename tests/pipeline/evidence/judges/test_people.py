"""People as a judge: the majority of those who compared, and when they may decide."""

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from thumbwheel.events import completion_id, content_id
from thumbwheel.evidence.judges import (
    Meeting,
    PeopleJudge,
    people_licence,
    preferences,
    read_people,
)
from thumbwheel.store import COMPARISONS_FILE, VOTES_FILE
from thumbwheel.tables import COMPARISONS, VOTES
from thumbwheel.types import Prompt


def texts(number: int) -> tuple[str, str, str]:
    """Return a prompt's id and the ids of its good answer and its bad one."""
    prompt = content_id("prompt", str(number))
    return prompt, completion_id(prompt, "good"), completion_id(prompt, "bad")


def compared(number, n_for=1, n_against=0, origin="annotation", *, right=True):
    prompt, good, bad = texts(number)
    chosen, rejected = (good, bad) if right else (bad, good)
    return dict(
        zip(COMPARISONS.names, (prompt, chosen, rejected, n_for, n_against, origin), strict=True)
    )


def voted(number, comparison_id=None, *, score=1):
    """Yield a user's votes, for the good answer and against the bad one."""
    for completion, vote in zip(texts(number)[1:], (score, -score), strict=True):
        row = (completion, f"rater:{number}", completion, vote, 1.0, comparison_id, None)
        yield dict(zip(VOTES.names, row, strict=True))


@pytest.fixture
def snapshot(tmp_path):
    """Write comparisons and votes as a snapshot has them."""

    def write(comparisons, votes=()):
        rows = pa.Table.from_pylist(list(comparisons), COMPARISONS)
        pq.write_table(rows, tmp_path / COMPARISONS_FILE)
        pq.write_table(pa.Table.from_pylist(list(votes), VOTES), tmp_path / VOTES_FILE)
        return tmp_path

    return write


def ask(judge, number, ours="good", theirs="bad"):
    prompt_id, _, _ = texts(number)
    prompt: Prompt = [{"role": "user", "content": str(number)}]
    return float(preferences(judge, [Meeting(prompt_id, prompt, ours, theirs)])[0])


def test_the_majority_decides_whoever_is_shown_first(snapshot):
    """Chosen is 1, rejected 0, as many for as against a tie, and nobody's is nobody's."""
    rows = [compared(0, 2, 1), compared(1, 1, 1), compared(2, 1, 0, "comparison", right=False)]
    rows += [compared(4, origin="ai"), compared(5, origin="correction")]
    judge = read_people(snapshot(rows))
    assert [ask(judge, n) for n in range(6)] == pytest.approx(
        [1, 0.5, 0, *[np.nan] * 3], nan_ok=True
    )
    assert [ask(judge, n, "bad", "good") for n in range(3)] == [0, 0.5, 1]
    assert judge.name == "people"


def test_answers_that_differ_in_spacing_only_are_a_tie():
    """Nobody is asked about them, so the judge says it by itself."""
    assert ask(PeopleJudge({}), 0, "Yes,  sir", "yes, sir\n") == 0.5
    assert np.isnan(ask(PeopleJudge({}), 0, "yes, sir", "no, sir"))


def licence(path, size=1, threshold=0.55):
    clusters = {texts(number)[0]: str(number // size) for number in range(200)}
    return people_licence(path, clusters, threshold=threshold, confidence=0.95)


def test_people_need_no_licence_where_nothing_measures_them(snapshot):
    """With users' votes on none of their pairs they may decide, and it is said why."""
    rows = [compared(number) for number in range(10)]
    # Choices of comparisons are what people said, not what measures it.
    for votes in ([], [*voted(50)], [vote for n in range(10) for vote in voted(n, f"c{n}")]):
        granted = licence(snapshot(rows, votes))
        assert granted.granted
        assert granted.accuracy.n == 0
        assert np.isnan(granted.accuracy.value)
        assert "no users' votes" in str(granted.reason)


def test_nobody_is_no_judge(snapshot):
    """Before anybody has compared anything there is nothing to decide by."""
    empty = licence(snapshot([compared(0, origin="ai")], voted(0)))
    assert not empty.granted
    assert "annotate compare" in str(empty.reason)


def test_agreement_with_users_is_measured(snapshot):
    """Where users voted on the same answers, the licence tells how often both choose alike."""
    rows = [compared(number, right=number % 4 > 0) for number in range(80)]
    seen = licence(snapshot(rows, [vote for n in range(80) for vote in voted(n)]))
    assert seen.granted
    assert seen.reason is None
    assert seen.accuracy.value == pytest.approx(0.75)
    assert 0.6 < seen.accuracy.low < 0.75 < seen.accuracy.high < 0.9
    assert seen.ceiling == pytest.approx(5 / 6, abs=1e-3)
    clustered = licence(snapshot(rows, [vote for n in range(80) for vote in voted(n)]), size=4)
    assert clustered.accuracy.n == 20


def test_people_lose_it_only_where_they_are_seen_to_disagree(snapshot):
    """A few pairs of another taste cost nothing, many do."""
    rows = [compared(number) for number in range(60)]
    others = [vote for n in range(60) for vote in voted(n, score=-1)]
    few = licence(snapshot(rows[:2], others))
    assert few.granted
    many = licence(snapshot(rows, others))
    assert not many.granted
    assert many.accuracy.high < 0.55
    assert "other answers than users" in str(many.reason)
