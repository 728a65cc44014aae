"""The store's schema: older files are brought up to date, newer ones are refused."""

import shutil

import duckdb
import pytest
from storing import append, balanced, event, take_snapshot

from thumbwheel.errors import DataError
from thumbwheel.store import DeadLetter, Store, migrations

# Version 1 as it was written; it must not change with the code.
VERSION_1 = """
CREATE TABLE thumbwheel (schema_version INTEGER NOT NULL);
CREATE TABLE events (
    arrival BIGINT NOT NULL, source VARCHAR NOT NULL, event_id VARCHAR NOT NULL,
    generation_id VARCHAR NOT NULL, prompt STRUCT("role" VARCHAR, content VARCHAR)[],
    completion VARCHAR, model_version VARCHAR, is_vote BOOLEAN NOT NULL, rater_id VARCHAR,
    score DOUBLE, comment VARCHAR, correction VARCHAR, comparison_id VARCHAR,
    occurred_at TIMESTAMPTZ, metadata VARCHAR, prompt_id VARCHAR, completion_id VARCHAR
);
CREATE TABLE dead_letters (
    source VARCHAR NOT NULL, position VARCHAR NOT NULL, raw BLOB NOT NULL,
    reason VARCHAR NOT NULL, received_at TIMESTAMPTZ NOT NULL
);
CREATE TABLE sources (
    source VARCHAR PRIMARY KEY, cursor VARCHAR NOT NULL, received BIGINT NOT NULL,
    stored BIGINT NOT NULL, duplicates BIGINT NOT NULL, dead_letters BIGINT NOT NULL,
    dropped BIGINT NOT NULL
);
INSERT INTO thumbwheel VALUES (1);
INSERT INTO events
SELECT i, 's', 'e' || i, 'g' || i, [{'role': 'user', 'content': 'p'}], 'c' || i, NULL, true, 'r',
       1, NULL, NULL, NULL, NULL, NULL, md5('prompt'), md5('completion' || i)
FROM range(5) t(i);
INSERT INTO events (arrival, source, event_id, generation_id, is_vote, score)
VALUES (7, 's', 'waits', 'nowhere', true, -1);
INSERT INTO dead_letters VALUES
    ('s', 'f:1', '\\xFF', 'bad', '2026-01-01'), ('s', 'f:2', '', 'worse', '2026-01-02');
INSERT INTO sources VALUES ('s', 'here', 9, 6, 1, 2, 0);
"""


@pytest.fixture
def version_1(tmp_path):
    path = tmp_path / "s.duckdb"
    with duckdb.connect(str(path)) as connection:
        connection.execute("SET TimeZone = 'UTC'")
        connection.execute(VERSION_1)
    return path


def check_migrated(path):
    with Store(path) as store:
        (counts,) = store.source_counts()
        assert (counts.received, counts.stored, counts.parked) == (9, 5, 1)
        assert (counts.duplicates, counts.dead_letters, counts.expired) == (1, 2, 0)
        assert balanced(counts)
        assert store.cursor("s") == "here"
        store.verify()
        newest, oldest = store.dead_letters(limit=5)
        assert (newest.position, oldest.position) == ("f:2", "f:1")
        assert newest.id > oldest.id
        assert store.dead_letter(oldest.id)[1] == b"\xff"


def test_version_1_is_migrated_and_goes_on(version_1, tmp_path):
    """A file of version 1 keeps its counts, rows and dead letters, and takes new events."""
    check_migrated(version_1)
    check_migrated(version_1)
    with Store(version_1) as store:
        known, new = event(event_id="e3"), event(event_id="new", score=1)
        new["prompt"][0]["extra"] = '{"name": "x"}'
        added = append(store, known, new, cursor="there")
        assert (added.stored, added.duplicates) == (1, 1)
        snapshot = take_snapshot(store, tmp_path / "s")
        assert (snapshot.n_events, snapshot.n_completions) == (7, 6)
        rows = store.query(
            "SELECT arrival, prompt[1].extra AS extra FROM events WHERE event_id IN ('e3', 'new') "
            "ORDER BY arrival",
            max_rows=3,
            timeout_seconds=60,
        )
        assert rows.to_pylist() == [
            {"arrival": 3, "extra": None},
            {"arrival": 8, "extra": '{"name": "x"}'},
        ]


def test_old_parked_votes_wait_from_the_migration_on(version_1):
    """Nothing expires at once because its time of arrival was not known."""
    with Store(version_1) as store:
        ((migrated_at,),) = [
            tuple(row.values())
            for row in store.query(
                "SELECT DISTINCT received_at FROM events", max_rows=2, timeout_seconds=60
            ).to_pylist()
        ]
        assert store.expire_parked(migrated_at) == 0


def killed_copy(path, folder):
    """Return a copy of the file and its log as they are on disk now, as a kill leaves them."""
    folder.mkdir()
    for suffix in ("", ".wal"):
        left = path.with_name(path.name + suffix)
        if left.exists():
            shutil.copy(left, folder / left.name)
    return folder / path.name


def test_a_kill_during_migrations_is_harmless(version_1, tmp_path):
    """What a kill leaves before, within and right behind a step opens as if none had been."""
    with duckdb.connect(str(version_1)) as connection:
        connection.execute("SET checkpoint_threshold = '1GB'; SET TimeZone = 'UTC'")
        connection.begin()
        connection.execute(migrations._MIGRATIONS[1])
        within = killed_copy(version_1, tmp_path / "within")
        connection.execute("UPDATE thumbwheel SET schema_version = 2")
        connection.commit()
        behind = killed_copy(version_1, tmp_path / "behind")
    assert behind.with_name("s.duckdb.wal").stat().st_size > 0
    for killed in (within, behind):
        check_migrated(killed)


def test_a_kill_right_after_the_first_batch_is_harmless(tmp_path):
    """A new store whose log was never checkpointed can be read from the log."""
    with Store(tmp_path / "s.duckdb") as store:
        append(store, event(event_id="a"), letters=[DeadLetter("f", b"x", "no")])
        killed = killed_copy(tmp_path / "s.duckdb", tmp_path / "killed")
    with Store(killed) as store:
        (counts,) = store.source_counts()
        assert (counts.stored, counts.dead_letters) == (1, 1)
        store.verify()


def test_a_new_store_is_whole_or_not_there(tmp_path, monkeypatch):
    """When making a store breaks off, no file is left, and the next try makes it."""
    monkeypatch.setattr(migrations, "_MIGRATIONS", (migrations._MIGRATIONS[0], "SELECT nothing"))
    with pytest.raises(DataError):
        Store(tmp_path / "s.duckdb")
    assert list(tmp_path.iterdir()) == []
    monkeypatch.undo()
    with Store(tmp_path / "s.duckdb") as store:
        assert store.source_counts() == []


def test_a_kill_before_the_first_table_is_harmless(tmp_path):
    """A file without tables becomes a store."""
    duckdb.connect(str(tmp_path / "s.duckdb")).close()
    with Store(tmp_path / "s.duckdb") as store:
        assert store.source_counts() == []


def test_newer_files_are_refused(tmp_path):
    """A file of a newer schema is one clear error, and is left as it is."""
    Store(tmp_path / "s.duckdb").close()
    with duckdb.connect(str(tmp_path / "s.duckdb")) as connection:
        connection.execute("UPDATE thumbwheel SET schema_version = 99")
    for _ in range(2):
        with pytest.raises(DataError, match="schema version 99"):
            Store(tmp_path / "s.duckdb")
