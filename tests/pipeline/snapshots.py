"""Snapshots in few words, and the pairs made of them."""

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from thumbwheel.config import PairsConfig, PluginConfig
from thumbwheel.pairs import pair_snapshot
from thumbwheel.pairs.split import SplitMemory
from thumbwheel.plugin import PluginManager
from thumbwheel.tables import COMPARISONS, RATED, VOTES


def snapshot(path, *rows, compared=(), prompts=None):
    """Write a snapshot of (prompt, text, ups, downs) and (prompt, chosen, rejected, for, against).

    Every vote is of a rater of its own. `prompts` holds the messages of some of the prompts.
    """
    rated = [
        {
            "prompt_id": prompt,
            "completion_id": f"{prompt}-{text}",
            "prompt": (prompts or {}).get(
                prompt, [{"role": "user", "content": f"what of {prompt}"}]
            ),
            "completion": text,
            "n_up": up,
            "n_down": down,
            "score": (up - down) / max(up + down, 1),
        }
        for prompt, text, up, down in rows
    ]
    votes = [
        {
            "completion_id": row["completion_id"],
            "rater": f"event:{row['completion_id']}{n}",
            "event_id": f"{row['completion_id']}{n}",
            "score": 1.0 if n < row["n_up"] else -1.0,
            "weight": 1.0,
        }
        for row in rated
        for n in range(row["n_up"] + row["n_down"])
    ]
    comparisons = [
        {
            "prompt_id": prompt,
            "chosen_id": f"{prompt}-{chosen}",
            "rejected_id": f"{prompt}-{rejected}",
            "n_for": n_for,
            "n_against": n_against,
            "origin": "comparison",
        }
        for prompt, chosen, rejected, n_for, n_against in compared
    ]
    path.mkdir()
    order = [("prompt_id", "ascending"), ("completion_id", "ascending")]
    table = pa.Table.from_pylist(rated, RATED).sort_by(order)
    pq.write_table(table, path / "rated.parquet")
    pq.write_table(pa.Table.from_pylist(comparisons, COMPARISONS), path / "comparisons.parquet")
    pq.write_table(pa.Table.from_pylist(votes, VOTES), path / "votes.parquet")
    return path


def run(path, *uses, plugins=None, earlier=None, memory=None, min_held_out=0, **options):
    plugins = plugins or PluginManager([PluginConfig(use=use) for use in uses], Path())
    return pair_snapshot(
        path,
        plugins,
        PairsConfig(**{"balance": [], **options}),
        held_out=0.3,
        judge=0.2,
        min_held_out=min_held_out,
        memory=memory or SplitMemory(path.parent / "split.parquet"),
        work=path.parent / f"{path.name}-pairing",
        earlier=earlier,
        progress=lambda share: None,
    )
