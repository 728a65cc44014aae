"""What the MLflow connector asks of MLflow: an experiment, and its traces."""

import difflib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from thumbwheel.errors import SourceError, ThumbwheelError, UnavailableError

__all__ = ["TraceClient"]

_PAGE = 100


class TraceClient:
    """The traces of one experiment.

    Args:
        tracking_uri: `http(s)://HOST[:PORT]` or `sqlite:///PATH`.
        experiment: The experiment's name.

    Raises:
        SourceError: There is no such database or experiment, or MLflow refuses.
        UnavailableError: The server does not answer.
    """

    def __init__(self, tracking_uri: str, experiment: str) -> None:
        from thumbwheel.registry.connection import Connection

        with _as_source_error():
            self._connection = Connection(tracking_uri)
            if not self._connection.exists():
                raise SourceError(
                    f"there is no MLflow database {self._connection.database}; mend `tracking_uri`"
                )
            with self._connection.client() as client:
                self._locations = [_experiment_id(client, experiment)]

    def pages(self, start_ms: int, condition: str) -> Iterator[Sequence[Any]]:
        """Yield the `TraceInfo`s since `start_ms` that meet a condition, the oldest first.

        Args:
            start_ms: Milliseconds since 1970.
            condition: In MLflow's search syntax.
        """
        token = None
        while True:
            page = self._search(
                filter_string=f"trace.timestamp_ms >= {start_ms} AND {condition}",
                order_by=["timestamp_ms ASC"],
                page_token=token,
                include_spans=False,
            )
            if page:
                yield [trace.info for trace in page]
            token = page.token
            if not token:
                return

    def infos(self, trace_ids: Sequence[str]) -> Iterator[Any]:
        """Yield the `TraceInfo` of each trace that still exists."""
        for trace in self._by_id(trace_ids, include_spans=False):
            yield trace.info

    def spans(self, trace_ids: Sequence[str]) -> Mapping[str, Sequence[Any]]:
        """Return the spans of each trace that has any."""
        traces = self._by_id(trace_ids, include_spans=True)
        return {trace.info.trace_id: trace.data.spans for trace in traces}

    def _by_id(self, trace_ids: Sequence[str], *, include_spans: bool) -> Iterator[Any]:
        for start in range(0, len(trace_ids), _PAGE):
            listed = ", ".join(f"'{trace_id}'" for trace_id in trace_ids[start : start + _PAGE])
            yield from self._search(
                filter_string=f"trace.request_id IN ({listed})", include_spans=include_spans
            )

    def _search(self, **arguments: Any) -> Any:
        with _as_source_error(), self._connection.client() as client:
            return client.search_traces(locations=self._locations, max_results=_PAGE, **arguments)


@contextmanager
def _as_source_error() -> Iterator[None]:
    try:
        yield
    except SourceError:
        raise
    except ThumbwheelError as error:
        kind = UnavailableError if isinstance(error, UnavailableError) else SourceError
        raise kind(str(error).replace("`mlflow.tracking_uri`", "`tracking_uri`")) from error


def _experiment_id(client: Any, name: str) -> str:
    found = client.get_experiment_by_name(name)
    if found is not None and found.lifecycle_stage != "active":
        raise SourceError(f"the experiment {name!r} is deleted in MLflow; restore it")
    if found is not None:
        return str(found.experiment_id)
    names = [experiment.name for experiment in client.search_experiments(max_results=1000)]
    close = difflib.get_close_matches(name, names, n=1)
    hint = f" (did you mean {close[0]!r}?)" if close else ""
    raise SourceError(
        f"MLflow has no experiment {name!r}{hint}; there are: {', '.join(sorted(names)[:20])}"
    )
