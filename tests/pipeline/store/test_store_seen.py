"""What the store knows of the events it has received: exactly a set of their ids."""

import numpy as np
import pyarrow as pa
from hypothesis import given, settings
from hypothesis import strategies as st

from thumbwheel.store.seen import Digests, SeenEvents, digests_of

# Few different high words, the lowest and the highest among them: most ids share one.
words = st.tuples(
    st.sampled_from([0, 1, 2**61, 2**63, 2**64 - 1]), st.sampled_from([0, 1, 7, 2**64 - 1])
)


def events(*names, updated_at=None):
    moments = pa.array(updated_at or [None] * len(names), pa.timestamp("us", tz="UTC"))
    return pa.table({"event_id": pa.array(names), "updated_at": moments})


def digests(pairs):
    array = np.array(pairs, np.uint64).reshape(-1, 2)
    return Digests(array[:, 0], array[:, 1])


@settings(max_examples=300, deadline=None)
@given(st.lists(st.lists(words, max_size=20), max_size=8))
def test_it_is_a_set(batches):
    """An id is new once, the first time, also where hashes share their high word."""
    seen, model = SeenEvents(), set()
    for pairs in batches:
        batch = digests(pairs)
        flags = seen.unseen(batch)
        seen.add(batch.take(flags))
        for pair, flag in zip(pairs, flags, strict=True):
            assert flag == (pair not in model)
            model.add(pair)
        assert len(seen) == len(model)


def test_many_batches_stay_few_runs():
    """A hundred thousand ids in batches are all known, in a handful of sorted runs."""
    random = np.random.default_rng(0)
    ids = random.integers(0, 2**64, (100_000, 2), np.uint64)
    seen = SeenEvents()
    for batch in np.split(ids, 400):
        seen.add(digests(batch))
    assert not seen.unseen(digests(ids)).any()
    assert seen.unseen(digests(random.integers(0, 2**64, (1000, 2), np.uint64))).all()
    assert len(seen._runs) < 12


def test_an_id_is_two_independent_hashes():
    """The same id has the same hash in every batch, and its halves tell different things."""
    one, other = digests_of(events("abc", "abd"), "s"), digests_of(events("abc"), "s")
    assert (one.high[0], one.low[0]) == (other.high[0], other.low[0])
    assert len({*one.high.tolist(), *one.low.tolist()}) == 4


def test_an_id_is_of_a_namespace_and_a_version():
    """The same id elsewhere, or of a record that was changed, is another event."""
    changed = events("abc", "abc", updated_at=[None, 1])
    known = [digests_of(events("abc"), "s"), digests_of(changed, "t")]
    assert len({pair for one in known for pair in zip(one.high, one.low, strict=True)}) == 3
