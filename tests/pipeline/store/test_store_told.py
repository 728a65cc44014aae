"""Which text a vote is about: its own, or the one told last under its id before it."""

from datetime import timedelta

import pytest
from storing import NOW, append, balanced, event, known, rated, vote

from thumbwheel.config import VotePolicy
from thumbwheel.store import Store
from thumbwheel.types.fates import IdConflict


def at(minute):
    return f"2026-03-01T10:{minute:02}:00Z"


def told(completion, minute, **values):
    return event(
        event_id=f"{completion}", generation_id="g", completion=completion,
        **({"occurred_at": at(minute)} if minute is not None else {}), **values,
    )  # fmt: skip


def said(name, score, minute, rater="r", **values):
    time = {"occurred_at": at(minute)} if minute is not None else {}
    return vote(
        event_id=name, generation_id="g", score=score, withdrawn=score is None, rater_id=rater,
        **time, **values,
    )  # fmt: skip


def scores(tmp_path, *batches, sources=("s",)):
    """Return the votes on each text, (up, down), of events that come in these batches."""
    with Store(tmp_path / "s.duckdb") as store:
        for number, batch in enumerate(batches):
            append(store, *batch, cursor=str(number), source=sources[number % len(sources)])
        snapshot, rows = rated(store, tmp_path)
        counts = snapshot.votes
        left = counts.superseded + counts.withdrawn + counts.parked + counts.counted
        assert counts.votes == left + counts.quarantined + counts.over_budget
        assert all(map(balanced, store.source_counts()))
    return {text: (row["n_up"], row["n_down"]) for text, row in rows.items()}


@pytest.mark.parametrize("order", [1, -1])
def test_a_vote_is_about_the_text_told_last_before_it(tmp_path, order):
    """Fragments and regenerated answers keep one id; each vote finds the text that was shown."""
    events = [
        told("The", 0), told("The Rhine", 1), told("The Loire", 5),
        said("v1", 1, 2, "a"), said("v2", -1, 4, "b"), said("v3", 1, 6, "c"),
    ]  # fmt: skip
    assert scores(tmp_path, events[::order]) == {"The Rhine": (1, 1), "The Loire": (1, 0)}


@pytest.mark.parametrize("order", [1, -1])
def test_of_what_was_told_at_one_moment_the_longest_was_last(tmp_path, order):
    """Where fragments bear the time of their message, the whole answer is what was voted on."""
    events = [told("The", 1), told("The Loire", 1), told("The Lo", 1), said("v", 1, 2)]
    assert scores(tmp_path, events[::order]) == {"The Loire": (1, 0)}


def test_a_vote_of_before_any_telling_is_about_the_first(tmp_path):
    """Clocks differ: where nothing was told before a vote, the first told after it is meant."""
    events = [told("first", 2), told("second", 3), said("v", 1, 1)]
    assert scores(tmp_path, events) == {"first": (1, 0)}


def test_a_vote_without_a_time_is_about_the_last_telling(tmp_path):
    """Who does not say when they voted has seen the answer as it was in the end."""
    assert scores(tmp_path, [told("new", 2), told("old", 1), said("v", 1, None)]) == {"new": (1, 0)}


def test_where_nothing_bears_a_time_the_order_of_arrival_tells(tmp_path):
    """A log without times is read as it is written."""
    events = [
        told("z", None), said("v1", -1, None, "a"), told("a", None), said("v2", 1, None, "b"),
    ]  # fmt: skip
    assert scores(tmp_path, events) == {"z": (0, 1), "a": (1, 0)}


@pytest.mark.parametrize("order", [1, -1])
def test_a_record_with_its_own_text_votes_on_it(tmp_path, order):
    """An id that counts messages names many answers; whoever carries the text means that text."""
    events = [
        told("Four.", 0, prompt="2+2?", score=1, rater_id="a"),
        told("Cusco.", 1, score=-1, rater_id="b"),
        told("Lima.", 2, score=1, rater_id="b"),
    ]
    assert scores(tmp_path, events[::order]) == {
        "Four.": (1, 0), "Cusco.": (0, 1), "Lima.": (1, 0),
    }  # fmt: skip


@pytest.mark.parametrize("order", [1, -1])
def test_what_is_taken_back_is_the_latest_vote(tmp_path, order):
    """A withdrawal by id takes the rater's latest vote back, though another text was told since."""
    events = [
        told("old", 0), said("v1", 1, 1), said("other", -1, 1, "o"), told("new", 2),
        said("v2", None, 3),
    ]  # fmt: skip
    assert scores(tmp_path, events[::order]) == {"old": (0, 1)}


@pytest.mark.parametrize("order", [1, -1])
def test_a_later_version_of_a_record_replaces_it(tmp_path, order):
    """With `updated_at` one record is read anew: another vote, none, or another text."""
    events = [
        told("answer", 0),
        said("v1", 1, 1, "a"),
        said("v1", -1, 1, "a", updated_at=at(5)),
        said("v2", 1, 1, "b"),
        vote(event_id="v2", generation_id="g", rater_id="b", updated_at=at(4)),
        event(event_id="e", completion="typo", rater_id="c", score=1, updated_at=at(2)),
        event(event_id="e", completion="mended", rater_id="c", score=1, updated_at=at(3)),
    ]
    assert scores(tmp_path, events[::order]) == {"answer": (0, 1), "mended": (1, 0)}


def test_a_version_that_came_before_is_a_duplicate(tmp_path):
    """Each version of a record counts once, also after the store was opened anew."""
    first, second = said("v", 1, 1), said("v", -1, 1, updated_at=at(2))
    for _ in range(2):
        with Store(tmp_path / "s.duckdb") as store:
            append(store, first, second, second)
            (counts,) = store.source_counts()
    assert (counts.parked, counts.duplicates) == (2, 4)
    with Store(tmp_path / "s.duckdb") as store:
        assert known(store.event_state("v", VotePolicy())).state == "parked"


def test_an_update_decides_which_vote_is_the_latest(tmp_path):
    """Without an id of the record, its rater's latest word is the one that was changed last."""
    events = [
        told("answer", 0),
        said("v1", -1, 1, updated_at=at(9)), said("v2", 1, 2, updated_at=at(3)),
    ]  # fmt: skip
    assert scores(tmp_path, events) == {"answer": (0, 1)}


def test_a_correction_is_of_the_text_told_before(tmp_path):
    """A better answer stands in the place of the text that its rater saw."""
    with Store(tmp_path / "s.duckdb") as store:
        append(
            store, told("old", 0), told("new", 5),
            vote(event_id="c", generation_id="g", correction="better", occurred_at=at(1)),
        )  # fmt: skip
        _, rows = rated(store, tmp_path)
        assert known(store.event_state("c", VotePolicy())).state == "correction"
    assert set(rows) == {"old", "better"}


def test_ids_that_name_several_prompts_are_reported(tmp_path):
    """One id with two prompts, or with answers whose order nothing tells, is named."""
    with Store(tmp_path / "s.duckdb") as store:
        append(store, told("a", 0), told("b", 1), said("v", 1, 2))
        assert store.conflicting_ids() == []
        append(store, told("c", 3, prompt="another"), cursor="2")
        untimed = [event(event_id=n, generation_id="h", completion=n) for n in ("x", "y")]
        timed = vote(event_id="w", generation_id="h", score=1, occurred_at=at(1))
        append(store, *untimed, timed, cursor="3")
        found = {(c.kind, c.n, c.example, c.source) for c in store.conflicting_ids()}
        assert found == {
            (IdConflict.PROMPTS, 1, "g", "s"), (IdConflict.UNTIMED, 1, "h", "s"),
        }  # fmt: skip
        (note,) = known(store.event_state("v", VotePolicy())).notes
        assert "g names answers to 2 prompts" in note


def test_a_deletion_that_knows_only_the_record_takes_it_back(tmp_path):
    """It replaces the record by its id, waits for no answer, and never expires."""
    gone = vote(
        event_id="v1", generation_id="v1:withdrawn", withdrawn=True, occurred_at=at(3),
        updated_at=at(3),
    )  # fmt: skip
    assert scores(
        tmp_path, [told("answer", 0), said("v1", 1, 1), said("v2", -1, 1, "b"), gone]
    ) == {"answer": (0, 1)}
    with Store(tmp_path / "s.duckdb") as store:
        assert store.source_counts()[0].parked == store.vote_counts().parked == 0
        assert store.expire_parked(NOW + timedelta(days=9)) == 0
        assert known(store.event_state("v1", VotePolicy())).state == "withdrawn"
