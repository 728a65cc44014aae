"""The standing: which votes count is kept until something comes, and forgotten with the raters."""

import json

import pytest
from storing import append, event, vote

from thumbwheel.config import VotePolicy
from thumbwheel.store import Store
from thumbwheel.store import standing as module
from thumbwheel.store.forgotten import Subject

POLICY = VotePolicy(votes={"burst_votes": None})


def said(event_id, generation_id, rater_id, score):
    return vote(event_id=event_id, generation_id=generation_id, rater_id=rater_id, score=score)


@pytest.fixture
def store(tmp_path):
    """A store with an answer, a vote on it, one that waits, and a rater who is left out."""
    with Store(tmp_path / "s.duckdb") as store:
        answers = [event(event_id=f"a{n}", generation_id=f"g{n}") for n in range(300)]
        others = [said(f"o{n}", f"g{n}", f"r{n}", 1) for n in range(9)]
        flood = [said(f"f{n}", f"g{n}", "flood", n % 2 * 2 - 1) for n in range(300)]
        waiting = said("w", "unknown", "r", 1)
        append(store, *answers, *others, *flood, waiting)
        yield store


def test_votes_that_do_not_count_are_not_counted(store):
    """What status tells is what counts by the policy, and whose votes do not count."""
    standing = store.standing(POLICY)
    assert (standing.counts.counted, standing.counts.quarantined) == (9, 300)
    assert [(rater.rater_id, rater.n_votes) for rater in standing.quarantined] == [("flood", 300)]
    assert store.vote_counts().counted == 309


def test_it_is_counted_once_and_anew_when_something_comes(store, monkeypatch, tmp_path):
    """The same state is read from beside the store; a new event or another policy is counted."""
    before = store.standing(POLICY)
    counts = store.source_counts()
    with monkeypatch.context() as patch:
        patch.setattr(module, "WeighedVotes", pytest.fail)
        patch.setattr(module, "balance", pytest.fail)
        assert store.standing(POLICY) == before
        assert store.source_counts() == counts
    assert [c.parked for c in counts] == [1]
    assert store.standing(VotePolicy(votes={"max_rater_share": 1})) != before
    append(store, event(event_id="late", generation_id="unknown"), cursor="2")
    assert store.standing(POLICY).counts.counted == 10
    assert [c.parked for c in store.source_counts()] == [0]
    (tmp_path / "standing.json").write_text("{")
    assert store.standing(POLICY).counts.counted == 10


def test_a_costly_one_is_good_for_a_while(store, monkeypatch):
    """Where counting takes long, the last one is shown, with how much has come since."""
    monkeypatch.setattr(module, "_NO_SECONDS", 0.0)
    before = store.standing(POLICY)
    append(store, event(event_id="late", generation_id="unknown"), cursor="2")
    since = store.standing(POLICY)
    assert (since.n_since, since.counts) == (1, before.counts)
    assert [c.parked for c in store.source_counts()] == [0], "the balance is always of now"


def test_who_is_forgotten_is_not_kept(store, tmp_path):
    """The file beside the store names raters: it goes when one is forgotten."""
    store.standing(POLICY)
    path = tmp_path / "standing.json"
    assert "flood" in json.dumps(json.loads(path.read_text()))
    assert path.stat().st_mode & 0o077 == 0
    store.remove(Subject("rater", "flood"))
    assert not path.exists()
