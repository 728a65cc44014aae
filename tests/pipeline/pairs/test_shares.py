"""The held-out share where the configured one gives too few prompts to judge by."""

import pytest
from snapshots import run, snapshot

from thumbwheel.events import text_identity
from thumbwheel.pairs.shares import share_that_holds_out
from thumbwheel.pairs.split import SplitMemory
from thumbwheel.types import Part


def assign(memory, numbers, held_out):
    texts = [f"question number {number}" for number in numbers]
    return memory.assign(
        [text_identity(text, "")[0] for text in texts],
        [[{"role": "user", "content": text}] for text in texts],
        held_out=held_out,
        judge=0.2,
        threshold=0.8,
    )


def n_held_out(assigned):
    return assigned["part"].to_pylist().count(Part.HELD_OUT)


@pytest.mark.parametrize("n", [110, 150, 200, 400])
def test_as_many_are_held_out_as_it_takes(tmp_path, n):
    """Of a few prompts more than a fifth, at most half, and never less than is configured."""
    memory = SplitMemory(tmp_path / "split.parquet")
    before = assign(memory, range(n), 0.2)
    share = share_that_holds_out(before, 50, held_out=0.2, judge=0.2)
    assert share is not None
    assert 0.2 <= share <= 0.5
    after = assign(memory, range(n), share)
    assert n_held_out(after) == max(50, n_held_out(before))
    assert after["part"].to_pylist().count(Part.TRAIN) >= n / 5


def test_where_half_are_too_few_the_share_stays(tmp_path):
    """Sixty prompts never hold out fifty: nothing would be left to learn from."""
    memory = SplitMemory(tmp_path / "split.parquet")
    few = assign(memory, range(60), 0.2)
    assert share_that_holds_out(few, 50, held_out=0.2, judge=0.2) is None
    assert share_that_holds_out(few, 5, held_out=0.2, judge=0.2) == 0.2
    assert share_that_holds_out(few, 25, held_out=0.2, judge=0.7) is None


def test_what_was_seen_stays_where_it_is_and_counts(tmp_path):
    """Prompts of earlier cycles keep their part; only new ones come to the held-out part."""
    memory = SplitMemory(tmp_path / "split.parquet")
    first = assign(memory, range(150), 0.35)
    memory.remember(first)
    grown = assign(memory, range(400), 0.2)
    share = share_that_holds_out(grown, n_held_out(first) + 5, held_out=0.01, judge=0.2)
    assert share is not None
    again = assign(memory, range(400), share)
    assert again["part"].to_pylist()[:150] == first["part"].to_pylist()
    assert n_held_out(again) == n_held_out(first) + 5
    assert share_that_holds_out(grown, n_held_out(first), held_out=0.2, judge=0.2) == 0.2


def test_the_pairs_hold_out_enough_prompts(tmp_path):
    """What counts is the prompts in the set: the draw loses some, and the share makes up for it."""
    rows = [
        (f"p{prompt}", text, up, 4 - up)
        for prompt in range(60)
        for text, up in (("short", 4 * (prompt % 2)), ("rather long", 4 - 4 * (prompt % 2)))
    ]
    path = snapshot(tmp_path / "snapshot", *rows)
    plain = run(path, "all_pairs")
    raised = run(path, "all_pairs", min_held_out=25)
    beyond = run(path, "all_pairs", min_held_out=40)

    def in_set(pairing):
        rows = pairing.pairs.to_pylist()
        return len({row["prompt_id"] for row in rows if row["part"] == Part.HELD_OUT})

    assert in_set(plain) < 25 == in_set(raised)
    assert plain.warning is None
    assert "so that there are 25 to judge by" in raised.warning
    assert (beyond.raised_to, beyond.pairs) == (None, plain.pairs)
