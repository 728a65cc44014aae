"""Candidate pairs on disk, and how those of prompts that did not change are taken over.

Texts stay on disk until the set is drawn, so that memory is bounded by a chunk and by identities.
"""

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Self

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from thumbwheel.pairs.chunks import DROPPED, JUDGED, UNPAIRED, ChunkPairs
from thumbwheel.store.scratch import open_scratch
from thumbwheel.tables import COMPARISONS, PAIRS, RATED

__all__ = ["CandidateFiles", "CandidateWriter", "prompt_digests", "whole_prompts"]

_CHUNK_ROWS = 100_000

_SCHEMAS = {"candidates": PAIRS, "dropped": DROPPED, "unpaired": UNPAIRED, "judged": JUDGED}
_DIGESTS = "digests.parquet"
_MADE_BY = "made_by.json"

_LAYOUT = 3
"""Counts up with every change of what the files hold, so that older ones are made anew."""

# All that pairing looks at, but for differences of texts that identities ignore.
_DIGEST = """
SELECT prompt_id, bit_xor(digest) AS digest FROM (
    SELECT prompt_id, hash(completion_id, n_up, n_down, score, model_version) AS digest
    FROM rated
    UNION ALL
    SELECT prompt_id, hash(chosen_id, rejected_id, n_for, n_against, origin)
    FROM comparisons
) GROUP BY prompt_id
"""


def prompt_digests(rated: Path, comparisons: Path, folder: Path) -> pa.Table:
    """Return (prompt_id, digest) of a snapshot's files: what a prompt's pairs follow from.

    Args:
        rated: Parquet of `tables.RATED`.
        comparisons: Parquet of `tables.COMPARISONS`.
        folder: What does not fit in memory is spilled there.
    """
    with open_scratch(folder, rated=rated, comparisons=comparisons) as scratch:
        return scratch.table(_DIGEST)


class CandidateFiles:
    """A directory of candidates, as a `CandidateWriter` has left it."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def read(self, name: str, columns: list[str] | None = None) -> pa.Table:
        """Return `candidates`, `dropped`, `unpaired` or `judged`."""
        return pq.read_table(self.path / f"{name}.parquet", columns=columns)

    def unchanged(self, digests: pa.Table, made_by: str) -> pa.Array:
        """Return the prompts whose candidates still hold: same rows, same plugins and options."""
        try:
            if json.loads((self.path / _MADE_BY).read_text("utf-8")) != [_LAYOUT, made_by]:
                return pa.array([], pa.string())
            known = pq.read_table(self.path / _DIGESTS)
        except (OSError, ValueError):
            return pa.array([], pa.string())
        index = pc.index_in(digests["prompt_id"], known["prompt_id"].combine_chunks())
        same = pc.equal(digests["digest"], known["digest"].take(index))
        return digests["prompt_id"].filter(same).combine_chunks()

    def batches(self, name: str, columns: list[str] | None = None) -> Iterator[pa.RecordBatch]:
        """Yield a file's rows in order, so many at a time that they fit in memory."""
        with pq.ParquetFile(self.path / f"{name}.parquet") as file:
            yield from file.iter_batches(_CHUNK_ROWS, columns=columns)

    def of_prompts(self, prompts: pa.Array) -> Iterator[ChunkPairs]:
        """Yield what became of these prompts, a part of one kind at a time."""
        nothing = {name: schema.empty_table() for name, schema in _SCHEMAS.items()}
        for name in _SCHEMAS:
            for batch in self.batches(name):
                rows = batch.filter(pc.is_in(batch["prompt_id"], prompts))
                yield ChunkPairs(**(nothing | {name: pa.Table.from_batches([rows])}))


class CandidateWriter:
    """Writes candidates chunk by chunk into a new directory. Use it as a context manager."""

    def __init__(self, path: Path) -> None:
        shutil.rmtree(path, ignore_errors=True)
        path.mkdir(parents=True)
        self._path = path
        self._writers = {
            name: pq.ParquetWriter(path / f"{name}.parquet", schema, compression="zstd")
            for name, schema in _SCHEMAS.items()
        }

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        for writer in self._writers.values():
            writer.close()

    def add(self, chunk: ChunkPairs) -> None:
        """Write what became of a chunk."""
        for name, writer in self._writers.items():
            table = getattr(chunk, name)
            if len(table):
                writer.write_table(table.cast(_SCHEMAS[name]))

    def finish(self, digests: pa.Table, made_by: str) -> None:
        """Note what the candidates follow from, so that a later run may take them over."""
        pq.write_table(digests, self._path / _DIGESTS, compression="zstd")
        (self._path / _MADE_BY).write_text(json.dumps([_LAYOUT, made_by]), "utf-8")


def whole_prompts(
    rated: Path, comparisons: Path, skip: pa.Array
) -> Iterator[tuple[float, pa.Table, pa.Table]]:
    """Yield (share done, rated, comparisons) of whole prompts; none straddles two chunks.

    Args:
        rated: Parquet of `tables.RATED`, sorted by prompt.
        comparisons: Parquet of `tables.COMPARISONS`.
        skip: Prompts to leave out.
    """
    file = pq.ParquetFile(rated)
    compared = pq.read_table(comparisons).cast(COMPARISONS)
    held = RATED.empty_table()
    read = 0
    for batch in file.iter_batches(_CHUNK_ROWS):
        read += len(batch)
        rows = pa.Table.from_batches([batch]).cast(RATED)
        last = rows["prompt_id"][-1]
        if len(skip):
            rows = rows.filter(pc.invert(pc.is_in(rows["prompt_id"], skip)))
        held = pa.concat_tables([held, rows])
        # Rows are sorted by prompt, so the last prompt may go on in the next batch.
        begin = pc.index(held["prompt_id"], last).as_py()
        whole = begin if begin >= 0 else len(held)
        chunk, held = held.slice(0, whole), held.slice(whole)
        if len(chunk):
            yield read / file.metadata.num_rows, chunk, _of_prompts(compared, chunk)
    if len(held):
        yield 1.0, held, _of_prompts(compared, held)


def _of_prompts(compared: pa.Table, chunk: pa.Table) -> pa.Table:
    if not len(compared):
        return compared
    return compared.filter(pc.is_in(compared["prompt_id"], pc.unique(chunk["prompt_id"])))
