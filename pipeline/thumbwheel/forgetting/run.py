"""The whole of forgetting, in an order in which a kill at any moment is mended by doing it again.

First the hashes are remembered, so that nothing comes back; then it is noted what had been trained;
then everything is cleared, the store last, because it tells what to look for elsewhere.
"""

from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Self

from thumbwheel.config import Config
from thumbwheel.cycle.journal import list_cycles
from thumbwheel.errors import BusyError, DamagedStoreError, DataError
from thumbwheel.forgetting.cycles import TouchedCycle, clear_cycle, clear_leavings, find_touched
from thumbwheel.forgetting.leftovers import find_leftovers
from thumbwheel.forgetting.logs import RecordFilter, logged_sources
from thumbwheel.forgetting.pages import clear_pages
from thumbwheel.forgetting.record import Record, TrainedOn, read_record, write_record
from thumbwheel.forgetting.traces import Traces
from thumbwheel.ingest import ingest_all
from thumbwheel.language_model import ModelCache
from thumbwheel.pairs.split import SplitMemory
from thumbwheel.plugin.host import Plugins
from thumbwheel.process.locks import only_one
from thumbwheel.registry import open_registry
from thumbwheel.store import Found, Store, Subject
from thumbwheel.store.files import remove_store
from thumbwheel.types import Observer

__all__ = ["Forgetting", "Outcome", "Plan"]


@dataclass(frozen=True)
class Plan:
    """What is going to be removed.

    Attributes:
        found: What the store holds.
        datasets: What was trained on it, the latest cycle first; from earlier runs too.
        unfinished: Cycles that are removed whole, because they have not finished.
        champion: The model version that is champion now.
        old_stores: Files that `thumbwheel rebuild` set aside, which are cleared too.
    """

    found: Found
    datasets: Sequence[TrainedOn]
    unfinished: Sequence[str]
    champion: str | None
    old_stores: Sequence[Path]


@dataclass(frozen=True)
class Outcome:
    """What was removed.

    Attributes:
        plan: What was to be.
        n_logged: Records that were removed from the connectors' own logs.
        holders: Sources that brought something and still hold it themselves.
        removed_stores: Damaged files that were set aside; they were removed whole.
        leftovers: Other files under the home that still tell of it.
    """

    plan: Plan
    n_logged: int
    holders: Sequence[str]
    removed_stores: Sequence[Path]
    leftovers: Sequence[Path]


class Forgetting:
    """Forgets a rater or a generation. Use it as a context manager: it holds the whole project.

    On entry it reads what connectors have in their own logs, so that the store knows all of it.

    Args:
        config: The project.
        plugins: Its plugins.
        subject: Whom or what to forget.
        observer: Watches.

    Raises:
        BusyError: `thumbwheel serve`, a cycle or another command is at work.
        DamagedStoreError: The store is damaged.
    """

    def __init__(
        self, config: Config, plugins: Plugins, subject: Subject, observer: Observer
    ) -> None:
        self._config, self._plugins = config, plugins
        self._subject, self._observer = subject, observer
        self._registry = open_registry(config)
        self._logged = logged_sources(config)
        self._resources = ExitStack()

    def __enter__(self) -> Self:
        layout = self._config.layout
        if self._config.serve.url is not None and not self._config.layout.store.exists():
            raise BusyError(
                f"`thumbwheel serve` at {self._config.serve.url} holds the store; stop it, and "
                "forget where it runs"
            )
        with ExitStack() as stack:
            stack.enter_context(
                only_one(
                    layout.serve_lock,
                    f"`thumbwheel serve` or `thumbwheel rebuild` runs on {layout.home}; stop it, "
                    "then forget",
                )
            )
            stack.enter_context(
                only_one(
                    layout.cycle_lock,
                    f"a cycle is running on {layout.home}; wait until it has finished, then forget",
                )
            )
            self._store = stack.enter_context(Store(self._config.layout.store))
            sources = [source for source, _ in self._logged]
            if sources:
                logged = self._config.model_copy(update={"sources": sources})
                ingest_all(logged, self._plugins, self._store, self._observer)
            self._resources = stack.pop_all()
        return self

    def __exit__(self, *exc: object) -> None:
        self._resources.close()

    def plan(self) -> Plan:
        """Look for everything that is to go; nothing is changed.

        Raises:
            UnavailableError: MLflow does not answer.
            DataError: A file of a cycle cannot be read.
        """
        self._observer.stage("look")
        layout = self._config.layout
        champion = self._registry.champion_version()
        found = self._store.find(self._subject)
        self._old = {path: _found_in(path, self._subject) for path in layout.stores_aside()}
        stores = [found, *(held for held in self._old.values() if held is not None)]
        self._traces = Traces.of(self._subject, stores)
        self._touched = list(find_touched(layout, self._traces))
        datasets = self._record().joined(_trained(self._touched)).datasets
        latest = {journal.path.name: place for place, journal in enumerate(list_cycles(layout))}
        self._plan = Plan(
            found,
            sorted(datasets.values(), key=lambda it: latest.get(it.cycle_id, len(latest))),
            [cycle.path.name for cycle in self._touched if not cycle.is_finished],
            champion,
            list(self._old),
        )
        self._observer.done(f"{len(found.event_ids):,} events, {len(self._touched)} cycles")
        return self._plan

    def run(self) -> Outcome:
        """Remove what `plan` found. Killed or failed at any moment, all of it can be done again.

        Raises:
            UnavailableError: MLflow does not answer, or its local database is in use.
            DiskFullError: There is no space for a second copy of the store.
            SourceError: A connector's log cannot be written.
            BusyError: A receiver writes to its log, or another process took the store meanwhile,
                or holds the cache of what models said.
        """
        self._observer.stage("forget")
        layout, remembered = self._config.layout, self._store.forgotten
        whole = [Subject("generation", name) for name in sorted(self._traces.generations)]
        remembered.remember([self._subject, *whole])
        record = self._record().joined(_trained(self._touched))
        write_record(self._record_path, record)
        clear_leavings(layout)
        self._clear_model_cache()
        n_logged = 0
        for source, connector in self._logged:
            self._observer.progress(0.1, source.name)
            records = RecordFilter(source, self._config, self._plugins, remembered)
            n_logged += connector.forget(records)
        SplitMemory(layout.split).forget(
            sorted(self._traces.prompt_ids), threshold=self._config.pairs.near_duplicate
        )
        for done, cycle in enumerate(self._touched):
            self._observer.progress(0.2 + 0.3 * done / len(self._touched), cycle.path.name)
            clear_cycle(cycle, self._traces)
        self._observer.progress(0.5, "MLflow")
        clear_pages(self._registry, layout, record, self._traces)
        write_record(self._record_path, replace(record, stale=frozenset()))
        self._observer.progress(0.7, "store")
        removed = self._clear_old_stores()
        self._store.remove(self._subject)
        self._observer.progress(0.9, "looking for what is left")
        outcome = Outcome(
            self._plan,
            n_logged,
            self._holders(),
            removed,
            find_leftovers(layout.home, self._traces),
        )
        self._observer.done("everything of it is removed")
        return outcome

    def _clear_model_cache(self) -> None:
        traces = self._traces
        with ModelCache(self._config.layout.model_cache, warn=self._observer.warn) as cache:
            # A model may have learnt their texts by heart, and said them to somebody else.
            cache.forget(
                traces.prompt_ids,
                traces.completion_ids,
                lambda text: traces.without(text) != text,
            )

    def _clear_old_stores(self) -> list[Path]:
        # What a killed `thumbwheel rebuild` left.
        remove_store(self._config.layout.store_rebuilding)
        removed = []
        for path, found in self._old.items():
            if found is None:
                remove_store(path)
                removed.append(path)
            else:
                with Store(path) as store:
                    store.remove(self._subject)
        return removed

    def _holders(self) -> list[str]:
        """Return the sources that brought something, and keep it outside of Thumbwheel."""
        logged = {source.name for source, _ in self._logged}
        configured = {source.name: source for source in self._config.sources}
        holders = []
        for name, count in sorted(self._plan.found.sources.items()):
            if name in logged:
                continue
            source = configured.get(name)
            where = "no longer configured" if source is None else _described(source.options)
            kind = "" if source is None else f"{source.connector}, "
            holders.append(f"{name} ({kind}{where}): {count:,} records")
        return holders

    @property
    def _record_path(self) -> Path:
        remembered = self._store.forgotten
        return remembered.folder / f"{remembered.digest(self._subject)}.json"

    def _record(self) -> Record:
        return read_record(self._record_path) if len(self._store.forgotten) else Record()


def _trained(touched: Sequence[TouchedCycle]) -> Mapping[str, TrainedOn]:
    return {cycle.trained.cycle_id: cycle.trained for cycle in touched}


def _found_in(path: Path, subject: Subject) -> Found | None:
    """Return what a store holds, or None when it is too damaged to tell."""
    try:
        with Store(path) as store:
            store.verify()
            return store.find(subject)
    except DamagedStoreError:
        return None
    except DataError as error:
        raise DataError(f"{error}; or remove {path}, which was set aside") from error


def _described(options: Mapping[str, object]) -> str:
    return ", ".join(f"{key} = {value}" for key, value in options.items())
