"""From raw records to events: one by one, and in batches as a source hands them on."""

import json
import pickle
import re
import tracemalloc
from contextlib import suppress

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from thumbwheel.events import (
    IDENTIFIED,
    EventParser,
    MalformedRecordError,
)
from thumbwheel.events.mapping import KeyMapping, Scale
from thumbwheel.types.fates import Fault


def parse(mapping=None, **record):
    parser = EventParser(KeyMapping(**mapping) if mapping is not None else None)
    return parser.parse(json.dumps(record).encode())


def always(event):
    """Return a mapping that makes the same of every record."""
    return lambda record: event


def test_native_event():
    """An event in Thumbwheel's own format keeps its values; a plain prompt is one user message."""
    event = parse(
        event_id="e1",
        prompt="Hi",
        completion="Hello!",
        score=1,
        rater_id=7,
        occurred_at="2026-03-01T12:00:00+02:00",
        unknown="ignored",
    )
    assert event["prompt"] == [{"role": "user", "content": "Hi"}]
    assert (event["score"], event["is_vote"], event["rater_id"]) == (1.0, True, "7")
    assert event["occurred_at"].isoformat() == "2026-03-01T10:00:00+00:00"


def test_null_rating_is_no_vote_and_withdrawal_is_one():
    """A null score is no vote; a withdrawn vote is a vote without a score."""
    assert not parse(prompt="a", completion="b", score=None)["is_vote"]
    withdrawn = parse(generation_id="g", rater_id="r", withdrawn=True)
    assert withdrawn["is_vote"]
    assert withdrawn["score"] is None


@pytest.mark.parametrize("words", [{"comment": "meh"}, {"correction": "No."}])
def test_words_alone_are_an_event_but_no_vote(words):
    """A comment or a correction without a score is kept for its answer; empty ones say nothing."""
    event = parse(generation_id="g", rater_id="r", **words)
    assert (event["is_vote"], event["score"], event["completion"]) == (False, None, None)
    assert {key: event[key] for key in words} == words
    with pytest.raises(MalformedRecordError, match="neither an answer"):
        parse(generation_id="g", comment="", correction="")
    with pytest.raises(MalformedRecordError, match="neither an answer"):
        parse(**words)


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("2026-03-01T12:00:00+02:00", "2026-03-01T10:00:00+00:00"),
        ("2026-03-01 12:00:00.123456789Z", "2026-03-01T12:00:00.123456+00:00"),
        ("2026-03-01", "2026-03-01T00:00:00+00:00"),
        ("20260301", "2026-03-01T00:00:00+00:00"),
        (1772366400, "2026-03-01T12:00:00+00:00"),
        (1772366400.25, "2026-03-01T12:00:00.250000+00:00"),
        (1772366400250, "2026-03-01T12:00:00.250000+00:00"),
        ("1772366400.25", "2026-03-01T12:00:00.250000+00:00"),
        # Which would also be a time of the year 1712 in ISO 8601's shortest form.
        ("1712121212345", "2024-04-03T05:13:32.345000+00:00"),
        (631152000, "1990-01-01T00:00:00+00:00"),
        (1772366400123456, "2026-03-01T12:00:00.123456+00:00"),
        ("1772366400123456789", "2026-03-01T12:00:00.123456+00:00"),
        ("1.7723664E9", "2026-03-01T12:00:00+00:00"),
        ("2026-03-01 12:00:00.5 UTC", "2026-03-01T12:00:00.500000+00:00"),
        ("2026-03-01 12:00:00 +0000 UTC", "2026-03-01T12:00:00+00:00"),
        ("2026-03-01T12:00:00+01:00[Europe/Paris]", "2026-03-01T11:00:00+00:00"),
        ("2026-02-28T24:00:00Z", "2026-03-01T00:00:00+00:00"),
        ("2026-060", "2026-03-01T00:00:00+00:00"),
        ("2026-W09-7", "2026-03-01T00:00:00+00:00"),
        ("Sun, 01 Mar 2026 12:00:00 +0100", "2026-03-01T11:00:00+00:00"),
        ("Sun Mar 01 2026 12:00:00 GMT+0100 (CET)", "2026-03-01T11:00:00+00:00"),
        ({"$date": "2026-03-01T12:00:00Z"}, "2026-03-01T12:00:00+00:00"),
        ({"$date": {"$numberLong": "1772366400000"}}, "2026-03-01T12:00:00+00:00"),
    ],
)
def test_times(given, expected):
    """What can mean one moment only is read: ISO 8601 and its kin, and numbers by their size."""
    event = parse(generation_id="g", score=1, occurred_at=given)
    assert event["occurred_at"].isoformat() == expected


@pytest.mark.parametrize(
    "given",
    [
        *("soon", "", "0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-14:00", "2100-01-01"),
        *("1969-12-31", "12", "202603011200", "20260301120000", "1" * 5000, "２０２６-03-01"),
        *(-1, 0, 20260301, 46082.5, 631151999, 4102444800, 2e10, 999_999_999_999, 1e17, 10**400),
        *("03/01/2026 12:00", "12:00", "2026", "2026060", "Sun, 01 Mar 2026 12:00:00 CET"),
        *(True, [], {}, {"$date": None}),
    ],
)
def test_what_may_be_two_times_is_none(given):
    """Outside of 1970 to 2099, before 1990 or between two units, nothing is guessed."""
    with pytest.raises(MalformedRecordError, match="`occurred_at`"):
        parse(generation_id="g", score=1, occurred_at=given)


@pytest.mark.parametrize(
    ("raw", "reason"),
    [
        (b"", "the record is empty"),
        (b"{", "not valid JSON"),
        (b"\xff\xfe", "not valid JSON"),
        (b'{"prompt": "\\ud800", "completion": "x"}', "not valid JSON"),
        (b"[" * 100_000, "not valid JSON"),
        (b'{"x": ' * 10_000, "not valid JSON: recursion limit"),
        (b'{"rater_id": ' + b"9" * 5000 + b"}", "not valid JSON: number out of range"),
        (b'{"rater_id": ' + b"9" * 4000 + b"}", "`rater_id`: .*, got a huge int"),
        (b"[1]", "should be an object"),
        (b"null", "should be an object"),
        (b'"text"', "should be an object"),
        (b'{"prompt": "' + b"x" * (8 << 20) + b'", "completion": "b"}', "at most 8,388,608 are"),
        (b'{"prompt": "a"}', "no completion"),
        (b'{"completion": "a"}', "no prompt"),
        (b'{"score": 1}', "neither an answer"),
        (b'{"prompt": "a", "completion": true}', "`completion`"),
        (b'{"prompt": [], "completion": "b"}', "`prompt"),
        (b'{"prompt": "a", "completion": "b", "score": 2}', "`score`"),
        (b'{"prompt": "a", "completion": "b", "score": 1e400}', "`score`: .* got inf"),
        (b'{"prompt": "a", "completion": "b", "score": ' + b"9" * 400 + b"}", "`score`"),
        (b'{"prompt": "a", "completion": "b", "event_id": ""}', "`event_id`: .* at least 1"),
        (b'{"prompt": "a", "completion": "b", "event_id": 1.5}', "`event_id`"),
        (b'{"prompt": "a", "completion": "b", "metadata": {"x": [1e400]}}', "`metadata` cannot"),
        (b'{"prompt": "a, NaN', "not valid JSON"),
        (b"1,2 <it has 2 fields, the header 3>", "^it has 2 fields, the header 3$"),
        (b"<p> <b>bold</b>", "not valid JSON"),
        (b'{"prompt": "a", "completion": "b", "metadata": {"x": 1e400}}', "`metadata` cannot"),
    ],
)
def test_malformed_records_say_why(raw, reason):
    """What cannot be read is refused with a reason."""
    with pytest.raises(MalformedRecordError, match=reason):
        EventParser().parse(raw)


def test_the_last_of_equal_keys_counts():
    """A key that comes twice has its last value, with a mapping and without."""
    raw = b'{"prompt": "a", "completion": "b", "score": 1, "rating": 1, "score": -1, "rating": -1}'
    for mapping in (None, KeyMapping()):
        event = EventParser(mapping).parse(raw)
        assert event is not None
        assert event["score"] == -1


def test_a_batch_tells_what_became_of_each_record():
    """Events in order, the others by their index with the reason, and what is no feedback."""

    def mapping(record):
        return None if "ping" in record else KeyMapping()(record)

    raws = [
        b'{"prompt": "a", "completion": "b", "rating": "up"}',
        b"{",
        b'{"ping": 1}',
        b'{"prompt": "a", "completion": "c", "rating": "meh"}',
        b'{"prompt": [{"role": "user", "content": "a\\u0000"}], "completion": "d"}',
    ]
    parser = EventParser(mapping)
    batch = parser.parse_batch(raws)
    assert batch.events.schema.equals(IDENTIFIED)
    assert batch.events["completion"].to_pylist() == ["b", "d"]
    assert batch.events["score"].to_pylist() == [1, None]
    assert [index for index, *_ in batch.malformed] == [1, 3]
    assert [reason[:14] for _, reason, *_ in batch.malformed] == [
        "not valid JSON",
        "rating 'meh' i",
    ]
    assert batch.ignored == 1
    assert parser.parse(raws[2]) is None
    rows = [parser.parse(raws[0]), parser.parse(raws[4])]
    assert batch.events.equals(pa.Table.from_pylist(rows, schema=IDENTIFIED))


@pytest.mark.parametrize(
    ("raw", "fault", "field"),
    [
        ("{", Fault.INVALID_JSON, None),
        ('{"prompt": "a", "completion": "c", "score": 7}', Fault.INVALID_FIELD, "score"),
        ('{"prompt": [{"role": 1}], "completion": "c"}', Fault.INVALID_FIELD, "prompt"),
        ('{"prompt": [{"role": "user"}], "completion": "c"}', Fault.INVALID_FIELD, "prompt"),
        ("[]", Fault.INVALID_FIELD, "record"),
        ('{"prompt": "a"}', Fault.NOT_AN_EVENT, None),
    ],
)
def test_malformed_records_have_a_class(raw, fault, field):
    """What is wrong is a value of a few, and a field's name; with a mapping it may be a rating."""
    (malformed,) = EventParser().parse_batch([raw.encode()]).malformed
    assert (malformed.fault, malformed.field) == (fault, field)
    rated = b'{"prompt": "a", "completion": "c", "rating": "meh"}'
    (malformed,) = EventParser(KeyMapping()).parse_batch([rated]).malformed
    assert (malformed.fault, malformed.field) == (Fault.UNKNOWN_RATING, None)


def test_a_batch_may_be_empty():
    """No records make a table without rows."""
    batch = EventParser().parse_batch([])
    assert batch.events.equals(IDENTIFIED.empty_table())
    assert (list(batch.malformed), batch.ignored) == ([], 0)


def test_parsing_can_be_done_by_another_process():
    """Parser and batch survive pickling."""
    raws = [b'{"q": "a", "completion": "b", "rating": 5}', b"{"]
    parser = EventParser(KeyMapping(prompt="q", scale=Scale(1, 5)))
    expected = parser.parse_batch(raws)
    assert len(expected.events) == 1
    assert pickle.loads(pickle.dumps(parser)).parse_batch(raws) == expected  # noqa: S301
    assert pickle.loads(pickle.dumps(expected)) == expected  # noqa: S301


def test_large_batches_are_several_pieces(monkeypatch):
    """No piece of a column outgrows what Arrow can hold; together they are the same events."""
    raws = [json.dumps({"prompt": f"{n}", "completion": "b"}).encode() for n in range(10)]
    whole = EventParser().parse_batch(raws).events
    monkeypatch.setattr("thumbwheel.events.parser._MAX_PIECE_BYTES", 3 * len(raws[0]))
    pieces = EventParser().parse_batch(raws).events
    assert pieces["prompt"].num_chunks == 3
    assert pieces.equals(whole)


@pytest.mark.parametrize(
    "element", ["1", '{"role": 1}', '{"role": "user", "content": [1]}', "[", '{"tool_calls": [1]}']
)
def test_a_long_list_of_wrong_elements_costs_no_more_than_the_first(element):
    """A record's memory is a few times its size, not a thousand bytes for each of its errors."""
    raw = f'{{"completion": "b", "prompt": [{",".join([element] * 100_000)}]}}'.encode()
    tracemalloc.start()
    parsed = EventParser().parse_batch([raw])
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert len(parsed.malformed) == 1
    assert peak < 64_000_000


def test_a_mapping_that_fails_makes_a_dead_letter():
    """What a stranger's mapping did not foresee names the failure and stops nothing."""

    def mapping(record):
        return {"prompt": record["question"], "completion": record["answer"]}

    batch = EventParser(mapping).parse_batch(
        [b'{"question": "a"}', b'{"question":"a","answer":"b"}']
    )
    ((place, reason, *what),) = batch.malformed
    assert (place, what) == (0, [Fault.NOT_AN_EVENT, None])
    assert re.fullmatch(r"the mapping failed: KeyError in test_events.py, line \d+", reason)
    assert len(batch.events) == 1


CYCLE: dict[str, object] = {}
CYCLE["x"] = CYCLE


@pytest.mark.parametrize("mapping", [None, KeyMapping(rating="score", rater="rater_id")])
def test_numbers_that_are_none_are_null(mapping):
    """What pandas and Python write for "nothing", and JSON has no word for; text may say NaN."""
    raw = b'{"prompt": "NaN", "completion": "b", "score": NaN, "rater_id": -Infinity, "x": [NaN]}'
    event = EventParser(mapping).parse(raw)
    assert event is not None
    assert (event["score"], event["rater_id"]) == (None, None)
    assert event["prompt"][0]["content"] == "NaN"


@pytest.mark.parametrize("value", [object(), float("nan"), ["\udc00"], "\ud800", CYCLE])
def test_a_mapping_may_return_nonsense(value):
    """Objects that JSON does not know are refused with the reason."""
    call = {"function": {"name": "f", "arguments": {"x": value}}}
    for event in (
        value,
        {"prompt": "a", "completion": "b", "metadata": {"x": value}},
        {"prompt": value, "completion": "b"},
        {"prompt": "a", "completion": "b", "rater_id": value},
        {"prompt": [{"role": "assistant", "tool_calls": [call]}], "completion": "b"},
    ):
        with pytest.raises(MalformedRecordError):
            EventParser(always(event)).parse(b"{}")


@given(st.binary(max_size=200) | st.text(max_size=200).map(lambda text: text.encode()))
def test_any_bytes_are_an_event_or_malformed(raw):
    """No input makes the parser fail in another way."""
    for mapping in (None, KeyMapping()):
        with suppress(MalformedRecordError):
            EventParser(mapping).parse(raw)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=5,
)
keys = ["prompt", "completion", "rating", "score", "rater_id", "event_id", "occurred_at"]


@given(st.dictionaries(st.sampled_from(keys), json_values))
def test_any_object_is_an_event_or_malformed(record):
    """Values of any type under the known keys are read or refused, never a crash."""
    for mapping in (None, KeyMapping(rater="rater_id", occurred_at="occurred_at")):
        with suppress(MalformedRecordError):
            EventParser(mapping).parse(json.dumps(record).encode())
