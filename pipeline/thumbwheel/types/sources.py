"""Where events come from: records, and what a connector is."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol, runtime_checkable

__all__ = [
    "Batch",
    "Connector",
    "EventLog",
    "ForgettingConnector",
    "GatheringConnector",
    "Lag",
    "Receiver",
    "ReceivingConnector",
    "Record",
]


class Record(NamedTuple):
    """One raw event as its source holds it.

    `position` says where it stands in words an operator can follow, such as
    `export.jsonl:17` or `thumbs[2]@9041`.
    """

    raw: bytes
    position: str


@dataclass(frozen=True, slots=True)
class Lag:
    """How far reading is behind its source: in records, and in seconds since the last one read.

    None is for what a source cannot tell.
    """

    records: int | None = None
    seconds: float | None = None


@dataclass(frozen=True, slots=True)
class Batch:
    """Records in source order, and the cursor behind the last of them.

    `cursor` is opaque text: whoever stores it hands it back to `Connector.open` and reading goes
    on behind these records. `progress` is the share of the source read so far, in [0, 1]; `lag`
    is what is left behind these records.
    """

    records: Sequence[Record]
    cursor: str
    progress: float
    lag: Lag = Lag()


class EventLog(Protocol):
    """An opened source: a replayable log of events, read from a cursor on."""

    def poll(self, max_records: int) -> Batch | None:
        """Return up to `max_records` next records, or None when caught up for now."""
        ...

    def acknowledge(self, cursor: str) -> None:
        """Tell the source that everything up to `cursor` is stored. Called after the commit."""
        ...

    def close(self) -> None:
        """Release what is held open."""
        ...


class Connector(Protocol):
    """Where events come from: a frozen pydantic dataclass whose fields are its options."""

    def open(self, cursor: str | None) -> EventLog:
        """Open the source behind `cursor`, or from its beginning when None.

        Raises:
            SourceError: The source cannot be read as configured.
            UnavailableError: The source does not answer.
        """
        ...


class Receiver(Protocol):
    """A running server that takes in what others send, at `url`."""

    @property
    def url(self) -> str:
        """Where it listens."""
        ...

    def close(self) -> None:
        """Stop: finish what was begun, so that all that was acknowledged is in the log."""
        ...


@runtime_checkable
class ReceivingConnector(Connector, Protocol):
    """A connector whose events are sent to it; what it acknowledges is in its log, on disk.

    `open` reads that log, whether or not anybody receives.
    """

    def listen(
        self, parser: Any = None, keep: Callable[[Sequence[bytes]], Sequence[bytes]] | None = None
    ) -> Receiver:
        """Begin to receive; called once, by the process that reads the source continuously.

        Args:
            parser: The `events.EventParser` that reads the log: what it cannot read is refused.
                None for records in Thumbwheel's event format.
            keep: Returns records as they may be kept on disk, without what plugins redact; it may
                take as long as a plugin does. None keeps them as they are.

        Raises:
            SourceError: It cannot listen as configured.
            BusyError: Another process receives into its log.
        """
        ...


@runtime_checkable
class GatheringConnector(Connector, Protocol):
    """A connector that can hand on records that belong together as one: a JSON array of them."""

    def gather(self, key: str | tuple[str, ...]) -> Connector:
        """Return a connector to the same source whose records with the same `key` are one.

        What has no such key stays as it is.
        """
        ...


@runtime_checkable
class ForgettingConnector(Connector, Protocol):
    """A connector that keeps records in a log of its own, and can take some of them out again."""

    def forget(self, is_forgotten: Callable[[Sequence[bytes]], Sequence[bool]]) -> int:
        """Remove records for good, such as were read already and such as were not.

        Cursors stay valid, and their bytes are nowhere in the log when this returns. Called while
        nobody reads; after a kill it is called again.

        Args:
            is_forgotten: Flags, of some raw records in the order of the log, those to remove.

        Returns:
            How many were removed.

        Raises:
            SourceError: The log cannot be read or written.
            BusyError: Another process receives into it.
        """
        ...
