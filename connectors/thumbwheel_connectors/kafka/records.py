"""Records of Kafka, decoded by aiokafka's extension module.

kafka-python fetches, and tells which batches count. Its own decoder of records is Python, and takes
most of the time that its consumer does: a record costs 8 us of CPU with it, 3.3 with this one. It
has no setting for another one, so what is private to it is used here and nowhere else: the
consumer's `_fetcher`, a batch's `_buffer`, and the methods that `DecodedRecords` overrides or
calls. Its version is therefore held below the next minor one.
"""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from aiokafka.record.default_records import DefaultRecordBatch
from kafka.consumer.fetcher import Fetcher
from kafka.errors import CorruptRecordError

from thumbwheel_connectors.kafka.errors import named

if TYPE_CHECKING:
    from kafka import KafkaConsumer

__all__ = ["DecodedRecords", "decode_quickly"]

# Before it, every message was a batch of its own; kafka-python reads those.
_BATCH_FORMAT = 2


def decode_quickly(consumer: "KafkaConsumer") -> None:
    """Let a consumer hand out `DecodedRecords`."""
    consumer._fetcher.PartitionRecords = DecodedRecords  # noqa: SLF001


class DecodedRecords(Fetcher.PartitionRecords):  # type: ignore[misc]
    """What a fetch brought of a partition; of transactions, only committed ones.

    A record has `offset`, `timestamp` (milliseconds since 1970) and `value` (bytes or None).

    Raises:
        CorruptRecordError: A batch is damaged; those before it were handed out.
    """

    def _unpack_records(self, partition: Any, records: Any, *_: Any) -> Iterator[Any]:
        for batch in records:
            if not batch.validate_crc():
                raise _corrupt(partition, batch, "its checksum is wrong")
            is_legacy = batch.magic < _BATCH_FORMAT
            if is_legacy or self._counts(batch):
                self.bytes_read += batch.size_in_bytes
                for record in batch if is_legacy else _decoded(partition, batch):
                    self.next_fetch_offset = record.offset + 1
                    yield record
            if not is_legacy:
                # Compaction may have taken the last record away.
                self.next_fetch_offset = batch.next_offset
        self.drain()

    def _counts(self, batch: Any) -> bool:
        """Tell whether a batch holds events: it is no marker and no aborted transaction's."""
        self.leader_epoch = batch.leader_epoch
        self._consume_aborted_transactions_up_to(batch.last_offset)
        if self._contains_abort_marker(batch):
            self.aborted_producer_ids.discard(batch.producer_id)
        return not (batch.is_control_batch or self._is_batch_aborted(batch))


def _decoded(partition: Any, batch: Any) -> Iterator[Any]:
    try:
        yield from DefaultRecordBatch(bytes(batch._buffer))  # noqa: SLF001
    except Exception as error:
        # Each codec fails in its own way.
        raise _corrupt(partition, batch, " ".join(map(str, error.args))) from error


def _corrupt(partition: Any, batch: Any, why: str) -> CorruptRecordError:
    return CorruptRecordError(f"{named(partition)} at offset {batch.base_offset}: {why}")
