"""A user's SQL: one SELECT that reads this store and nothing else.

That no file, network or setting is reached is the database's own configuration (see `database`),
and that nothing is written is that its file is open for reading only. What is checked here is what
they would let through: table functions that act on the database.
"""

import json
import re
from collections.abc import Iterator

import duckdb
import pyarrow as pa

from thumbwheel.errors import DataError
from thumbwheel.store.connection import Connection
from thumbwheel.store.faults import first_line, is_about_store

__all__ = ["select"]

_HINT = re.compile(r"(Candidate bindings: |Did you mean )[^\n]+")

# DuckDB's parser ends the process when a query is nested some ten thousand levels deep.
_MAX_CHARACTERS = 20_000

_MAX_RESULT_BYTES = 100_000_000
_ROWS = 2048

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


def select(connection: Connection, sql: str, max_rows: int) -> pa.Table:
    """Return at most the first `max_rows` rows of one SELECT.

    Args:
        connection: Reads the store, and cannot write it.
        sql: The user's text.
        max_rows: Rows at most.

    Raises:
        DataError: It is not one SELECT, is wrong, or its result is too large.
        duckdb.Error: The store cannot be read.
    """
    try:
        rows = connection.sql(_checked(connection, sql)).limit(max_rows)
        return _read(rows.to_arrow_reader(_ROWS))
    except (pa.ArrowException, duckdb.Error) as error:
        # Arrow's stream interface hands on the words of an error, not its type.
        failure = error if isinstance(error, duckdb.Error) else duckdb.Error(str(error))
        if isinstance(error, duckdb.Error) and is_about_store(error):
            raise  # explained by who has opened the store
        raise DataError(f"the query failed: {_with_hint(failure)}") from error


def _read(batches: pa.RecordBatchReader) -> pa.Table:
    """Read batch by batch, so that a result that is too large is never there as a whole."""
    held, size = [], 0
    for batch in batches:
        size += batch.nbytes
        if size > _MAX_RESULT_BYTES:
            raise DataError(
                f"the query's result has more than {_MAX_RESULT_BYTES:,} bytes; ask for fewer rows "
                "or columns"
            )
        held.append(batch)
    return pa.Table.from_batches(held, batches.schema)


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
