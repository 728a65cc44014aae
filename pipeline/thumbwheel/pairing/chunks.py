"""A chunk of whole prompts: the plugins propose pairs and screen them."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import TypeAlias

import pyarrow as pa
import pyarrow.compute as pc

from thumbwheel.events import content_id
from thumbwheel.plugin_host import Plugins
from thumbwheel.tables import PAIRS

__all__ = ["DROPPED", "UNPAIRED", "ChunkPairs", "ChunkRunner", "Chunks", "pair_chunk", "pair_here"]

DROPPED = PAIRS.append(pa.field("reason", pa.string())).append(pa.field("by", pa.string()))
"""Pairs that are not in the set: `tables.PAIRS`, the reason, and who gave it: a plugin, or
`draw`."""

UNPAIRED = pa.schema(
    [("prompt_id", pa.string()), ("completion_id", pa.string()), ("fate", pa.string())]
)
"""Completions that are in no candidate, and why."""


@dataclass(frozen=True, slots=True)
class ChunkPairs:
    """What became of a chunk.

    Attributes:
        candidates: What every screen has left, `tables.PAIRS`.
        dropped: What the screens took out, `DROPPED`.
        unpaired: The completions that are in neither, `UNPAIRED`.
    """

    candidates: pa.Table
    dropped: pa.Table
    unpaired: pa.Table


Chunks: TypeAlias = Iterable[tuple[float, pa.Table, pa.Table]]
"""(share done, `tables.RATED`, `tables.COMPARISONS`) of whole prompts."""

ChunkRunner: TypeAlias = Callable[[Chunks, Plugins], Iterator[tuple[float, ChunkPairs]]]
"""Gives (share done, what became of the chunk), in the order of the chunks."""


def pair_here(chunks: Chunks, plugins: Plugins) -> Iterator[tuple[float, ChunkPairs]]:
    """Pair one chunk after the other."""
    for done, rated, comparisons in chunks:
        yield done, pair_chunk(rated, comparisons, plugins)


def pair_chunk(rated: pa.Table, comparisons: pa.Table, plugins: Plugins) -> ChunkPairs:
    """Let the plugins pair and screen whole prompts; what comes out depends on nothing else.

    Args:
        rated: `tables.RATED`, every completion of each prompt in it.
        comparisons: `tables.COMPARISONS` of these prompts.
        plugins: Their `make_pairs` and `screen_pairs` hooks are called.

    Raises:
        PluginError: A plugin failed.
    """
    empty = pc.equal(pc.utf8_trim_whitespace(rated["completion"]), "")
    answered = rated.filter(pc.invert(empty))
    sizes = answered.group_by("prompt_id").aggregate([("completion_id", "count")])
    several = sizes.filter(pc.greater(sizes["completion_id_count"], 1))["prompt_id"]
    has_company = pc.is_in(answered["prompt_id"], several.combine_chunks())
    contrast = answered.filter(has_company)

    proposed = _with_texts(plugins.make_pairs(contrast, comparisons), contrast, comparisons)
    reasons = plugins.screen_pairs(proposed)
    dropped = proposed.take(pc.index_in(reasons["pair_id"], proposed["pair_id"]))
    dropped = dropped.append_column("reason", reasons["reason"])
    dropped = dropped.append_column("by", reasons["plugin"])
    is_dropped = pc.is_in(proposed["pair_id"], reasons["pair_id"].combine_chunks())
    sides = pa.chunked_array(
        proposed["chosen_id"].chunks + proposed["rejected_id"].chunks, pa.string()
    )
    is_paired = pc.is_in(contrast["completion_id"], sides.combine_chunks())
    unpaired = [
        _unpaired(rated.filter(empty), "the answer is empty"),
        _unpaired(answered.filter(pc.invert(has_company)), "the only rated answer to its prompt"),
        _unpaired(contrast.filter(pc.invert(is_paired)), "no plugin paired it"),
    ]
    return ChunkPairs(
        proposed.filter(pc.invert(is_dropped)), dropped.cast(DROPPED), pa.concat_tables(unpaired)
    )


def _unpaired(rated: pa.Table, fate: str) -> pa.Table:
    fates = pa.repeat(pa.scalar(fate, pa.string()), len(rated))
    return rated.select(["prompt_id", "completion_id"]).append_column("fate", fates).cast(UNPAIRED)


def _with_texts(proposed: pa.Table, rated: pa.Table, comparisons: pa.Table) -> pa.Table:
    """Return `tables.PAIRS`: the proposals with identities, origins and texts."""
    chosen = rated.take(pc.index_in(proposed["chosen_id"], rated["completion_id"]))
    rejected = rated.take(pc.index_in(proposed["rejected_id"], rated["completion_id"]))
    identities = [
        content_id("pair", *sides)
        for sides in zip(
            proposed["chosen_id"].to_pylist(), proposed["rejected_id"].to_pylist(), strict=True
        )
    ]
    judged = pc.index_in(_unordered(proposed), value_set=_unordered(comparisons).combine_chunks())
    columns = {name: proposed[name] for name in proposed.column_names}
    columns |= {
        "pair_id": pa.array(identities, pa.string()),
        "origin": pc.fill_null(comparisons["origin"].take(judged), "votes"),
        "prompt": chosen["prompt"],
        "chosen": chosen["completion"],
        "rejected": rejected["completion"],
    }
    return pa.table(columns).select(PAIRS.names).cast(PAIRS)


def _unordered(pairs: pa.Table) -> pa.ChunkedArray:
    sides = pairs["chosen_id"], pairs["rejected_id"]
    return pc.binary_join_element_wise(pc.min_element_wise(*sides), pc.max_element_wise(*sides), "")
