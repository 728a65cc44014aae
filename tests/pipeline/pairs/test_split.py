"""The split's memory: a prompt, and what is nearly the same, never changes its side."""

import random
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from thumbwheel.errors import DataError
from thumbwheel.events import cluster_id, text_identity
from thumbwheel.pairs.split import ASSIGNED, SplitMemory, side_of_cluster
from thumbwheel.types.fates import Fate

# Neighbours in a chain share 37 of 40 words and are near-duplicates (0.85); the next but one are
# not (0.73).
N_LINKS = 6


def link(chain, number):
    return " ".join(f"c{chain}w{position}" for position in range(3 * number, 3 * number + 40))


def user(text):
    return [{"role": "user", "content": text}]


def identity(text):
    return text_identity(text, "")[0]


def assign(memory, texts, share=0.5, threshold=0.8):
    prompts = [user(text) for text in texts]
    return memory.assign([identity(t) for t in texts], prompts, share=share, threshold=threshold)


def sides(memory, texts, **options):
    return assign(memory, texts, **options)["held_out"].to_pylist()


def chain_on_both_sides():
    """Return three prompts: the outer ones lie on both sides, and the middle one links them."""
    for chain in range(1000):
        first, middle, last = (link(chain, number) for number in range(3))
        if not side_of_cluster(cluster_id(user(first)), 0.5) and side_of_cluster(
            cluster_id(user(last)), 0.5
        ):
            return first, middle, last
    raise AssertionError


@pytest.fixture
def memory(tmp_path):
    return SplitMemory(tmp_path / "home" / "split.parquet")


def test_without_memory_the_side_follows_from_the_cluster(memory):
    """A share of the prompts is held out, and which ones is the same on every machine."""
    texts = [f"question number {number}" for number in range(400)]
    assigned = assign(memory, texts, share=0.25)
    assert assigned.schema == ASSIGNED
    assert assigned["prompt_id"].to_pylist() == [identity(text) for text in texts]
    expected = [side_of_cluster(cluster_id(user(text)), 0.25) for text in texts]
    assert assigned["held_out"].to_pylist() == expected
    assert 70 < sum(expected) < 130
    assert assigned["fate"].null_count == len(texts)


def test_near_duplicates_lie_on_one_side(memory):
    """All links of a chain share cluster and side."""
    for chain in range(20):
        assigned = assign(memory, [link(chain, number) for number in range(N_LINKS)])
        assert len(assigned["cluster_id"].unique()) == 1
        assert len(assigned["held_out"].unique()) == 1


def test_what_was_in_a_dataset_stays_on_its_side_and_draws_its_near_duplicates(memory):
    """Neither another share nor company changes the side of a remembered prompt."""
    for chain in range(20):
        first, second = link(chain, 0), link(chain, 1)
        assigned = assign(memory, [first])
        (side,) = assigned["held_out"].to_pylist()
        memory.remember(assigned)
        assert sides(memory, [second]) == [side]
        for share in (0.001, 0.999):
            assert sides(memory, [second, first], share=share) == [side, side]
    assert len(memory.prompt_ids()) == 20


def test_a_link_between_the_sides_leaves_out_what_was_held_out(memory):
    """The new prompt goes to training, and the held-out one to neither side, with the reason."""
    first, middle, last = chain_on_both_sides()
    assigned = assign(memory, [first, last])
    assert assigned["held_out"].to_pylist() == [False, True]
    memory.remember(assigned)
    linked = assign(memory, [last, middle, first])
    assert linked["held_out"].to_pylist() == [None, False, False]
    assert linked["fate"].to_pylist() == [Fate.ACROSS_SPLIT, None, None]
    memory.remember(linked)
    assert sides(memory, [last]) == [None]


def test_forgetting_a_link_does_not_bring_back_what_it_spoilt(memory):
    """A model was trained on the link, so its held-out near-duplicate measures nothing any more."""
    first, middle, last = chain_on_both_sides()
    memory.remember(assign(memory, [first, last]))
    linked = assign(memory, [middle])
    memory.remember(linked)
    assert memory.forget([identity(middle), identity("unknown")], threshold=0.8) == 1
    assert set(memory.prompt_ids().to_pylist()) == {identity(first), identity(last)}
    assert sides(memory, [first, last]) == [False, None]
    assert sides(memory, [link(7, 0), last], share=0.999) == [True, None]


def test_forgetting_leaves_no_trace(memory, tmp_path):
    """Neither identities nor signature of a forgotten prompt are in the file."""
    texts = [f"question number {number} about nothing" for number in range(50)]
    assigned = assign(memory, texts)
    memory.remember(assigned)
    row = assigned.to_pylist()[7]

    def traces():
        kept = pq.read_table(tmp_path / "home" / "split.parquet")
        signatures = set(pc.list_flatten(kept["signature"]).to_pylist())
        return [
            row["prompt_id"] in kept["prompt_id"].to_pylist(),
            row["words_id"] in kept["words_id"].to_pylist(),
            signatures.issuperset(row["signature"]),
        ]

    assert traces() == [True, True, True]
    memory.forget([row["prompt_id"]], threshold=0.8)
    assert traces() == [False, False, False]
    assert len(memory.prompt_ids()) == 49


@given(st.integers(0, 1 << 20))
@settings(max_examples=15, deadline=None)
def test_no_prompt_and_no_near_duplicate_is_ever_on_both_sides(tmp_path_factory, seed):
    """Over random cycles, with links, other shares, capped datasets and forgetting."""
    rng = random.Random(seed)
    memory = SplitMemory(tmp_path_factory.mktemp("cycles") / "split.parquet")
    links = [(chain, number) for chain in range(4) for number in range(N_LINKS)]
    texts = {identity(link(*key)): link(*key) for key in links}
    near = {
        identity(link(c, n)): {identity(link(c, m)) for m in range(N_LINKS) if abs(n - m) <= 1}
        for c, n in links
    }
    trained: set[Any] = set()
    tested: set[Any] = set()
    spoilt: set[Any] = set()
    for _ in range(10):
        chosen = rng.sample(sorted(texts), rng.randint(1, 10))
        assigned = assign(memory, [texts[key] for key in chosen], share=rng.choice((0.2, 0.5, 0.8)))
        now = {row["prompt_id"]: row["held_out"] for row in assigned.to_pylist()}
        to_train = {key for key, side in now.items() if side is False}
        to_test = {key for key, side in now.items() if side is True}
        assert not to_train & tested
        assert not any(near[key] & (trained | to_train) for key in to_test)
        assert not to_test & spoilt
        # A dataset seldom takes all of them.
        written = {key for key in now if rng.random() < 0.7}
        is_kept = pc.or_(
            pc.is_in(assigned["prompt_id"], pa.array(sorted(written), pa.string())),
            pc.is_null(assigned["held_out"]),
        )
        memory.remember(assigned.filter(is_kept))
        trained |= to_train & written
        tested |= to_test & written
        if rng.random() < 0.2 and trained | tested:
            gone = rng.choice(sorted(trained | tested))
            memory.forget([gone], threshold=0.8)
            if gone in trained:
                spoilt |= near[gone] & tested
            trained.discard(gone)
            tested.discard(gone)
            spoilt.discard(gone)


def test_remembering_twice_changes_nothing(memory, tmp_path):
    """A cycle that was killed and goes on remembers the same again: the same bytes."""
    path = tmp_path / "home" / "split.parquet"
    assigned = assign(memory, [link(chain, 0) for chain in range(30)])
    memory.remember(assigned.slice(10))
    memory.remember(assigned)
    once = path.read_bytes()
    memory.remember(assigned.slice(5))
    assert path.read_bytes() == once
    other = SplitMemory(tmp_path / "other.parquet")
    other.remember(assigned.take(list(reversed(range(len(assigned))))))
    assert (tmp_path / "other.parquet").read_bytes() == once


def test_two_cycles_cannot_put_a_prompt_on_both_sides(memory):
    """Sides that were assigned before another cycle remembered others are refused."""
    text = link(0, 0)
    early = assign(memory, [text], share=0.999)
    memory.remember(assign(memory, [text], share=0.001))
    with pytest.raises(DataError, match="run the cycle again"):
        memory.remember(early)
    assert sides(memory, [text]) == [False]


@pytest.mark.parametrize("damage", ["cut", "noise", "empty", "other columns"])
def test_a_damaged_memory_is_named_with_the_remedy(memory, tmp_path, damage):
    """It is never taken for an empty one: that would hold out what was trained on."""
    path = tmp_path / "home" / "split.parquet"
    memory.remember(assign(memory, ["a question"]))
    if damage == "cut":
        path.write_bytes(path.read_bytes()[:-20])
    elif damage == "other columns":
        pq.write_table(pa.table({"prompt_id": ["x"]}), path)
    else:
        path.write_bytes(b"" if damage == "empty" else random.Random(0).randbytes(1000))
    for call in (
        lambda: sides(memory, ["a question"]),
        lambda: memory.forget(["x"], threshold=0.8),
        memory.prompt_ids,
    ):
        with pytest.raises(DataError, match="restore it from a backup, or remove it") as caught:
            call()
        assert "\n" not in str(caught.value)
        assert str(path) in str(caught.value)


def test_a_half_written_file_is_no_memory(memory, tmp_path):
    """What a killed process left beside the file does not matter."""
    memory.remember(assign(memory, ["a question"]))
    (tmp_path / "home" / ".split.parquet.fresh").write_bytes(b"PAR1 half")
    memory.remember(assign(memory, ["another question"]))
    assert len(memory.prompt_ids()) == 2
