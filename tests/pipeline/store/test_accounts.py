"""Accounts: each stored event has exactly one state, whatever was received in whatever order."""

from collections import Counter
from datetime import UTC, datetime, timedelta
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import requests
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from storing import NOW, append, event, vote

from thumbwheel.config import VotePolicy
from thumbwheel.pairs.yields import yield_report
from thumbwheel.process.web import BackgroundServer
from thumbwheel.serve.api import Owner, make_api
from thumbwheel.store import FATES, DeadLetter, Quarantined, Store
from thumbwheel.store.remote import RemoteStore
from thumbwheel.tables import RATED
from thumbwheel.types.fates import Fate, Quarantine

EVERY_VOTE = {"max_rater_share": 1, "quarantine_constant": False, "burst_votes": None}
POLICY = VotePolicy(votes=EVERY_VOTE)
DAY = datetime(2026, 3, 1, tzinfo=UTC)


def at(hours):
    return (DAY + timedelta(hours=hours)).isoformat()


@pytest.fixture
def store(tmp_path):
    with Store(tmp_path / "store.duckdb") as store:
        yield store


def state(store, event_id, policy=POLICY):
    found = store.event_state(event_id, policy)
    return found and found.state


def fates_of(store, tmp_path, policy=POLICY):
    """Return a fate for each rated completion, whose detail is its own text."""
    snapshot = store.snapshot(tmp_path / "snapshot", policy)
    rated = pq.read_table(snapshot.path / "rated.parquet").select(RATED.names).cast(RATED)
    screened = pa.repeat(pa.scalar(Fate.SCREENED, pa.string()), len(rated))
    columns = [rated["completion_id"], screened, rated["completion"]]
    return snapshot, pa.table(columns, schema=FATES)


def test_votes_are_told_apart(store):
    """The latest vote of a rater counts; what it replaced, and what takes a vote back, does not."""
    said = {"generation_id": "g", "rater_id": "r"}
    append(
        store,
        event(event_id="answer", generation_id="g"),
        vote(event_id="late", score=1, occurred_at=at(2), **said),
        vote(event_id="early", score=-1, occurred_at=at(1), **said),
        vote(event_id="regretted", score=1, generation_id="g", rater_id="s"),
        vote(event_id="regret", withdrawn=True, generation_id="g", rater_id="s"),
        vote(event_id="of nobody", score=1, generation_id="g"),
        vote(event_id="early bird", score=1, generation_id="unknown", rater_id="r"),
    )
    states = {
        "answer": "answer",
        "late": "vote",
        "early": "superseded",
        "regretted": "superseded",
        "regret": "withdrawn",
        "of nobody": "vote",
        "early bird": "parked",
    }
    assert {event_id: state(store, event_id) for event_id in states} == states
    early = store.event_state("early", POLICY)
    assert (early.superseded_by, early.rater_id, early.source) == ("late", "r", "s")
    assert (early.occurred_at, early.received_at) == (DAY + timedelta(hours=1), NOW)
    assert state(store, "never came") is None


def test_a_vote_of_a_comparison_stands_for_itself(store):
    """The same rater's votes in two comparisons replace each other no more than no comparison."""
    said = {"generation_id": "g", "rater_id": "r", "score": 1}
    append(
        store,
        event(event_id="answer", generation_id="g"),
        vote(event_id="alone", **said),
        vote(event_id="first", comparison_id="1", occurred_at=at(1), **said),
        vote(event_id="again", comparison_id="1", occurred_at=at(2), **said),
        vote(event_id="second", comparison_id="2", **said),
    )
    states = [state(store, name) for name in ("alone", "first", "again", "second")]
    assert states == ["vote", "superseded", "vote", "vote"]


def test_answers_and_words(store):
    """Answers, answers that were replaced, comments and corrections have states of their own."""
    about = {"generation_id": "g", "rater_id": "r"}
    append(
        store,
        event(event_id="answer", generation_id="g", occurred_at=at(0)),
        event(event_id="twin", generation_id="g", occurred_at=at(1)),
        event(event_id="retold", completion="draft"),
        event(event_id="retold", completion="final", updated_at=at(1)),
        vote(event_id="comment", comment="hm", **about),
        vote(event_id="draft", correction="bettr", occurred_at=at(1), **about),
        vote(event_id="correction", correction="better", occurred_at=at(2), **about),
        vote(event_id="blank", correction=" ", generation_id="g", rater_id="s"),
        vote(event_id="same", correction="c", generation_id="g", rater_id="t"),
    )
    states = {
        "answer": "answer",
        "twin": "answer",
        "retold": "answer",
        "comment": "comment",
        "draft": "superseded",
        "correction": "correction",
        "blank": "comment",
        "same": "comment",
    }
    assert {event_id: state(store, event_id) for event_id in states} == states


def test_votes_left_out_by_policy(store):
    """A rater in quarantine and votes beyond a budget are told with the reason."""
    burst = [
        event(
            event_id=f"burst {number}",
            prompt=f"p{number}",
            rater_id="bot",
            score=1,
            occurred_at=(DAY + timedelta(seconds=number)).isoformat(),
        )
        for number in range(5)
    ]
    append(store, *burst, event(event_id="other", rater_id="r", score=1))
    strict = VotePolicy(votes=EVERY_VOTE | {"burst_votes": 5, "burst_seconds": 10.0})
    left_out = store.event_state("burst 3", strict)
    assert left_out.state == "quarantined"
    quarantined = Quarantined("bot", 5, Quarantine.BURST, 5, 10.0, namespace="s")
    assert left_out.quarantined == quarantined
    assert left_out.quarantined.reason == "5 votes within 10 seconds"
    assert state(store, "other", strict) == "vote"
    thrifty = VotePolicy(votes=EVERY_VOTE | {"max_rater_share": 0.01})
    states = Counter(state(store, f"burst {number}", thrifty) for number in range(5))
    assert set(states) <= {"vote", "over_budget"}
    snapshot = store.snapshot(store._database.path.with_name("s"), thrifty)
    assert states["over_budget"] == snapshot.votes.over_budget


def test_an_answer_with_a_vote_is_told_by_its_vote(store):
    """An event that is answer and vote has one state, that of the vote."""
    append(
        store,
        event(event_id="both", generation_id="g", rater_id="r", score=1, occurred_at=at(0)),
        vote(event_id="later", generation_id="g", rater_id="r", score=-1, occurred_at=at(1)),
    )
    assert (state(store, "both"), state(store, "later")) == ("superseded", "vote")


def test_a_vote_with_a_correction_is_told_by_what_counts(store):
    """While the vote counts it is a vote; replaced by another, its correction still counts."""
    append(
        store,
        event(event_id="answer", generation_id="g"),
        vote(
            event_id="both",
            generation_id="g",
            rater_id="r",
            score=-1,
            correction="b",
            occurred_at=at(1),
        ),
    )
    assert state(store, "both") == "vote"
    changed = {"generation_id": "g", "rater_id": "r", "score": -0.5}
    append(store, vote(event_id="other", occurred_at=at(2), **changed), cursor="2")
    assert (state(store, "both"), state(store, "other")) == ("correction", "vote")


def test_what_is_no_longer_an_event(store):
    """Expired votes and records that could not be read are known by the id that they bear."""
    append(store, vote(event_id="lost", generation_id="g", score=1))
    raw = b'{"event_id":"torn \\"1\\"", "score":'
    append(store, letters=[DeadLetter("f:2", raw, "not valid JSON")], cursor="2")
    assert store.expire_parked(NOW + timedelta(days=1)) == 1
    assert state(store, "lost") == "expired"
    torn = store.event_state('torn "1"', POLICY)
    assert (torn.state, torn.reason) == ("dead_letter", "f:2: not valid JSON")
    assert state(store, "torn") is None


def test_a_models_vote_counts_in_comparisons_only(store, tmp_path):
    """Outside of a comparison, the text that a model voted on is not rated: that is told."""
    judged = {"rater_id": "model", "comparison_id": "1"}
    append(
        store,
        event(event_id="a", completion="a", score=1, **judged),
        event(event_id="b", completion="b", score=-1, **judged),
        event(event_id="c", completion="c", score=1, rater_id="model"),
    )
    policy = VotePolicy(votes=EVERY_VOTE, origins={"s": "ai"})
    _, fates = fates_of(store, tmp_path, policy)
    counted = store.accounts(fates, policy).states
    states = {(count.state, count.detail): count.n_events for count in counted}
    assert states == {("vote", "a"): 1, ("vote", "b"): 1, ("uncompared", None): 1}


def test_corrections_may_decide_nothing(store, tmp_path):
    """A rater who puts each of two texts in the place of the other prefers neither."""
    append(
        store,
        event(event_id="1", generation_id="g", completion="c", rater_id="r", correction="d"),
        event(event_id="2", generation_id="h", completion="d", rater_id="r", correction="c"),
    )
    _, fates = fates_of(store, tmp_path)
    (counted,) = store.accounts(fates, POLICY).states
    assert (counted.state, counted.fate, counted.n_events) == ("uncompared", None, 2)


@pytest.mark.slow
def test_an_owner_tells_the_same_over_http(store, tmp_path):
    """A served store tells accounts and states as the file does, and refuses what is no fate."""
    answer = event(event_id="a/b ?", generation_id="g", rater_id="r", score=1)
    append(store, answer, vote(event_id="v", generation_id="g", rater_id="r", score=-1))
    _, fates = fates_of(store, tmp_path)
    owner = Owner(store, tmp_path, "secret", list, lambda: None, lambda source: {}, lambda: b"")
    server = BackgroundServer(make_api(owner), "127.0.0.1", 0, 1)
    try:
        with RemoteStore(server.url, "secret") as remote:
            asked = fates, VotePolicy(votes=EVERY_VOTE, origins={"s": "annotators"})
            assert remote.accounts(*asked) == store.accounts(*asked)
            for event_id in ("a/b ?", "v", "unknown"):
                told = remote.event_state(event_id, POLICY)
                assert told == store.event_state(event_id, POLICY)
            url, headers = server.url + "/v1/accounts", {"Authorization": "Bearer secret"}
            for fates, named in (([{"fate": "lost"}], "fates.0.fate"), (None, "fates")):
                body: dict[str, Any] = {"fates": fates, "policy": {}}
                refused = requests.post(url, json=body, headers=headers, timeout=10)
                assert (refused.status_code, named in refused.json()["error"]) == (422, True)
    finally:
        server.close()


IDS = st.sampled_from("abc")
EVENTS = st.lists(
    st.fixed_dictionaries(
        {
            "generation_id": IDS,
            "occurred_at": st.none() | st.integers(0, 3).map(at),
            "rater_id": st.none() | IDS,
            "comparison_id": st.none() | st.sampled_from("12"),
            "says": st.sampled_from(["answer", "other answer", "up", "down", "no vote", "words"]),
            "correction": st.none() | st.sampled_from(["c", "d", " "]),
            "told": st.booleans(),
        }
    ),
    max_size=15,
)


def described(number, values):
    """Return an event of every kind that the format knows."""
    said = values.pop("says")
    told = values.pop("told") or said.endswith("answer")
    values = {key: value for key, value in values.items() if value is not None}
    answer = {"completion": "d" if said == "other answer" else "c"} if told else {}
    kinds: dict[str, dict[str, object]] = {
        "up": {"score": 1},
        "down": {"score": -1},
        "no vote": {"withdrawn": True},
        "words": {"comment": "hm"},
    }
    make = event if told else vote
    return make(event_id=f"e{number}", **values, **answer, **kinds.get(said, {}))


@settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(EVENTS, st.sampled_from([0.1, 1]), st.sampled_from([None, 2]))
def test_every_event_has_one_state(tmp_path_factory, drawn, share, burst):
    """The states of random events add up to what is stored and parked, and agree one by one."""
    folder = tmp_path_factory.mktemp("store")
    policy = VotePolicy(votes={"max_rater_share": share, "burst_votes": burst})
    with Store(folder / "store.duckdb") as store:
        append(store, *(described(number, dict(values)) for number, values in enumerate(drawn)))
        snapshot, fates = fates_of(store, folder, policy)
        accounts = store.accounts(fates, policy)
        states = [store.event_state(f"e{number}", policy) for number in range(len(drawn))]
    one_by_one = Counter(state.state for state in states if state is not None)
    counted: Counter[Any] = Counter()
    for count in accounts.states:
        counted[count.state] += count.n_events
    (source,) = accounts.sources
    # One event's state is told without looking at the comparisons of others.
    counted["correction"] += counted.pop("uncompared", 0)
    assert counted == one_by_one
    assert counted.total() == source.stored + source.parked == len(drawn)
    assert counted["parked"] == source.parked
    assert counted["vote"] == snapshot.votes.counted
    assert all(c.fate for c in accounts.states if c.state in ("vote", "correction"))
    report = yield_report(accounts)
    left = [stage.n_events - sum(loss.n_events for loss in stage.losses) for stage in report.stages]
    assert left[:2] == [stage.n_events for stage in report.stages[1:]]
    assert left[2] == sum(report.paired.values())
