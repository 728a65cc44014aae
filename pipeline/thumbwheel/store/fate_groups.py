"""The fates of rated completions as JSON: how they go to the process that holds the store.

Arrow's own format is trusted by what reads it: a damaged stream may end the process. JSON is
checked while it is read, and grouped by fate it is hardly larger.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import pyarrow as pa

from thumbwheel.store.accounts import FATES
from thumbwheel.types.fates import Fate

__all__ = ["FateGroup", "group_fates", "ungroup_fates"]


@dataclass(frozen=True, slots=True)
class FateGroup:
    """The completions that share a fate and its detail."""

    fate: Fate
    detail: str | None
    completion_ids: Sequence[str]


def group_fates(fates: pa.Table) -> list[FateGroup]:
    """Return `accounts.FATES` as groups."""
    grouped = fates.group_by(["fate", "detail"]).aggregate([("completion_id", "list")])
    return [
        FateGroup(Fate(fate.as_py()), detail.as_py(), identities.as_py())
        for fate, detail, identities in zip(
            grouped["fate"], grouped["detail"], grouped["completion_id_list"], strict=True
        )
    ]


def ungroup_fates(groups: Iterable[FateGroup]) -> pa.Table:
    """Return groups as `accounts.FATES`."""
    tables = [
        pa.table(
            {
                "completion_id": pa.array(group.completion_ids, pa.string()),
                "fate": pa.repeat(pa.scalar(group.fate.value, pa.string()), n),
                "detail": pa.repeat(pa.scalar(group.detail, pa.string()), n),
            },
            FATES,
        )
        for group in groups
        for n in [len(group.completion_ids)]
    ]
    return pa.concat_tables([FATES.empty_table(), *tables])
