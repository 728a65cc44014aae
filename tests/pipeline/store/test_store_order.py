"""The store's snapshot: any order and any repetition of the same events gives the same bytes."""

from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from hypothesis import given, settings
from hypothesis import strategies as st
from storing import append, balanced, event, read_rated, take_snapshot, vote

from thumbwheel.store import COMPARISONS_FILE, RATED_FILE, VOTES_FILE, Store
from thumbwheel.store.snapshot import _in_groups
from thumbwheel.tables import RATED

PROMPTS = ["caf\u00e9?", "cafe\u0301?", "  caf\u00e9?\n", "tea?"]
OPTIONAL_TIMES = st.none() | st.integers(0, 9)

answers: st.SearchStrategy[Any] = st.builds(
    dict,
    generation_id=st.sampled_from("ghk"),
    prompt=st.sampled_from(PROMPTS),
    completion=st.sampled_from(["yes", "no", " yes"]),
    model_version=st.sampled_from([None, "m1", "m2"]),
    occurred_at=OPTIONAL_TIMES,
)
votes: st.SearchStrategy[Any] = st.builds(
    dict,
    generation_id=st.sampled_from("ghkx"),
    rater_id=st.sampled_from([None, "r", "q", "event:v1"]),
    score=st.sampled_from([1, -1, 0.3, 1 / 3, None]),
    comparison_id=st.sampled_from([None, "left", "right"]),
    correction=st.sampled_from([None, None, "maybe", "yes"]),
)
judged_answers = st.builds(lambda answer, opinion: {**opinion, **answer}, answers, votes)


def _time(seconds):
    return None if seconds is None else f"2026-01-01T00:00:{seconds:02}Z"


def _events(said, judged, voted):
    """Return events of all kinds; no two votes bear the same time."""
    events = [
        event(event_id=f"a{n}", **{**answer, "occurred_at": _time(answer["occurred_at"])})
        for n, answer in enumerate(said)
    ]
    for n, values in enumerate(judged + voted):
        values = {**values, "event_id": f"v{n}", "occurred_at": _time(10 + n)}
        if n < len(judged):  # without a score it is no vote
            events.append(event(**values))
        else:
            events.append(vote(**values, withdrawn=values["score"] is None))
    return events


def _outcome(folder, batches):
    with Store(folder / "s.duckdb") as store:
        for number, batch in enumerate(batches):
            append(store, *batch, cursor=str(number))
        snapshot = take_snapshot(store, folder / "s")
        (counts,) = store.source_counts()
        assert balanced(counts)
    return (
        [(snapshot.path / name).read_bytes() for name in (RATED_FILE, COMPARISONS_FILE)],
        sorted(pq.read_table(snapshot.path / VOTES_FILE).to_pylist(), key=str),
        snapshot.digest,
        snapshot.n_events,
        snapshot.votes,
        counts.stored,
        counts.parked,
    )


@settings(max_examples=15, deadline=None)
@given(
    st.lists(answers, max_size=5),
    st.lists(judged_answers, max_size=5),
    st.lists(votes, max_size=10),
    st.randoms(use_true_random=False),
)
def test_order_and_repetition_do_not_matter(tmp_path_factory, said, judged, voted, random):
    """Two arrangements of the same events, one with repetitions, give equal Parquet files."""
    events = _events(said, judged, voted)
    if not events:
        return
    shuffled = random.sample(events + events, 2 * len(events))
    cut = random.randrange(len(shuffled))
    first = _outcome(tmp_path_factory.mktemp("first"), [events])
    second = _outcome(tmp_path_factory.mktemp("second"), [shuffled[:cut], shuffled[cut:]])
    assert first == second


def _outcomes_forth_and_back(tmp_path, events):
    for name, arrangement in (("forth", events), ("back", events[::-1])):
        (tmp_path / name).mkdir()
        half = len(events) // 2
        yield _outcome(tmp_path / name, [arrangement[:half], arrangement[half:]])


@given(st.lists(st.integers(1, 200), min_size=1, max_size=12))
def test_row_groups_are_cut_alike(sizes):
    """However many rows DuckDB hands out at a time, the groups written are of one size."""
    rows = pa.table(
        {name: pa.nulls(sum(sizes)) for name in RATED.names}
        | {"completion_id": [str(i) for i in range(sum(sizes))]}
    ).cast(RATED)
    starts = [sum(sizes[:n]) for n in range(len(sizes))]
    batches = [
        rows.slice(start, size).to_batches()[0] for start, size in zip(starts, sizes, strict=True)
    ]
    groups = list(_in_groups(iter(batches), RATED, 64))
    assert pa.concat_tables(groups) == rows
    assert {len(group) for group in groups[:-1]} <= {64}
    assert len(groups[-1]) <= 64


def test_many_fractions_add_up_to_the_same(tmp_path):
    """Sums over hundreds of graded votes do not depend on the order of adding."""
    events = [
        event(
            event_id=str(i),
            rater_id=str(i % 40),
            comparison_id=str(i // 40),
            score=(i * 37 % 101 - 50) / 51,
        )
        for i in range(800)
    ]
    forth, back = _outcomes_forth_and_back(tmp_path, events)
    assert forth == back


def test_one_of_several_spellings_of_a_prompt_stands_for_it(tmp_path):
    """Answers to spellings of one prompt are one completion; the earliest gives its text."""
    events = [
        event(event_id=f"{n}", prompt=prompt, generation_id=f"{n}", rater_id="r", score=1,
              occurred_at=_time(9 - n))
        for n, prompt in enumerate(PROMPTS[:3])
    ]  # fmt: skip
    forth, back = _outcomes_forth_and_back(tmp_path, events)
    assert forth == back
    (row,) = read_rated(tmp_path / "back" / "s").to_pylist()
    assert row["prompt"][0]["content"] == PROMPTS[2]
