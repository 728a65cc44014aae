"""The store's operations: one writer, any number of readers, everything in transactions."""

import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack, suppress
from datetime import datetime
from pathlib import Path
from types import MappingProxyType
from typing import Self, TypeVar

import pyarrow as pa
import pyarrow.compute as pc

from thumbwheel.config import VotePolicy
from thumbwheel.errors import DiskFullError
from thumbwheel.store import accounts, conflicts, forgetting, letters, production, sources
from thumbwheel.store.accounts import Accounts, EventState
from thumbwheel.store.database import Connection, Database, stream
from thumbwheel.store.forgetting import Found
from thumbwheel.store.forgotten import Forgotten, Subject
from thumbwheel.store.production import ProductionPrompt
from thumbwheel.store.query import borrowed_process, remove_spilled
from thumbwheel.store.seen import Digests, SeenEvents, digests_of
from thumbwheel.store.snapshot import write_snapshot
from thumbwheel.store.standing import (
    Standing,
    forget_standing,
    parked_as_counted,
    standing,
    vote_sides,
)
from thumbwheel.store.values import (
    ConflictingIds,
    DeadLetter,
    PluginCount,
    ReplayCounts,
    Snapshot,
    SourceState,
    StoredDeadLetter,
    VoteSides,
)
from thumbwheel.store.verify import verify
from thumbwheel.store.votes import WeighedVotes, count_votes
from thumbwheel.types import SourceCounts, VoteCounts

__all__ = ["Store"]

_T = TypeVar("_T")

_CHECKPOINT_BYTES = 256_000_000
_LONG_LOG_BYTES = 32_000_000

_RECEIVED = """
SELECT namespace, event_id, updated_at FROM scoped_events
UNION ALL SELECT namespace, event_id, updated_at FROM expired_events JOIN sources USING (source)
"""


class Store:
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
        self._database = Database(path)
        remove_spilled(path)
        try:
            self.forgotten = Forgotten(path.parent / "forgotten")
        except BaseException:
            self._database.close()
            raise
        self._writing = threading.RLock()
        self._seen = SeenEvents()
        self._arrival = 0
        self._recalled_epoch = 0

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

    # --- reading ---------------------------------------------------------------------------------

    def cursor(self, source: str) -> str | None:
        """Return where reading of `source` goes on, or None when it was never read."""
        with self._database.reading() as connection:
            return sources.read_cursor(connection, source)

    def source_counts(self) -> list[SourceCounts]:
        """Return the balance of every source read so far."""
        with self._database.reading() as connection:
            parked = parked_as_counted(connection, self._database.path)
            return sources.balance(connection, parked)

    def source_states(self) -> list[SourceState]:
        """Return how every source that is being read fares: none is, by the file alone."""
        return []

    def plugin_counts(self) -> list[PluginCount]:
        """Return what plugins did to the events before they were stored."""
        with self._database.reading() as connection:
            return sources.plugin_counts(connection)

    def vote_counts(self) -> VoteCounts:
        """Return what became of the stored votes."""
        with self._database.reading() as connection:
            return count_votes(connection)

    def conflicting_ids(self) -> list[ConflictingIds]:
        """Return the ids that name several answers, or that two sources claim."""
        with self._database.reading() as connection:
            return conflicts.conflicting_ids(connection)

    def standing(self, policy: VotePolicy) -> Standing:
        """Return which votes count and whose do not; the last counting may be kept for a while."""
        with self._database.reading() as connection:
            return standing(connection, policy, self._database.path)

    def vote_sides(self) -> list[VoteSides]:
        """Return the sides of every source's votes, withdrawn ones left out."""
        with self._database.reading() as connection:
            return vote_sides(connection)

    def dead_letters(
        self, *, source: str | None = None, limit: int = 100
    ) -> list[StoredDeadLetter]:
        """Return dead letters of one source, or of all, the newest first."""
        with self._database.reading() as connection:
            return letters.list_letters(connection, source, limit)

    def dead_letter(self, letter_id: int) -> tuple[StoredDeadLetter, bytes]:
        """Return a dead letter and its bytes.

        Raises:
            DataError: There is none with this id.
        """
        with self._database.reading() as connection:
            return letters.letter_bytes(connection, letter_id)

    def dead_letter_reasons(self, limit: int = 10) -> list[tuple[str, int, str]]:
        """Return (reason, count, an example's position), the most frequent first."""
        with self._database.reading() as connection:
            return letters.top_reasons(connection, limit)

    def letters_to_replay(self, source: str, after_id: int, limit: int) -> list[tuple[int, bytes]]:
        """Return (id, bytes) of a source's dead letters behind an id, ids ascending."""
        with self._database.reading() as connection:
            return letters.letters_behind(connection, source, after_id, limit)

    def snapshot(self, path: Path, policy: VotePolicy) -> Snapshot:
        """Write what raters hold to a new directory and return what is in it.

        The digest identifies the content: it does not depend on the order of arrival, only on who
        holds which opinion now.

        Args:
            path: The directory; one that is there already is replaced.
            policy: Which votes count, and how much.

        Raises:
            DiskFullError: There is no space left for the files.
        """
        with self._database.reading() as connection:
            return write_snapshot(WeighedVotes(connection, policy), path)

    def accounts(self, fates: pa.Table, policy: VotePolicy) -> Accounts:
        """Count everything that was received, each event once, by what became of it.

        Args:
            fates: `accounts.FATES`: what became of the rated completions.
            policy: Which votes count and how much, as for the snapshot that the fates came from.
        """
        with self._database.reading() as connection:
            return accounts.take_stock(WeighedVotes(connection, policy), fates)

    def event_state(self, event_id: str, policy: VotePolicy) -> EventState | None:
        """Return where an event stands, or None when nothing is known of it."""
        with self._database.reading() as connection:
            return accounts.event_state(connection, event_id, policy)

    def prompt_pool(self, policy: VotePolicy, size: int) -> Mapping[str, str]:
        """Return up to `size` prompts of users: the end of each one's text, by prompt_id."""
        with self._database.reading() as connection:
            return production.prompt_pool(connection, policy, size)

    def production_prompts(
        self, policy: VotePolicy, prompt_ids: Sequence[str]
    ) -> list[ProductionPrompt]:
        """Return prompts of users with some of the completions that production gave."""
        with self._database.reading() as connection:
            return production.production_prompts(connection, policy, prompt_ids)

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
        with borrowed_process(timeout_seconds) as process, ExitStack() as stack:
            with self._writing:
                self._shorten_log()
                path = stack.enter_context(self._database.lent(process.stop))
                process.open(path, sql, max_rows, timeout_seconds)
            return process.result()

    def size(self) -> int:
        """Return the bytes on disk: the file and its write-ahead log."""
        return self._database.size()

    def verify(self) -> None:
        """Read everything, and count every row anew.

        Raises:
            DamagedStoreError: A block is damaged, or the counts do not agree with the rows.
        """
        with self._database.reading() as connection:
            verify(connection, self._database.path)

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
            kept, kept_letters = self._screen(events, dead_letters)
            with self._database.writing() as connection:
                whose = source if namespace is None else namespace
                new = self._insert_new(connection, source, whose, kept, now)
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
            self._remember(new)
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
                kept, _ = self._screen(events)
                whose = source if namespace is None else namespace
                new = self._insert_new(connection, source, whose, kept, now)
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
            self._remember(new)
        return counts

    def adopt_namespace(self, source: str, namespace: str) -> None:
        """Put what is stored of a source where its ids belong now; called before it is read.

        What was received twice as long as it was elsewhere was counted as such, and stays so.
        """
        with self._writing:
            with self._database.writing() as connection:
                moved = sources.adopt_namespace(connection, source, namespace)
            if moved:
                self._recalled_epoch = 0
                forget_standing(self._database.path)

    def expire_parked(self, before: datetime) -> int:
        """Delete votes received before a time that still wait for their answer; return how many.

        They are remembered by id: one that is delivered again is a duplicate.
        """
        with self._writing, self._database.writing() as connection:
            return sources.expire_parked(connection, before)

    def find(self, subject: Subject) -> Found:
        """Return what is stored of a rater or a generation."""
        with self._database.reading() as connection:
            return forgetting.find(connection, subject)

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

    def _screen(
        self, events: pa.Table, dead_letters: Sequence[DeadLetter] = ()
    ) -> tuple[pa.Table, Sequence[DeadLetter]]:
        """Leave out what is about those who were forgotten."""
        if not len(self.forgotten):
            return events, dead_letters
        kept = [letter for letter in dead_letters if not self.forgotten.is_named_in(letter.raw)]
        return self.forgotten.screen(events), kept

    def _insert_new(
        self, connection: Connection, source: str, namespace: str, events: pa.Table, now: datetime
    ) -> Digests:
        """Insert what was not received before; return its hashes, for after the commit."""
        self._recall(connection)
        digests = digests_of(events, namespace)
        new = self._seen.unseen(digests)
        rows = events if new.all() else events.filter(pa.array(new))
        if len(rows):
            arrivals = pa.array(range(self._arrival, self._arrival + len(rows)), pa.int64())
            connection.register("batch", rows.append_column("arrival", arrivals))
            connection.execute(
                "INSERT INTO events BY NAME SELECT *, ? AS source, ? AS received_at FROM batch",
                [source, now],
            )
        return digests.take(new)

    def _recall(self, connection: Connection) -> None:
        """Learn what was received before, unless it is known since the file was opened."""
        if self._recalled_epoch == self._database.epoch:
            return
        self._seen = SeenEvents()
        for batch in stream(connection, _RECEIVED, 1_000_000):
            for namespace in batch.column(0).unique().to_pylist():
                theirs = batch.filter(pc.equal(batch.column(0), namespace))
                self._seen.add(digests_of(pa.Table.from_batches([theirs]), namespace))
        ((self._arrival,),) = connection.execute(
            "SELECT coalesce(max(arrival) + 1, 0) FROM events"
        ).fetchall()
        self._recalled_epoch = self._database.epoch

    def _remember(self, new: Digests) -> None:
        self._seen.add(new)
        self._arrival += len(new)
