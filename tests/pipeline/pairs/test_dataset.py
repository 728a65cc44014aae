"""The dataset: split by prompt, capped, reproducible, in TRL's format."""

import json

import datasets
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from thumbwheel.config import DatasetConfig
from thumbwheel.events import content_id, text_identity
from thumbwheel.pairs.dataset import (
    PART_FILES,
    read_clusters,
    read_manifest,
    read_pairs,
    write_dataset,
)
from thumbwheel.pairs.exports import preference_splits
from thumbwheel.tables import PAIRS, VOTES
from thumbwheel.types import Message, Part, Provenance

CALL = '{"tool_calls":[{"function":{"arguments":{"n":1},"name":"f"},"type":"function"}]}'


PARTS = {0: Part.HELD_OUT, 1: Part.JUDGE, 3: Part.HELD_OUT}


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
    """Write a dataset of which every third prompt is held out, and every sixth the judge's."""
    numbers = [int(name[1:-1]) for name in pairs["chosen_id"].to_pylist()]
    parts = [PARTS.get(number % 6, Part.TRAIN) for number in numbers]
    clusters = pa.array([f"cluster {number // 12}" for number in numbers])
    split = pairs.append_column("cluster_id", clusters).append_column("part", pa.array(parts))
    votes = pa.Table.from_pylist(
        [
            {"completion_id": name, "rater": f"rater:{name}", "event_id": f"e{name}"}
            for name in pairs["chosen_id"].to_pylist()
        ],
        VOTES,
    )
    return write_dataset(split, votes, path, DatasetConfig(**config), Provenance(snapshot="x"))


def test_all_parts_are_written(tmp_path):
    """The parts share no prompt, and together they are all pairs; each prompt has its cluster."""
    pairs = make_pairs(300)
    dataset = write(pairs, tmp_path / "d")
    prompts = {
        part: set(pq.read_table(dataset.path / file)["prompt_id"].to_pylist())
        for part, file in PART_FILES.items()
    }
    assert {part: len(ids) for part, ids in prompts.items()} == {
        Part.TRAIN: 150,
        Part.JUDGE: 50,
        Part.HELD_OUT: 100,
    }
    assert len(set().union(*prompts.values())) == 300
    assert dataset.n_train + dataset.n_judge + dataset.n_eval == len(pairs)
    assert (dataset.n_judge_prompts, dataset.n_eval_prompts) == (50, 100)
    clusters = read_clusters(dataset.path)
    assert len(clusters) == 300
    first = pairs["prompt_id"][0].as_py()
    assert list(clusters.values()).count(clusters[first]) == 12


def test_a_dataset_without_a_judge_is_as_it_was(tmp_path):
    """An empty part changes no digest, and the files and manifests of earlier versions are read."""
    pairs = make_pairs(30)
    numbers = [int(name[1:-1]) for name in pairs["chosen_id"].to_pylist()]
    pairs = pairs.filter(pa.array([PARTS.get(n % 6) != Part.JUDGE for n in numbers]))
    dataset = write(pairs, tmp_path / "d")
    assert dataset.digest == "a5fb8ee300e825d9502fe96fda685708"
    assert len(read_pairs(dataset.path / "judge.parquet")) == 0
    (dataset.path / "judge.parquet").unlink()
    manifest = json.loads((dataset.path / "manifest.json").read_text())
    del manifest["n_judge"], manifest["n_judge_prompts"]
    (dataset.path / "manifest.json").write_text(json.dumps(manifest))
    assert read_manifest(dataset.path).n_judge == 0
    assert len(read_clusters(dataset.path)) == 25
    assert set(preference_splits(dataset.path)) == {"train", "test"}


def test_every_pair_leads_to_its_votes(tmp_path):
    """The lineage names the votes on either side of each written pair, and of no other."""
    dataset = write(make_pairs(12), tmp_path / "d", max_train_pairs=3)
    lineage = pq.read_table(dataset.path / "lineage.parquet").to_pylist()
    written = [
        row
        for file in PART_FILES.values()
        for row in pq.read_table(dataset.path / file).to_pylist()
    ]
    assert len(written) == 3 + 4 + 8
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
    for name in (*PART_FILES.values(), "lineage.parquet", "manifest.json"):
        assert (first.path / name).read_bytes() == (second.path / name).read_bytes()
    assert write(pairs.slice(1), tmp_path / "c").digest != first.digest


def test_caps_keep_many_prompts_and_the_surest_pairs(tmp_path):
    """Under a cap, every prompt keeps its surest pair before any keeps a second."""
    dataset = write(make_pairs(100, per_prompt=3), tmp_path / "d", max_train_pairs=40)
    rows = pq.read_table(dataset.path / "train.parquet").to_pylist()
    assert len(rows) == 40
    assert len({row["prompt_id"] for row in rows}) == 40
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
    back = pa.concat_tables([read_pairs(dataset.path / file) for file in PART_FILES.values()])
    assert back.sort_by("pair_id").equals(pairs.sort_by("pair_id"))


def test_the_manifest_says_what_length_alone_would_get_right(tmp_path):
    """Chosen sides that are longer in all pairs are reported as such."""
    dataset = write(make_pairs(40), tmp_path / "d")
    manifest = read_manifest(dataset.path)
    assert manifest.longer_preferred_train == 1
    assert manifest.snapshot == "x"
    assert manifest.digest == dataset.digest
