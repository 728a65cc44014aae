"""What comes into the store: who was forgotten is left out, and what was received before."""

from collections.abc import Sequence
from datetime import datetime

import pyarrow as pa

from thumbwheel.store.connection import Connection, stream
from thumbwheel.store.forgotten import Forgotten
from thumbwheel.store.seen import Digests, SeenEvents, digests_of
from thumbwheel.store.values import DeadLetter

__all__ = ["Intake"]

_RECEIVED = """
SELECT namespace, event_id, updated_at FROM scoped_events
UNION ALL SELECT namespace, event_id, updated_at FROM expired_events JOIN sources USING (source)
"""


class Intake:
    """Screens and inserts events; whoever uses it holds the lock of who writes.

    Args:
        forgotten: Whose records are left out.
    """

    def __init__(self, forgotten: Forgotten) -> None:
        self._forgotten = forgotten
        self._seen = SeenEvents()
        self._arrival = 0
        self._epoch = 0

    def screen(
        self, events: pa.Table, dead_letters: Sequence[DeadLetter] = ()
    ) -> tuple[pa.Table, Sequence[DeadLetter]]:
        """Leave out what is about those who were forgotten."""
        if not len(self._forgotten):
            return events, dead_letters
        kept = [letter for letter in dead_letters if not self._forgotten.is_named_in(letter.raw)]
        return self._forgotten.screen(events), kept

    def insert_new(
        self,
        connection: Connection,
        epoch: int,
        source: str,
        namespace: str,
        events: pa.Table,
        now: datetime,
    ) -> Digests:
        """Insert what was not received before; return its hashes, to be remembered.

        Args:
            connection: In a transaction.
            epoch: The `Database.epoch` that it is of.
            source: The source's name.
            namespace: Whose ids the events bear.
            events: `events.IDENTIFIED`.
            now: The time to note with them.
        """
        self._recall(connection, epoch)
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

    def remember(self, new: Digests) -> None:
        """Know what was inserted, once it is committed."""
        self._seen.add(new)
        self._arrival += len(new)

    def forget(self) -> None:
        """Learn anew what was received before: namespaces have changed."""
        self._epoch = 0

    def _recall(self, connection: Connection, epoch: int) -> None:
        """Learn what was received before, unless it is known since the file was opened."""
        if self._epoch == epoch:
            return
        import pyarrow.compute as pc

        self._seen = SeenEvents()
        for batch in stream(connection, _RECEIVED, 1_000_000):
            for namespace in batch.column(0).unique().to_pylist():
                theirs = batch.filter(pc.equal(batch.column(0), namespace))
                self._seen.add(digests_of(pa.Table.from_batches([theirs]), namespace))
        ((self._arrival,),) = connection.execute(
            "SELECT coalesce(max(arrival) + 1, 0) FROM events"
        ).fetchall()
        self._epoch = epoch
