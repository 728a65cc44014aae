"""Files under the project's home that still tell of the forgotten.

They are not Thumbwheel's to change: exports, notes, a source's own files.
"""

import os
from collections.abc import Iterator
from pathlib import Path

from thumbwheel.errors import DataError
from thumbwheel.forgetting.parquet import matching
from thumbwheel.forgetting.traces import Traces

__all__ = ["find_leftovers"]

_TEXTS = {".csv", ".html", ".json", ".jsonl", ".log", ".md", ".tsv", ".txt"}
_LARGEST_BYTES = 64 << 20


def find_leftovers(home: Path, traces: Traces) -> list[Path]:
    """Return the files, of text or Parquet, that tell of the forgotten.

    It is a help, not a proof: what is packed, or larger than 64 MiB, is not looked into.
    """
    return sorted(path for path in _files(home) if _tells(path, traces))


def _files(home: Path) -> Iterator[Path]:
    for folder, _, names in os.walk(home):
        for name in names:
            path = Path(folder) / name
            if path.suffix in _TEXTS | {".parquet"} and not path.is_symlink():
                yield path


def _tells(path: Path, traces: Traces) -> bool:
    if path.suffix == ".parquet":
        try:
            return bool(matching(path, traces.columns))
        except DataError:
            return False
    if path.stat().st_size > _LARGEST_BYTES:
        return False
    return traces.is_in_file(path.read_text(encoding="utf-8", errors="replace"))
