"""The store's operations: one writer, any number of readers, everything in transactions."""

import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack, suppress
from datetime import datetime
from pathlib import Path
from types import MappingProxyType
from typing import Self, TypeVar

import pyarrow as pa

from thumbwheel.errors import DiskFullError
from thumbwheel.store import forgetting, letters, sources
from thumbwheel.store.database import Database
from thumbwheel.store.forgotten import Forgotten, Subject
from thumbwheel.store.intake import Intake
from thumbwheel.store.query.spilled import remove_spilled
from thumbwheel.store.reading import StoreReader
from thumbwheel.store.standing import forget_standing
from thumbwheel.store.values import DeadLetter, ReplayCounts
from thumbwheel.types import SourceCounts

__all__ = ["Store"]

_T = TypeVar("_T")

_CHECKPOINT_BYTES = 256_000_000
_LONG_LOG_BYTES = 32_000_000


class Store(StoreReader):
    """An opened store; safe to use from several threads. Use it as a context manager.

    A method that reads sees one moment, whatever is written meanwhile. When the disk was full, or
    DuckDB gave the file up for another reason, the next call opens it again by itself.

    Every method may raise `DamagedStoreError` (it met a damaged block) and `UnavailableError` (the
    store was closed, or has no memory or disk space left).

    Attributes:
        forgotten: Whose records are left out.

    Raises:
        BusyError: The file is open already, here or in another process.
        DamagedStoreError: The file is damaged.
        DataError: The file is not a store, cannot be made, or was written by a newer Thumbwheel;
            or the key beside it is missing.
        DiskFullError: There is no space to make it.
    """

    def __init__(self, path: Path) -> None:
        super().__init__(Database(path))
        remove_spilled(path)
        try:
            self.forgotten = Forgotten(path.parent / "forgotten")
        except BaseException:
            self._database.close()
            raise
        self._writing = threading.RLock()
        self._intake = Intake(self.forgotten)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def close(self) -> None:
        """Finish what is being written, stop what is being read, and close the file."""
        with self._writing:
            self._database.close()

    def interrupt(self, seconds: float) -> None:
        """Stop what is being read and asked, and wait at most so long until it has ended.

        Whoever reads gets an `UnavailableError`.
        """
        self._database.interrupt(seconds)

    def query(self, sql: str, *, max_rows: int = 10_000, timeout_seconds: float = 60.0) -> pa.Table:
        """Return the first rows of one SELECT of a user's, as the store is at this moment.

        It can neither write nor reach files, the network, settings or other databases. It runs in a
        process of its own, which is ended when the time is up.

        Args:
            sql: The user's text.
            max_rows: At most so many rows are returned.
            timeout_seconds: How long it may take.

        Raises:
            DataError: It is not one SELECT, is wrong, or took too long or too much memory.
        """
        from thumbwheel.store.query.process import borrowed_process

        with borrowed_process(timeout_seconds) as process, ExitStack() as stack:
            with self._writing:
                self._shorten_log()
                path = stack.enter_context(self._database.lent(process.stop))
                process.open(path, sql, max_rows, timeout_seconds)
            return process.result()

    # --- as whoever holds the store does it, see `operations.OpenedStore` -------------------------

    def ingest(self, read: Callable[["Store"], _T]) -> _T:
        """Let `read` read the sources into this store."""
        return read(self)

    def refresh(self, read: Callable[["Store"], object]) -> None:
        """Let `read` read the sources into this store."""
        read(self)

    def replay(
        self, source: str | None, read: Callable[["Store"], dict[str, ReplayCounts]]
    ) -> dict[str, ReplayCounts]:
        """Let `read` read dead letters again."""
        return read(self)

    # --- writing ---------------------------------------------------------------------------------

    def append(
        self,
        source: str,
        events: pa.Table,
        dead_letters: Sequence[DeadLetter],
        *,
        cursor: str,
        received: int,
        now: datetime,
        plugin_counts: Mapping[str, Mapping[str, int]] = MappingProxyType({}),
        namespace: str | None = None,
    ) -> SourceCounts:
        """Commit one batch with its cursor; return what became of it.

        Args:
            source: The source's name.
            events: `events.IDENTIFIED`; what was received before, or is twice in it, is left out.
            dead_letters: The batch's unreadable records.
            cursor: Where reading goes on behind the batch.
            received: Records in the batch, readable or not. Those that are neither an event nor a
                dead letter were dropped by a plugin.
            now: The time to note with what was received.
            plugin_counts: What plugins did to the events: name -> what -> how many.
            namespace: Whose ids the events bear: by default, the source's own.

        Raises:
            DiskFullError: Nothing of the batch was stored.
        """
        with self._writing:
            # Before the batch, so that a batch that was committed never looks like a failure.
            if self._database.log_size() > _CHECKPOINT_BYTES:
                self._database.checkpoint(unless_lent=True)
            kept, kept_letters = self._intake.screen(events, dead_letters)
            with self._database.writing() as connection:
                whose = source if namespace is None else namespace
                new = self._intake.insert_new(
                    connection, self._database.epoch, source, whose, kept, now
                )
                letters.insert_letters(connection, source, kept_letters, now)
                counts = SourceCounts(
                    source,
                    received=received,
                    stored=len(new),
                    duplicates=len(kept) - len(new),
                    dead_letters=len(kept_letters),
                    dropped=received - len(events) - len(dead_letters),
                    forgotten=len(events) - len(kept) + len(dead_letters) - len(kept_letters),
                )
                sources.add_batch(connection, counts, cursor, whose)
                sources.add_plugin_counts(connection, source, plugin_counts)
            self._intake.remember(new)
        return counts

    def resolve_dead_letters(
        self,
        source: str,
        events: pa.Table,
        resolved: Sequence[int],
        reasons: Mapping[int, str],
        *,
        now: datetime,
        plugin_counts: Mapping[str, Mapping[str, int]] = MappingProxyType({}),
        namespace: str | None = None,
    ) -> ReplayCounts:
        """Put events in the place of dead letters that can be read now; all or nothing.

        Args:
            source: The source's name.
            events: `events.IDENTIFIED`: what the resolved letters became. Those that became no
                event were dropped by a plugin.
            resolved: Ids of letters that could be read.
            reasons: Why each of the others could not, by id.
            now: The time to note with the events.
            plugin_counts: See `append`.
            namespace: See `append`.

        Raises:
            DataError: One of the letters has been resolved already.
        """
        with self._writing:
            with self._database.writing() as connection:
                letters.delete_letters(connection, source, resolved)
                letters.update_reasons(connection, source, reasons)
                kept, _ = self._intake.screen(events)
                whose = source if namespace is None else namespace
                new = self._intake.insert_new(
                    connection, self._database.epoch, source, whose, kept, now
                )
                counts = ReplayCounts(
                    stored=len(new),
                    duplicates=len(kept) - len(new),
                    # A letter may be a conversation, which gives several events.
                    dropped=max(0, len(resolved) - len(events)),
                    still_dead=len(reasons),
                    forgotten=len(events) - len(kept),
                )
                sources.move_resolved(connection, source, len(resolved), counts)
                sources.add_plugin_counts(connection, source, plugin_counts)
            self._intake.remember(new)
        return counts

    def adopt_namespace(self, source: str, namespace: str) -> None:
        """Put what is stored of a source where its ids belong now; called before it is read.

        What was received twice as long as it was elsewhere was counted as such, and stays so.
        """
        with self._writing:
            with self._database.writing() as connection:
                moved = sources.adopt_namespace(connection, source, namespace)
            if moved:
                self._intake.forget()
                forget_standing(self._database.path)

    def expire_parked(self, before: datetime) -> int:
        """Delete votes received before a time that still wait for their answer; return how many.

        They are remembered by id: one that is delivered again is a duplicate.
        """
        with self._writing, self._database.writing() as connection:
            return sources.expire_parked(connection, before)

    def remove(self, subject: Subject) -> None:
        """Write the file anew without what is stored of a rater or a generation.

        It is written anew even when nothing is stored of them: what was deleted before, such as
        votes that expired, is still in it. Remember them in `forgotten` first.

        Raises:
            BusyError: Another process has opened the file meanwhile; nothing was changed.
            DiskFullError: There is no space for a second file; nothing was changed.
        """
        with self._writing:
            forget_standing(self._database.path)
            self._database.replace(
                lambda old, fresh: forgetting.written_without(old, fresh, subject)
            )

    def checkpoint(self) -> None:
        """Move what is in the write-ahead log into the file.

        Raises:
            DiskFullError: There is no space for it. Everything is still there, in the log.
        """
        with self._writing:
            self._database.checkpoint()

    def _shorten_log(self) -> None:
        """Who opens the file reads the whole log first."""
        if self._database.log_size() > _LONG_LOG_BYTES:
            with suppress(DiskFullError):
                self._database.checkpoint(unless_lent=True)
