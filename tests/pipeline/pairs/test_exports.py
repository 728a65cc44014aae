"""Exports: TRL's formats on disk, which TRL itself trains on, and nothing held out in them."""

import json

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from thumbwheel.config import DatasetConfig
from thumbwheel.errors import DataError, InputError
from thumbwheel.events import content_id, text_identity
from thumbwheel.language_model import without_migration_warnings
from thumbwheel.pairs.dataset import write_dataset
from thumbwheel.pairs.exports import (
    export,
    preference_splits,
    read_rated,
    training_side,
    unpaired_votes,
)
from thumbwheel.pairs.pairing import DRAWN
from thumbwheel.pairs.split import SplitMemory
from thumbwheel.tables import RATED, VOTES
from thumbwheel.types import Part, Provenance

CALL = '{"tool_calls":[{"function":{"arguments":{"n":1},"name":"f"},"type":"function"}]}'


def prompt_of(number, extra=None):
    prompt = [{"role": "user", "content": f"question {number}"}]
    if extra and number % 2:
        prompt.append({"role": "assistant", "content": "", "extra": extra})
    return prompt


@pytest.fixture
def dataset(tmp_path, request):
    """A dataset of 12 pairs, a third of them in each part; the parameter is an `extra`."""
    parts = (Part.HELD_OUT, Part.JUDGE, Part.TRAIN)
    rows = [
        {
            "pair_id": content_id("pair", str(number)),
            "prompt_id": str(number),
            "chosen_id": f"c{number}",
            "rejected_id": f"r{number}",
            "confidence": 0.9,
            "plugin": "test",
            "origin": "votes",
            "prompt": prompt_of(number, getattr(request, "param", None)),
            "chosen": f"yes {number} «ü»",
            "rejected": "no",
            "cluster_id": str(number),
            "part": parts[number % 3],
        }
        for number in range(12)
    ]
    pairs = pa.Table.from_pylist(rows, DRAWN)
    path = tmp_path / "dataset"
    write_dataset(pairs, VOTES.empty_table(), path, DatasetConfig(), Provenance())
    return path


def rated(*rows, prompt="p"):
    """Return `tables.RATED` of (text, n_up, n_down)."""
    prompt_id, _ = text_identity(prompt, "")
    return pa.Table.from_pylist(
        [
            {
                "prompt_id": prompt_id,
                "completion_id": text_identity(prompt, text)[1],
                "prompt": [{"role": "user", "content": prompt}],
                "completion": text,
                "n_up": float(n_up),
                "n_down": float(n_down),
                "score": 0.0,
                "model_version": None,
            }
            for text, n_up, n_down in rows
        ],
        RATED,
    )


def lines(path):
    return [json.loads(line) for line in path.read_text().splitlines()]


@pytest.mark.parametrize("dataset", [None, CALL], indirect=True)
def test_all_formats_hold_the_same(dataset, tmp_path):
    """Parquet, JSONL and `datasets` give the same conversations; tool calls are objects."""
    from datasets import load_from_disk

    splits = preference_splits(dataset)
    for file_format in ("parquet", "jsonl", "datasets"):
        export(splits, tmp_path / file_format, file_format)
    loaded = load_from_disk(tmp_path / "datasets")
    assert {split: len(rows) for split, rows in loaded.items()} == {
        "train": 4,
        "judge": 4,
        "test": 4,
    }
    for split in ("train", "judge", "test"):
        assert pq.read_table(tmp_path / "parquet" / f"{split}.parquet").equals(splits[split])
        rows = lines(tmp_path / "jsonl" / f"{split}.jsonl")
        assert rows == list(loaded[split])
    row = next(row for row in rows if row["prompt"][0]["content"] == "question 3")
    assert list(row) == ["pair_id", "prompt", "chosen", "rejected"]
    assert row["chosen"] == [{"role": "assistant", "content": "yes 3 «ü»"}]
    calls = [message for message in row["prompt"] if "tool_calls" in message]
    if len(row["prompt"]) > 1:
        assert calls[0]["tool_calls"][0]["function"]["arguments"] == {"n": 1}
    else:
        assert calls == []


def test_nothing_is_overwritten_or_half_written(dataset, tmp_path):
    """A path that is taken is refused; a failure leaves nothing behind."""
    splits = preference_splits(dataset)
    taken = tmp_path / "taken"
    taken.write_text("mine")
    with pytest.raises(InputError, match="is there already"):
        export(splits, taken, "parquet")
    assert taken.read_text() == "mine"
    before = set(tmp_path.iterdir())
    with pytest.raises(AttributeError):
        export(splits | {"more": None}, tmp_path / "out", "jsonl")
    assert set(tmp_path.iterdir()) == before
    with pytest.raises(DataError, match="is no dataset"):
        preference_splits(tmp_path / "nowhere")
    with pytest.raises(DataError, match="is no snapshot"):
        read_rated(tmp_path / "nowhere")


def test_the_majority_is_the_label():
    """Ties, empty answers and answers without votes are left out; fractions of votes count."""
    table = rated(
        ("up", 2, 1),
        ("down", 0, 1),
        ("tie", 1, 1),
        (" ", 3, 0),
        ("unseen", 0, 0),
        ("old", 0.3, 0.1),
    )
    labels = {
        row["completion"][0]["content"]: row["label"]
        for row in unpaired_votes(table, 0.5).to_pylist()
    }
    assert labels == {"up": True, "down": False, "old": True}


@pytest.mark.parametrize(
    ("certainty", "kept"), [(0.5, 4), (0.74, 3), (0.76, 2), (0.8749, 2), (0.8751, 0)]
)
def test_certainty(certainty, kept):
    """P(label) follows from Beta posteriors: one vote .75, two .875, two against one .6875."""
    table = rated(("one", 1, 0), ("two", 2, 0), ("none", 0, 2), ("mixed", 1, 2))
    assert len(unpaired_votes(table, certainty)) == kept


def test_nothing_held_out_is_exported(tmp_path):
    """Prompts that are, or were once, held out or the judge's give no single answers."""
    table = pa.concat_tables(rated(("a", 1, 0), prompt=f"question {n} of many") for n in range(60))
    memory = SplitMemory(tmp_path / "split.parquet")
    ids, prompts = table["prompt_id"], table["prompt"]
    assigned = memory.assign(ids, prompts, held_out=0.3, judge=0.2, threshold=0.8)
    others = assigned.filter(pc.not_equal(assigned["part"], Part.TRAIN))
    assert len(others["part"].unique()) == 2
    memory.remember(assigned)
    later = training_side(table, memory, held_out=0.01, judge=0, near_duplicate=0.8)
    assert len(later)
    assert not set(others["prompt_id"].to_pylist()) & set(later["prompt_id"].to_pylist())
    assert len(later) + len(others) == len(table)


@pytest.mark.usefixtures("one_thread")
@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")
@pytest.mark.parametrize("dataset", [None, CALL], indirect=True)
def test_trl_trains_on_exported_pairs(dataset, tiny_model, tmp_path):
    """TRL's own DPOTrainer takes a step on what `load_from_disk` gives, tool calls or not."""
    from datasets import load_from_disk
    from trl import DPOConfig, DPOTrainer

    export(preference_splits(dataset), tmp_path / "out", "datasets")
    result = one_step(DPOTrainer, DPOConfig, load_from_disk(tmp_path / "out"), tiny_model, tmp_path)
    assert result.training_loss == pytest.approx(0.693, abs=0.01)


@pytest.mark.usefixtures("one_thread")
@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")
def test_trl_trains_on_exported_votes(tiny_model, tmp_path):
    """TRL's own KTOTrainer takes a step on single answers."""
    from datasets import load_from_disk
    from trl.trainer import KTOConfig, KTOTrainer

    rows = [(f"answer {number}", number % 2, 1 - number % 2) for number in range(8)]
    export({"train": unpaired_votes(rated(*rows), 0.5)}, tmp_path / "out", "datasets")
    exported = load_from_disk(tmp_path / "out")
    assert sorted(exported["train"]["label"]) == [False] * 4 + [True] * 4
    result = one_step(KTOTrainer, KTOConfig, exported, tiny_model, tmp_path)
    assert result.training_loss > 0


def one_step(trainer, config, exported, base, path):
    from transformers import AutoModelForCausalLM, AutoTokenizer

    arguments = config(
        output_dir=str(path / "run"),
        max_steps=1,
        per_device_train_batch_size=4,
        bf16=False,
        gradient_checkpointing=False,
        report_to="none",
        disable_tqdm=True,
        use_cpu=True,
        max_length=128,
    )
    with without_migration_warnings():
        return trainer(
            model=AutoModelForCausalLM.from_pretrained(base),
            args=arguments,
            train_dataset=exported["train"],
            processing_class=AutoTokenizer.from_pretrained(base),
        ).train()
