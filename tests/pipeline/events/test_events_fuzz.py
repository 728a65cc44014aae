"""100,000 fuzzed records and more: each is an event, malformed or ignored, and events are storable.

Hypothesis draws the bases: valid events, events with wrong values, any JSON, any bytes. A seeded
generator mutates each many times, so that the count is reached in seconds.
"""

import json
import random

import duckdb
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from thumbwheel.events import IDENTIFIED, EventParser
from thumbwheel.events.mapping import KeyMapping, Scale
from thumbwheel.events.rules import ReadingRules

N_EXAMPLES, N_BASES, N_MUTATIONS = 250, 4, 100

HOSTILE_VALUES = [
    *(
        "NaN",
        "Infinity",
        "-Infinity",
        "1e400",
        "-1e400",
        "9" * 5000,
        "18446744073709551616",
        "-0.0",
    ),
    *('"\\ud800"', '"\\udc00\\ud800"', '"\\u0000"', '""', '" "', '"e\\u0301"', '"\\uffff"'),
    *("[" * 10_000, '{"a":' * 10_000, "[[]]", "{}", "[]", "null", "true", '{"":{"":[null]}}'),
    *("1e18", "-1", "4102444799.9999999", "1700000000000", "1e12", "253402300800", "0.1e-300"),
    *('"0001-01-01T00:00:00+14:00"', '"9999-12-31T23:59:59-14:00"', '"2026-02-30"', '"20260301"'),
    *('"2026-03-01T12:00:00.123456789+05:45"', '"1700000000.5"', '"1969-12-31T23:59:59Z"'),
    '[{"role":"assistant","content":null,"tool_calls":[{"id":1,"function":{"name":"f"}}]}]',
    '[{"role":"tool","tool_call_id":"c","content":[{"type":"text","text":"x"}],"name":"f"}]',
    '[{"role":"user","content":[{"type":"image_url"}]}]',
    '[{"role":"assistant","tool_calls":[{"function":{"name":"f","arguments":"{\\"a\\":NaN}"}}]}]',
    '[{"role":"assistant","tool_calls":[{"function":{"name":"f","arguments":{"a":1e999}}}]}]',
    '[{"role":"","content":""}]',
]
HOSTILE_BYTES = [
    *(
        b'"',
        b"\\",
        b"{",
        b"}",
        b"[",
        b"]",
        b",",
        b":",
        b"\x00",
        b"\xff",
        b"\xc3\x28",
        b"\xef\xbb\xbf",
    ),
    *(
        b"\xed\xa0\x80",
        b"\xf4\x90\x80\x80",
        b"\\ud834",
        b"\\u0000",
        b"//",
        b"'",
        b"\r\n",
        b"1e",
        b"-",
    ),
]
KEYS = [
    *("event_id", "generation_id", "prompt", "completion", "model_version", "score", "withdrawn"),
    *("rater_id", "comment", "correction", "comparison_id", "occurred_at", "metadata", "rating"),
    *("kind", "role", "content", "tool_calls", "tool_call_id", "name", "function", "arguments"),
]

texts = st.text(max_size=12)
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=6,
)
calls = st.fixed_dictionaries(
    {"function": st.fixed_dictionaries({"name": texts, "arguments": json_values | texts})},
    optional={"id": texts, "type": st.just("function")},
)
messages = st.fixed_dictionaries(
    {"role": st.sampled_from(["system", "user", "assistant", "tool"]), "content": texts},
    optional={"tool_calls": st.lists(calls, max_size=2), "name": texts, "tool_call_id": texts},
)
events = st.fixed_dictionaries(
    {"prompt": texts | st.lists(messages, min_size=1, max_size=3), "completion": texts},
    optional={
        "event_id": st.text(min_size=1, max_size=8) | st.integers(),
        "generation_id": st.text(min_size=1, max_size=8),
        "score": st.none() | st.sampled_from([-1, 1]) | st.floats(-1, 1),
        "rating": st.sampled_from(["up", "down", "withdrawn", True, -1]),
        "kind": st.sampled_from(["feedback", "other"]),
        "withdrawn": st.booleans(),
        "rater_id": st.text(min_size=1, max_size=8),
        "comment": texts,
        "correction": texts,
        "occurred_at": st.datetimes().map(str) | st.integers(0, 5 * 10**12) | st.floats(0, 5e9),
        "metadata": st.dictionaries(texts, json_values, max_size=3),
    },
)
bases = st.one_of(
    events.map(json.dumps).map(str.encode),
    events.map(lambda event: json.dumps(event, ensure_ascii=False).encode(errors="replace")),
    st.dictionaries(st.sampled_from(KEYS), json_values).map(json.dumps).map(str.encode),
    json_values.map(json.dumps).map(str.encode),
    st.binary(max_size=60),
)


def mutate(rng: random.Random, base: bytes, other: bytes) -> bytes:
    """Return the base with one to three changes: of bytes, of keys' values, of its length."""
    for _ in range(rng.choice([1, 1, 2, 3])):
        at = rng.randrange(len(base) + 1)
        match rng.randrange(6):
            case 0:
                base = base[:at] + rng.choice(HOSTILE_BYTES) + base[at:]
            case 1:
                base = base[:at] + base[at + rng.choice([1, 1, 2, 8]) :]
            case 2:
                base = base[:at] + rng.randbytes(1) + base[at + 1 :]
            case 3:
                base = base[:at] + other[rng.randrange(len(other) + 1) :]
            case _ if base.startswith(b"{"):
                # A key that comes twice: the last one counts.
                member = f', "{rng.choice(KEYS)}": {rng.choice(HOSTILE_VALUES)}}}'
                base = base[: base.rfind(b"}")] + member.encode()
            case _:
                base = base[:at] + rng.choice(HOSTILE_VALUES).encode() + base[at:]
    return base


def feedback_only(record):
    """Map keys; of records that name another kind, nothing is wanted."""
    if record.get("kind") == "other":
        return None
    return KeyMapping(
        rater="rater_id",
        event_id="event_id",
        generation_id="generation_id",
        comment="comment",
        correction="correction",
        occurred_at="occurred_at",
        scale=Scale(1, 5),
    )(record)


@pytest.fixture
def database():
    with duckdb.connect() as connection:
        connection.execute("SET TimeZone = 'UTC'")
        connection.register("schema", IDENTIFIED.empty_table())
        connection.execute("CREATE TABLE events AS FROM schema")
        yield connection


def stored_and_read(database, table):
    database.register("batch", table)
    database.execute("DELETE FROM events; INSERT INTO events FROM batch")
    return database.sql("FROM events").to_arrow_table().cast(IDENTIFIED)


def test_every_record_is_an_event_malformed_or_ignored(database):
    """No bytes make the parser fail; counts add up; events come back from DuckDB as they were."""
    seen = dict.fromkeys(["records", "events", "malformed", "ignored"], 0)

    @settings(
        max_examples=N_EXAMPLES,
        phases=[Phase.generate],
        deadline=None,
        database=None,
        suppress_health_check=list(HealthCheck),
    )
    @given(st.lists(bases, min_size=N_BASES, max_size=N_BASES), st.integers(0, 2**32))
    def check(drawn, seed):
        rng = random.Random(seed)
        raws = [mutate(rng, base, rng.choice(drawn)) for base in drawn for _ in range(N_MUTATIONS)]
        for mapping, prefilled in ((None, True), (feedback_only, False)):
            parsed = EventParser(mapping, ReadingRules(prefilled=prefilled)).parse_batch(raws)
            n_events = len(parsed.events)
            assert n_events + len(parsed.malformed) + parsed.ignored == len(raws)
            indices = [index for index, *_ in parsed.malformed]
            assert indices == sorted(set(indices))
            assert all(0 <= index < len(raws) for index in indices)
            for _, reason, *_ in parsed.malformed:
                assert reason
                assert "\n" not in reason
                assert len(reason) < 400
            parsed.events.validate(full=True)
            assert stored_and_read(database, parsed.events).equals(parsed.events)
            seen["events"] += n_events
            seen["malformed"] += len(parsed.malformed)
            seen["ignored"] += parsed.ignored
        seen["records"] += len(raws)

    check()
    assert seen["records"] >= 100_000
    assert min(seen["events"], seen["malformed"]) > 5_000
    assert seen["ignored"] > 100
