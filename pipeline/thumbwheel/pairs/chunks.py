"""A chunk of whole prompts: the plugins propose pairs and screen them."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import TypeAlias

import pyarrow as pa
import pyarrow.compute as pc

from thumbwheel.events import content_id
from thumbwheel.plugin.host import Plugins
from thumbwheel.tables import PAIRS
from thumbwheel.types.fates import Fate

__all__ = [
    "DROPPED",
    "JUDGED",
    "UNPAIRED",
    "ChunkPairs",
    "ChunkRunner",
    "Chunks",
    "pair_chunk",
    "pair_here",
    "unordered",
]

DROPPED = pa.schema([*PAIRS, ("fate", pa.string()), ("detail", pa.string()), ("by", pa.string())])
"""Pairs that are not in the set: `tables.PAIRS`, the `Fate` with its detail, and who decided it: a
plugin, or `draw`."""

UNPAIRED = pa.schema(
    [("prompt_id", pa.string()), ("completion_id", pa.string()), ("fate", pa.string())]
)
"""Completions that are in no candidate, and their `Fate`."""

JUDGED = pa.schema(
    [(name, pa.string()) for name in ("prompt_id", "chosen_id", "rejected_id", "fate")]
)
"""Every two answers that somebody compared; the `Fate` is null where a pair was proposed."""


@dataclass(frozen=True, slots=True)
class ChunkPairs:
    """What became of a chunk.

    Attributes:
        candidates: What every screen has left, `tables.PAIRS`.
        dropped: What the screens took out, `DROPPED`.
        unpaired: The completions that are in neither, `UNPAIRED`.
        judged: The comparisons, `JUDGED`.
    """

    candidates: pa.Table
    dropped: pa.Table
    unpaired: pa.Table
    judged: pa.Table


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
    identities = rated.select(["prompt_id", "completion_id"])
    is_empty = pc.equal(pc.utf8_trim_whitespace(rated["completion"]), "")
    answered = identities.filter(pc.invert(is_empty))
    sizes = answered.group_by("prompt_id").aggregate([([], "count_all")])
    several = sizes.filter(pc.greater(sizes["count_all"], 1))["prompt_id"]
    is_alone = pc.invert(pc.is_in(rated["prompt_id"], several.combine_chunks()))
    is_contrast = pc.invert(pc.or_(is_empty, is_alone))
    contrast = rated.filter(is_contrast)

    proposed = _with_texts(plugins.make_pairs(contrast, comparisons), contrast, comparisons)
    reasons = plugins.screen_pairs(proposed)
    dropped = proposed.take(pc.index_in(reasons["pair_id"], proposed["pair_id"]))
    dropped = dropped.append_column("fate", _all(Fate.SCREENED, len(dropped)))
    dropped = dropped.append_column("detail", reasons["reason"])
    dropped = dropped.append_column("by", reasons["plugin"])
    is_dropped = pc.is_in(proposed["pair_id"], reasons["pair_id"].combine_chunks())
    sides = pa.chunked_array(
        proposed["chosen_id"].chunks + proposed["rejected_id"].chunks, pa.string()
    )
    is_paired = pc.is_in(rated["completion_id"], sides.combine_chunks())
    fates = (
        (is_empty, Fate.EMPTY_COMPLETION),
        (pc.and_not(is_alone, is_empty), Fate.ONLY_RATED_COMPLETION),
        (pc.and_not(is_contrast, is_paired), Fate.NOT_PAIRED),
    )
    unpaired = [_unpaired(identities.filter(those), fate) for those, fate in fates]
    return ChunkPairs(
        proposed.filter(pc.invert(is_dropped)),
        dropped.cast(DROPPED),
        pa.concat_tables(unpaired),
        _judged(comparisons, proposed, contrast["completion_id"]),
    )


def _judged(comparisons: pa.Table, proposed: pa.Table, completions: pa.ChunkedArray) -> pa.Table:
    known = completions.combine_chunks()
    is_there = [pc.is_in(comparisons[side], known) for side in ("chosen_id", "rejected_id")]
    is_proposed = pc.is_in(unordered(comparisons), unordered(proposed).combine_chunks())
    fate = pc.case_when(
        pc.make_struct(
            is_proposed,
            pc.invert(pc.and_(*is_there)),
            pc.equal(comparisons["n_for"], comparisons["n_against"]),
        ),
        *(pa.scalar(fate, pa.string()) for fate in (None, Fate.NO_ANSWER, Fate.DIVIDED)),
        pa.scalar(Fate.NOT_PROPOSED, pa.string()),
    )
    sides = comparisons.select(["prompt_id", "chosen_id", "rejected_id"])
    return sides.append_column("fate", fate).cast(JUDGED)


def _unpaired(identities: pa.Table, fate: Fate) -> pa.Table:
    return identities.append_column("fate", _all(fate, len(identities))).cast(UNPAIRED)


def _all(fate: Fate, n_rows: int) -> pa.Array:
    return pa.repeat(pa.scalar(fate, pa.string()), n_rows)


def _with_texts(proposed: pa.Table, rated: pa.Table, comparisons: pa.Table) -> pa.Table:
    """Return `tables.PAIRS`: the proposals with identities, origins and texts."""
    chosen, rejected = (
        pc.index_in(proposed[side], rated["completion_id"]) for side in ("chosen_id", "rejected_id")
    )
    identities = [
        content_id("pair", *sides)
        for sides in zip(
            proposed["chosen_id"].to_pylist(), proposed["rejected_id"].to_pylist(), strict=True
        )
    ]
    judged = pc.index_in(unordered(proposed), value_set=unordered(comparisons).combine_chunks())
    columns = {name: proposed[name] for name in proposed.column_names}
    columns |= {
        "pair_id": pa.array(identities, pa.string()),
        "origin": pc.fill_null(comparisons["origin"].take(judged), "votes"),
        "prompt": rated["prompt"].take(chosen),
        "chosen": rated["completion"].take(chosen),
        "rejected": rated["completion"].take(rejected),
    }
    return pa.table(columns).select(PAIRS.names).cast(PAIRS)


def unordered(pairs: pa.Table) -> pa.ChunkedArray:
    """Return a text for each row that is the same whichever of its sides is chosen."""
    sides = pairs["chosen_id"], pairs["rejected_id"]
    return pc.binary_join_element_wise(pc.min_element_wise(*sides), pc.max_element_wise(*sides), "")
