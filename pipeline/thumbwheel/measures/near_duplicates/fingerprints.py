"""Fingerprints: what is kept of a prompt, so that it can be compared when its text is gone."""

import hashlib
import re
import unicodedata
from collections import defaultdict
from collections.abc import Sequence
from typing import TypeAlias

import numpy as np
import pyarrow as pa

from thumbwheel.events import ascii_words, cluster_id
from thumbwheel.measures.near_duplicates.arrays import distinct, mixed, spans
from thumbwheel.types import Prompt

__all__ = ["FINGERPRINTS", "SIGNATURE_SIZE", "Prompts", "fingerprints"]

FINGERPRINTS = pa.schema([("words_id", pa.string()), ("signature", pa.list_(pa.uint32()))])
"""`words_id` is the hash of a prompt's normalised words (`events.cluster_id`). `signature` holds
hashes of its word 3-shingles, system messages left out, in ascending order: all of them, or of a
long prompt the `SIGNATURE_SIZE` smallest, which are a random sample (MinHash with one hash
function: Broder 1997, "On the resemblance and containment of documents")."""

SIGNATURE_SIZE = 256

_SHINGLE = 3

Prompts: TypeAlias = Sequence[Prompt] | pa.Array | pa.ChunkedArray

# Scripts without spaces between words: each of their signs counts as a word.
_SIGNS = (
    "\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff"
    "\U00020000-\U0003ffff"
)
_WORD = re.compile(rf"(?=\w)[{_SIGNS}]|[^\W{_SIGNS}]+")

# The order of the words counts.
_MULTIPLIERS = np.array([0x9E3779B97F4A7C15, 0xC2B2AE3D27D4EB4F, 0x165667B19E3779F9], np.uint64)

_CHUNK = 2_000


def fingerprints(prompts: Prompts) -> pa.Table:
    """Return `FINGERPRINTS`, one row per prompt.

    Args:
        prompts: Chat messages, or a column of `tables.MESSAGES`.
    """
    chunks = [FINGERPRINTS.empty_table()]
    for start in range(0, len(prompts), _CHUNK):
        chunk = prompts[start : start + _CHUNK]
        values = chunk if isinstance(chunk, Sequence) else chunk.to_pylist()
        columns = [pa.array(map(cluster_id, values), pa.string()), _signatures(values)]
        chunks.append(pa.table(columns, schema=FINGERPRINTS))
    return pa.concat_tables(chunks)


def _signatures(prompts: Sequence[Prompt]) -> pa.Array:
    numbers: defaultdict[str, int] = defaultdict()
    numbers.default_factory = numbers.__len__
    blank = [numbers[""]]
    flat: list[int] = []
    sizes = np.zeros(len(prompts), np.int64)
    for row, prompt in enumerate(prompts):
        words = [numbers[word] for word in _words(prompt)]
        if words:
            # One or two words are a shingle as well.
            words += blank * (_SHINGLE - len(words))
            flat += words
        sizes[row] = len(words)
    hashes = np.array([_hash(word) for word in numbers], np.uint64)[np.array(flat, np.int64)]
    n_shingles = np.maximum(sizes - _SHINGLE + 1, 0)
    firsts = spans(np.cumsum(sizes) - sizes, n_shingles)
    sums = np.zeros(len(firsts), np.uint64)
    for place, multiplier in enumerate(_MULTIPLIERS):
        sums += hashes[firsts + place] * multiplier
    rows = np.arange(len(prompts) + 1, dtype=np.uint64) << np.uint64(32)
    cells = distinct(np.repeat(rows[:-1], n_shingles) | mixed(sums) >> np.uint64(32))
    starts = np.searchsorted(cells, rows)
    counts = np.minimum(np.diff(starts), SIGNATURE_SIZE)
    values = cells[spans(starts[:-1], counts)].astype(np.uint32)
    offsets = pa.array(np.append(0, np.cumsum(counts)), pa.int32())
    return pa.ListArray.from_arrays(offsets, pa.array(values))


def _words(prompt: Prompt) -> list[str]:
    text = "\n".join(message["content"] for message in prompt if message["role"] != "system")
    if text.isascii():
        return ascii_words(text)
    return _WORD.findall(unicodedata.normalize("NFKC", text).casefold())


def _hash(word: str) -> int:
    encoded = word.encode("utf-8", "surrogatepass")
    return int.from_bytes(hashlib.blake2b(encoded, digest_size=8).digest(), "little")
