"""Which pairs a step learns from, how they are cut into parts and laid into rows."""

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from thumbwheel.training.arrangement import MOST_PADDING, cut_branches, fill_rows
from thumbwheel.training.batches import Example, StepSampler, cut_step
from thumbwheel.training.sequences import count_tokens

SIZES = st.lists(st.integers(1, 300), min_size=1, max_size=12)
SQUARES = st.sampled_from([50.0, 1500.0, 1e9])


@given(SIZES, SQUARES)
def test_rows_hold_everything_once_with_little_padding(sizes: list[int], square: float) -> None:
    """Every piece lies in one row, and at most a tenth of the rows is padding."""
    rows = fill_rows(sizes, square)
    assert sorted(index for row in rows for index in row) == list(range(len(sizes)))
    width = max(sum(sizes[index] for index in row) for row in rows)
    assert len(rows) * width * (1 - MOST_PADDING) <= sum(sizes)


@given(st.integers(0, 400), SIZES, SQUARES)
def test_a_prompt_is_copied_only_where_attention_is_dearer(
    shared: int, branches: list[int], square: float
) -> None:
    """The pieces cost no more than one piece; with cheap attention there is one."""
    pieces = cut_branches(shared, branches, square)
    assert sorted(index for piece in pieces for index in piece) == list(range(len(branches)))

    def cost(pieces: list[list[int]]) -> float:
        sizes = [shared + sum(branches[index] for index in piece) for piece in pieces]
        return sum(size + size**2 / square for size in sizes)

    assert cost(pieces) <= cost([list(range(len(branches)))])
    assert square < 1e9 or shared == 0 or len(pieces) == 1


def identities(prompts: list[int]) -> list[tuple[bytes, tuple[bytes, bytes]]]:
    return [(b"%d" % prompt, (b"%d" % number, b"")) for number, prompt in enumerate(prompts)]


PROMPTS = st.lists(st.integers(0, 5), min_size=1, max_size=60)


@given(PROMPTS, st.integers(1, 9), st.integers(0, 3))
def test_an_epoch_has_every_pair_once(prompts: list[int], pairs_per_step: int, epoch: int) -> None:
    """As many steps as without grouping, none empty, each of about one size; the order is fixed."""
    sampler = StepSampler(identities(prompts), pairs_per_step, seed=7)
    sampler.set_epoch(epoch)
    steps = list(sampler)
    assert len(steps) == len(sampler) == -(-len(prompts) // pairs_per_step)
    assert sorted(index for step in steps for index in step) == list(range(len(prompts)))
    assert all(0 < len(step) <= 2 * pairs_per_step for step in steps)
    assert steps == list(sampler)


def test_pairs_of_a_prompt_travel_together_and_epochs_differ() -> None:
    """Six pairs of each prompt: no step of about twelve parts them, in any epoch."""
    prompts = [number // 6 for number in range(120)]
    sampler = StepSampler(identities(prompts), 12, seed=0)
    orders = []
    for epoch in range(3):
        sampler.set_epoch(epoch)
        for step in sampler:
            assert set(Counter(prompts[index] for index in step).values()) == {6}
        orders.append([*sampler])
    assert orders[0] != orders[1] != orders[2]


LENGTHS = st.lists(st.tuples(*[st.integers(1, 30)] * 3), min_size=1, max_size=10)


@given(LENGTHS, st.integers(20, 200))
def test_parts_keep_to_the_budget(lengths: list[tuple[int, int, int]], budget: int) -> None:
    """No part reads more tokens than it may, but for a single pair that does by itself."""
    pairs: list[Example] = [
        {"prompt_ids": [p] * p, "chosen_ids": [1] * c, "rejected_ids": [2] * r}
        for p, c, r in lengths
    ]
    parts = cut_step(pairs, max_length=60, budget=budget, size=count_tokens)
    assert Counter(map(str, pairs)) == Counter(str(pair) for part in parts for pair in part)
    for part in parts:
        read = [
            (it["prompt_ids"], it[side]) for it in part for side in ("chosen_ids", "rejected_ids")
        ]
        assert len(part) == 1 or count_tokens(read) <= budget


@pytest.mark.parametrize(
    ("sequences", "expected"),
    [
        ([([1, 2, 3], [4, 5])], 2 + 2),
        ([([1, 2, 3], [4, 5]), ([1, 2, 3], [4, 5]), ([1, 2, 3], [6])], 2 + 2 + 1),
        ([([1], [4, 5]), ([9], [4, 5])], 2 + 2),
        ([([], [4, 5, 6]), ([1], [])], 2),
    ],
)
def test_each_token_is_counted_once(
    sequences: list[tuple[list[int], list[int]]], expected: int
) -> None:
    """A prompt counts once without its last token, a completion as many as predict its tokens."""
    assert count_tokens(sequences) == expected
