"""The split: which prompts are for training, which for the judge, which are held out, for ever.

A cluster of near-duplicate prompts lies in one part. While nobody has seen any of them, the part
follows from the cluster's identity, the same everywhere. What was in a dataset once is remembered
in a file: it stays in its part, and draws its near-duplicates there.

Where a new prompt links clusters of different parts, the cluster goes to whoever has learnt from
it: the model before the judge, the judge before nobody. Prompts of the other parts in it are left
out from then on, so that no held-out prompt is one that the model or the judge has learnt from, and
no prompt of the judge's one that the model has.

There is one way out of the held-out part: who looks at the same prompts again and again chooses by
them what they were to judge. Clusters that were looked at too often retire: they are trained on,
and no model that has seen them is judged on them.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import TypeAlias

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from thumbwheel.errors import DataError
from thumbwheel.measures.near_duplicates import FINGERPRINTS, cluster_fingerprints, fingerprints
from thumbwheel.process.durable import replacing
from thumbwheel.types import Part, Prompt
from thumbwheel.types.fates import Fate

__all__ = ["ASSIGNED", "SplitMemory", "part_of_cluster", "place_of_cluster"]

Strings: TypeAlias = Sequence[str] | pa.Array | pa.ChunkedArray
Ints = npt.NDArray[np.int64]

ASSIGNED = pa.schema(
    [
        ("prompt_id", pa.string()),
        ("cluster_id", pa.string()),
        ("part", pa.string()),
        ("fate", pa.string()),
        ("cluster_part", pa.string()),
        ("is_retired", pa.bool_()),
        ("is_open", pa.bool_()),
        *FINGERPRINTS,
    ]
)
"""The part of each prompt: a `types.Part`, or null for one that is left out for good, and `fate` is
then that of its pairs. `cluster_part` is where its cluster lies. `is_retired` tells who is held out
no longer, `is_open` whose cluster nobody has seen yet, so that its part follows from the shares.
`words_id` and `signature` are the prompt's fingerprint."""

_REMEMBERED = pa.schema(
    [
        ("prompt_id", pa.string()),
        ("part", pa.string()),
        ("cluster_part", pa.string()),
        ("looks", pa.list_(pa.string())),
        *FINGERPRINTS,
    ]
)
"""`part` is null for a prompt that is left out for good: somebody to whom `cluster_part` belongs
has learnt from its cluster. `looks` names the looks at it while it was held out."""

_LEARNT = (Part.HELD_OUT, Part.JUDGE, Part.TRAIN)
"""The parts, in the order of how much is learnt from them."""

_HELD_OUT, _JUDGE, _TRAIN = range(len(_LEARNT))


def place_of_cluster(cluster_id: str) -> float:
    """Return where a cluster lies between 0 and 1: what is below the share is held out."""
    return int(cluster_id[:8], 16) / 2**32


def part_of_cluster(cluster_id: str, held_out: float, judge: float) -> Part:
    """Return the part of a cluster that nobody has seen yet, given the shares of two of them."""
    place = place_of_cluster(cluster_id)
    if place < held_out:
        return Part.HELD_OUT
    return Part.JUDGE if place < held_out + judge else Part.TRAIN


class SplitMemory:
    """Remembers in which part of the split prompts were, in a Parquet file.

    Of a prompt it keeps identities, part, looks and signature (see `near_duplicates`), some 200
    bytes and never more than 1.2 kB. The texts are not needed. The file is read at each call and
    replaced whole; a missing one is an empty memory.
    """

    def __init__(self, path: Path) -> None:
        self._path = path

    def assign(
        self,
        prompt_ids: Strings,
        prompts: Sequence[Prompt] | pa.Array | pa.ChunkedArray,
        *,
        held_out: float,
        judge: float,
        threshold: float,
        max_looks: int | None = None,
    ) -> pa.Table:
        """Return the part of each prompt; nothing is remembered yet.

        No prompt is held out, or the judge's, that is in a cluster with one that was ever trained
        on; none is held out in a cluster with one that the judge learnt from. None is trained on
        that was ever the judge's, or held out and not retired.

        Args:
            prompt_ids: Their identities, each once.
            prompts: Chat messages, or a column of `tables.MESSAGES`; in the same order.
            held_out: Share of clusters to hold out, in (0, 1).
            judge: Share of clusters for the judge, in [0, 1 - held_out).
            threshold: See `near_duplicates.cluster_prompts`.
            max_looks: A held-out cluster retires when one of its prompts was looked at so often,
                unless the judge has learnt from it; by default none does.

        Returns:
            `ASSIGNED`, in the order given.

        Raises:
            DataError: The memory is damaged.
        """
        ids = _strings(prompt_ids)
        memory = self._read()
        known = pc.index_in(ids, memory["prompt_id"].combine_chunks())
        is_known = pc.is_valid(known).to_numpy(zero_copy_only=False)
        new = np.flatnonzero(~is_known)
        taken = (
            [prompts[row] for row in new.tolist()]
            if isinstance(prompts, Sequence)
            else prompts.take(new)
        )
        together = pa.concat_tables([memory.select(FINGERPRINTS.names), fingerprints(taken)])
        rows = pc.fill_null(known, 0).to_numpy().astype(np.int64)
        rows[new] = len(memory) + np.arange(len(new))

        clusters = cluster_fingerprints(together, threshold).dictionary_encode()
        members = clusters.indices.to_numpy().astype(np.int64)
        remembered = members[: len(memory)]
        own, learnt = _places(memory["part"]), _places(memory["cluster_part"])
        retired = np.zeros(len(memory), bool)
        if max_looks is not None:
            is_worn = pc.greater_equal(pc.list_value_length(memory["looks"]), max_looks).to_numpy()
            retires = np.isin(remembered, remembered[is_worn])
            retires &= ~np.isin(remembered, remembered[learnt == _JUDGE])
            retired = retires & (own == _HELD_OUT)
            own[retired] = learnt[retired] = _TRAIN
        parts = [
            _LEARNT.index(part_of_cluster(cluster, held_out, judge))
            for cluster in clusters.dictionary.to_pylist()
        ]
        of_cluster = _most(parts, remembered, learnt)[members[rows]]
        left_out = is_known.copy()
        left_out[is_known] = own[rows[is_known]] != of_cluster[is_known]
        is_retired = is_known.copy()
        is_retired[is_known] = retired[rows[is_known]]
        names = pa.array(_LEARNT, pa.string()).take(pa.array(of_cluster))
        columns = {
            "prompt_id": ids,
            "cluster_id": clusters.take(rows).cast(pa.string()),
            "part": pc.if_else(left_out, None, names),
            "fate": pc.if_else(left_out, Fate.ACROSS_SPLIT, None),
            "cluster_part": names,
            "is_retired": pa.array(is_retired),
            "is_open": pa.array(~np.isin(members[rows], remembered)),
            **dict(zip(FINGERPRINTS.names, together.take(rows).columns, strict=True)),
        }
        return pa.table(columns).cast(ASSIGNED)

    def remember(self, assigned: pa.Table) -> None:
        """Remember the parts of prompts that a dataset has, and who was left out for good.

        Call it before anything is trained on the dataset. A second call changes nothing.

        Args:
            assigned: Rows that `assign` returned: of prompts in the dataset, and those without a
                part. The parts of the others stay open.

        Raises:
            DataError: The memory is damaged, or a prompt came to another part meanwhile.
        """
        memory = self._read()
        known = pc.index_in(assigned["prompt_id"], memory["prompt_id"].combine_chunks())
        before = memory.take(known)
        retires = pc.and_(assigned["is_retired"], pc.equal(before["part"], Part.HELD_OUT))
        is_same = pc.or_(pc.equal(before["part"], assigned["part"]), retires)
        has_moved = pc.and_(pc.is_valid(known), pc.invert(pc.fill_null(is_same, False)))
        if pc.any(pc.and_(has_moved, pc.is_valid(assigned["part"]))).as_py():
            raise DataError(
                "another cycle put prompts in another part of the split since this one looked; "
                "run the cycle again"
            )
        looks = pc.if_else(
            pc.is_valid(known), before["looks"], pa.scalar([], pa.list_(pa.string()))
        )
        fresh = assigned.append_column("looks", looks).select(_REMEMBERED.names)
        others = pc.invert(pc.is_in(memory["prompt_id"], fresh["prompt_id"].combine_chunks()))
        self._write(pa.concat_tables([memory.filter(others), fresh]))

    def looked_at(self, prompt_ids: Strings, *, look_id: str) -> None:
        """Count one look at each of some held-out prompts; of one look, however often it is told.

        Args:
            prompt_ids: Prompts that are not held out, or were forgotten, are passed over.
            look_id: The look's name, such as the cycle's.

        Raises:
            DataError: The memory is damaged.
        """
        memory = self._read()
        is_meant = pc.and_(
            pc.is_in(memory["prompt_id"], _strings(prompt_ids)),
            pc.fill_null(pc.equal(memory["part"], Part.HELD_OUT), False),
        )
        looks = [
            [*before, look_id] if meant and look_id not in before else before
            for before, meant in zip(memory["looks"].to_pylist(), is_meant.to_pylist(), strict=True)
        ]
        place = _REMEMBERED.get_field_index("looks")
        column = pa.array(looks, _REMEMBERED.field(place).type)
        self._write(memory.set_column(place, _REMEMBERED.field(place), column))

    def looks(self) -> pa.Table:
        """Return `prompt_id` and `looks`, a list of names, of each held-out prompt.

        Raises:
            DataError: The memory is damaged.
        """
        memory = self._read()
        return memory.filter(pc.equal(memory["part"], Part.HELD_OUT)).select(["prompt_id", "looks"])

    def forget(self, prompt_ids: Strings, *, threshold: float) -> int:
        """Remove all that is kept of some prompts; return how many were there.

        Who shares a cluster with a forgotten one that more was learnt from is left out for good: a
        model, or the judge, knows its near-duplicate.

        Raises:
            DataError: The memory is damaged.
        """
        memory = self._read()
        goes = pc.is_in(memory["prompt_id"], _strings(prompt_ids)).to_numpy()
        if not goes.any():
            return 0
        members = cluster_fingerprints(memory, threshold).dictionary_encode()
        rows = members.indices.to_numpy().astype(np.int64)
        learnt = _places(memory["cluster_part"])
        forgotten = _most([_HELD_OUT] * len(members.dictionary), rows[goes], learnt[goes])[rows]
        spoilt = forgotten > learnt
        names = pa.array(_LEARNT, pa.string()).take(pa.array(np.maximum(learnt, forgotten)))
        parts = pc.if_else(spoilt, None, memory["part"])
        for name, column in (("part", parts), ("cluster_part", names)):
            memory = memory.set_column(
                _REMEMBERED.get_field_index(name), _REMEMBERED.field(name), column
            )
        self._write(memory.filter(~goes))
        return int(goes.sum())

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
            table = _of_three_parts(pq.read_table(self._path))
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


def _of_three_parts(memory: pa.Table) -> pa.Table:
    """Return a memory as it is now; earlier versions knew whether a prompt was held out.

    `held_out` was null for a prompt in whose cluster another one had been trained on.
    """
    if "part" in memory.column_names or "held_out" not in memory.column_names:
        return memory
    part = pc.if_else(memory["held_out"], Part.HELD_OUT, Part.TRAIN)
    columns = {
        "part": part,
        "cluster_part": pc.fill_null(part, Part.TRAIN),
        "looks": pa.array([[]] * len(memory), pa.list_(pa.string())),
    }
    for name, column in columns.items():
        memory = memory.append_column(name, column)
    return memory


def _places(parts: pa.ChunkedArray) -> Ints:
    """Return the places of parts in `_LEARNT`, -1 for null."""
    places = pc.index_in(parts, pa.array(_LEARNT, pa.string()))
    taken: Ints = pc.fill_null(places, -1).to_numpy().astype(np.int64)
    return taken


def _most(unseen: Sequence[int], clusters: Ints, learnt: Ints) -> Ints:
    """Return what most was learnt from each cluster; `unseen` is for those with no prompt."""
    most: Ints = np.full(len(unseen), -1, dtype=np.int64)
    np.maximum.at(most, clusters, learnt)
    most[most < 0] = np.array(unseen, dtype=np.int64)[most < 0]
    return most


def _strings(values: Strings) -> pa.Array:
    if isinstance(values, pa.ChunkedArray):
        return values.combine_chunks()
    return values if isinstance(values, pa.Array) else pa.array(values, pa.string())
