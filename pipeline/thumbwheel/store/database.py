"""The DuckDB file: opened once, locked down, and opened anew when DuckDB gives it up.

DuckDB may end a database in the middle of its work, above all when the disk is full while a
checkpoint is written. What was committed is safe then, but every connection is dead. The next one
to ask opens the file again.
"""

import math
import os
import shutil
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from pathlib import Path

import duckdb

from thumbwheel.errors import BusyError, UnavailableError
from thumbwheel.process.durable import sync
from thumbwheel.store.connection import CONFIG, LOCKS, Connection, tune
from thumbwheel.store.faults import explain, explain_opening, is_fatal
from thumbwheel.store.files import make_store, remove_store, size_of
from thumbwheel.store.migrations import migrate

__all__ = ["Database"]

_open_files: set[Path] = set()
_open_files_lock = threading.Lock()


class Database:
    """One DuckDB file; safe to use from several threads.

    `epoch` grows whenever the file is opened: what is remembered of its content holds for one.

    Raises:
        BusyError: The file is open already, here or in another process.
        DamagedStoreError: The file cannot be read.
        DataError: It is not a store, or was written by a newer Thumbwheel.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.epoch = 0
        self._changed = threading.Condition()
        self._borrowed: set[Connection] = set()
        self._lent: dict[object, Callable[[], None]] = {}
        self._checkpointing = False
        self._connection: Connection | None = None
        self._claim = path.resolve()
        with _open_files_lock:
            # DuckDB would hand out the same database twice within a process.
            if self._claim in _open_files:
                raise BusyError(f"the store {path} is open already in this process; close it first")
            _open_files.add(self._claim)
        self._closed = False
        self._dead = True
        try:
            self._open()
        except BaseException:
            self._release()
            raise

    def close(self) -> None:
        """Stop what is being read, and close the file, so that another process may open it."""
        with self._changed:
            if self._closed:
                return
            self._closed = True
            self._take_back()
            self._interrupt(math.inf)
            if self._connection is not None:
                self._connection.close()
        self._release()

    def reading(self) -> AbstractContextManager[Connection]:
        """Borrow a connection in a read-only transaction: all it reads is of one moment.

        Raises:
            DamagedStoreError: A block that was read is damaged.
            UnavailableError: The store was closed, or has no memory or disk space left.
        """
        return self._transaction("BEGIN TRANSACTION READ ONLY", "ROLLBACK")

    def writing(self) -> AbstractContextManager[Connection]:
        """Borrow a connection in a transaction that is committed at the end of the block.

        Two at a time would conflict; who writes holds a lock of their own.

        Raises:
            DiskFullError: Nothing was written.
            DamagedStoreError: A block that was read is damaged.
            UnavailableError: The store was closed, or has no memory left.
        """
        return self._transaction("BEGIN TRANSACTION", "COMMIT")

    def interrupt(self, seconds: float) -> None:
        """Stop what is being read, and wait at most so long until it has ended."""
        with self._changed:
            for stop in self._lent.values():
                stop()
            self._interrupt(seconds)

    def _interrupt(self, seconds: float) -> None:
        deadline = time.monotonic() + seconds
        # An interrupt between two calls into DuckDB is lost, so one may not be enough.
        while self._borrowed and time.monotonic() < deadline:
            for connection in self._borrowed:
                connection.interrupt()
            self._changed.wait(0.05)

    @contextmanager
    def lent(self, stop: Callable[[], None]) -> Iterator[Path]:
        """Let another process read the file: nothing that it reads is changed meanwhile.

        Nobody must write until that process has opened the file.

        Args:
            stop: Ends its reading, when the file is to be closed or replaced.

        Raises:
            UnavailableError: The store was closed.
        """
        lease = object()
        with self._changed:
            self._changed.wait_for(lambda: self._closed or not self._checkpointing)
            self._opened()
            self._lent[lease] = stop
        try:
            yield self.path
        finally:
            with self._changed:
                self._lent.pop(lease, None)
                self._changed.notify_all()

    def checkpoint(self, *, unless_lent: bool = False) -> None:
        """Move what is in the write-ahead log into the file.

        While the file is lent, this waits, or does nothing with `unless_lent`.

        Raises:
            DiskFullError: There is no space for it; all that was committed is still in the log.
        """
        with self._changed:
            if self._lent and unless_lent:
                return
            self._changed.wait_for(lambda: not (self._lent or self._checkpointing))
            self._checkpointing = True
        try:
            with self._borrow() as connection:
                connection.execute("CHECKPOINT")
        finally:
            with self._changed:
                self._checkpointing = False
                self._changed.notify_all()

    def _take_back(self) -> None:
        """Let nobody else read the file any more."""
        for stop in self._lent.values():
            stop()
        self._changed.wait_for(lambda: not self._lent)

    def replace(self, written: Callable[[Path, Path], AbstractContextManager[None]]) -> None:
        """Put another file in the place of this one: whole, or not at all.

        Args:
            written: Makes the file at its second argument from this one, which is its first. Nobody
                has it open then, and its write-ahead log is empty; no other process can open it
                before the block ends.

        Raises:
            BusyError: Another process has opened the file meanwhile.
            DamagedStoreError: A block that was read is damaged.
            DiskFullError: There is no space for a second file.
            UnavailableError: The store was closed, or could not be read or written.
        """
        fresh = self.path.with_name(f".{self.path.name}.fresh")
        with self._changed:
            self._take_back()
        self.checkpoint()
        with self._changed:
            connection = self._opened()
            self._take_back()
            self._changed.wait_for(lambda: not self._borrowed)
            connection.close()
            self._connection, self._dead = None, True
            remove_store(fresh)
            try:
                if self.log_size():
                    raise UnavailableError(f"the store {self.path} could not be closed; try again")
                with written(self.path, fresh):
                    sync(fresh)
                    os.replace(fresh, self.path)
                    sync(self.path.parent)
            except duckdb.Error as error:
                raise explain_opening(error, self.path) from error
            finally:
                remove_store(fresh)
            # What was spilled here by a process that was killed.
            shutil.rmtree(self.path.with_name(self.path.name + ".tmp"), ignore_errors=True)

    def log_size(self) -> int:
        """Return the bytes in the write-ahead log."""
        return size_of(self.path.with_name(self.path.name + ".wal"))

    def size(self) -> int:
        """Return the bytes on disk: the file and its write-ahead log."""
        return size_of(self.path) + self.log_size()

    @contextmanager
    def _transaction(self, begin: str, end: str) -> Iterator[Connection]:
        with self._borrow() as connection:
            connection.execute(begin)
            try:
                yield connection
                connection.execute(end)
            except BaseException:
                # A failed commit has rolled back already.
                with suppress(duckdb.Error):
                    connection.execute("ROLLBACK")
                raise

    @contextmanager
    def _borrow(self) -> Iterator[Connection]:
        with self._changed:
            connection = self._opened().cursor()
            self._borrowed.add(connection)
        fatal = False
        try:
            yield connection
        except duckdb.Error as error:
            fatal = is_fatal(error)
            meaning = explain(error, self.path)
            if meaning is None:
                raise
            raise meaning from error
        finally:
            with self._changed:
                connection.close()
                self._borrowed.discard(connection)
                if fatal:
                    self._dead = True
                self._changed.notify_all()

    def _opened(self) -> Connection:
        """Return the connection, opened anew when the last one is dead."""
        # DuckDB shares a database among all connections to its file: none must be left.
        self._changed.wait_for(lambda: self._closed or not (self._dead and self._borrowed))
        if self._closed:
            raise UnavailableError(f"the store {self.path} is closed; open it again")
        if self._connection is not None and not self._dead:
            return self._connection
        if self._connection is not None:
            self._connection.close()
            self._connection = None
        return self._open()

    def _open(self) -> Connection:
        try:
            if self.epoch == 0 and not self.path.exists():
                make_store(self.path)
            connection = duckdb.connect(str(self.path), config=CONFIG)
            try:
                tune(connection)
                connection.execute(LOCKS)
                migrate(connection, self.path)
            except BaseException:
                connection.close()
                raise
        except duckdb.Error as error:
            raise explain_opening(error, self.path) from error
        self._connection = connection
        self._dead = False
        self.epoch += 1
        return connection

    def _release(self) -> None:
        with _open_files_lock:
            _open_files.discard(self._claim)
