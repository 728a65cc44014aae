"""What queries spill to disk, beside the store's file."""

import shutil
from pathlib import Path

__all__ = ["remove_spilled", "spill_folder"]


def spill_folder(store: Path, process: object) -> Path:
    """Return where the queries of a process, by its number, spill."""
    return store.with_name(f".{store.name}.query-{process}")


def remove_spilled(store: Path) -> None:
    """Remove what queries spilled whose process, and the one that held the store, were killed."""
    for folder in store.parent.glob(spill_folder(store, "*").name):
        shutil.rmtree(folder, ignore_errors=True)
