"""Records as this project decodes them are those that kafka-python would have handed out."""

import struct
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from kafka import TopicPartition
from kafka.consumer.fetcher import Fetcher, IsolationLevel
from kafka.record import MemoryRecords, MemoryRecordsBuilder
from kafka.record.util import calc_crc32c

from thumbwheel.errors import UnavailableError
from thumbwheel_connectors.kafka.errors import answering
from thumbwheel_connectors.kafka.records import DecodedRecords

BASE_OFFSET, LEADER_EPOCH, CRC, ATTRIBUTES = 0, 12, 17, 21
CONTROL = 0x20
CODECS = {"none": 0, "gzip": 1, "snappy": 2, "lz4": 3, "zstd": 4}

short = st.binary(max_size=200)
record = st.fixed_dictionaries(
    {
        "timestamp": st.integers(0, 1 << 41),
        "key": st.none() | short,
        "value": st.none() | short,
        "headers": st.lists(st.tuples(st.text(max_size=5), st.none() | short), max_size=2),
    }
)
batch = st.fixed_dictionaries(
    {
        "records": st.lists(record, min_size=1, max_size=4),
        "codec": st.sampled_from(sorted(CODECS)),
        "producer": st.none() | st.integers(0, 2),
        "compacted": st.tuples(st.integers(0, 2), st.integers(0, 2)),
        "epoch": st.integers(0, 9),
    }
)
marker = st.fixed_dictionaries({"producer": st.integers(0, 2), "commits": st.booleans()})
legacy = st.fixed_dictionaries({"legacy": st.lists(record, min_size=1, max_size=3)})


class Log:
    """What a broker sends of a partition whose producers wrote and ended transactions."""

    def __init__(self):
        self.buffer, self.end, self.aborted = b"", 0, []
        self._begun = {}

    def add(self, item):
        if "legacy" in item:
            self._add_legacy(item["legacy"])
        elif "commits" in item:
            self._end_transaction(**item)
        else:
            self._add_batch(**item)

    def _add_legacy(self, records):
        builder = MemoryRecordsBuilder(1, 0, 1 << 20, offset=self.end)
        for one in records:
            builder.append(one["timestamp"], one["key"], one["value"])
        builder.close()
        self.buffer += bytes(builder.buffer())
        self.end += len(records)

    def _add_batch(self, records, codec, producer, compacted, epoch, control=0):
        written_by = {}
        if producer is not None:
            written_by = {"producer_id": producer, "producer_epoch": 0, "base_sequence": 0}
            self._begun.setdefault(producer, self.end)
        builder = MemoryRecordsBuilder(
            2, CODECS[codec], 1 << 20, transactional=producer is not None, **written_by
        )
        gap, gap_at_end = compacted
        for number, one in enumerate(records):
            builder.skip(gap if number else 0)
            builder.append(one["timestamp"], one["key"], one["value"], one["headers"])
        builder.close()
        data = bytearray(builder.buffer())
        (attributes, last) = struct.unpack_from(">hi", data, ATTRIBUTES)
        struct.pack_into(">hi", data, ATTRIBUTES, attributes | control, last + gap_at_end)
        struct.pack_into(">q", data, BASE_OFFSET, self.end)
        struct.pack_into(">i", data, LEADER_EPOCH, epoch)
        struct.pack_into(">I", data, CRC, calc_crc32c(data[ATTRIBUTES:]))
        self.buffer += bytes(data)
        self.end += last + gap_at_end + 1

    def _end_transaction(self, producer, commits):
        key = struct.pack(">hh", 0, int(commits))
        mark = {"timestamp": 0, "key": key, "value": b"", "headers": []}
        self._begun.setdefault(producer, self.end)
        self._add_batch([mark], "none", producer, (0, 0), 0, CONTROL)
        begun = self._begun.pop(producer)
        if not commits:
            self.aborted.append(SimpleNamespace(producer_id=producer, first_offset=begun))


def opened(kind, log, offset):
    return kind(
        offset,
        TopicPartition("thumbs", 0),
        MemoryRecords(log.buffer),
        isolation_level=IsolationLevel.READ_COMMITTED,
        aborted_transactions=log.aborted,
    )


def taken(records, count):
    """What a consumer sees of one step: the records, and where it would go on."""
    seen = [(one.offset, one.timestamp, one.value) for one in records.take(count)]
    return seen, records.next_fetch_offset, records.leader_epoch, bool(records)


@given(
    st.lists(batch | marker | legacy, min_size=1, max_size=12),
    st.integers(0, 20),
    st.integers(1, 5),
)
def test_records_are_those_of_kafka_python(items, offset, step):
    """All codecs, tombstones, headers, gaps, aborted transactions; in steps, from any offset."""
    log = Log()
    for item in items:
        log.add(item)
    ours, theirs = (
        opened(kind, log, offset) for kind in (DecodedRecords, Fetcher.PartitionRecords)
    )
    while theirs:
        assert taken(ours, step) == taken(theirs, step)
    assert not ours


def one_batch(value, codec):
    log = Log()
    only = {"timestamp": 0, "key": None, "value": value, "headers": []}
    log.add({"records": [only], "codec": codec, "producer": None, "compacted": (0, 0), "epoch": 0})
    return log


def with_garbled_end(batch):
    """What was compressed wrongly to begin with has the right checksum."""
    data = bytearray(batch)
    data[-8:] = bytes(8)
    struct.pack_into(">I", data, CRC, calc_crc32c(data[ATTRIBUTES:]))
    return bytes(data)


@pytest.mark.parametrize(
    ("damaged", "reason"),
    [
        (one_batch(b"bad", "none").buffer.replace(b"bad", b"bed"), "its checksum is wrong"),
        (with_garbled_end(one_batch(b"bad", "none").buffer), "Invalid record size"),
        (with_garbled_end(one_batch(b"bad" * 100, "zstd").buffer), "Data corruption"),
    ],
    ids=["flipped", "garbled", "compressed"],
)
def test_a_damaged_batch_is_told_and_those_before_it_are_read(damaged, reason):
    """What was read before is handed out; then one line says where the damage is."""
    log = one_batch(b"good", "lz4")
    log.buffer += damaged
    records = opened(DecodedRecords, log, 0)
    assert [one.value for one in records.take(10)] == [b"good"]
    told = rf"sent a damaged batch, thumbs\[0\] at offset 0: {reason}"
    with pytest.raises(UnavailableError, match=told), answering("127.0.0.1:9092"):
        records.take(10)
