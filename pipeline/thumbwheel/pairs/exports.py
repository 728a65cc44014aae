"""Datasets for other programs, in TRL's formats: preference pairs, and single votes for KTO."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Literal, TypeAlias

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from thumbwheel.errors import DataError, InputError
from thumbwheel.pairs.dataset import PART_FILES, to_conversations
from thumbwheel.pairs.split import SplitMemory
from thumbwheel.process.durable import replacing
from thumbwheel.tables import RATED
from thumbwheel.types import Part

__all__ = [
    "ExportFormat",
    "export",
    "preference_splits",
    "read_rated",
    "refuse_existing",
    "training_side",
    "unpaired_votes",
]

ExportFormat: TypeAlias = Literal["parquet", "jsonl", "datasets"]

_PREFERENCE = ["pair_id", "prompt", "chosen", "rejected"]
_SPLITS = {"train": Part.TRAIN, "judge": Part.JUDGE, "test": Part.HELD_OUT}
_UNPAIRED = ["completion_id", "prompt", "completion", "label"]


def preference_splits(dataset: Path) -> dict[str, pa.Table]:
    """Return a dataset's pairs by split, in TRL's conversational form.

    The splits are `train`, `test` (what is held out) and, where there are any, `judge`.

    Columns: `pair_id`; `prompt`, `chosen`, `rejected`: lists of messages. Where prompts have tool
    calls or names, their messages are JSON (Arrow's `arrow.json`).

    Raises:
        DataError: There is no dataset at this path.
    """
    try:
        splits = {
            split: pq.read_table(dataset / PART_FILES[part], columns=_PREFERENCE)
            for split, part in _SPLITS.items()
            if part is not Part.JUDGE or (dataset / PART_FILES[part]).exists()
        }
    except (OSError, pa.ArrowException) as error:
        raise DataError(f"{dataset} is no dataset of Thumbwheel's: {error}") from error
    return {split: pairs for split, pairs in splits.items() if split != "judge" or len(pairs)}


def read_rated(snapshot: Path) -> pa.Table:
    """Return the rated completions of a snapshot, `tables.RATED`.

    Raises:
        DataError: There is no snapshot at this path.
    """
    try:
        return pq.read_table(snapshot / "rated.parquet").select(RATED.names).cast(RATED)
    except (OSError, KeyError, pa.ArrowException) as error:
        raise DataError(f"{snapshot} is no snapshot of Thumbwheel's: {error}") from error


def training_side(
    rated: pa.Table, memory: SplitMemory, *, held_out: float, judge: float, near_duplicate: float
) -> pa.Table:
    """Return the rows of prompts that training may see: of no other part, nor left out of all.

    Args:
        rated: `tables.RATED`.
        memory: The parts that prompts were in before.
        held_out: Share of prompts held out, of those that were in no part.
        judge: Share of prompts that teach the judge, of the same.
        near_duplicate: See `config.PairsConfig`.
    """
    ids = rated["prompt_id"].combine_chunks()
    prompts = rated.take(pc.index_in(pc.unique(ids), ids))
    assigned = memory.assign(
        prompts["prompt_id"],
        prompts["prompt"],
        held_out=held_out,
        judge=judge,
        threshold=near_duplicate,
    )
    is_trained = pc.equal(assigned["part"], Part.TRAIN)
    allowed = assigned["prompt_id"].filter(is_trained).combine_chunks()
    return rated.filter(pc.is_in(rated["prompt_id"], allowed))


def unpaired_votes(rated: pa.Table, certainty: float) -> pa.Table:
    """Return single completions with what most raters say of each, in TRL's unpaired form.

    The label is the side that the share of up-votes, with the posterior Beta(1 + n_up, 1 + n_down),
    is likelier to be on; one up-vote alone says `true` with a probability of 0.75. Completions that
    are empty, without votes, tied, or less certain than asked are left out.

    Args:
        rated: `tables.RATED`.
        certainty: The least probability of the label, in [0.5, 1).

    Returns:
        `completion_id`; `prompt` and `completion`: lists of messages; `label`: bool.
    """
    from scipy import special

    n_up, n_down = rated["n_up"].to_numpy(), rated["n_down"].to_numpy()
    mostly_up = special.betainc(1 + n_down, 1 + n_up, 0.5)
    is_sure = np.where(n_up > n_down, mostly_up, 1 - mostly_up) >= certainty
    has_text = pc.not_equal(pc.utf8_trim_whitespace(rated["completion"]), "")
    kept = pc.and_(has_text, pa.array(is_sure & (n_up != n_down)))
    labelled = rated.append_column("label", pa.array(n_up > n_down)).filter(kept)
    return to_conversations(labelled, ["completion"]).select(_UNPAIRED)


def refuse_existing(out: Path) -> None:
    """Refuse a directory that is there.

    Raises:
        InputError: There is something at `out` already.
    """
    if out.exists() or out.is_symlink():
        raise InputError(f"{out} is there already; give another path, or remove it")


def export(splits: Mapping[str, pa.Table], out: Path, file_format: ExportFormat) -> None:
    """Write splits into a new directory; it appears whole or not at all.

    - `parquet`: `SPLIT.parquet`.
    - `jsonl`: `SPLIT.jsonl`, one object a line, tool calls as objects.
    - `datasets`: what `datasets.load_from_disk` reads as a `DatasetDict`.

    Args:
        splits: A table each, as `preference_splits` and `unpaired_votes` return them.
        out: The directory to make.
        file_format: See above.

    Raises:
        InputError: There is something at `out` already.
    """
    refuse_existing(out)
    with replacing(out) as part:
        part.mkdir()
        if file_format == "datasets":
            _save_to_disk(splits, part)
        for split, table in splits.items():
            if file_format == "parquet":
                pq.write_table(table, part / f"{split}.parquet", compression="zstd")
            elif file_format == "jsonl":
                _write_lines(table, part / f"{split}.jsonl")


def _save_to_disk(splits: Mapping[str, pa.Table], path: Path) -> None:
    import datasets

    datasets.disable_progress_bars()
    tables = {split: datasets.Dataset(table) for split, table in splits.items()}
    datasets.DatasetDict(tables).save_to_disk(path)


def _write_lines(table: pa.Table, path: Path) -> None:
    with path.open("w", encoding="utf-8") as file:
        for batch in table.to_batches(max_chunksize=1000):
            for row in batch.to_pylist():
                # Arrow hands out the messages of prompts with tool calls as texts of JSON.
                row["prompt"] = [
                    json.loads(message) if isinstance(message, str) else message
                    for message in row["prompt"]
                ]
                file.write(json.dumps(row, ensure_ascii=False) + "\n")
