"""The split: which prompts are for training, which are held out, and that it stays so.

A cluster of near-duplicate prompts lies on one side. While nobody has seen any of them, the side
follows from the cluster's identity, the same everywhere. What was in a dataset once is remembered
in a file: it stays on its side, and draws its near-duplicates there. Where a new prompt links two
clusters of different sides, what was held out is left out from then on.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from thumbwheel.errors import DataError
from thumbwheel.measures.near_duplicates import FINGERPRINTS, cluster_fingerprints, fingerprints
from thumbwheel.process.durable import replacing
from thumbwheel.types import Prompt
from thumbwheel.types.fates import Fate

__all__ = ["ASSIGNED", "SplitMemory", "side_of_cluster"]

ASSIGNED = pa.schema(
    [
        ("prompt_id", pa.string()),
        ("cluster_id", pa.string()),
        ("held_out", pa.bool_()),
        ("fate", pa.string()),
        *FINGERPRINTS,
    ]
)
"""The side of each prompt. `held_out` is null for one that belongs to neither, and `fate` is then
that of its pairs; `words_id` and `signature` are its fingerprint."""

_REMEMBERED = pa.schema([("prompt_id", pa.string()), ("held_out", pa.bool_()), *FINGERPRINTS])
"""`held_out` is null for a prompt that was held out once and is left out for good."""


def side_of_cluster(cluster_id: str, share: float) -> bool:
    """Return whether a cluster that nobody has seen yet is held out: `share` of them are."""
    return int(cluster_id[:8], 16) / 2**32 < share


class SplitMemory:
    """Remembers on which side of the split prompts were, in a Parquet file.

    Of a prompt it keeps identities, side and signature (see `near_duplicates`), some 200 bytes and
    never more than 1.2 kB. The texts are not needed. The file is read at each call and replaced
    whole; a missing one is an empty memory.
    """

    def __init__(self, path: Path) -> None:
        self._path = path

    def assign(
        self,
        prompt_ids: Sequence[str] | pa.Array | pa.ChunkedArray,
        prompts: Sequence[Prompt] | pa.Array | pa.ChunkedArray,
        *,
        share: float,
        threshold: float,
    ) -> pa.Table:
        """Return the side of each prompt; nothing is remembered yet.

        No prompt is held out that is in a cluster with one that was ever trained on, and none is
        for training that was ever held out.

        Args:
            prompt_ids: Their identities, each once.
            prompts: Chat messages, or a column of `tables.MESSAGES`; in the same order.
            share: Share of clusters to hold out, in (0, 1).
            threshold: See `near_duplicates.cluster_prompts`.

        Returns:
            `ASSIGNED`, in the order given.

        Raises:
            DataError: The memory is damaged.
        """
        ids = _strings(prompt_ids)
        memory = self._read()
        known = pc.index_in(ids, memory["prompt_id"].combine_chunks())
        is_known = pc.is_valid(known)
        new = np.flatnonzero(pc.is_null(known))
        taken = (
            [prompts[row] for row in new.tolist()]
            if isinstance(prompts, Sequence)
            else prompts.take(new)
        )
        together = pa.concat_tables([memory.select(FINGERPRINTS.names), fingerprints(taken)])
        rows = pc.fill_null(known, 0).to_numpy().astype(np.int64)
        rows[new] = len(memory) + np.arange(len(new))

        clusters = cluster_fingerprints(together, threshold)
        trained, tested = _seen(clusters.slice(0, len(memory)), memory["held_out"])
        clusters = clusters.take(rows)
        was_trained, was_tested = pc.is_in(clusters, trained), pc.is_in(clusters, tested)
        drawn = [side_of_cluster(cluster, share) for cluster in clusters.to_pylist()]
        held_out = pc.and_not(pc.or_(was_tested, pa.array(drawn, pa.bool_())), was_trained)
        # Only what was trained on, or is new, goes to a cluster's training side.
        own = memory["held_out"].combine_chunks().take(known)
        left_out = pc.and_(was_trained, pc.and_(is_known, pc.fill_null(own, True)))
        columns = {
            "prompt_id": ids,
            "cluster_id": clusters,
            "held_out": pc.if_else(left_out, None, held_out),
            "fate": pc.if_else(left_out, Fate.ACROSS_SPLIT, None),
            **dict(zip(FINGERPRINTS.names, together.take(rows).columns, strict=True)),
        }
        return pa.table(columns).cast(ASSIGNED)

    def remember(self, assigned: pa.Table) -> None:
        """Remember the sides of prompts that a dataset has, and who was left out for good.

        Call it before anything is trained on the dataset. A second call changes nothing.

        Args:
            assigned: Rows that `assign` returned: of prompts in the dataset, and those without a
                side. The sides of the others stay open.

        Raises:
            DataError: The memory is damaged, or a prompt came to another side meanwhile.
        """
        fresh = assigned.select(_REMEMBERED.names)
        memory = self._read()
        known = pc.index_in(fresh["prompt_id"], memory["prompt_id"].combine_chunks())
        same_side = pc.fill_null(pc.equal(memory["held_out"].take(known), fresh["held_out"]), False)
        has_side = pc.is_valid(fresh["held_out"])
        if pc.any(pc.and_(pc.and_(pc.is_valid(known), has_side), pc.invert(same_side))).as_py():
            raise DataError(
                "another cycle put prompts on the other side of the split since this one looked; "
                "run the cycle again"
            )
        others = pc.invert(pc.is_in(memory["prompt_id"], fresh["prompt_id"].combine_chunks()))
        self._write(pa.concat_tables([memory.filter(others), fresh]))

    def forget(
        self, prompt_ids: Sequence[str] | pa.Array | pa.ChunkedArray, *, threshold: float
    ) -> int:
        """Remove all that is kept of some prompts; return how many were there.

        A held-out prompt that shares a cluster with a forgotten one that was trained on is left
        out for good: a model knows its near-duplicate.

        Raises:
            DataError: The memory is damaged.
        """
        memory = self._read()
        goes = pc.is_in(memory["prompt_id"], _strings(prompt_ids)).combine_chunks()
        n_gone = int(pc.sum(goes).as_py() or 0)
        if n_gone:
            clusters = cluster_fingerprints(memory, threshold)
            trained, _ = _seen(clusters.filter(goes), memory["held_out"].filter(goes))
            spoilt = pc.and_(pc.is_in(clusters, trained), pc.fill_null(memory["held_out"], True))
            sides = pc.if_else(spoilt, None, memory["held_out"])
            memory = memory.set_column(1, _REMEMBERED.field("held_out"), sides)
            self._write(memory.filter(pc.invert(goes)))
        return n_gone

    def prompt_ids(self) -> pa.Array:
        """Return the identities of all remembered prompts.

        Raises:
            DataError: The memory is damaged.
        """
        return self._read()["prompt_id"].combine_chunks()

    def _read(self) -> pa.Table:
        if not self._path.exists():
            return _REMEMBERED.empty_table()
        try:
            table = pq.read_table(self._path)
            return table.select(_REMEMBERED.names).cast(_REMEMBERED)
        except (pa.ArrowException, OSError, KeyError, ValueError) as error:
            reason = str(error).partition("\n")[0]
            raise DataError(
                f"the split's memory {self._path} is damaged ({reason:.100}); restore it from a "
                "backup, or remove it: then held-out prompts may have been trained on before, so "
                "train the next model from the base"
            ) from error

    def _write(self, table: pa.Table) -> None:
        # Hashes do not compress; the rest is sorted, so that the same memory is the same bytes.
        with replacing(self._path) as part:
            pq.write_table(table.sort_by("prompt_id"), part, compression="zstd")


def _seen(clusters: pa.Array, held_out: pa.ChunkedArray) -> tuple[pa.Array, pa.Array]:
    """Return the clusters of remembered prompts that were trained on, and of those held out.

    A prompt is left out for good when a model was trained on its cluster, and it was held out.
    """
    held_out = held_out.combine_chunks()
    trained = clusters.filter(pc.invert(pc.fill_null(held_out, False)))
    return trained.unique(), clusters.filter(pc.fill_null(held_out, True)).unique()


def _strings(values: Sequence[str] | pa.Array | pa.ChunkedArray) -> pa.Array:
    if isinstance(values, pa.ChunkedArray):
        return values.combine_chunks()
    return values if isinstance(values, pa.Array) else pa.array(values, pa.string())
