"""The store: a user's SQL reads the store, and nothing else."""

import os
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import psutil
import pytest
from storing import append, event, numbered, read_rated, take_snapshot

from thumbwheel.errors import DataError, UnavailableError
from thumbwheel.store import Store
from thumbwheel.store.query import process


@pytest.fixture
def store(tmp_path):
    with Store(tmp_path / "s.duckdb") as store:
        append(store, *(event(event_id=f"e{i}", score=1) for i in range(10)))
        yield store


def ask(store, sql, max_rows=100, timeout_seconds=60):
    return store.query(sql, max_rows=max_rows, timeout_seconds=timeout_seconds).to_pylist()


def test_a_select_returns_its_first_rows(store):
    """Any kind of SELECT may be asked, and no more rows come than were asked for."""
    assert ask(store, "SELECT event_id FROM events ORDER BY arrival", max_rows=2) == [
        {"event_id": "e0"},
        {"event_id": "e1"},
    ]
    assert ask(store, "WITH x AS (SELECT 1 AS a) SELECT * FROM x; -- done") == [{"a": 1}]
    assert ask(store, "FROM range(2)") == [{"range": 0}, {"range": 1}]
    assert {row["name"] for row in ask(store, "SHOW TABLES")} > {"events", "dead_letters"}
    assert len(ask(store, "DESCRIBE events")) > 10


NOT_ONE_SELECT = [
    "",
    "SELECT 1; SELECT 2",
    "SELECT 1; DROP TABLE events",
    "DROP TABLE events",
    "DELETE FROM events",
    "INSERT INTO sources SELECT * FROM sources",
    "CREATE TABLE mine AS SELECT 1",
    "COPY events TO '{target}'",
    "EXPORT DATABASE '{target}'",
    "ATTACH '{target}' AS other",
    "PRAGMA threads = 1",
    "SET memory_limit = '1TB'",
    "RESET lock_configuration",
    "INSTALL httpfs",
    "LOAD httpfs",
    "CALL force_checkpoint()",
    "CHECKPOINT",
    "BEGIN",
    "EXPLAIN ANALYZE DELETE FROM events",
    "PREPARE x AS SELECT 1",
    "CREATE SECRET (TYPE s3)",
    "VACUUM",
]


@pytest.mark.parametrize("sql", NOT_ONE_SELECT)
def test_anything_but_one_select_is_refused(store, tmp_path, sql):
    """Two statements, or one that is no SELECT, are refused before they run."""
    target = tmp_path / "target"
    with pytest.raises(DataError, match="exactly one SELECT"):
        ask(store, sql.format(target=target))
    assert not target.exists()
    assert ask(store, "SELECT count(*) AS n FROM events") == [{"n": 10}]


REACHING_OUT = [
    "SELECT * FROM read_csv('{secret}')",
    "SELECT * FROM read_text('{secret}')",
    "SELECT * FROM read_blob('{secret}')",
    "SELECT * FROM read_json('{secret}')",
    "SELECT * FROM read_parquet('{secret}')",
    "SELECT * FROM sniff_csv('{secret}')",
    "SELECT * FROM '{secret}'",
    'SELECT * FROM "{secret}"',
    "SELECT * FROM 'https://example.com/x.csv'",
    "SELECT * FROM glob('{folder}/*')",
    "SELECT getenv('PATH')",
    "SELECT * FROM query('SELECT * FROM checkpoint()')",
    "SELECT * FROM json_execute_serialized_sql(json_serialize_sql('SELECT 1'))",
    "SELECT * FROM arrow_scan(1, 2, 3)",
    "SELECT nextval('dead_letter_ids')",
    "WITH gone AS (DELETE FROM events RETURNING *) SELECT * FROM gone",
]


@pytest.mark.parametrize("sql", REACHING_OUT)
def test_no_way_leads_out_of_the_store(store, tmp_path, sql):
    """Files, the network, the environment and writing are out of reach."""
    secret = tmp_path / "secret.csv"
    secret.write_text("a,b\n1,2\n")
    with pytest.raises(DataError) as caught:
        ask(store, sql.format(secret=secret, folder=tmp_path))
    assert "\n" not in str(caught.value)


def test_the_database_is_locked_down(store):
    """What the tests here cannot reach is off as well, and nobody can turn it on."""
    names = {
        "enable_external_access": False,
        "lock_configuration": True,
        "python_enable_replacements": False,
        "autoinstall_known_extensions": False,
        "autoload_known_extensions": False,
    }
    settings = ", ".join(f"current_setting('{name}') AS {name}" for name in names)
    assert ask(store, f"SELECT {settings}") == [names]


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT * FROM checkpoint()",
        "WITH a AS MATERIALIZED (FROM force_checkpoint()) FROM a",
        "SELECT (SELECT count(*) FROM system.main.truncate_duckdb_logs())",
        "SELECT 1 ORDER BY (SELECT count(*) FROM checkpoint())",
        "SELECT * FROM events JOIN LATERAL (FROM enable_logging()) ON true",
    ],
)
def test_functions_that_act_are_refused(store, sql):
    """Table functions that do something to the database are found wherever they stand."""
    with pytest.raises(DataError, match="table function"):
        ask(store, sql)


def test_mistakes_are_one_line(store):
    """What is wrong with the SQL is told in DuckDB's own first line; no error passes as damage."""
    mistakes = {
        "SELECT nothing FROM events": "nothing",
        "SELEC 1": "syntax error",
        "SELECT error('Corrupt database file')": "query failed: Invalid Input Error: Corrupt",
        "SELECT 'x'::INTEGER": "Could not convert",
        "SELECT $1": "parameter",
        "SELECT " + "(" * 5000 + "1" + ")" * 5000: "expression depth",
        "(FROM " * 2800 + "events" + ")" * 2800: "deep|depth",
        "SELECT '" + "x" * 20_000 + "'": "characters",
    }
    for sql, told in mistakes.items():
        with pytest.raises(DataError, match=f"(?i){told}") as caught:
            ask(store, sql)
        assert "\n" not in str(caught.value)
    assert ask(store, "SELECT count(*) AS n FROM events") == [{"n": 10}]


def test_a_query_that_takes_too_long_is_stopped(store):
    """A join of a hundred billion rows ends when its time is up, and the store goes on."""
    endless = "SELECT count(*) FROM range(10000000) a, range(10000) b WHERE a.range + b.range = -1"
    with pytest.raises(DataError, match=r"longer than 0\.2 seconds"):
        ask(store, endless, timeout_seconds=0.2)
    first = "SELECT a.range FROM range(10000000) a, range(10000) b"
    assert len(ask(store, first, max_rows=3)) == 3
    assert append(store, event(event_id="later")).stored == 1


WIDE = "SELECT {0} AS a, {0} || 'b' AS b, {0} || 'c' AS c FROM range(2000)"


def test_what_hears_no_interrupt_is_stopped(store):
    """A function that never looks up ends with its process, and the store goes on at once."""
    started = time.monotonic()
    with pytest.raises(DataError, match=r"longer than 0\.3 seconds"):
        ask(
            store,
            "SELECT levenshtein(repeat('ab', 300000), repeat('ba', 300000))",
            timeout_seconds=0.3,
        )
    assert time.monotonic() - started < 5
    assert append(store, event(event_id="later")).stored == 1
    assert ask(store, "SELECT count(*) AS n FROM events") == [{"n": 11}]


def test_a_wide_result_is_never_built(store):
    """Three columns of ten megabytes a value end the query before they are in memory."""
    children = psutil.Process().children()
    with pytest.raises(DataError, match=r"bytes|(?i:memory)"):
        ask(store, WIDE.format("repeat(md5(range::VARCHAR), 300_000)"))
    assert sum(child.memory_info().rss for child in children if child.is_running()) < 2 << 30
    assert append(store, event(event_id="later")).stored == 1


def test_a_process_that_died_is_replaced(tmp_path):
    """One that the system ended while it had nothing to do, and what it left, are no obstacle."""
    left = tmp_path / ".s.duckdb.query-1"
    left.mkdir()
    with Store(tmp_path / "s.duckdb") as store:
        assert not left.exists()
        ask(store, "SELECT 1 AS one")
        (idle,) = process._idle
        idle._process.kill()
        idle._process.join()
        assert ask(store, "SELECT 1 AS one") == [{"one": 1}]


def test_queries_see_the_moment_they_are_asked_at(tmp_path):
    """What was committed is seen from the log and from the file; checkpoints wait for readers."""
    with Store(tmp_path / "s.duckdb") as store, ThreadPoolExecutor(1) as pool:
        counted = []
        for number in range(6):
            append(store, *numbered(number, 300), cursor=str(number))
            counted += [row["n"] for row in ask(store, "SELECT count(*) AS n FROM events")]
            if number % 2:
                store.checkpoint()
        assert counted == [n * counted[0] for n in range(1, 7)]
        slow = "SELECT count(*) AS n, max(hash(prompt, range)) FROM events, range(20000)"
        asked = pool.submit(ask, store, slow)
        while not store._database._lent:
            os.sched_yield()
        for number in range(6, 9):
            append(store, *numbered(number, 300), cursor=str(number))
            store._database.checkpoint(unless_lent=True)
        assert asked.result()[0]["n"] == counted[-1] * 20000


def test_a_query_that_takes_too_much_is_stopped(tmp_path, monkeypatch):
    """A result or an intermediate that does not fit is an error of the query."""
    monkeypatch.setattr("thumbwheel.store.query.process.MEMORY_LIMIT", "100MB")
    with Store(tmp_path / "s.duckdb") as store:
        with pytest.raises(DataError, match="Out of Memory"):
            ask(store, "SELECT list(range) FROM range(1000000000)")
        with pytest.raises(DataError, match="bytes"):
            ask(store, "SELECT repeat('x', 150000000)")
        assert append(store, event(event_id="a")).stored == 1


def test_more_than_fits_in_memory_goes_to_disk(tmp_path, monkeypatch):
    """Under a small memory limit a sort spills to a folder beside the store, and only there."""
    monkeypatch.setattr("thumbwheel.store.query.process.MEMORY_LIMIT", "64MB")
    big = (
        "SELECT max(a) AS last FROM ("
        "SELECT md5(range::VARCHAR) AS a FROM range(1500000) ORDER BY a LIMIT 1400000 OFFSET 10)"
    )
    with Store(tmp_path / "s.duckdb") as store:
        (row,) = ask(store, big)
        assert len(row["last"]) == 32
        assert {path.name for path in tmp_path.iterdir()} <= {"s.duckdb", "s.duckdb.wal"}
        monkeypatch.setattr("thumbwheel.store.query.process._MOST_SPILLED", 1 << 20)
        with pytest.raises(DataError, match="Out of Memory"):
            ask(store, big)
        assert append(store, event(event_id="a")).stored == 1


def test_a_tight_memory_limit_changes_no_snapshot(tmp_path, monkeypatch):
    """A snapshot made under a tight memory limit is the same as under a roomy one."""
    snapshots = []
    for name, limit in (("roomy", "4GB"), ("tight", "40MB")):
        monkeypatch.setattr("thumbwheel.store.connection.MEMORY_LIMIT", limit)
        with Store(tmp_path / f"{name}.duckdb") as store:
            for batch in range(4):
                append(store, *numbered(batch, 1000), cursor=str(batch))
            snapshots.append(take_snapshot(store, tmp_path / name))
    roomy, tight = (read_rated(snapshot.path) for snapshot in snapshots)
    assert roomy == tight


def test_closing_stops_what_is_being_read(tmp_path):
    """A store can be closed while a query runs; the query ends with one clear error."""
    endless = "SELECT count(*) FROM range(10000000) a, range(10000) b WHERE a.range + b.range = -1"
    store, told = Store(tmp_path / "s.duckdb"), []

    def run():
        try:
            ask(store, endless)
        except (DataError, UnavailableError) as error:
            told.append(str(error))

    reader = threading.Thread(target=run)
    reader.start()
    while not store._database._lent:
        os.sched_yield()
    store.close()
    reader.join()
    assert len(told) == 1
    Store(tmp_path / "s.duckdb").close()
