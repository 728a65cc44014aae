"""What the draw looks at, read from the candidates' files without holding their texts."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from thumbwheel.measures.style import difference
from thumbwheel.pairs.candidates import CandidateFiles
from thumbwheel.store import VOTES_FILE
from thumbwheel.store.scratch import open_scratch
from thumbwheel.tables import VOTES

__all__ = ["Evidence", "prompts_of", "style_of", "votes_about", "votes_on"]

# Numbers instead of texts: a set of many candidates has many more votes. That two raters share a
# hash of 64 bits would only make them one for the caps.
_VOTES_ABOUT = """
SELECT about.number AS completion_id, hash(rater) AS rater, score, weight
FROM votes JOIN about USING (completion_id)
ORDER BY completion_id, rater, score
"""


@dataclass(frozen=True, slots=True)
class Evidence:
    """The votes on the candidates' completions, which are numbered here.

    Attributes:
        candidates: The candidates' table with numbers in `chosen_id` and `rejected_id`.
        votes: `completion_id` (number), `rater` (hash), `score` and `weight`.
    """

    candidates: pa.Table
    votes: pa.Table


def votes_about(votes: Path, candidates: pa.Table, folder: Path) -> Evidence:
    """Return the votes of a snapshot's file that speak about candidates.

    Args:
        votes: Parquet of `tables.VOTES`.
        candidates: With `chosen_id` and `rejected_id`.
        folder: What does not fit in memory is spilled there.
    """
    sides = [candidates[name].combine_chunks() for name in ("chosen_id", "rejected_id")]
    encoded = pa.chunked_array(sides, pa.string()).dictionary_encode().combine_chunks()
    known = encoded.dictionary
    numbers = pa.array(np.arange(len(known)))
    with open_scratch(folder, votes=votes) as scratch:
        scratch.add("about", pa.table({"completion_id": known, "number": numbers}))
        about = scratch.table(_VOTES_ABOUT)
    for number, name in enumerate(("chosen_id", "rejected_id")):
        part = encoded.indices.slice(number * len(candidates), len(candidates)).cast(pa.int64())
        candidates = candidates.set_column(candidates.column_names.index(name), name, part)
    return Evidence(candidates, about)


def votes_on(snapshot: Path, pairs: pa.Table) -> pa.Table:
    """Return the votes of a snapshot on the completions of pairs, `tables.VOTES`."""
    sides = pa.chunked_array(pairs["chosen_id"].chunks + pairs["rejected_id"].chunks, pa.string())
    completions = pc.unique(sides)
    with pq.ParquetFile(snapshot / VOTES_FILE) as file:
        parts = [
            batch.filter(pc.is_in(batch["completion_id"], completions))
            for batch in file.iter_batches()
        ]
    return pa.Table.from_batches(parts, VOTES)


def style_of(files: CandidateFiles, features: Sequence[str]) -> npt.NDArray[np.float64]:
    """Return each candidate's style, chosen minus rejected, shape (candidates, features)."""
    parts = [
        difference(batch["chosen"], batch["rejected"], features)
        for batch in files.batches("candidates", ["chosen", "rejected"])
    ]
    return np.concatenate([np.empty((0, len(features))), *parts])


def prompts_of(files: CandidateFiles) -> pa.Table:
    """Return (prompt_id, prompt) of every prompt that has candidates, sorted by identity."""
    parts = []
    for batch in files.batches("candidates", ["prompt_id", "prompt"]):
        distinct = pc.unique(batch["prompt_id"])
        parts.append(batch.take(pc.index_in(distinct, batch["prompt_id"])))
    if not parts:
        return files.read("candidates", ["prompt_id", "prompt"])
    return pa.Table.from_batches(parts).sort_by("prompt_id")
