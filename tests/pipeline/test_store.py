"""The store: exactly once, and one voice per rater."""

import json
import multiprocessing
from datetime import UTC, datetime

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from thumbwheel.errors import BusyError, DataError
from thumbwheel.events import EventParser
from thumbwheel.store import IDENTIFIED, DeadLetter, Store
from thumbwheel.tables import RATED

NOW = datetime(2026, 1, 1, tzinfo=UTC)


def event(**values):
    record = {"prompt": "p", "completion": "c", **values}
    record = {key: value for key, value in record.items() if value is not ...}
    return EventParser().parse(json.dumps(record).encode())


def append(store, *events, letters=(), cursor="1"):
    table = pa.Table.from_pylist(list(events), schema=IDENTIFIED)
    received = len(events) + len(letters)
    return store.append("s", table, letters, cursor=cursor, received=received, now=NOW)


def rated(store, tmp_path):
    snapshot = store.snapshot(tmp_path / "snapshot.parquet")
    table = pq.read_table(snapshot.path).cast(RATED)
    return snapshot, {row["completion"]: row for row in table.to_pylist()}


def test_duplicates_within_and_across_batches(tmp_path):
    """An event id is stored once, however often and in whichever batch it comes."""
    with Store(tmp_path / "s.duckdb") as store:
        added = append(store, event(event_id="a"), event(event_id="a"), event(event_id="b"))
        assert added.stored == 2
        assert append(store, event(event_id="b"), event(event_id="c"), cursor="2").stored == 1
        (counts,) = store.source_counts()
        assert (counts.received, counts.stored, counts.duplicates) == (5, 3, 2)


def test_everything_received_is_accounted_for(tmp_path):
    """Received = stored + duplicates + dead letters + dropped, over a restart as well."""
    with Store(tmp_path / "s.duckdb") as store:
        append(store, event(event_id="a"), letters=[DeadLetter("f:2", b"\xff", "no")])
    with Store(tmp_path / "s.duckdb") as store:
        assert store.cursor("s") == "1"
        append(store, event(event_id="a"), event(event_id="b"), cursor="2")
        (counts,) = store.source_counts()
        assert counts.received == 4
        assert counts.received == (
            counts.stored + counts.duplicates + counts.dead_letters + counts.dropped
        )
        assert store.dead_letter_reasons(5) == [("no", 1, "f:2")]
        assert store.cursor("s") == "2"
        assert store.cursor("never seen") is None


def test_a_failed_append_leaves_nothing(tmp_path):
    """When a batch cannot be stored, neither its rows nor its cursor are."""
    with Store(tmp_path / "s.duckdb") as store:
        append(store, event(event_id="a"))
        broken = pa.Table.from_pylist([event(event_id="b")], schema=IDENTIFIED)
        broken = broken.set_column(1, "generation_id", pa.array([None], pa.string()))
        with pytest.raises(duckdb.Error):
            store.append("s", broken, [], cursor="2", received=1, now=NOW)
        assert store.cursor("s") == "1"
        assert store.source_counts()[0].received == 1
        assert append(store, event(event_id="b"), cursor="2").stored == 1


def test_the_latest_vote_of_a_rater_counts(tmp_path):
    """A changed vote replaces the earlier one by event time, not by arrival."""
    with Store(tmp_path / "s.duckdb") as store:
        append(
            store,
            event(event_id="1", rater_id="r", score=-1, occurred_at="2026-01-02T00:00:00Z"),
            event(event_id="2", rater_id="r", score=1, occurred_at="2026-01-01T00:00:00Z"),
            event(event_id="3", rater_id="q", score=1),
        )
        _, rows = rated(store, tmp_path)
        assert (rows["c"]["n_up"], rows["c"]["n_down"]) == (1, 1)
        assert store.vote_counts().superseded == 1


def test_withdrawn_votes_do_not_count(tmp_path):
    """A vote that is taken back is gone."""
    with Store(tmp_path / "s.duckdb") as store:
        append(
            store,
            event(event_id="1", rater_id="r", score=1, generation_id="g"),
            event(event_id="2", rater_id="q", score=1, generation_id="g"),
            event(event_id="3", rater_id="r", withdrawn=True, generation_id="g"),
        )
        _, rows = rated(store, tmp_path)
        assert (rows["c"]["n_up"], rows["c"]["n_down"]) == (1, 0)
        assert store.vote_counts().withdrawn == 1


def test_votes_wait_for_their_answer(tmp_path):
    """A vote that comes before its answer is parked, and counts once the answer is there."""
    vote = event(event_id="1", prompt=..., completion=..., generation_id="g", score=1)
    with Store(tmp_path / "s.duckdb") as store:
        append(store, vote)
        assert store.vote_counts().parked == 1
        append(store, event(event_id="2", generation_id="g"), cursor="2")
        assert store.vote_counts().parked == 0
        _, rows = rated(store, tmp_path)
        assert rows["c"]["n_up"] == 1


def test_anonymous_votes_are_each_their_own(tmp_path):
    """Votes without a rater count one by one."""
    with Store(tmp_path / "s.duckdb") as store:
        append(store, *(event(event_id=str(i), score=1) for i in range(3)))
        _, rows = rated(store, tmp_path)
        assert rows["c"]["n_up"] == 3


def test_one_rater_has_one_voice_per_text(tmp_path):
    """Contradicting judgements of one text in several comparisons average to one voice."""
    with Store(tmp_path / "s.duckdb") as store:
        append(
            store,
            event(event_id="1", rater_id="r", score=1, comparison_id="x"),
            event(event_id="2", rater_id="r", score=1, comparison_id="y"),
            event(event_id="3", rater_id="r", score=-1, comparison_id="z"),
            event(event_id="4", rater_id="r", score=1, comparison_id="w"),
        )
        _, rows = rated(store, tmp_path)
        assert (rows["c"]["n_up"], rows["c"]["n_down"], rows["c"]["score"]) == (0.75, 0.25, 0.5)


moves = st.tuples(
    st.sampled_from("gh"), st.sampled_from("rst"), st.sampled_from([1, -1, 0.3]), st.integers(0, 40)
)


@settings(max_examples=25, deadline=None)
@given(st.lists(moves, min_size=1, max_size=12, unique_by=lambda move: move[3]), st.randoms())
def test_order_and_repetition_do_not_matter(tmp_path_factory, votes, random):
    """Any order and any repetition of the same events gives the same snapshot."""
    events = [event(event_id=name, generation_id=name, completion=name) for name in "gh"] + [
        event(
            event_id=f"v{when}",
            prompt=...,
            completion=...,
            generation_id=generation,
            rater_id=rater,
            score=score,
            occurred_at=f"2026-01-01T00:00:{when:02}Z",
        )
        for generation, rater, score, when in votes
    ]
    digests = []
    for arrangement in (events, random.sample(events + events, 2 * len(events))):
        folder = tmp_path_factory.mktemp("store")
        with Store(folder / "s.duckdb") as store:
            for number, one in enumerate(arrangement):
                append(store, one, cursor=str(number))
            digests.append(store.snapshot(folder / "s.parquet").digest)
    assert digests[0] == digests[1]


def test_the_digest_sees_opinions_not_arrival(tmp_path):
    """A new vote that changes nothing leaves the digest; one that does changes it."""
    with Store(tmp_path / "s.duckdb") as store:
        append(store, event(event_id="1", rater_id="r", score=1))
        before, _ = rated(store, tmp_path)
        append(store, event(event_id="2", rater_id="r", score=1), cursor="2")
        same, _ = rated(store, tmp_path)
        append(store, event(event_id="3", rater_id="r", score=-1), cursor="3")
        after, _ = rated(store, tmp_path)
        assert before.digest == same.digest != after.digest


def _hold(path, ready, done):
    with Store(path):
        ready.set()
        done.wait(60)


def test_a_held_store_is_one_clear_error(tmp_path):
    """While another process holds the file, opening it says so."""
    context = multiprocessing.get_context("spawn")
    ready, done = context.Event(), context.Event()
    holder = context.Process(target=_hold, args=(tmp_path / "s.duckdb", ready, done))
    holder.start()
    try:
        assert ready.wait(60)
        with pytest.raises(BusyError, match="held by another process"):
            Store(tmp_path / "s.duckdb")
    finally:
        done.set()
        holder.join(60)


def test_foreign_and_newer_files_are_refused(tmp_path):
    """A broken file, someone else's database and a newer schema are each one clear error."""
    (tmp_path / "text.duckdb").write_text("this is no database, but it is long enough " * 500)
    with pytest.raises(DataError, match="cannot be opened"):
        Store(tmp_path / "text.duckdb")
    with duckdb.connect(str(tmp_path / "other.duckdb")) as connection:
        connection.execute("CREATE TABLE mine (x INTEGER)")
    with pytest.raises(DataError, match="not a Thumbwheel store"):
        Store(tmp_path / "other.duckdb")
    Store(tmp_path / "newer.duckdb").close()
    with duckdb.connect(str(tmp_path / "newer.duckdb")) as connection:
        connection.execute("UPDATE thumbwheel SET schema_version = 99")
    with pytest.raises(DataError, match="schema version 99"):
        Store(tmp_path / "newer.duckdb")
