"""What Prometheus collects: the balance of every source, lags, times, the size of the store."""

import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence

from prometheus_client import (
    CollectorRegistry,
    Histogram,
    disable_created_metrics,
    generate_latest,
)
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from thumbwheel.events import Malformed
from thumbwheel.ingest.pipeline import StoredBatch
from thumbwheel.store import SourceState, Store
from thumbwheel.types import SourceCounts

__all__ = ["Metrics"]

_FRESH_FOR = 20
_BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)


class Metrics(Collector):
    """Counts in memory what the store counts on disk, so that a scrape costs hardly a query.

    Parked votes take a query over the whole store: they are counted anew at a scrape when something
    has come, and the last time that this was done is long ago, as long as it takes.

    Args:
        store: Whose size is told, and whose balance is begun with.
        sources: The sources that are read, whether or not there is anything from them yet.
        states: Asked at each scrape.
    """

    def __init__(
        self, store: Store, sources: Sequence[str], states: Callable[[], Sequence[SourceState]]
    ) -> None:
        self._store, self._sources, self._states = store, sources, states
        self._lock = threading.Lock()
        self._counts: dict[str, SourceCounts] = {}
        self._is_stale, self._fresh_until = False, 0.0
        self.refresh()
        self._faults: Counter[tuple[str, str]] = Counter()
        disable_created_metrics()  # type: ignore[no-untyped-call]
        self._registry = CollectorRegistry()
        self._registry.register(self)
        self._seconds = Histogram(
            "thumbwheel_batch_seconds",
            "From when a batch had been read to when it was committed and acknowledged.",
            ["source"],
            buckets=_BUCKETS,
            registry=self._registry,
        )

    def note_batch(self, source: str, batch: StoredBatch) -> None:
        """Count a committed batch."""
        self._seconds.labels(source).observe(batch.seconds)
        with self._lock:
            self._counts[source] = self._counts.get(source, SourceCounts(source)) + batch.counts
            self._is_stale = True
            self._faults.update((source, fault_label(malformed)) for malformed in batch.malformed)

    def refresh(self) -> None:
        """Count anew in the store: votes are parked and joined, dead letters replayed."""
        started = time.monotonic()
        self._is_stale = False
        counts = {name: SourceCounts(name) for name in self._sources}
        counts |= {counts.source: counts for counts in self._store.source_counts()}
        with self._lock:
            self._counts = counts
        ended = time.monotonic()
        self._fresh_until = ended + _FRESH_FOR * (ended - started)

    def page(self) -> bytes:
        """Return the page that Prometheus scrapes."""
        if self._is_stale and time.monotonic() > self._fresh_until:
            self.refresh()
        return generate_latest(self._registry)

    def collect(self) -> Iterator[Metric]:
        """Return the metrics of this moment; called by the registry."""
        with self._lock:
            counts, faults = list(self._counts.values()), dict(self._faults)
        totals = {
            "records_received": ("Records read.", [c.received for c in counts]),
            "events_stored": ("Events stored, parked votes included.", [_kept(c) for c in counts]),
            "events_duplicate": ("Events seen before.", [c.duplicates for c in counts]),
            "records_dropped": ("Records left out.", [c.dropped for c in counts]),
            "votes_expired": ("Votes whose answer never came.", [c.expired for c in counts]),
            "records_forgotten": (
                "Records about raters or generations that were forgotten.",
                [c.forgotten for c in counts],
            ),
        }
        for name, (text, values) in totals.items():
            yield _family(CounterMetricFamily, name, text, counts, values)
        gauges = {
            "dead_letters": ("Records that cannot be read.", [c.dead_letters for c in counts]),
            "votes_parked": ("Votes that wait for their answer.", [c.parked for c in counts]),
        }
        for name, (text, values) in gauges.items():
            yield _family(GaugeMetricFamily, name, text, counts, values)
        by_reason = CounterMetricFamily(
            "thumbwheel_dead_letters_by_reason",
            "Records found unreadable since the process started.",
            labels=["source", "reason"],
        )
        for labels, count in faults.items():
            by_reason.add_metric(labels, count)
        yield by_reason
        yield from self._collect_states()
        size = GaugeMetricFamily("thumbwheel_store_bytes", "Size of the store on disk.")
        size.add_metric([], self._store.size())
        yield size

    def _collect_states(self) -> Iterator[Metric]:
        up = GaugeMetricFamily("thumbwheel_source_up", "1 when it answers.", labels=["source"])
        lag = GaugeMetricFamily(
            "thumbwheel_source_lag_records", "Records not yet read.", labels=["source"]
        )
        age = GaugeMetricFamily(
            "thumbwheel_source_lag_seconds",
            "Age of the last record read, while there are more.",
            labels=["source"],
        )
        for state in self._states():
            up.add_metric([state.source], state.error is None)
            if state.lag_records is not None:
                lag.add_metric([state.source], state.lag_records)
            if state.lag_seconds is not None:
                age.add_metric([state.source], state.lag_seconds)
        yield from (up, lag, age)


def fault_label(malformed: Malformed) -> str:
    """Return the class of a dead letter: a label must not hold data."""
    return malformed.fault.words.format(field=malformed.field)


def _kept(counts: SourceCounts) -> int:
    return counts.stored + counts.parked


def _family(
    kind: type[CounterMetricFamily | GaugeMetricFamily],
    name: str,
    text: str,
    counts: Sequence[SourceCounts],
    values: Sequence[int],
) -> Metric:
    family = kind(f"thumbwheel_{name}", text, labels=["source"])
    for source_counts, value in zip(counts, values, strict=True):
        family.add_metric([source_counts.source], value)
    return family
