"""The preference dataset: capped, written once, named by its content."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, fields
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from pydantic import TypeAdapter

from thumbwheel.config import DatasetConfig
from thumbwheel.events import from_chat, to_chat
from thumbwheel.pairs.lineage import lineage_table
from thumbwheel.process.durable import replacing
from thumbwheel.tables import MESSAGES, PAIRS
from thumbwheel.types import DatasetManifest, Message, Part, PreferenceDataset, Provenance

__all__ = [
    "MANIFEST",
    "PART_FILES",
    "read_clusters",
    "read_manifest",
    "read_pairs",
    "rich_prompts",
    "to_conversations",
    "write_dataset",
]

MANIFEST = "manifest.json"

PART_FILES: Mapping[Part, str] = {
    Part.TRAIN: "train.parquet",
    Part.JUDGE: "judge.parquet",
    Part.HELD_OUT: "eval.parquet",
}
"""The files of a dataset's pairs. What earlier versions wrote has none for the judge."""

_SIDES = ("chosen", "rejected")

_PLAIN = pa.list_(pa.struct([("role", pa.string()), ("content", pa.string())]))
# Arrow's structs have no absent fields, and chat templates take a null `tool_calls` for a call.
# `datasets` reads this type as the objects that the texts hold.
_RICH = pa.list_(pa.json_(pa.string()))


def write_dataset(
    pairs: pa.Table,
    votes: pa.Table,
    path: Path,
    config: DatasetConfig,
    provenance: Provenance,
) -> PreferenceDataset:
    """Cap the parts of the split, and write them with a manifest and their lineage.

    The files of the parts (`PART_FILES`) hold TRL's conversational preference format (`prompt`,
    `chosen` and `rejected` as lists of messages) besides the pair's identities. Messages are
    structs of role and content; in a file with tool calls or names, those of prompts are JSON.
    `lineage.parquet` names the votes behind each pair (`lineage.LINEAGE`). The directory appears
    whole or not at all.

    Args:
        pairs: `tables.PAIRS` with `cluster_id` and `part`.
        votes: `tables.VOTES`, those on the completions of the pairs at least.
        path: The directory to make; one that is there already is replaced.
        config: The caps.
        provenance: What the pairs were made from, for the manifest.
    """
    limits = {Part.TRAIN: config.max_train_pairs, Part.HELD_OUT: config.max_eval_pairs}
    parts = {
        part: _capped(pairs.filter(pc.equal(pairs["part"], part)), limits.get(part))
        for part in Part
    }
    train, judge, evaluation = (parts[part] for part in (Part.TRAIN, Part.JUDGE, Part.HELD_OUT))
    digest = _digest([train, evaluation, *([judge] if len(judge) else [])])
    manifest = DatasetManifest(
        digest=digest,
        n_pairs=len(pairs),
        n_train=len(train),
        n_train_prompts=_n_prompts(train),
        n_eval=len(evaluation),
        n_eval_prompts=_n_prompts(evaluation),
        n_judge=len(judge),
        n_judge_prompts=_n_prompts(judge),
        longer_preferred_train=_longer_preferred(train),
        longer_preferred_eval=_longer_preferred(evaluation),
        **{item.name: getattr(provenance, item.name) for item in fields(Provenance)},
    )
    lineage = lineage_table(pa.concat_tables(parts.values()), votes)
    with replacing(path) as made:
        made.mkdir()
        for name, file in PART_FILES.items():
            conversations = to_conversations(parts[name], _SIDES)
            pq.write_table(conversations, made / file, compression="zstd")
        pq.write_table(lineage, made / "lineage.parquet", compression="zstd")
        text = json.dumps(asdict(manifest), indent=2, ensure_ascii=False)
        (made / MANIFEST).write_text(text + "\n", encoding="utf-8")
    counts = {
        field.name: getattr(manifest, field.name)
        for field in fields(PreferenceDataset)
        if field.name != "path"
    }
    return PreferenceDataset(path, **counts)


def read_manifest(path: Path) -> DatasetManifest:
    """Return the manifest of the dataset at `path`."""
    return TypeAdapter(DatasetManifest).validate_json((path / MANIFEST).read_bytes())


def read_pairs(path: Path) -> pa.Table:
    """Return the pairs of a dataset's Parquet file as `tables.PAIRS`."""
    table = pq.read_table(path)
    if prompts := rich_prompts(table):
        table = _replaced(table, "prompt", pa.array(prompts, MESSAGES))
    for side in _SIDES:
        content = pc.struct_field(pc.list_element(table[side], 0), "content")
        table = _replaced(table, side, content)
    return table.select(PAIRS.names).cast(PAIRS)


def read_clusters(path: Path) -> dict[str, str]:
    """Return the cluster of near-duplicates of each prompt, by its id, of the dataset at `path`."""
    columns = ["prompt_id", "cluster_id"]
    tables = [
        pq.read_table(path / file, columns=columns)
        for file in PART_FILES.values()
        if (path / file).exists()
    ]
    clusters = pa.concat_tables(tables)
    return dict(zip(*(clusters[name].to_pylist() for name in columns), strict=True))


def rich_prompts(table: pa.Table) -> list[list[Message]]:
    """Return the prompts of a dataset's file that has them as JSON; of any other, none."""
    if table.schema.field("prompt").type != _RICH:
        return []
    return [from_chat(map(json.loads, prompt)) for prompt in table["prompt"].to_pylist()]


def to_conversations(table: pa.Table, answers: Sequence[str]) -> pa.Table:
    """Return a table in TRL's conversational form.

    Args:
        table: Has a `prompt` of `tables.MESSAGES`, and answers as texts.
        answers: The columns that hold answers; each text becomes a list of one message.

    Returns:
        The table with lists of messages. They are structs of role and content; where a prompt has
        tool calls or names, all prompts' messages are JSON.
    """
    for name in answers:
        messages = [[{"role": "assistant", "content": text}] for text in table[name].to_pylist()]
        table = _replaced(table, name, pa.array(messages, _PLAIN))
    extras = pc.struct_field(pc.list_flatten(table["prompt"]), "extra")
    if extras.null_count == len(extras):
        return _replaced(table, "prompt", table["prompt"].cast(_PLAIN))
    prompts = [
        [json.dumps(message, ensure_ascii=False) for message in to_chat(prompt)]
        for prompt in table["prompt"].to_pylist()
    ]
    return _replaced(table, "prompt", pa.array(prompts, pa.list_(pa.string())).cast(_RICH))


def _digest(parts: Sequence[pa.Table]) -> str:
    """Name pairs by their identities and confidences, in their order."""
    digest = hashlib.blake2b(digest_size=16)
    for pairs in parts:
        for pair_id, confidence in zip(
            pairs["pair_id"].to_pylist(), pairs["confidence"].to_pylist(), strict=True
        ):
            digest.update(f"{pair_id} {confidence:.9f}\n".encode())
        digest.update(b"\n")
    return digest.hexdigest()


def _capped(pairs: pa.Table, limit: int | None) -> pa.Table:
    """Keep at most `limit` pairs: each prompt's surest first, so that many prompts stay."""
    order = [("prompt_id", "ascending"), ("confidence", "descending"), ("pair_id", "ascending")]
    ranked = pairs.sort_by(order)
    ids = ranked["prompt_id"].to_numpy()
    starts = np.flatnonzero(np.append(True, ids[1:] != ids[:-1])) if len(ids) else np.array([], int)
    rank = np.arange(len(ids)) - np.repeat(starts, np.diff(np.append(starts, len(ids))))
    ranked = ranked.append_column("rank", pa.array(rank, pa.int64()))
    kept = ranked.sort_by([("rank", "ascending"), ("pair_id", "ascending")]).slice(0, limit)
    return kept.drop_columns("rank").sort_by("pair_id")


def _replaced(table: pa.Table, name: str, column: pa.Array | pa.ChunkedArray) -> pa.Table:
    return table.set_column(table.column_names.index(name), name, column)


def _n_prompts(pairs: pa.Table) -> int:
    return int(pc.count_distinct(pairs["prompt_id"]).as_py())


def _longer_preferred(pairs: pa.Table) -> float | None:
    """Return how often the chosen side is the longer one, ties half: what length alone knows."""
    if not len(pairs):
        return None
    chosen = pc.utf8_length(pairs["chosen"]).to_numpy()
    rejected = pc.utf8_length(pairs["rejected"]).to_numpy()
    return float(np.mean((chosen > rejected) + 0.5 * (chosen == rejected)))
