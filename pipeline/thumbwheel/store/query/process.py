"""The process for queries as the one that holds the store sees it: started, asked, stopped."""

import json
import os
import shutil
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from multiprocessing.reduction import DupFd
from pathlib import Path
from typing import Any

import psutil
import pyarrow as pa

from thumbwheel import errors
from thumbwheel.errors import DataError, ThumbwheelError, UnavailableError
from thumbwheel.process.anonymous import anonymous_file, read_table
from thumbwheel.process.spawn import spawn
from thumbwheel.store.query.spilled import spill_folder
from thumbwheel.store.query.worker import Task, work

__all__ = ["MEMORY_LIMIT", "QueryProcess", "borrowed_process"]

MEMORY_LIMIT = "1GB"
"""What DuckDB may hold of one query in memory; beyond it, it spills."""

_MOST_BYTES = 2 << 30
"""What the whole process may hold: not all that DuckDB holds counts against its limit."""

_MOST_SPILLED = 8 << 30
_MOST_AT_ONCE = 2
_START_SECONDS = 60.0
_LOOK_SECONDS = 0.02


_turns = threading.BoundedSemaphore(_MOST_AT_ONCE)
_idle: "list[QueryProcess]" = []


@contextmanager
def borrowed_process(seconds: float) -> "Iterator[QueryProcess]":
    """Borrow a process: one that has nothing to do, or a new one.

    Args:
        seconds: How long to wait for a turn; few run at the same time.

    Raises:
        UnavailableError: Others' queries took all that time.
    """
    if not _turns.acquire(timeout=seconds):
        raise UnavailableError(
            f"{_MOST_AT_ONCE} other queries are running; ask again when one has ended"
        )
    try:
        process = _idle_one() or QueryProcess()
        try:
            yield process
        except ThumbwheelError:
            _keep(process)
            raise
        except BaseException:  # it may be in the middle of something
            process.close()
            raise
        _keep(process)
    finally:
        _turns.release()


def _idle_one() -> "QueryProcess | None":
    while True:
        try:
            process = _idle.pop()
        except IndexError:
            return None
        if process.is_usable:
            return process
        process.close()


def _keep(process: "QueryProcess") -> None:
    if process.is_usable and not _idle:
        _idle.append(process)
    else:
        process.close()


class QueryProcess:
    """A process that runs one query at a time. It ends when this one does, however it does.

    Raises:
        UnavailableError: It does not start.
    """

    def __init__(self) -> None:
        self._result = anonymous_file()
        self._process, self._pipe = spawn(work, DupFd(self._result))
        self._watched = psutil.Process(int(self._process.pid or 0))
        self._stopped = False
        try:
            self._answer(_START_SECONDS, "start")
        except BaseException:
            self.close()
            raise

    @property
    def is_usable(self) -> bool:
        """Whether it can be asked another query."""
        return not self._stopped and self._process.is_alive()

    def open(self, path: Path, sql: str, max_rows: int, seconds: float) -> None:
        """Hand a query over, and return when the process has opened the store's file.

        Raises:
            DataError: The file is damaged.
            UnavailableError: It cannot be read, or the process was stopped.
        """
        self._seconds = seconds
        self._spilled = spill_folder(path, self._process.pid)
        free = shutil.disk_usage(path.parent).free
        task = Task(
            path.absolute(),
            sql,
            max_rows,
            seconds + _START_SECONDS,
            MEMORY_LIMIT,
            self._spilled.absolute(),
            min(_MOST_SPILLED, free // 2),
        )
        with suppress(OSError):  # it has ended: the answer says so
            self._pipe.send(task)
        self._answer(_START_SECONDS, "open the store")

    def result(self) -> pa.Table:
        """Return what the query gives.

        Raises:
            DataError: It is not one SELECT, is wrong, or took too long or too much memory.
            UnavailableError: The store cannot be read, or the process was stopped.
        """
        try:
            words = self._answer(self._seconds)
            rows = read_table(self._result, words["size"])
        finally:
            os.ftruncate(self._result, 0)
            shutil.rmtree(self._spilled, ignore_errors=True)
        return rows

    def stop(self) -> None:
        """End the query from another thread: whoever waits for it is told so."""
        self._stopped = True
        self._process.kill()

    def close(self) -> None:
        """End the process."""
        self._pipe.close()
        self._process.kill()
        self._process.join()
        os.close(self._result)

    def _answer(self, seconds: float, step: str | None = None) -> Any:
        """Wait for the next word, about a step or about the query itself."""
        deadline = time.monotonic() + seconds
        while True:
            try:
                if self._pipe.poll(_LOOK_SECONDS):
                    words = json.loads(self._pipe.recv_bytes())
                    break
            except (EOFError, OSError) as error:
                raise self._ended() from error
            self._look()
            if time.monotonic() > deadline:
                self.stop()
                if step is not None:
                    raise UnavailableError(
                        f"the process for queries could not {step} within {seconds:g} s; ask again"
                    )
                raise DataError(
                    f"the query took longer than {seconds:g} seconds and was stopped; ask for less"
                )
        if "error" in words:
            raise _failure(words)
        return words

    def _look(self) -> None:
        with suppress(psutil.NoSuchProcess):  # the pipe says so as well
            if self._watched.memory_info().rss > _MOST_BYTES:
                self.stop()
                raise DataError(
                    f"the query took more than {_MOST_BYTES >> 20:,} MB of memory and was stopped; "
                    "ask for less"
                )

    def _ended(self) -> ThumbwheelError:
        if self._stopped:
            return UnavailableError("the store was closed or written anew meanwhile; ask again")
        self._process.join()
        return DataError(
            f"the query ended the process that ran it (exit code {self._process.exitcode}); ask "
            "for less at once"
        )


def _failure(words: Any) -> ThumbwheelError:
    kind = getattr(errors, words["error"], UnavailableError)
    return kind(words["words"])
