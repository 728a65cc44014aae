"""Every source until it is caught up, once; and the store built anew from what the sources hold."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from thumbwheel.config import Config
from thumbwheel.errors import DamagedStoreError, DataError
from thumbwheel.events.parallel import Parsing
from thumbwheel.home import Layout
from thumbwheel.ingest.pipeline import SourcePipeline, StoredBatch
from thumbwheel.plugin.host import Plugins
from thumbwheel.process.durable import write_text
from thumbwheel.process.locks import only_one
from thumbwheel.store import Store
from thumbwheel.types import Observer, SourceCounts

__all__ = ["Rebuilt", "expire_parked", "ingest_all", "rebuild"]

_BETWEEN_LOOKS = timedelta(days=1)


def ingest_all(
    config: Config, plugins: Plugins, store: Store, observer: Observer
) -> list[SourceCounts]:
    """Read every source until it is caught up; return what this run received from each.

    Every batch is committed together with its cursor, and only then acknowledged upstream.

    Raises:
        SourceError: A source cannot be read as configured.
        UnavailableError: A source does not answer.
        PluginError: A `process_events` plugin failed; nothing of its batch was stored.
    """
    received = []
    with Parsing() as parsing:
        pipelines = [
            SourcePipeline(source, store, plugins, config.base_dir, parsing)
            for source in config.sources
        ]
        for pipeline in pipelines:
            observer.stage(f"ingest {pipeline.name}")
            counts = _read(pipeline, observer)
            records = "record" if counts.received == 1 else "records"
            parts = [f"{counts.received:,} {records}: {counts.stored:,} new"]
            parts += [f"{counts.duplicates:,} seen before"] if counts.duplicates else []
            parts += [f"{counts.dead_letters:,} unreadable"] if counts.dead_letters else []
            parts += [f"{counts.dropped:,} left out"] if counts.dropped else []
            observer.done(", ".join(parts))
            received.append(counts)
    expire_parked(config, store)
    return received


def _read(pipeline: SourcePipeline, observer: Observer) -> SourceCounts:
    counts = SourceCounts(pipeline.name)

    def stored(batch: StoredBatch) -> None:
        nonlocal counts
        counts += batch.counts
        observer.progress(batch.progress, f"{counts.received:,} records")

    with pipeline.open() as log:
        pipeline.read_round(log, stored)
    return counts


def expire_parked(config: Config, store: Store, now: datetime | None = None) -> int:
    """Delete the votes that have waited too long for their answer; return how many.

    A clock that jumps must not delete anything by itself: a vote goes when it was overdue already
    at the look before, and that is a day ago or more. Looks that lie in the future do not count.

    Args:
        config: Says how long is too long.
        store: The store.
        now: The time, if not the clock's.
    """
    days = config.store.expire_parked_days
    if days is None:
        return 0
    now = now or datetime.now(UTC)
    note = config.layout.parked_looked_at
    before = _noted(note)
    if before is not None and timedelta(0) <= now - before < _BETWEEN_LOOKS:
        return 0
    write_text(note, now.isoformat())
    if before is None or before > now:
        return 0
    return store.expire_parked(before - timedelta(days=days))


def _noted(note: Path) -> datetime | None:
    try:
        return datetime.fromisoformat(note.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None


@dataclass(frozen=True, slots=True)
class Rebuilt:
    """A store built anew: what it received, and where the old file is."""

    sources: list[SourceCounts]
    old: Path | None


def rebuild(
    config: Config, plugins: Plugins, observer: Observer, *, force: bool = False
) -> Rebuilt:
    """Build the store anew from the beginning of every source; keep the old file beside it.

    Raises:
        BusyError: Another process holds the store.
        DataError: The old store can be read, and the sources no longer hold all that is in it
            (`force` builds it all the same). Nothing was changed then.
    """
    layout = config.layout
    path, fresh = layout.store, layout.store_rebuilding
    locked = only_one(
        layout.serve_lock, "`thumbwheel serve` holds the store; stop it, then rebuild"
    )
    with locked:
        _remove(fresh)
        old = _open_readable(path)
        try:
            with Store(fresh) as store:
                ingest_all(config, plugins, store, observer)
                sources = store.source_counts()
            if old is not None and not force:
                _refuse_loss(old.source_counts(), sources, fresh)
            aside = _set_aside(layout)
            fresh.rename(path)
        finally:
            if old is not None:
                old.close()
    return Rebuilt(sources, aside)


def _open_readable(path: Path) -> Store | None:
    """Return the old store when it is there and whole; holding it keeps other processes out."""
    if not path.exists():
        return None
    try:
        store = Store(path)
    except DamagedStoreError:
        return None
    try:
        store.verify()
    except DamagedStoreError:
        store.close()
        return None
    except BaseException:
        store.close()
        raise
    return store


def _refuse_loss(before: list[SourceCounts], after: list[SourceCounts], fresh: Path) -> None:
    held = {counts.source: counts.stored + counts.parked for counts in after}
    lost = {
        counts.source: counts.stored + counts.parked - held.get(counts.source, 0)
        for counts in before
        if counts.stored + counts.parked > held.get(counts.source, 0)
    }
    if lost:
        _remove(fresh)
        raise DataError(
            "the store is whole, and holds events that its sources no longer do: "
            + ", ".join(f"{count:,} of {source}" for source, count in lost.items())
            + "; nothing was changed (--force builds it without them, and keeps the old file)"
        )


def _set_aside(layout: Layout) -> Path | None:
    path = layout.store
    if not path.exists():
        return None
    aside = layout.store_aside(f"{datetime.now(UTC):%Y%m%dT%H%M%S}")
    for suffix in (".wal", ""):
        part = path.with_name(path.name + suffix)
        if part.exists():
            part.rename(aside.with_name(aside.name + suffix))
    return aside


def _remove(path: Path) -> None:
    for suffix in (".wal", ""):
        path.with_name(path.name + suffix).unlink(missing_ok=True)
