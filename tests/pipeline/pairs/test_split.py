"""The split's memory: a prompt, and what is nearly the same, never changes its part."""

import random
from collections import Counter

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from thumbwheel.errors import DataError
from thumbwheel.events import cluster_id, text_identity
from thumbwheel.pairs.split import ASSIGNED, SplitMemory, part_of_cluster
from thumbwheel.types import Part
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


def assign(memory, texts, held_out=0.4, judge=0.3, **options):
    """Assign texts; of the shares, the judge's takes what the held-out one leaves it."""
    return memory.assign(
        [identity(text) for text in texts],
        [user(text) for text in texts],
        held_out=held_out,
        judge=min(judge, 1 - held_out),
        threshold=0.8,
        **options,
    )


def parts(memory, texts, **options):
    return assign(memory, texts, **options)["part"].to_pylist()


def chain_across(*ends):
    """Return three prompts: the outer ones are in the given parts, and the middle links them."""
    for chain in range(1000):
        first, middle, last = (link(chain, number) for number in range(3))
        found = [part_of_cluster(cluster_id(user(text)), 0.4, 0.3) for text in (first, last)]
        if found == list(ends):
            return first, middle, last
    raise AssertionError


@pytest.fixture
def memory(tmp_path):
    return SplitMemory(tmp_path / "home" / "split.parquet")


def test_without_memory_the_part_follows_from_the_cluster(memory):
    """Each part has its share of the prompts, and which ones is the same on every machine."""
    texts = [f"question number {number}" for number in range(400)]
    assigned = assign(memory, texts, held_out=0.25, judge=0.15)
    assert assigned.schema == ASSIGNED
    assert assigned["prompt_id"].to_pylist() == [identity(text) for text in texts]
    expected = [part_of_cluster(cluster_id(user(text)), 0.25, 0.15) for text in texts]
    assert assigned["part"].to_pylist() == expected
    assert 70 < expected.count(Part.HELD_OUT) < 130
    assert 35 < expected.count(Part.JUDGE) < 85
    assert assigned["fate"].null_count == len(texts)
    without = parts(memory, texts, held_out=0.25, judge=0)
    assert Part.JUDGE not in without
    assert without.count(Part.HELD_OUT) == expected.count(Part.HELD_OUT)


def test_near_duplicates_lie_in_one_part(memory):
    """All links of a chain share cluster and part."""
    for chain in range(20):
        assigned = assign(memory, [link(chain, number) for number in range(N_LINKS)])
        assert len(assigned["cluster_id"].unique()) == 1
        assert len(assigned["part"].unique()) == 1


def test_what_was_in_a_dataset_stays_in_its_part_and_draws_its_near_duplicates(memory):
    """Neither other shares nor company change the part of a remembered prompt."""
    for chain in range(20):
        first, second = link(chain, 0), link(chain, 1)
        assigned = assign(memory, [first])
        (part,) = assigned["part"].to_pylist()
        memory.remember(assigned)
        assert parts(memory, [second]) == [part]
        for held_out, judge in ((0.001, 0), (0.001, 0.998), (0.999, 0)):
            shares = {"held_out": held_out, "judge": judge}
            assert parts(memory, [second, first], **shares) == [part, part]
    assert len(memory.prompt_ids()) == 20


@pytest.mark.parametrize(
    ("taken", "left"),
    [
        (Part.TRAIN, Part.HELD_OUT),
        (Part.TRAIN, Part.JUDGE),
        (Part.JUDGE, Part.HELD_OUT),
    ],
)
def test_a_link_between_parts_leaves_out_what_less_was_learnt_from(memory, taken, left):
    """The new prompt goes to the model before the judge, to the judge before nobody."""
    first, middle, last = chain_across(taken, left)
    assigned = assign(memory, [first, last])
    assert assigned["part"].to_pylist() == [taken, left]
    memory.remember(assigned)
    linked = assign(memory, [last, middle, first])
    assert linked["part"].to_pylist() == [None, taken, taken]
    assert linked["fate"].to_pylist() == [Fate.ACROSS_SPLIT, None, None]
    memory.remember(linked)
    assert parts(memory, [last, first]) == [None, taken]


@pytest.mark.parametrize("taken", [Part.TRAIN, Part.JUDGE])
def test_forgetting_a_link_does_not_bring_back_what_it_spoilt(memory, taken):
    """Somebody learnt from the link, so its held-out near-duplicate measures nothing any more."""
    first, middle, last = chain_across(taken, Part.HELD_OUT)
    memory.remember(assign(memory, [first, last]))
    linked = assign(memory, [middle])
    memory.remember(linked)
    assert memory.forget([identity(middle), identity("unknown")], threshold=0.8) == 1
    assert set(memory.prompt_ids().to_pylist()) == {identity(first), identity(last)}
    assert parts(memory, [first, last]) == [taken, None]
    assert parts(memory, [f"{last} please"], held_out=0.999) == [taken]
    assert identity(last) not in memory.looks()["prompt_id"].to_pylist()
    assert parts(memory, [link(7, 0), last], held_out=0.999) == [Part.HELD_OUT, None]


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
@settings(max_examples=25, deadline=None)
def test_nobody_is_judged_on_what_was_learnt(tmp_path_factory, seed):
    """Over random cycles, with links, other shares, capped datasets, looks and forgetting.

    The model: what was ever trained on, taught the judge or was held out, each with its looks.
    """
    rng = random.Random(seed)
    memory = SplitMemory(tmp_path_factory.mktemp("cycles") / "split.parquet")
    links = [(chain, number) for chain in range(4) for number in range(N_LINKS)]
    texts = {identity(link(*key)): link(*key) for key in links}
    near = {
        identity(link(c, n)): {identity(link(c, m)) for m in range(N_LINKS) if abs(n - m) <= 1}
        for c, n in links
    }
    ever: dict[Part, set[str]] = {part: set() for part in Part}
    looks: Counter[str] = Counter()
    spoilt: set[str] = set()
    for cycle in range(10):
        chosen = rng.sample(sorted(texts), rng.randint(1, 10))
        assigned = assign(
            memory,
            [texts[key] for key in chosen],
            held_out=rng.choice((0.2, 0.5, 0.8)),
            judge=rng.choice((0, 0.1, 0.4)),
            max_looks=2,
        )
        rows = assigned.to_pylist()
        now = {part: {row["prompt_id"] for row in rows if row["part"] == part} for part in Part}
        retired = {row["prompt_id"] for row in rows if row["is_retired"]}
        # What was learnt from is judged nowhere: neither the prompt nor a near-duplicate.
        trained = ever[Part.TRAIN] | now[Part.TRAIN]
        taught = ever[Part.JUDGE] | now[Part.JUDGE]
        assert not any(near[key] & (trained | taught) for key in now[Part.HELD_OUT])
        assert not any(near[key] & trained for key in now[Part.JUDGE])
        assert not (now[Part.HELD_OUT] | now[Part.JUDGE]) & spoilt
        # A part is for ever, but for who was looked at too often.
        assert not now[Part.TRAIN] & ever[Part.JUDGE]
        assert now[Part.TRAIN] & ever[Part.HELD_OUT] <= retired
        assert not now[Part.JUDGE] & ever[Part.HELD_OUT]
        chains = {key[0] for key in links if looks[identity(link(*key))] >= 2}
        assert retired <= now[Part.TRAIN] & {identity(link(*key)) for key in links
                                             if key[0] in chains}  # fmt: skip
        # A dataset seldom takes all of them.
        written = {row["prompt_id"] for row in rows if rng.random() < 0.7}
        is_kept = pc.or_(
            pc.is_in(assigned["prompt_id"], pa.array(sorted(written), pa.string())),
            pc.is_null(assigned["part"]),
        )
        memory.remember(assigned.filter(is_kept))
        ever[Part.HELD_OUT] -= retired & written
        for part, prompts in ever.items():
            prompts |= now[part] & written
        if rng.random() < 0.5:
            seen = now[Part.HELD_OUT] & written
            looks.update(seen)
            for _ in range(2):
                memory.looked_at(sorted(seen), look_id=str(cycle))
        if rng.random() < 0.2 and (known := set().union(*ever.values())):
            gone = rng.choice(sorted(known))
            memory.forget([gone], threshold=0.8)
            judged = ever[Part.HELD_OUT] | (ever[Part.JUDGE] if gone in ever[Part.TRAIN] else set())
            if gone not in ever[Part.HELD_OUT]:
                spoilt |= near[gone] & judged
            for prompts in (*ever.values(), spoilt):
                prompts.discard(gone)
            del looks[gone]


def test_looks_are_counted_once_each(memory):
    """A look that is told again counts no more; only what is held out and known is counted."""
    texts = [f"question number {number}" for number in range(40)]
    assigned = assign(memory, texts)
    memory.remember(assigned)
    held_out = assigned.filter(pc.equal(assigned["part"], Part.HELD_OUT))["prompt_id"].to_pylist()
    everybody = [*map(identity, texts), identity("unknown")]
    for look in ("one", "two", "one", "two"):
        memory.looked_at(everybody, look_id=look)
    memory.looked_at(held_out[:1], look_id="three")
    memory.remember(assigned)
    looks = memory.looks()
    assert looks.column_names == ["prompt_id", "looks"]
    found = dict(zip(*(column.to_pylist() for column in looks.columns), strict=True))
    of_all = ["one", "two"]
    assert found == {**dict.fromkeys(held_out, of_all), held_out[0]: [*of_all, "three"]}


def test_what_was_looked_at_too_often_retires(memory):
    """The whole cluster is trained on from then on, whatever is asked later."""
    held_out, second = link(0, 0), link(0, 1)
    memory.remember(assign(memory, [held_out, second], held_out=0.999))
    fresh = link(9, 0)
    memory.remember(assign(memory, [fresh], held_out=0.999))
    for look in ("one", "two"):
        memory.looked_at([identity(held_out)], look_id=look)
    texts = [second, held_out, fresh]
    assert parts(memory, texts, max_looks=3) == [Part.HELD_OUT] * 3
    retired = assign(memory, texts, max_looks=2)
    assert retired["part"].to_pylist() == [Part.TRAIN, Part.TRAIN, Part.HELD_OUT]
    assert retired["is_retired"].to_pylist() == [True, True, False]
    assert parts(memory, texts) == [Part.HELD_OUT] * 3, "nothing is remembered yet"
    # The other one did not come into the dataset.
    memory.remember(retired.slice(0, 1))
    memory.remember(retired.slice(0, 1))
    again = assign(memory, texts, held_out=0.999, max_looks=2)
    assert again["part"].to_pylist() == [Part.TRAIN, Part.TRAIN, Part.HELD_OUT]
    assert parts(memory, texts, max_looks=None) == [Part.TRAIN, None, Part.HELD_OUT]


def test_what_the_judge_learnt_from_does_not_retire(memory):
    """A cluster that a link joined to the judge's stays there; the looked-at prompt is left out."""
    first, middle, last = chain_across(Part.JUDGE, Part.HELD_OUT)
    memory.remember(assign(memory, [first, last]))
    memory.looked_at([identity(last)], look_id="one")
    linked = parts(memory, [first, middle, last], max_looks=1)
    assert linked == [Part.JUDGE, Part.JUDGE, None]


def test_a_memory_of_two_sides_is_read_and_written_anew(memory, tmp_path):
    """Who was held out still is, who was trained on too, and who was left out stays so."""
    texts = [f"question number {number} of the old" for number in range(3)]
    path = tmp_path / "home" / "split.parquet"
    memory.remember(assign(memory, texts))
    old = pq.read_table(path).sort_by("prompt_id").drop_columns(["part", "cluster_part", "looks"])
    sides = dict(zip(map(identity, texts), (True, False, None), strict=True))
    column = pa.array([sides[name] for name in old["prompt_id"].to_pylist()], pa.bool_())
    pq.write_table(old.add_column(1, "held_out", column), path)
    expected = [Part.HELD_OUT, Part.TRAIN, None]
    everything = {"held_out": 0.001, "judge": 0.998}
    assigned = assign(memory, texts, **everything)
    assert assigned["part"].to_pylist() == expected
    memory.remember(assigned)
    assert "held_out" not in pq.read_schema(path).names
    assert parts(memory, texts, **everything) == expected
    memory.looked_at([identity(text) for text in texts], look_id="one")
    assert memory.looks().to_pylist() == [{"prompt_id": identity(texts[0]), "looks": ["one"]}]


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


@pytest.mark.parametrize("shares", [(0.999, 0), (0.001, 0.998)])
def test_two_cycles_cannot_put_a_prompt_in_two_parts(memory, shares):
    """Parts that were assigned before another cycle remembered others are refused."""
    text = link(0, 0)
    early = assign(memory, [text], held_out=shares[0], judge=shares[1])
    memory.remember(assign(memory, [text], held_out=0.001, judge=0))
    with pytest.raises(DataError, match="run the cycle again"):
        memory.remember(early)
    assert parts(memory, [text]) == [Part.TRAIN]


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
        lambda: parts(memory, ["a question"]),
        lambda: memory.forget(["x"], threshold=0.8),
        lambda: memory.looked_at(["x"], look_id="one"),
        memory.looks,
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
