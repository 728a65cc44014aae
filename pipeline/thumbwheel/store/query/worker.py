"""What runs in the process for queries: it opens the store's file beside its holder, and reads.

DuckDB locks a file that it opens by its name; this opens it through Python, for reading only and
without a lock. What it reads stays as it is meanwhile, because the holder makes no checkpoint.
"""

import json
import os
import signal
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
from fsspec.implementations.local import LocalFileSystem

from thumbwheel.errors import ThumbwheelError, UnavailableError
from thumbwheel.process.anonymous import write_table
from thumbwheel.process.spawn import make_expendable
from thumbwheel.store.connection import CONFIG, LOCKS, Connection, quoted, tune
from thumbwheel.store.faults import explain, first_line
from thumbwheel.store.query.select import select

__all__ = ["Task", "work"]

# How much longer than its time the process lives when nobody ends it.
_GRACE_SECONDS = 5.0


@dataclass(frozen=True, slots=True)
class Task:
    """One query.

    Attributes:
        path: The store's file.
        sql: The user's text.
        max_rows: Rows at most.
        seconds: How long it may take.
        memory: What DuckDB may hold in memory.
        spilled: The folder for what does not fit; it is made when needed.
        spilled_bytes: How much may lie there.
    """

    path: Path
    sql: str
    max_rows: int
    seconds: float
    memory: str
    spilled: Path
    spilled_bytes: int


class _HeldFile(LocalFileSystem):  # type: ignore[misc]
    """Shows a store's file, and its write-ahead log, as `held://store`."""

    protocol = "held"
    cachable = False

    def __init__(self, path: Path) -> None:
        super().__init__()
        self._held = path

    def _strip_protocol(self, path: Any) -> Any:
        # One name, so that no sign in the path means anything on the way here.
        name = str(path).removeprefix("held://")
        files = {"store": self._held, "store.wal": self._held.with_name(self._held.name + ".wal")}
        return str(files.get(name, path))


def work(pipe: Any, result: Any) -> None:
    """Run the queries that are asked for; the process ends when the pipe is closed.

    Args:
        pipe: Goes, as JSON: `ready`. Comes: a `Task`. Goes: `opened`, then the `size` of the
            resulting table, or the `error` and its words.
        result: The file that takes the resulting table.
    """
    file = result.detach()
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    make_expendable(partial(os._exit, 0))
    _say(pipe, {"ready": True})
    while True:
        try:
            task = pipe.recv()
        except (EOFError, OSError):
            os._exit(0)
        # Nothing that runs here can hold off the end that the system makes.
        signal.setitimer(signal.ITIMER_REAL, task.seconds + _GRACE_SECONDS)
        answer = _attempt(pipe, task, file)
        signal.setitimer(signal.ITIMER_REAL, 0)
        _say(pipe, answer)


def _attempt(pipe: Any, task: Task, file: int) -> dict[str, object]:
    try:
        return {"size": write_table(file, _run(pipe, task))}
    except duckdb.Error as error:
        why = f"could not be read for the query ({first_line(error)}); ask again"
        failure = explain(error, task.path) or UnavailableError(f"the store {task.path} {why}")
    except ThumbwheelError as error:
        failure = error
    return {"error": type(failure).__name__, "words": str(failure)}


def _run(pipe: Any, task: Task) -> pa.Table:
    with duckdb.connect(config=CONFIG) as connection:
        _open(connection, task)
        _say(pipe, {"opened": True})
        return select(connection, task.sql, task.max_rows)


def _open(connection: Connection, task: Task) -> None:
    tune(connection, task.memory)
    connection.execute("SET enable_progress_bar = false")
    connection.execute(f"SET temp_directory = {quoted(task.spilled)}")
    connection.execute(f"SET max_temp_directory_size = '{task.spilled_bytes} bytes'")
    connection.register_filesystem(_HeldFile(task.path))
    name = task.path.stem.replace('"', '""')
    connection.execute(f"ATTACH 'held://store' AS \"{name}\" (READ_ONLY)")
    connection.execute(f'USE "{name}"')
    connection.execute(LOCKS)


def _say(pipe: Any, words: dict[str, object]) -> None:
    with suppress(OSError):
        pipe.send_bytes(json.dumps(words).encode())
