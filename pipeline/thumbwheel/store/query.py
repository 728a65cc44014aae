"""A user's SQL: one SELECT that reads this store and nothing else.

That no file, network or setting is reached is the database's own configuration (see `database`),
and that nothing is written is its read-only transaction. What is checked here is what they would
let through: table functions that act on the database.
"""

import json
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import duckdb
import pyarrow as pa

from thumbwheel.errors import DataError
from thumbwheel.store.database import Connection
from thumbwheel.store.faults import first_line, is_about_store

__all__ = ["run_query"]

# DuckDB's parser ends the process when a query is nested some ten thousand levels deep.
_HINT = re.compile(r"(Candidate bindings: |Did you mean )[^\n]+")
_MAX_CHARACTERS = 20_000

_MAX_RESULT_BYTES = 100_000_000

_TABLE_FUNCTIONS = {
    "duckdb_columns",
    "duckdb_tables",
    "generate_series",
    "json_each",
    "json_tree",
    "range",
    "repeat",
    "unnest",
}


def run_query(
    connection: Connection, sql: str, *, max_rows: int, timeout_seconds: float
) -> pa.Table:
    """Return at most the first `max_rows` rows of one SELECT.

    Args:
        connection: In a read-only transaction.
        sql: The user's text.
        max_rows: One more than are shown tells whether there are more.
        timeout_seconds: How long it may take.

    Raises:
        DataError: It is not one SELECT, is wrong, or took too long or too much memory.
    """
    with _interrupted_after(timeout_seconds, connection) as timed_out:
        try:
            checked = _checked(connection, sql)
            rows = connection.sql(checked).limit(max_rows).to_arrow_table()
        except duckdb.Error as error:
            if timed_out.is_set():
                raise DataError(
                    f"the query took longer than {timeout_seconds:g} seconds and was stopped; "
                    "ask for less"
                ) from error
            if is_about_store(error):
                raise  # explained where the connection came from
            raise DataError(f"the query failed: {_with_hint(error)}") from error
    if rows.nbytes > _MAX_RESULT_BYTES:
        raise DataError(
            f"the query's result has {rows.nbytes:,} bytes; at most {_MAX_RESULT_BYTES:,} go, so "
            "ask for fewer rows or columns"
        )
    return rows


def _with_hint(error: duckdb.Error) -> str:
    """Return DuckDB's message with the names it thinks were meant."""
    hint = _HINT.search(str(error))
    return f"{first_line(error)} ({hint[0]})" if hint else first_line(error)


def _checked(connection: Connection, sql: str) -> str:
    """Return the query as DuckDB's parser understood it: what was checked is what runs."""
    if len(sql) > _MAX_CHARACTERS:
        raise DataError(f"the query has {len(sql):,} characters; at most {_MAX_CHARACTERS:,} go")
    ((serialized,),) = connection.execute("SELECT json_serialize_sql(?::VARCHAR)", [sql]).fetchall()
    try:
        tree = json.loads(serialized)
    except RecursionError as error:
        raise DataError("the query is nested too deeply; make it flatter") from error
    if tree["error"] and tree["error_type"] == "parser":
        raise DataError(f"the query failed: {tree['error_message'].partition(chr(10))[0]}")
    if tree["error"] or len(tree["statements"]) != 1:
        raise DataError("the query must be exactly one SELECT")
    for name in sorted(set(_table_functions(tree)) - _TABLE_FUNCTIONS):
        raise DataError(
            f"the query uses the table function {name}; only {', '.join(sorted(_TABLE_FUNCTIONS))} "
            "are allowed"
        )
    ((checked,),) = connection.execute(
        "SELECT json_deserialize_sql(?::VARCHAR)", [serialized]
    ).fetchall()
    return str(checked)


def _table_functions(tree: object) -> Iterator[str]:
    pending = [tree]
    while pending:
        node = pending.pop()
        if isinstance(node, dict):
            if node.get("type") == "TABLE_FUNCTION":
                yield node["function"]["function_name"]
            pending.extend(node.values())
        elif isinstance(node, list):
            pending.extend(node)


@contextmanager
def _interrupted_after(seconds: float, connection: Connection) -> Iterator[threading.Event]:
    """Interrupt what runs on the connection when the time is up; the event tells that it was."""
    done, timed_out = threading.Event(), threading.Event()

    def watch() -> None:
        if done.wait(seconds):
            return
        timed_out.set()
        # An interrupt between two calls into DuckDB is lost, so one may not be enough.
        while not done.wait(0.05):
            connection.interrupt()

    watcher = threading.Thread(target=watch, name="query time limit", daemon=True)
    watcher.start()
    try:
        yield timed_out
    finally:
        done.set()
        watcher.join()
