"""The dataset: split by prompt, capped, reproducible, in TRL's format."""

import datasets
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from thumbwheel.config import DatasetConfig
from thumbwheel.events import content_id, text_identity
from thumbwheel.pairs.dataset import read_manifest, read_pairs, write_dataset
from thumbwheel.tables import PAIRS, VOTES
from thumbwheel.types import Message, Provenance

CALL = '{"tool_calls":[{"function":{"arguments":{"n":1},"name":"f"},"type":"function"}]}'


def make_pairs(n_prompts, per_prompt=2, extra=None):
    rows = []
    for number in range(n_prompts):
        prompt: list[Message] = [{"role": "user", "content": f"question {number}"}]
        if extra and number % 2:
            prompt.append({"role": "assistant", "content": "", "extra": extra})
        prompt_id, _ = text_identity(prompt, "")
        for index in range(per_prompt):
            rows.append(
                {
                    "pair_id": content_id(prompt_id, str(index)),
                    "prompt_id": prompt_id,
                    "chosen_id": f"c{number}{index}",
                    "rejected_id": f"r{number}{index}",
                    "confidence": 0.8 + index / 100,
                    "plugin": "test",
                    "prompt": prompt,
                    "chosen": "yes" * (index + 1),
                    "rejected": "no",
                }
            )
    return pa.Table.from_pylist(rows, schema=PAIRS)


def write(pairs, path, **config):
    """Write a dataset of which every third prompt is held out."""
    thirds = [int(name[1:-1]) % 3 == 0 for name in pairs["chosen_id"].to_pylist()]
    split = pairs.append_column("held_out", pa.array(thirds))
    votes = pa.Table.from_pylist(
        [
            {"completion_id": name, "rater": f"rater:{name}", "event_id": f"e{name}"}
            for name in pairs["chosen_id"].to_pylist()
        ],
        VOTES,
    )
    return write_dataset(split, votes, path, DatasetConfig(**config), Provenance(snapshot="x"))


def test_both_sides_are_written(tmp_path):
    """Training and held-out pairs share no prompt, and together they are all pairs."""
    pairs = make_pairs(300)
    dataset = write(pairs, tmp_path / "d")
    train = set(pq.read_table(dataset.path / "train.parquet")["prompt_id"].to_pylist())
    held_out = set(pq.read_table(dataset.path / "eval.parquet")["prompt_id"].to_pylist())
    assert not train & held_out
    assert (len(train), len(held_out)) == (200, 100)
    assert dataset.n_train + dataset.n_eval == len(pairs)


def test_every_pair_leads_to_its_votes(tmp_path):
    """The lineage names the votes on either side of each written pair, and of no other."""
    dataset = write(make_pairs(12), tmp_path / "d", max_train_pairs=3)
    lineage = pq.read_table(dataset.path / "lineage.parquet").to_pylist()
    written = [
        row
        for side in ("train", "eval")
        for row in pq.read_table(dataset.path / f"{side}.parquet").to_pylist()
    ]
    assert len(written) == 3 + 8
    assert {(row["pair_id"], row["event_id"], row["role"]) for row in lineage} == {
        (row["pair_id"], f"e{row['chosen_id']}", "chosen") for row in written
    }


@pytest.mark.parametrize("extra", [None, CALL])
def test_the_same_pairs_give_the_same_bytes(tmp_path, extra):
    """Row order does not matter to digest or files; another pair changes the digest."""
    pairs = make_pairs(50, extra=extra)
    first = write(pairs, tmp_path / "a")
    second = write(pairs.take(list(reversed(range(len(pairs))))), tmp_path / "b")
    assert first.digest == second.digest
    for name in ("train.parquet", "eval.parquet", "lineage.parquet", "manifest.json"):
        assert (first.path / name).read_bytes() == (second.path / name).read_bytes()
    assert write(pairs.slice(1), tmp_path / "c").digest != first.digest


def test_caps_keep_many_prompts_and_the_surest_pairs(tmp_path):
    """Under a cap, every prompt keeps its surest pair before any keeps a second."""
    dataset = write(make_pairs(100, per_prompt=3), tmp_path / "d", max_train_pairs=60)
    rows = pq.read_table(dataset.path / "train.parquet").to_pylist()
    assert len(rows) == 60
    assert len({row["prompt_id"] for row in rows}) == 60
    assert {round(row["confidence"], 9) for row in rows} == {0.82}


@pytest.mark.parametrize("extra", [None, CALL])
def test_files_are_in_trl_format_and_read_back(tmp_path, extra):
    """Messages are those a chat template takes; `read_pairs` gives back what was written."""
    pairs = make_pairs(40, extra=extra)
    dataset = write(pairs, tmp_path / "d")
    rows = list(datasets.Dataset(pq.read_table(dataset.path / "train.parquet")))
    for row in rows:
        question, *call = row["prompt"]
        assert question == {"role": "user", "content": question["content"]}
        assert [len(message) for message in row["chosen"] + row["rejected"]] == [2, 2]
        for message in call:
            function = {"arguments": {"n": 1}, "name": "f"}
            assert message["tool_calls"] == [{"function": function, "type": "function"}]
    assert len({len(row["prompt"]) for row in rows}) == (2 if extra else 1)
    back = pa.concat_tables([read_pairs(dataset.path / f"{s}.parquet") for s in ("train", "eval")])
    assert back.sort_by("pair_id").equals(pairs.sort_by("pair_id"))


def test_the_manifest_says_what_length_alone_would_get_right(tmp_path):
    """Chosen sides that are longer in all pairs are reported as such."""
    dataset = write(make_pairs(40), tmp_path / "d")
    manifest = read_manifest(dataset.path)
    assert manifest.longer_preferred_train == 1
    assert manifest.snapshot == "x"
    assert manifest.digest == dataset.digest
