"""The pairs that the next cycle would make, for commands that look at them."""

import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from thumbwheel.errors import DataError

if TYPE_CHECKING:
    from thumbwheel.config import Config, PluginConfig
    from thumbwheel.pairs import Pairing
    from thumbwheel.store import OpenedStore, Snapshot
    from thumbwheel.types import Observer

__all__ = ["current_pairs", "stored"]


@contextmanager
def stored(settings: "Config") -> "Iterator[OpenedStore]":
    """Open the store for reading, whoever holds it; it must be there."""
    from thumbwheel.store.remote import open_store

    if settings.serve.url is None and not settings.layout.store.exists():
        raise DataError(f"nothing has been ingested into {settings.home}; run `thumbwheel ingest`")
    with open_store(settings) as store:
        yield store


@contextmanager
def current_pairs(
    settings: "Config",
    display: "Observer",
    plugins: "Sequence[PluginConfig] | None" = None,
) -> "Iterator[tuple[Snapshot, Pairing]]":
    """Pair what is stored, and remember nothing of it.

    The files of both are there until the block ends.

    Args:
        settings: The configuration.
        display: Shows the progress.
        plugins: Used in place of the configuration's.
    """
    from thumbwheel.pairs import chunk_runner, pair_snapshot
    from thumbwheel.pairs.split import SplitMemory
    from thumbwheel.pairs.yields import few_paired
    from thumbwheel.plugin.host import isolated_plugins

    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        with stored(settings) as store:
            snapshot = store.snapshot(folder / "snapshot", settings.vote_policy)
        display.stage("pair")
        if plugins is not None:
            settings = settings.model_copy(update={"plugins": list(plugins)})
        with isolated_plugins(settings) as isolated:
            pairing = pair_snapshot(
                snapshot.path,
                isolated,
                settings.pairs,
                held_out=settings.dataset.held_out,
                judge=settings.dataset.judge,
                memory=SplitMemory(settings.layout.split),
                max_looks=settings.gate.max_looks,
                min_held_out=settings.gate.min_prompts,
                work=folder / "pairing",
                earlier=settings.layout.pairing,
                runner=chunk_runner(settings),
                progress=display.progress,
            )
        for name, failure in pairing.failed_plugins.items():
            display.warn(f"the pairs were made without the plugin {name}: {failure}")
        if pairing.warning:
            display.warn(pairing.warning)
        if warning := few_paired(pairing.completions):
            display.warn(warning)
        display.done(f"{len(pairing.pairs):,} pairs from {snapshot.n_completions:,} rated answers")
        yield snapshot, pairing
