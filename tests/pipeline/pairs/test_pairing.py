"""From a snapshot to pairs, and what became of the rest."""

import json
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
from snapshots import run, snapshot

from thumbwheel.config import PluginConfig
from thumbwheel.pairs import candidates as candidates_module
from thumbwheel.pairs.split import SplitMemory
from thumbwheel.plugin import PluginManager
from thumbwheel.types import Part
from thumbwheel.types.fates import IN_PAIRS, Fate


def texts(pairs):
    return sorted(zip(pairs["chosen"].to_pylist(), pairs["rejected"].to_pylist(), strict=True))


def test_every_rated_answer_is_accounted_for(tmp_path):
    """Each answer is in a pair, or has one reason why not."""
    path = snapshot(
        tmp_path / "s",
        ("p", "good answer", 1, 0),
        ("p", "weak answer", 0, 1),
        ("q", "alone", 1, 0),
        ("r", "  ", 0, 1),
        ("r", "with an empty one only", 1, 0),
        ("s", "tied", 1, 0),
        ("s", "tied too", 1, 0),
        ("t", "short", 1, 0),
        ("t", "a very much longer answer than the other", 0, 1),
    )
    result = run(path, "best_worst", "length_match")
    (dropped,) = result.dropped_pairs()
    assert (dropped.fate, dropped.n, dropped.by) == (Fate.SCREENED, 1, "length_match")
    assert "3 times as long" in dropped.detail
    (in_pair,) = {count.fate for count in result.completions} & {*IN_PAIRS}
    assert {(count.fate, count.detail): count.n for count in result.completions} == {
        (Fate.EMPTY_COMPLETION, None): 1,
        (Fate.ONLY_RATED_COMPLETION, None): 2,
        (Fate.NOT_PAIRED, None): 2,
        (Fate.SCREENED, dropped.detail): 2,
        (in_pair, None): 2,
    }
    assert texts(result.pairs) == [("good answer", "weak answer")]
    assert texts(result.dropped) == [("short", "a very much longer answer than the other")]
    assert result.dropped["by"].to_pylist() == ["length_match"]


def parts(pairing):
    """Return the part of each prompt with pairs."""
    columns = (pairing.pairs[name].to_pylist() for name in ("prompt_id", "part"))
    return dict(zip(*columns, strict=True))


def many(n_prompts, per_prompt=5):
    return [
        (f"p{i // per_prompt:03}", f"answer {i}", i % 3 + 1, (i * 7) % 4)
        for i in range(n_prompts * per_prompt)
    ]


@pytest.mark.parametrize("chunk_rows", [1, 2, 3, 7])
def test_chunks_hold_whole_prompts(tmp_path, monkeypatch, chunk_rows):
    """However small the chunks, the pairs are the same: no prompt is split."""
    path = snapshot(tmp_path / "s", *many(10))
    whole = run(path, "all_pairs")
    pairs, completions = whole.pairs, whole.completions
    monkeypatch.setattr(candidates_module, "_CHUNK_ROWS", chunk_rows)
    chunked = run(path, "all_pairs")
    assert len(pairs) > 3
    assert chunked.pairs.equals(pairs)
    assert chunked.completions == completions


def test_a_cap_in_pairs_holds_without_one_in_shares(tmp_path):
    """`max_per_rater` alone is enough for raters' votes to be looked at."""
    path = snapshot(tmp_path / "s", *many(30, 2))
    votes = pq.read_table(path / "votes.parquet")
    rater = pa.array(["rater:same"] * len(votes))
    pq.write_table(votes.set_column(1, "rater", rater), path / "votes.parquet")
    capped = run(path, "all_pairs", max_rater_share=1.0, max_per_rater=1)
    assert len(capped.pairs) == 3, "one in each part of the split"
    assert Fate.OVER_RATER_CAP in {count.fate for count in capped.dropped_pairs()}


def test_a_fate_has_its_own_detail(tmp_path):
    """Of a completion whose pairs were dropped for several reasons, never that of another one."""
    path = snapshot(tmp_path / "s", *many(60, 6))
    votes = pq.read_table(path / "votes.parquet")
    rater = pa.array(["rater:same"] * len(votes))
    pq.write_table(votes.set_column(1, "rater", rater), path / "votes.parquet")
    result = run(path, "all_pairs", max_per_prompt=2, max_rater_share=1.0, max_per_rater=20)
    detail = {Fate.OVER_PROMPT_CAP: "2"}
    told = result.completions
    assert {Fate.OVER_PROMPT_CAP, Fate.OVER_RATER_CAP} < {count.fate for count in told}
    assert [count.detail for count in told] == [detail.get(count.fate) for count in told]
    dropped = result.dropped_pairs()
    assert [count.detail for count in dropped] == [detail.get(count.fate) for count in dropped]
    assert sum(count.n for count in dropped) == len(result.dropped)


def test_an_empty_snapshot_gives_no_pairs(tmp_path):
    """Nothing rated yet is not an error here."""
    result = run(snapshot(tmp_path / "s"), "all_pairs")
    assert len(result.pairs) == 0
    assert result.completions == []


class Counting(PluginManager):
    """Plugins that note which prompts they were given."""

    def __init__(self, *uses):
        super().__init__([PluginConfig(use=use) for use in uses], Path())
        self.seen = []

    def make_pairs(self, rated, comparisons):
        self.seen += pc.unique(rated["prompt_id"]).to_pylist()
        return super().make_pairs(rated, comparisons)


def test_only_prompts_that_changed_are_paired_anew(tmp_path):
    """After one more vote, the plugins see one prompt; the pairs are those of a fresh run."""
    rows = many(40)
    first = Counting("all_pairs", "length_match")
    run(snapshot(tmp_path / "one", *rows), plugins=first)
    assert len(first.seen) == 40
    changed = [*rows[:7], (rows[7][0], rows[7][1], 9, 0), *rows[8:]]
    path = snapshot(
        tmp_path / "two", *changed, compared=[("p020", *("answer 100", "answer 101"), 1, 0)]
    )
    again = Counting("all_pairs", "length_match")
    result = run(path, plugins=again, earlier=tmp_path / "one-pairing")
    assert again.seen == ["p001", "p020"]
    fresh = run(snapshot(tmp_path / "three", *changed,
                         compared=[("p020", "answer 100", "answer 101", 1, 0)]),
                "all_pairs", "length_match")  # fmt: skip
    assert result.pairs.equals(fresh.pairs)
    assert result.fates.sort_by("completion_id") == fresh.fates.sort_by("completion_id")
    assert result.dropped == fresh.dropped


def test_other_plugins_take_nothing_over(tmp_path):
    """Candidates that other plugins or options made are not used."""
    run(snapshot(tmp_path / "one", *many(5)), "best_worst")
    plugins = Counting("all_pairs")
    run(snapshot(tmp_path / "two", *many(5)), plugins=plugins, earlier=tmp_path / "one-pairing")
    assert len(plugins.seen) == 5


def test_candidates_of_an_earlier_version_are_made_anew(tmp_path):
    """It kept the reasons in words, under another name; prompts and plugins are the same."""
    run(snapshot(tmp_path / "one", *many(5)), "all_pairs", "length_match")
    old = tmp_path / "one-pairing"
    dropped = pq.read_table(old / "dropped.parquet")
    names = ["reason" if name == "detail" else name for name in dropped.column_names]
    worded = dropped.rename_columns(names).drop_columns("fate")
    pq.write_table(worded, old / "dropped.parquet")
    _, made_by = json.loads((old / "made_by.json").read_text())
    (old / "made_by.json").write_text(json.dumps(made_by))
    plugins = Counting("all_pairs", "length_match")
    result = run(snapshot(tmp_path / "two", *many(5)), plugins=plugins, earlier=old)
    assert len(plugins.seen) == 5
    assert len(result.dropped)


def test_a_comparison_is_paired_as_judged(tmp_path):
    """It beats net votes that say the opposite when its plugin is listed first, and says so."""
    path = snapshot(
        tmp_path / "s",
        ("p", "liked", 3, 0),
        ("p", "disliked", 0, 3),
        ("q", "never voted on", 0, 0),
        ("q", "nor this", 0, 0),
        compared=[("p", "disliked", "liked", 2, 1), ("q", "nor this", "never voted on", 1, 0)],
    )
    result = run(path, "comparisons", "all_pairs")
    assert texts(result.pairs) == [("disliked", "liked"), ("nor this", "never voted on")]
    assert set(result.pairs["origin"].to_pylist()) == {"comparison"}
    confidence = {row["chosen"]: row["confidence"] for row in result.pairs.to_pylist()}
    assert confidence == {"disliked": 0.6875, "nor this": 0.75}


def test_every_comparison_is_accounted_for(tmp_path):
    """Each is in a pair, or has one reason why not, and what was taken over keeps its reason."""
    rows = [("p", text, 0, 0) for text in ("a", "b", "c", "d", "e", " ")]
    path = snapshot(
        tmp_path / "s",
        *rows,
        compared=[
            ("p", "a", "b", 1, 0),
            ("p", "c", "d", 1, 1),
            ("p", "a", "c", 2, 1),
            ("p", "e", " ", 1, 0),
            ("p", "a", "gone", 1, 0),
            ("p", "d", "a long answer that is not alike", 1, 0),
        ],
    )
    result = run(path, "all_pairs", "length_match")
    (in_pair,) = {count.fate for count in result.judgements} & {*IN_PAIRS}
    assert {count.fate: count.n for count in result.judgements} == {
        in_pair: 1,
        Fate.DIVIDED: 1,
        Fate.NOT_PROPOSED: 1,
        Fate.NO_ANSWER: 3,
    }


def test_prompts_stay_on_their_side(tmp_path):
    """What was remembered of a training set is in the same part later, whatever else comes."""
    memory = SplitMemory(tmp_path / "split.parquet")
    first = run(snapshot(tmp_path / "one", *many(30)), "all_pairs", memory=memory)
    memory.remember(first.assigned)
    before = parts(first)
    assert set(before.values()) == set(Part)
    later = parts(run(snapshot(tmp_path / "two", *many(60)), "all_pairs", memory=memory))
    both = before.keys() & later.keys()
    assert len(both) > 20
    assert {name: before[name] for name in both} == {name: later[name] for name in both}


def test_each_part_has_its_own_fate(tmp_path):
    """The answers of a pair are told to be in training, to teach the judge, or to be held out."""
    result = run(snapshot(tmp_path / "s", *many(30, 2)), "all_pairs")
    fates = dict(zip(*(result.fates[name].to_pylist() for name in ("completion_id", "fate")),
                     strict=True))  # fmt: skip
    told = {
        (pair["part"], fates[pair[side]])
        for pair in result.pairs.to_pylist()
        for side in ("chosen_id", "rejected_id")
    }
    assert told == set(zip((Part.TRAIN, Part.JUDGE, Part.HELD_OUT), IN_PAIRS, strict=True))


def test_near_duplicates_are_paired_only_when_asked(tmp_path):
    """The only answers to two spellings of a prompt make a pair when they are to be one prompt."""
    prompts = {
        name: [{"role": "user", "content": text}]
        for name, text in (("a", "Is it so?"), ("b", "is it so"))
    }
    path = snapshot(tmp_path / "s", ("a", "yes", 2, 0), ("b", "no", 0, 2), prompts=prompts)
    assert len(run(path, "all_pairs").pairs) == 0
    result = run(path, "all_pairs", across_near_duplicates=True)
    assert texts(result.pairs) == [("yes", "no")]
    assert result.pairs["prompt_id"].to_pylist() == ["a"]
