"""Pairing: from rated completions to screened preference pairs, and why the rest was left out."""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from thumbwheel.events import content_id
from thumbwheel.manager import PluginManager
from thumbwheel.tables import PAIRS, RATED

__all__ = ["DROPPED", "Pairing", "pair_snapshot"]

DROPPED = PAIRS.append(pa.field("reason", pa.string())).append(pa.field("screen", pa.string()))
"""Pairs that a screen dropped: `tables.PAIRS`, the reason, and the plugin that gave it."""

_CHUNK_ROWS = 100_000


@dataclass(frozen=True, slots=True)
class Pairing:
    """The outcome of pairing a snapshot.

    Attributes:
        pairs: What is left after every screen, `tables.PAIRS`.
        dropped: What the screens took out, `DROPPED`.
        completions: What became of each rated completion: reason -> how many.
    """

    pairs: pa.Table
    dropped: pa.Table
    completions: Mapping[str, int]

    def drop_reasons(self) -> dict[str, int]:
        """Return how many pairs were dropped for each reason, the most frequent first."""
        return dict(Counter(self.dropped["reason"].to_pylist()).most_common())


def pair_snapshot(
    snapshot: Path, plugins: PluginManager, progress: Callable[[float], None]
) -> Pairing:
    """Pair every prompt of a snapshot with the configured plugins.

    Prompts are taken in chunks, so that memory is bounded by a chunk and by the pairs themselves.

    Args:
        snapshot: Parquet of `tables.RATED`, sorted by prompt.
        plugins: Their `make_pairs` and `screen_pairs` hooks are called.
        progress: Called with the share of the snapshot done, in [0, 1].
    """
    kept, dropped = [PAIRS.empty_table()], [DROPPED.empty_table()]
    completions: Counter[str] = Counter()
    for done, chunk in _whole_prompts(snapshot):
        answered = chunk.filter(pc.not_equal(pc.utf8_trim_whitespace(chunk["completion"]), ""))
        completions["the answer is empty"] += len(chunk) - len(answered)
        contrast = _with_company(answered)
        completions["the only rated answer to its prompt"] += len(answered) - len(contrast)
        candidates = _with_texts(plugins.make_pairs(contrast), contrast)
        reasons = plugins.screen_pairs(candidates)
        out = candidates.take(pc.index_in(reasons["pair_id"], candidates["pair_id"]))
        out = out.append_column("reason", reasons["reason"])
        out = out.append_column("screen", reasons["plugin"])
        pairs = candidates.filter(pc.invert(pc.is_in(candidates["pair_id"], reasons["pair_id"])))
        in_candidates, in_pairs = _n_completions(candidates), _n_completions(pairs)
        completions["no plugin paired it"] += len(contrast) - in_candidates
        completions["its pairs were all screened out"] += in_candidates - in_pairs
        completions["in a pair"] += in_pairs
        kept.append(pairs)
        dropped.append(out)
        progress(done)
    return Pairing(
        pa.concat_tables(kept).sort_by("pair_id"),
        pa.concat_tables(dropped).sort_by("pair_id"),
        {reason: count for reason, count in completions.items() if count},
    )


def _whole_prompts(snapshot: Path) -> Iterator[tuple[float, pa.Table]]:
    """Yield (share done, rows of whole prompts); a prompt never straddles two chunks."""
    file = pq.ParquetFile(snapshot)
    held = RATED.empty_table()
    read = 0
    for batch in file.iter_batches(_CHUNK_ROWS):
        read += len(batch)
        held = pa.concat_tables([held, pa.Table.from_batches([batch]).cast(RATED)])
        last = held["prompt_id"][-1]
        # Rows are sorted by prompt, so the last prompt may go on in the next batch.
        whole = pc.less(held["prompt_id"], last)
        chunk, held = held.filter(whole), held.filter(pc.invert(whole))
        if len(chunk):
            yield read / file.metadata.num_rows, chunk
    if len(held):
        yield 1.0, held


def _with_company(rated: pa.Table) -> pa.Table:
    """Keep the completions of prompts that have at least two."""
    sizes = rated.group_by("prompt_id").aggregate([("completion_id", "count")])
    several = sizes.filter(pc.greater(sizes["completion_id_count"], 1))["prompt_id"]
    return rated.filter(pc.is_in(rated["prompt_id"], several.combine_chunks()))


def _with_texts(proposed: pa.Table, rated: pa.Table) -> pa.Table:
    """Return `tables.PAIRS`: the proposals with identities and texts."""
    chosen = rated.take(pc.index_in(proposed["chosen_id"], rated["completion_id"]))
    rejected = rated.take(pc.index_in(proposed["rejected_id"], rated["completion_id"]))
    identities = [
        content_id("pair", *sides)
        for sides in zip(
            proposed["chosen_id"].to_pylist(), proposed["rejected_id"].to_pylist(), strict=True
        )
    ]
    columns = {name: proposed[name] for name in proposed.column_names}
    columns |= {
        "pair_id": pa.array(identities, pa.string()),
        "prompt": chosen["prompt"],
        "chosen": chosen["completion"],
        "rejected": rejected["completion"],
    }
    return pa.table(columns).select(PAIRS.names).cast(PAIRS)


def _n_completions(pairs: pa.Table) -> int:
    sides = pa.chunked_array(pairs["chosen_id"].chunks + pairs["rejected_id"].chunks, pa.string())
    return int(pc.count_distinct(sides).as_py())
