"""Answers to near-duplicate prompts, as if it were one prompt."""

from pathlib import Path

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq

from thumbwheel.measures.near_duplicates import cluster_prompts
from thumbwheel.tables import COMPARISONS, RATED

__all__ = ["merge_near_duplicates"]

# The smallest identity stands for its cluster.
_RENAMED = """
SELECT prompt_id, min(prompt_id) OVER (PARTITION BY cluster_id) AS merged_id FROM clusters
"""

_RATED = """
SELECT rated.* REPLACE (merged_id AS prompt_id, prompts.prompt AS prompt)
FROM read_parquet($rated) AS rated JOIN renamed USING (prompt_id)
     JOIN prompts ON prompts.prompt_id = merged_id
ORDER BY merged_id, completion_id
"""

_COMPARISONS = """
SELECT compared.* REPLACE (merged_id AS prompt_id)
FROM read_parquet($comparisons) AS compared JOIN renamed USING (prompt_id)
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
    with duckdb.connect() as connection:
        files = {"rated": str(rated), "comparisons": str(comparisons)}
        prompts = connection.sql(
            "SELECT prompt_id, any_value(prompt) AS prompt FROM read_parquet($rated) GROUP BY ALL",
            params={"rated": files["rated"]},
        ).to_arrow_table()
        clusters = cluster_prompts(prompts["prompt"], threshold)
        connection.register("prompts", prompts)
        connection.register(
            "clusters", pa.table({"prompt_id": prompts["prompt_id"], "cluster_id": clusters})
        )
        connection.execute(f"CREATE TEMP TABLE renamed AS {_RENAMED}")
        written = []
        for name, query, schema in (
            ("rated", _RATED, RATED),
            ("comparisons", _COMPARISONS, COMPARISONS),
        ):
            path = folder / f"merged_{name}.parquet"
            rows = connection.sql(query, params={name: files[name]}).to_arrow_reader()
            with pq.ParquetWriter(path, schema, compression="zstd") as writer:
                for batch in rows:
                    writer.write_table(pa.Table.from_batches([batch]).cast(schema))
            written.append(path)
    return written[0], written[1]
