"""What is read of an opened store: each method sees one moment, whatever is written meanwhile."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import pyarrow as pa

from thumbwheel.config import VotePolicy
from thumbwheel.store import accounts, conflicts, forgetting, letters, production, sources
from thumbwheel.store.accounts import Accounts, EventState
from thumbwheel.store.database import Database
from thumbwheel.store.forgetting import Found
from thumbwheel.store.forgotten import Subject
from thumbwheel.store.production import ProductionPrompt
from thumbwheel.store.sides import vote_sides
from thumbwheel.store.snapshot import write_snapshot
from thumbwheel.store.standing import Standing, parked_as_counted, standing
from thumbwheel.store.values import (
    ConflictingIds,
    PluginCount,
    Snapshot,
    SourceState,
    StoredDeadLetter,
    VoteSides,
)
from thumbwheel.store.verify import verify
from thumbwheel.store.votes import WeighedVotes, count_votes
from thumbwheel.types import SourceCounts, VoteCounts

__all__ = ["StoreReader"]


class StoreReader:
    """The part of a store that changes nothing; see `Store`."""

    def __init__(self, database: Database) -> None:
        self._database = database

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

    def find(self, subject: Subject) -> Found:
        """Return what is stored of a rater or a generation."""
        with self._database.reading() as connection:
            return forgetting.find(connection, subject)
