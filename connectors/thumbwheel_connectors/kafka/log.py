"""Kafka topics as a replayable log: offsets come from the cursor, never from Kafka."""

import json
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any

import pydantic_core

from thumbwheel.errors import SourceError, UnavailableError
from thumbwheel.types import Batch, Lag, Record
from thumbwheel_connectors.kafka.errors import answering, lost_events, named

if TYPE_CHECKING:
    from kafka import KafkaConsumer, TopicPartition
    from kafka.structs import OffsetAndMetadata

__all__ = ["KafkaLog", "Offsets", "parse_cursor"]

Offsets = dict[str, dict[int, int]]
"""The offset of the next event, by topic and partition."""

_POLL_MS = 500
_ENOUGH_BYTES = 2 << 20
_CLOSE_MS = 2000


class KafkaLog:
    """All partitions of some topics, read by one assigned (not subscribed) consumer.

    They are read in rounds. A round goes to where the partitions ended when it began, and None
    marks its end, so that reading comes to an end on a topic that is written to all the time. The
    next `poll` begins another round and takes up partitions that were added.

    Args:
        consumer: A connected consumer of bytes, without auto-commit and offset reset.
        topics: The topics to read.
        offsets: Where to go on. A partition not named begins at the start of its log.
        skip_lost: Go on with what is left when the next event is gone from a topic.
        tells_tombstones: Hand out a record without a value as an object with its key.
        timeout_ms: How long the broker may be silent.

    Raises:
        SourceError: A topic does not exist, or an offset is no longer in it.
        UnavailableError: The broker does not answer.
    """

    def __init__(
        self,
        consumer: "KafkaConsumer",
        *,
        topics: Sequence[str],
        offsets: Offsets,
        skip_lost: bool,
        tells_tombstones: bool = False,
        timeout_ms: int,
    ) -> None:
        self._consumer = consumer
        self._servers = ",".join(consumer.config["bootstrap_servers"])
        self._topics = topics
        self._stored = offsets
        self._skip_lost = skip_lost
        self._tombstone = _tombstone if tells_tombstones else _no_value
        self._timeout_ms = timeout_ms
        self._first: dict[TopicPartition, int] = {}
        self._next: dict[TopicPartition, int] = {}
        self._ends: dict[TopicPartition, int] = {}
        self._read_until: dict[TopicPartition, int] = {}
        self._acknowledged: dict[TopicPartition, OffsetAndMetadata] = {}
        self._failure: SourceError | UnavailableError | None = None
        self._begin_round()

    def _begin_round(self) -> None:
        with answering(self._servers):
            partitions = self._partitions()
            self._ends = self._consumer.end_offsets(partitions, timeout_ms=self._timeout_ms)
            self._ends_are_confirmed = self._has_fetched = False
            added = [partition for partition in partitions if partition not in self._next]
            if added:
                self._first |= self._consumer.beginning_offsets(added, timeout_ms=self._timeout_ms)
                self._consumer.assign(partitions)
            for partition in added:
                first = self._first[partition]
                offset = self._stored.get(partition.topic, {}).get(partition.partition, first)
                if offset < first:
                    self._go_on_behind_loss(partition, offset)
                else:
                    self._seek(partition, offset)
        self._round_is_over = False

    def _partitions(self) -> "list[TopicPartition]":
        from kafka import TopicPartition

        partitions = []
        for topic in self._topics:
            numbers = self._consumer.partitions_for_topic(topic)
            if not numbers:
                close = get_close_matches(topic, self._consumer.topics(), n=1)
                hint = f"did you mean {close[0]!r}?" if close else "create it, or mend `topics`"
                raise SourceError(
                    f"there is no topic {topic!r}, or this user may not read it; {hint}"
                )
            gone = self._stored.get(topic, {}).keys() - numbers
            if gone and not self._skip_lost:
                raise lost_events(
                    f"{topic}[{min(gone)}], which was read before, is not there any more"
                )
            partitions += [TopicPartition(topic, number) for number in sorted(numbers)]
        return partitions

    def _seek(self, partition: "TopicPartition", offset: int) -> None:
        self._consumer.seek(partition, offset)
        self._next[partition] = offset

    def _go_on_behind_loss(self, partition: "TopicPartition", offset: int) -> None:
        limits = {"partitions": [partition], "timeout_ms": self._timeout_ms}
        self._first |= self._consumer.beginning_offsets(**limits)
        self._ends |= self._consumer.end_offsets(**limits)
        if not self._skip_lost:
            raise lost_events(
                f"{named(partition)} goes from offset {self._first[partition]} to "
                f"{self._ends[partition]}, and reading should go on at {offset}"
            )
        self._seek(partition, self._first[partition])

    def poll(self, max_records: int) -> Batch | None:
        """Return the next records; None ends a round. A log that failed is not to be read on.

        Raises:
            SourceError: Events were deleted from a topic before they had been read.
            UnavailableError: The broker does not answer.
        """
        if self._failure is not None:
            raise self._failure
        if self._round_is_over:
            self._begin_round()
        deadline = time.monotonic() + self._timeout_ms / 1000
        while not self._has_reached_ends():
            if fetched := self._fill(max_records):
                return self._batch(fetched)
            if self._ends_are_confirmed or time.monotonic() > deadline:
                break
        self._round_is_over = True
        return None

    def _has_reached_ends(self) -> bool:
        # Only what a fetch has told counts: reading that would go on beyond the end, because the
        # topic was made anew, must not look like having reached it.
        high = {partition: self._consumer.highwater(partition) for partition in self._next}
        if not self._has_fetched or None in high.values():
            return False
        for partition, offset in self._next.items():
            if offset > high[partition]:
                with answering(self._servers):
                    self._go_on_behind_loss(partition, offset)
        if not self._ends_are_confirmed and self._is_at(self._ends):
            # Not every broker's answer about ends is up to date: once, try what fetches tell. There
            # may be nothing more to read (an open transaction), so an empty fetch ends the round.
            self._ends, self._ends_are_confirmed = high, True
        return self._ends_are_confirmed and self._is_at(self._ends)

    def _is_at(self, ends: "Mapping[TopicPartition, int]") -> bool:
        return all(offset >= ends[partition] for partition, offset in self._next.items())

    def _fill(self, max_records: int) -> "Mapping[TopicPartition, Sequence[Any]]":
        """Return a batch that is half full or more, in records or in bytes, or all there is.

        What is left of one answer of the broker may be a few records, and each batch is a commit.
        """
        filled: dict[TopicPartition, list[Any]] = {}
        room, n_bytes = max_records, 0
        try:
            while fetched := self._fetch(room):
                for partition, messages in fetched.items():
                    filled.setdefault(partition, []).extend(messages)
                    room -= len(messages)
                    n_bytes += sum(len(message.value or b"") for message in messages)
                if room <= max_records // 2 or n_bytes >= _ENOUGH_BYTES or self._has_reached_ends():
                    break
        except (SourceError, UnavailableError) as error:
            # What came before is good: it is handed out, and the next `poll` raises.
            self._failure = error
            if not filled:
                raise
        return filled

    def _fetch(self, max_records: int) -> "Mapping[TopicPartition, Sequence[Any]]":
        from kafka.errors import OffsetOutOfRangeError

        self._has_fetched = True
        with answering(self._servers):
            try:
                fetched: Mapping[TopicPartition, Sequence[Any]] = self._consumer.poll(
                    timeout_ms=_POLL_MS, max_records=max_records
                )
            except OffsetOutOfRangeError as error:
                for partition, offset in error.args[0].items():
                    self._go_on_behind_loss(partition, offset)
                return {}
            if not fetched:
                # Is there nothing to send (an open transaction), or nobody to send it?
                self._consumer.end_offsets(list(self._next), timeout_ms=self._timeout_ms)
            for partition in fetched or self._next:
                # Not the last record's offset + 1: transaction markers take offsets too, and
                # compaction leaves gaps, which no record tells of.
                position = self._consumer.position(partition, timeout_ms=self._timeout_ms)
                self._next[partition] = max(self._next[partition], position or 0)
        return fetched

    def _batch(self, fetched: "Mapping[TopicPartition, Sequence[Any]]") -> Batch:
        records: list[Record] = []
        for partition, messages in fetched.items():
            prefix = f"{named(partition)}@"
            records += [
                Record(m.value or self._tombstone(m), f"{prefix}{m.offset}") for m in messages
            ]
            self._read_until[partition] = messages[-1].timestamp
        # Offsets of topics that are not read now are kept, for when they are again.
        cursor = self._stored | {topic: {} for topic in self._topics}
        for partition, offset in self._next.items():
            cursor[partition.topic][partition.partition] = offset
        read = sum(offset - self._first[p] for p, offset in self._next.items())
        total = sum(end - self._first[p] for p, end in self._ends.items())
        text = json.dumps({"topics": cursor}, separators=(",", ":"))
        return Batch(records, text, min(1.0, read / max(1, total)), self._lag())

    def _lag(self) -> Lag:
        """Return what is left as far as fetches have told; it costs no request."""
        left = {
            partition: max(self._ends[partition], self._consumer.highwater(partition) or 0) - offset
            for partition, offset in self._next.items()
        }
        behind = {partition for partition, count in left.items() if count > 0}
        if not behind:
            return Lag(0, 0.0)
        # A partition of which nothing has been read yet has no age: what has been read stands in.
        read = {p: at for p, at in self._read_until.items() if at > 0}
        times = [at for p, at in read.items() if p in behind] or list(read.values())
        age = max(0.0, time.time() - min(times) / 1000) if times else None
        return Lag(sum(left[partition] for partition in behind), age)

    def acknowledge(self, cursor: str) -> None:
        """Commit offsets under the consumer's group, if it has one; failing to is no failure."""
        from kafka import TopicPartition
        from kafka.errors import KafkaError
        from kafka.structs import OffsetAndMetadata

        if self._consumer.config["group_id"] is None:
            return
        self._acknowledged = {
            TopicPartition(topic, number): OffsetAndMetadata(offset, "", -1)
            for topic, partitions in parse_cursor(cursor).items()
            for number, offset in partitions.items()
        }
        with suppress(KafkaError):
            self._consumer.commit_async(self._acknowledged)

    def close(self) -> None:
        """Disconnect."""
        from kafka.errors import KafkaError

        if self._acknowledged:
            with suppress(KafkaError):
                self._consumer.commit(self._acknowledged, timeout_ms=_CLOSE_MS)
        self._consumer.close(autocommit=False, timeout_ms=_CLOSE_MS)


def parse_cursor(cursor: str | None) -> Offsets:
    """Return the offsets a cursor holds; none when there is no cursor yet.

    Raises:
        SourceError: The cursor is another connector's.
    """
    if cursor is None:
        return {}
    try:
        return {
            topic: {int(number): int(offset) for number, offset in partitions.items()}
            for topic, partitions in json.loads(cursor)["topics"].items()
        }
    except (ValueError, TypeError, LookupError, AttributeError) as error:
        raise SourceError(
            "this source was read by another connector before; give it a new `name` to read topics"
        ) from error


def _no_value(message: Any) -> bytes:
    """Return nothing, which is kept as an empty record, and so as a dead letter."""
    return b""


def _tombstone(message: Any) -> bytes:
    """Return a record without a value as a JSON object with its key, which may be JSON itself."""
    if message.value is not None:
        return b""
    key: Any = (message.key or b"").decode(errors="replace")
    with suppress(ValueError):
        key = pydantic_core.from_json(key, allow_inf_nan=False)
    told = {"tombstone": True, "key": key, "timestamp": message.timestamp}
    return pydantic_core.to_json(told)
