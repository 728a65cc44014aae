"""The Kafka connector against real brokers: what it reads, and where it goes on."""

from types import SimpleNamespace

import pydantic_core
import pytest
from brokers import FORGOTTEN_SOCKETS, raws, tansu, values

from thumbwheel.config import SourceConfig
from thumbwheel.events.parallel import Parsing
from thumbwheel.ingest import SourcePipeline
from thumbwheel.plugin import PluginManager
from thumbwheel.store import Store
from thumbwheel_connectors.kafka import connector as kafka_module
from thumbwheel_connectors.kafka.connector import KafkaConnector
from thumbwheel_connectors.kafka.log import _tombstone

pytestmark = pytest.mark.filterwarnings(FORGOTTEN_SOCKETS)


def test_reads_every_partition_with_positions(broker, topic, connect, drain):
    """Every value of every partition comes once, as bytes, in order within its partition."""
    broker.create_topic(topic, partitions=3)
    for partition in range(3):
        broker.produce(topic, values(partition * 10, partition * 10 + 10), partition)
    records, _ = drain(connect().open(None), 7)
    assert raws(records) == sorted(values(0, 30))
    ours = [record for record in records if record.position.startswith(f"{topic}[1]")]
    assert [record.raw for record in ours] == values(10, 20)
    assert [record.position for record in ours] == [f"{topic}[1]@{n}" for n in range(10)]


def test_resumes_behind_any_batch(broker, topic, connect):
    """From the cursor of each batch, exactly the records behind it are read."""
    broker.create_topic(topic, partitions=2)
    broker.produce(topic, values(0, 30), 0)
    broker.produce(topic, values(30, 60), 1)
    cursor, seen = None, []
    while True:
        log = connect().open(cursor)
        batch = log.poll(9)
        log.close()
        if batch is None:
            break
        cursor = batch.cursor
        seen += batch.records
    assert raws(seen) == sorted(values(0, 60))


def test_what_was_not_stored_is_delivered_again(broker, topic, connect, drain):
    """Without a stored cursor everything is read again, whatever was acknowledged to Kafka."""
    broker.create_topic(topic)
    broker.produce(topic, values(0, 20))
    first, _ = drain(connect(group_id="dashboard").open(None))
    again, _ = drain(connect(group_id="dashboard").open(None))
    assert first == again
    assert len(first) == 20


def test_acknowledged_offsets_reach_dashboards(broker, topic, connect, drain):
    """With `group_id`, and only then, the committed offsets are the stored ones."""
    broker.create_topic(topic)
    broker.produce(topic, values(0, 20))
    drain(connect(group_id="lag-of-20").open(None))
    with broker.admin() as admin:
        (offsets,) = admin.list_group_offsets("lag-of-20").values()
    assert {(p.topic, p.partition): o.offset for p, o in offsets.items()} == {(topic, 0): 20}


def test_follows_and_comes_to_an_end(broker, topic, connect, drain):
    """An opened log reads on after it was caught up; an empty topic is caught up at once."""
    broker.create_topic(topic)
    log = connect().open(None)
    assert log.poll(10) is None
    for n in range(3):
        broker.produce(topic, values(n, n + 1))
        assert raws(drain(log, close=False)[0]) == values(n, n + 1)
    log.close()


def test_a_round_ends_on_a_topic_written_to_all_the_time(broker, topic, connect):
    """A single run comes to an end although new events arrive between any two polls."""
    broker.create_topic(topic)
    broker.produce(topic, values(0, 10))
    log = connect().open(None)
    polls = 0
    while log.poll(10) is not None:
        polls += 1
        broker.produce(topic, values(0, 10))
        assert polls < 10
    log.close()


def test_poison_and_tombstones_pass_as_bytes(broker, topic, connect, drain):
    """What is no JSON stops nothing; a record without a value becomes an empty one."""
    poison = [b"not json", b"\xff\xfe", b"\x00", None, b"", b'{"n": 1}']
    broker.create_topic(topic)
    broker.produce(topic, poison)
    records, _ = drain(connect().open(None))
    assert [record.raw for record in records] == [value or b"" for value in poison]


def test_tombstones_can_be_records():
    """With the option, what a record without a value takes back is told by its key."""
    told = [
        pydantic_core.from_json(_tombstone(SimpleNamespace(key=key, value=None, timestamp=5)))
        for key in (b'{"id": 7}', b"text \xff", None)
    ]
    assert [event["key"] for event in told] == [{"id": 7}, "text \ufffd", ""]
    assert all((event["tombstone"], event["timestamp"]) == (True, 5) for event in told)


def test_only_committed_transactions_are_read(broker, topic, connect, drain):
    """Aborted events are left out; neither markers nor an open transaction keep a round waiting."""
    connector = connect(timeout_seconds=300)
    broker.create_topic(topic)
    broker.produce(topic, values(0, 5))
    with broker.transaction(topic, values(5, 10), commit=True):
        records, cursor = drain(connector.open(None))
        assert [record.raw for record in records] == values(0, 5)
    with broker.transaction(topic, values(10, 15), commit=False):
        pass
    records, cursor = drain(connector.open(cursor))
    assert [record.raw for record in records] == values(5, 10)
    assert drain(connector.open(cursor)) == ([], None)
    broker.produce(topic, values(15, 16))
    assert raws(drain(connector.open(cursor))[0]) == values(15, 16)


def test_added_partitions_are_taken_up(broker, topic, connect, drain, monkeypatch):
    """A partition added while reading is read from its start, by the same log and by the next."""
    monkeypatch.setattr(kafka_module, "_METADATA_MAX_AGE_MS", 100)
    broker.create_topic(topic)
    broker.produce(topic, values(0, 5))
    log = connect().open(None)
    _, cursor = drain(log, close=False)
    broker.add_partitions(topic, 2)
    broker.produce(topic, values(5, 10), 1)
    same = []
    for _ in range(20):
        same += drain(log, close=False)[0]
        if same:
            break
    log.close()
    assert raws(same) == raws(drain(connect().open(cursor))[0]) == values(5, 10)


def test_several_topics_and_one_that_comes_back(broker, topic, connect, drain):
    """Offsets of a topic that is not read for a while are kept for when it is again."""
    topics = [f"{topic}-a", f"{topic}-b"]
    for name in topics:
        broker.create_topic(name)
        broker.produce(name, values(0, 3))
    records, cursor = drain(connect(topics=topics).open(None))
    assert len(records) == 6
    broker.produce(topics[0], values(3, 4))
    records, cursor = drain(connect(topics=topics[0]).open(cursor))
    assert len(records) == 1
    assert drain(connect(topics=topics).open(cursor)) == ([], None)


def test_votes_of_another_topic_find_their_answers(broker, topic, tmp_path):
    """A vote that comes first, on a topic of its own, waits and counts when its answer comes."""
    answers, votes = f"{topic}-answers", f"{topic}-votes"
    for name in (answers, votes):
        broker.create_topic(name)
    options = {"topics": [answers, votes], "bootstrap_servers": broker.address}
    source = SourceConfig(name="thumbs", connector="kafka", options=options)
    with Store(tmp_path / "store.duckdb") as store, Parsing() as parsing:
        pipeline = SourcePipeline(source, store, PluginManager([], tmp_path), tmp_path, parsing)
        with pipeline.open() as log:
            broker.produce(votes, [b'{"generation_id": "g", "score": 1, "rater_id": "r"}'])
            pipeline.read_round(log, stored=lambda _: None)
            assert (store.vote_counts().parked, store.vote_counts().counted) == (1, 0)
            answer = b'{"generation_id": "g", "prompt": "question", "completion": "answer"}'
            broker.produce(answers, [answer])
            pipeline.read_round(log, stored=lambda _: None)
        assert (store.vote_counts().parked, store.vote_counts().counted) == (0, 1)


def test_a_broker_whose_end_offsets_lag_is_read_to_the_end(tmp_path, drain):
    """What fetches tell about a topic's end outweighs an answer that is behind."""
    with tansu(tmp_path) as broker:
        broker.create_topic("thumbs", partitions=2)
        broker.produce("thumbs", values(0, 500), 0)
        broker.produce("thumbs", values(500, 1000), 1)
        connector = KafkaConnector(topics=("thumbs",), bootstrap_servers=broker.address)
        records, cursor = drain(connector.open(None), 300)
        assert raws(records) == sorted(values(0, 1000))
        assert drain(connector.open(cursor)) == ([], None)
