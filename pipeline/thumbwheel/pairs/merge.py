"""Answers to near-duplicate prompts, as if it were one prompt."""

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from thumbwheel.measures.near_duplicates import cluster_prompts
from thumbwheel.store.scratch import open_scratch
from thumbwheel.tables import COMPARISONS, RATED

__all__ = ["merge_near_duplicates"]

_PROMPTS = "SELECT prompt_id, any_value(prompt) AS prompt FROM rated GROUP BY ALL"

# The smallest identity stands for its cluster.
_RENAMED = """
SELECT prompt_id, min(prompt_id) OVER (PARTITION BY cluster_id) AS merged_id FROM clusters
"""

_RATED = """
SELECT rated.* REPLACE (merged_id AS prompt_id, prompts.prompt AS prompt)
FROM rated JOIN renamed USING (prompt_id)
     JOIN prompts ON prompts.prompt_id = merged_id
ORDER BY merged_id, completion_id
"""

_COMPARISONS = """
SELECT comparisons.* REPLACE (merged_id AS prompt_id)
FROM comparisons JOIN renamed USING (prompt_id)
ORDER BY merged_id, chosen_id, rejected_id
"""


def merge_near_duplicates(
    rated: Path, comparisons: Path, threshold: float, folder: Path
) -> tuple[Path, Path]:
    """Write a snapshot's files anew with one prompt for every cluster of near-duplicates.

    Args:
        rated: Parquet of `tables.RATED`.
        comparisons: Parquet of `tables.COMPARISONS`.
        threshold: See `near_duplicates.cluster_prompts`.
        folder: Where to write them.

    Returns:
        The new files of rated completions and of comparisons.
    """
    written = folder / "merged_rated.parquet", folder / "merged_comparisons.parquet"
    with open_scratch(folder, rated=rated, comparisons=comparisons) as scratch:
        prompts = scratch.table(_PROMPTS)
        clusters = cluster_prompts(prompts["prompt"], threshold)
        scratch.add("prompts", prompts)
        scratch.add(
            "clusters", pa.table({"prompt_id": prompts["prompt_id"], "cluster_id": clusters})
        )
        scratch.add("renamed", scratch.table(_RENAMED))
        for path, query, schema in zip(
            written, (_RATED, _COMPARISONS), (RATED, COMPARISONS), strict=True
        ):
            with pq.ParquetWriter(path, schema, compression="zstd") as writer:
                for batch in scratch.batches(query):
                    writer.write_table(pa.Table.from_batches([batch]).cast(schema))
    return written
