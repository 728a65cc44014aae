"""The store: exactly once, one voice per rater, and readers beside the writer."""

import multiprocessing
import threading
from collections import Counter

import duckdb
import pyarrow as pa
import pytest
from storing import NOW, append, balanced, event, numbered, rated, table, vote

from thumbwheel.errors import BusyError, DataError, UnavailableError
from thumbwheel.store import DeadLetter, Store


def test_duplicates_within_and_across_batches(tmp_path):
    """An event id is stored once, however often and in whichever batch it comes."""
    with Store(tmp_path / "s.duckdb") as store:
        added = append(store, event(event_id="a"), event(event_id="a"), event(event_id="b"))
        assert added.stored == 2
        assert append(store, event(event_id="b"), event(event_id="c"), cursor="2").stored == 1
        (counts,) = store.source_counts()
        assert (counts.received, counts.stored, counts.duplicates) == (5, 3, 2)


def test_the_first_of_equal_ids_is_kept(tmp_path):
    """Of two events with one id in a batch, the first is stored."""
    with Store(tmp_path / "s.duckdb") as store:
        append(
            store,
            event(event_id="a", completion="first", score=1),
            event(event_id="a", completion="second", score=1),
        )
        _, rows = rated(store, tmp_path)
        assert list(rows) == ["first"]


def test_everything_received_is_accounted_for(tmp_path):
    """The balance holds over a restart; what was received before it is still known."""
    with Store(tmp_path / "s.duckdb") as store:
        append(store, event(event_id="a"), letters=[DeadLetter("f:2", b"\xff", "no")])
    with Store(tmp_path / "s.duckdb") as store:
        assert store.cursor("s") == "1"
        append(store, event(event_id="a"), event(event_id="b"), cursor="2")
        dropped = table([event(event_id="c")])
        store.append("s", dropped, [], cursor="3", received=3, now=NOW)
        (counts,) = store.source_counts()
        assert (counts.received, counts.stored, counts.duplicates) == (7, 3, 1)
        assert (counts.dead_letters, counts.dropped) == (1, 2)
        assert balanced(counts)
        assert store.dead_letter_reasons(5) == [("no", 1, "f:2")]
        assert store.cursor("s") == "3"
        assert store.cursor("never seen") is None
        store.verify()


def test_a_failed_append_leaves_nothing(tmp_path):
    """When a batch cannot be stored, neither its rows nor its cursor are, and it can come again."""
    with Store(tmp_path / "s.duckdb") as store:
        append(store, event(event_id="a"))
        broken = table([event(event_id="b")])
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


def test_votes_without_a_time_are_decided_by_arrival(tmp_path):
    """Of votes of one rater that bear no time, or the same, the last to arrive counts."""
    with Store(tmp_path / "s.duckdb") as store:
        append(store, event(event_id="2", rater_id="r", score=1))
        append(store, event(event_id="1", rater_id="r", score=-1), cursor="2")
        _, rows = rated(store, tmp_path)
        assert rows["c"]["score"] == -1


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
    with Store(tmp_path / "s.duckdb") as store:
        append(store, vote(event_id="1", generation_id="g", score=1), source="votes", namespace="*")
        (counts,) = store.source_counts()
        assert (counts.stored, counts.parked) == (0, 1)
        assert balanced(counts)
        assert store.vote_counts().parked == 1
        append(store, event(event_id="2", generation_id="g"), source="answers", namespace="*")
        assert [counts.parked for counts in store.source_counts()] == [0, 0]
        assert store.vote_counts().parked == 0
        _, rows = rated(store, tmp_path)
        assert rows["c"]["n_up"] == 1


def test_anonymous_votes_are_each_their_own(tmp_path):
    """Votes without a rater count one by one, whatever other raters are called."""
    with Store(tmp_path / "s.duckdb") as store:
        append(
            store,
            *(event(event_id=str(i), score=1) for i in range(3)),
            event(event_id="named", score=1, rater_id="event:0"),
        )
        _, rows = rated(store, tmp_path)
        assert rows["c"]["n_up"] == 4


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


def test_readers_beside_the_writer_see_whole_batches(tmp_path):
    """What threads read while another writes is always the state between two batches."""
    sql = (
        "SELECT (SELECT count(*) FROM events) AS events, (SELECT count(*) FROM dead_letters) AS "
        "letters, stored, dead_letters, cursor FROM sources"
    )
    done = threading.Event()
    seen: Counter[bool] = Counter()

    def read(store):
        while not done.is_set():
            for row in store.query(sql, max_rows=1, timeout_seconds=60).to_pylist():
                whole = row["events"] == row["stored"] == 5 * int(row["cursor"])
                seen[whole and row["letters"] == row["dead_letters"]] += 1
            seen[all(balanced(counts) for counts in store.source_counts())] += 1

    with Store(tmp_path / "s.duckdb") as store:
        readers = [threading.Thread(target=read, args=(store,)) for _ in range(2)]
        for reader in readers:
            reader.start()
        try:
            for batch in range(1, 41):
                letters = [DeadLetter("f", b"x", "no")] * 2
                events = [event(event_id=f"{batch}/{i}") for i in range(5)]
                append(store, *events, letters=letters, cursor=str(batch))
        finally:
            done.set()
            for reader in readers:
                reader.join()
    assert seen[True] > 10
    assert not seen[False]


def test_writers_take_turns(tmp_path):
    """Threads that append the same events at once, of joined sources, store each of them once."""
    stored = []

    def write(store, name):
        for batch in range(20):
            events = [event(event_id=f"{batch}/{i}") for i in range(3)]
            counts = append(store, *events, source=name, cursor=str(batch), namespace="*")
            stored.append(counts.stored)

    with Store(tmp_path / "s.duckdb") as store:
        writers = [threading.Thread(target=write, args=(store, name)) for name in "abc"]
        for writer in writers:
            writer.start()
        for writer in writers:
            writer.join()
        assert sum(stored) == sum(counts.stored for counts in store.source_counts()) == 60
        store.verify()


def _hold(path, ready, done):
    with Store(path):
        ready.set()
        done.wait(60)


@pytest.mark.slow
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


def test_one_store_for_one_file(tmp_path):
    """A process cannot open a file twice; once closed it can, and the old one stays closed."""
    path = tmp_path / "s.duckdb"
    with Store(path) as store:
        with pytest.raises(BusyError, match="open already in this process"):
            Store(tmp_path / "." / "s.duckdb")
        append(store, event(event_id="a"))
    with Store(path) as again:
        assert again.source_counts()[0].stored == 1
        with pytest.raises(UnavailableError, match="is closed"):
            store.source_counts()
        store.close()


def test_foreign_files_are_refused(tmp_path):
    """A broken file, someone else's database and a bad path are each one clear error."""
    (tmp_path / "text.duckdb").write_text("this is no database, but it is long enough " * 500)
    with pytest.raises(DataError, match="not a valid DuckDB database file"):
        Store(tmp_path / "text.duckdb")
    with duckdb.connect(str(tmp_path / "other.duckdb")) as connection:
        connection.execute("CREATE TABLE mine (x INTEGER)")
    with pytest.raises(DataError, match="not a Thumbwheel store"):
        Store(tmp_path / "other.duckdb")
    with pytest.raises(DataError, match="cannot be made"):
        Store(tmp_path / "text.duckdb" / "s.duckdb")
    (tmp_path / "folder.duckdb").mkdir()
    with pytest.raises(DataError, match="cannot be opened"):
        Store(tmp_path / "folder.duckdb")


def test_the_size_counts_the_log(tmp_path):
    """The bytes on disk grow with a batch, before and after a checkpoint."""
    with Store(tmp_path / "s.duckdb") as store:
        empty = store.size()
        append(store, *(event(event_id=str(i), completion=f"{i}" * 50) for i in range(500)))
        before = store.size()
        store.checkpoint()
        assert empty < before
        assert store.size() == (tmp_path / "s.duckdb").stat().st_size > 100_000


def test_the_log_is_moved_into_the_file_on_the_way(tmp_path, monkeypatch):
    """While batches are appended, the write-ahead log stays about as small as it should."""
    monkeypatch.setattr("thumbwheel.store.store._CHECKPOINT_BYTES", 100_000)
    log = tmp_path / "s.duckdb.wal"
    with Store(tmp_path / "s.duckdb") as store:
        for batch in range(20):
            append(store, *numbered(batch, 100), cursor=str(batch))
            assert log.stat().st_size < 150_000
        assert store.source_counts()[0].stored == 2000
