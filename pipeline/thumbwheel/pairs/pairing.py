"""The outcome of pairing a snapshot: the set, and what became of all that is not in it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import pyarrow as pa
import pyarrow.compute as pc

from thumbwheel.pairs.candidates import CandidateFiles
from thumbwheel.pairs.chunks import DROPPED, unordered
from thumbwheel.store import FATES
from thumbwheel.tables import PAIRS
from thumbwheel.types import Part
from thumbwheel.types.fates import Fate, FateCount

__all__ = ["DRAWN", "Pairing"]

DRAWN = PAIRS.append(pa.field("cluster_id", pa.string())).append(pa.field("part", pa.string()))
"""Pairs of the set: `tables.PAIRS`, the cluster of their prompt, and its `types.Part`."""


@dataclass(frozen=True)
class Pairing:
    """The outcome of pairing a snapshot.

    Attributes:
        pairs: The set, `DRAWN`.
        assigned: The part of every prompt with candidates, `split.ASSIGNED`.
        unbalanced: Style features whose difference could not be brought to zero.
        failed_plugins: What went wrong in plugins that were left out, by name.
        raised_to: The share of prompts that is held out, where it is more than the configured one.
    """

    pairs: pa.Table
    assigned: pa.Table
    unbalanced: Sequence[str]
    failed_plugins: Mapping[str, str]
    _files: CandidateFiles
    _out: pa.Table
    raised_to: float | None = None

    @property
    def warning(self) -> str | None:
        """What to say of the held-out share, where it is not the configured one."""
        if self.raised_to is None:
            return None
        held_out = self.pairs.filter(pc.equal(self.pairs["part"], Part.HELD_OUT))
        n = len(held_out["prompt_id"].unique())
        return (
            f"{self.raised_to:.0%} of the new prompts are held out, and not `held_out` of "
            f"[dataset], so that there are {n:,} to judge by (`min_prompts` in [gate])"
        )

    @cached_property
    def dropped(self) -> pa.Table:
        """The candidates that are not in the set, `DROPPED`."""
        out = self._files.read("candidates")
        for name in _WHY:
            out = out.append_column(name, self._out[name])
        out = out.filter(pc.is_valid(out["fate"])).cast(DROPPED)
        return pa.concat_tables([self._files.read("dropped"), out]).sort_by("pair_id")

    def dropped_pairs(self) -> list[FateCount]:
        """Return how many candidates are not in the set, the most frequent fate first."""
        out = self._out.filter(pc.is_valid(self._out["fate"]))
        return _count(pa.concat_tables([self._files.read("dropped", _WHY), out]))

    @cached_property
    def fates(self) -> pa.Table:
        """What became of every rated completion, `store.FATES`."""
        of_pairs = self._pair_fates()
        fates = [
            _sides(of_pairs.slice(0, len(self.pairs))),
            _sides(of_pairs.slice(len(self.pairs))),
            self._files.read("unpaired", ["completion_id", "fate"]),
        ]
        # A completion in a pair is in a pair, whatever became of its others.
        ranked = pa.concat_tables(
            [
                table.append_column("rank", pa.repeat(pa.scalar(rank), len(table)))
                for rank, table in enumerate(fates)
            ],
            promote_options="default",
        )
        counted = ranked.group_by(["rank", *FATES.names]).aggregate([([], "count_all")])
        place = pc.index_in(counted["fate"], pa.array(list(Fate), pa.string()))
        counted = counted.append_column("place", place).sort_by(
            [
                ("completion_id", "ascending"),
                ("rank", "ascending"),
                ("count_all", "descending"),
                ("place", "ascending"),
                ("detail", "ascending"),
            ]
        )
        whole = pc.ScalarAggregateOptions(skip_nulls=False)
        first = counted.group_by("completion_id", use_threads=False).aggregate(
            [(name, "first", whole) for name in ("fate", "detail")]
        )
        return first.rename_columns(FATES.names)

    @property
    def completions(self) -> list[FateCount]:
        """How many rated completions met each fate, the most frequent first."""
        return _count(self.fates)

    @cached_property
    def judgements(self) -> list[FateCount]:
        """How many comparisons of two answers met each fate, the most frequent fate first."""
        judged = self._files.read("judged")
        of_pairs = self._pair_fates()
        place = pc.index_in(unordered(judged), unordered(of_pairs).combine_chunks())
        columns = {
            "fate": pc.coalesce(judged["fate"], of_pairs["fate"].take(place)),
            "detail": of_pairs["detail"].take(place),
        }
        return _count(pa.table(columns))

    def _pair_fates(self) -> pa.Table:
        """Return sides, fate and detail of every candidate, those of the set first."""
        columns = [*_SIDES, "fate", "detail"]
        parts = pc.index_in(self.pairs["part"], pa.array(list(_IN_SET), pa.string()))
        in_set = pa.array(list(_IN_SET.values()), pa.string()).take(parts)
        out = self._files.read("candidates", _SIDES)
        for name in ("fate", "detail"):
            out = out.append_column(name, self._out[name])
        return pa.concat_tables(
            [
                self.pairs.select(_SIDES).append_column("fate", in_set),
                out.filter(pc.is_valid(out["fate"])),
                self._files.read("dropped", columns),
            ],
            promote_options="default",
        )


_IN_SET = {
    Part.TRAIN: Fate.IN_TRAINING,
    Part.JUDGE: Fate.FOR_JUDGE,
    Part.HELD_OUT: Fate.HELD_OUT,
}
_SIDES = ["chosen_id", "rejected_id"]
_WHY = ["fate", "detail", "by"]


def _sides(pairs: pa.Table) -> pa.Table:
    """Return a row for each side of each pair, with what else is known of the pair."""
    sides = [
        pairs.drop_columns(other).rename_columns({side: "completion_id"})
        for side, other in (_SIDES, _SIDES[::-1])
    ]
    return pa.concat_tables(sides)


def _count(fates: pa.Table) -> list[FateCount]:
    """Count rows by fate, detail and `by`, as far as there are such columns."""
    names = [name for name in _WHY if name in fates.column_names]
    counted = fates.group_by(names).aggregate([([], "count_all")])
    order = [("count_all", "descending"), *((name, "ascending") for name in names)]
    return [
        FateCount(Fate(row.pop("fate")), row.pop("count_all"), **row)
        for row in counted.sort_by(order).to_pylist()
    ]
