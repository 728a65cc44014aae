"""The store, whoever holds it: the file itself, or `thumbwheel serve` asked over HTTP.

DuckDB lets one process open the file. While `thumbwheel serve` does, everybody else asks it; on the
same machine it is found by a note in the project's home, elsewhere by `serve.url`. Nobody has to
know which it is.
"""

import json
import os
import shutil
import tarfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self, TypeVar

import pyarrow as pa
from pydantic import TypeAdapter, ValidationError

from thumbwheel.config import Config, VotePolicy
from thumbwheel.errors import BusyError, ConfigError, DataError, UnavailableError
from thumbwheel.store import (
    Accounts,
    EventState,
    PluginCount,
    ReplayCounts,
    Snapshot,
    Store,
    StoredDeadLetter,
)
from thumbwheel.types import SourceCounts, VoteCounts
from thumbwheel.types.fates import SourceStatus

if TYPE_CHECKING:
    import requests

__all__ = ["OwnerNote", "RemoteStore", "SourceState", "open_store"]

_CONNECT_SECONDS = 5.0
_ANSWER_SECONDS = 300.0

_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class OwnerNote:
    """How processes of the same user on the same machine reach the store's owner."""

    url: str
    token: str
    pid: int


@dataclass(frozen=True, slots=True)
class SourceState:
    """How a source fares.

    `error` says why it waits to try again, or what to mend; lags are None where the source cannot
    tell.
    """

    source: str
    state: SourceStatus
    error: str | None = None
    lag_records: int | None = None
    lag_seconds: float | None = None


@contextmanager
def open_store(config: Config) -> "Iterator[Store | RemoteStore]":
    """Open the store: its owner's, where one is configured or running, else the file.

    Raises:
        BusyError: Another command holds the file for the moment.
        UnavailableError: The owner does not answer.
        DataError: The file is not a store, is damaged, or is of a newer Thumbwheel.
    """
    if config.serve.url is not None:
        token = os.environ.get(config.serve.token_env)
        if not token:
            raise ConfigError(
                f"the environment variable {config.serve.token_env}, which `serve.token_env` "
                f"names, is not set; export it with the token of {config.serve.url}"
            )
        with RemoteStore(config.serve.url, token) as remote:
            yield remote
        return
    try:
        store = Store(config.layout.store)
    except BusyError:
        note = _owner_note(config.layout.serve_note)
        if note is None:
            raise
        with RemoteStore(note.url, note.token) as remote:
            yield remote
        return
    with store:
        yield store


def _owner_note(path: Path) -> OwnerNote | None:
    try:
        note = OwnerNote(**json.loads(path.read_text(encoding="utf-8")))
        os.kill(note.pid, 0)
    except (OSError, ValueError, TypeError):
        return None
    return note


class RemoteStore:
    """The store as `thumbwheel serve` shows it; methods are named and typed as the store's own.

    Raises:
        UnavailableError: Nobody answers, or the answer is cut off.
        ConfigError: The token is refused.
        DataError: What was asked for is refused; the message says why.
    """

    def __init__(self, url: str, token: str) -> None:
        import requests

        self.url = url.rstrip("/")
        self._session = requests.Session()
        self._session.headers["Authorization"] = f"Bearer {token}"
        # A proxy configured for the internet has no business between these two.
        self._session.trust_env = False

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self._session.close()

    def source_counts(self) -> list[SourceCounts]:
        """Return the balance of every source read so far."""
        return self._get("/v1/sources", list[SourceCounts])

    def source_states(self) -> list[SourceState]:
        """Return how every source fares at this moment."""
        return self._get("/v1/sources/states", list[SourceState])

    def plugin_counts(self) -> list[PluginCount]:
        """Return what plugins did to the events before they were stored."""
        return self._get("/v1/plugin-counts", list[PluginCount])

    def vote_counts(self) -> VoteCounts:
        """Return what became of the stored votes."""
        return self._get("/v1/votes", VoteCounts)

    def dead_letter_reasons(self, limit: int) -> list[tuple[str, int, str]]:
        """Return (reason, count, an example's position), the most frequent first."""
        return self._get(
            "/v1/dead-letters/reasons", list[tuple[str, int, str]], params={"limit": limit}
        )

    def dead_letters(self, *, source: str | None = None, limit: int) -> list[StoredDeadLetter]:
        """Return the newest dead letters."""
        params = {"limit": limit} | ({"source": source} if source is not None else {})
        return self._get("/v1/dead-letters", list[StoredDeadLetter], params=params)

    def dead_letter(self, letter_id: int) -> tuple[StoredDeadLetter, bytes]:
        """Return one dead letter with its bytes."""
        letter = self._get(f"/v1/dead-letters/{letter_id}", StoredDeadLetter)
        with self._answer("GET", f"/v1/dead-letters/{letter_id}/raw") as response:
            return letter, response.content

    def replay(self, source: str | None) -> dict[str, ReplayCounts]:
        """Let the owner read dead letters again; return what became of them."""
        with self._answer("POST", "/v1/dead-letters/replay", json={"source": source}) as response:
            return _parsed(response.content, dict[str, ReplayCounts])

    def query(self, sql: str, *, max_rows: int, timeout_seconds: float) -> pa.Table:
        """Return the rows of a SELECT."""
        body = {"sql": sql, "max_rows": max_rows, "timeout_seconds": timeout_seconds}
        with self._answer("POST", "/v1/query", json=body) as response:
            return pa.ipc.open_stream(response.content).read_all()

    def event_state(self, event_id: str, policy: VotePolicy) -> EventState | None:
        """Return where an event stands, or None when nothing is known of it."""
        body = policy.model_dump(mode="json") | {"event_id": event_id}
        with self._answer("POST", "/v1/events/state", json=body) as response:
            return None if response.content == b"null" else _parsed(response.content, EventState)

    def accounts(self, fates: pa.Table, policy: VotePolicy) -> Accounts:
        """Count everything that was received, each event once, by what became of it."""
        sink = pa.BufferOutputStream()
        with pa.ipc.new_stream(sink, fates.schema) as writer:
            writer.write_table(fates)
        with self._answer(
            "POST",
            "/v1/accounts",
            params={"policy": policy.model_dump_json()},
            data=sink.getvalue().to_pybytes(),
            headers={"Content-Type": "application/vnd.apache.arrow.stream"},
        ) as response:
            return _parsed(response.content, Accounts)

    def snapshot(self, path: Path, policy: VotePolicy) -> Snapshot:
        """Write what raters hold at this moment to a new directory."""
        import urllib3

        part = path.with_name(path.name + ".part")
        shutil.rmtree(part, ignore_errors=True)
        body = policy.model_dump(mode="json")
        with self._answer("POST", "/v1/snapshot", json=body, stream=True) as response:
            snapshot = _parsed(response.headers["Thumbwheel-Snapshot"], Snapshot)
            try:
                with tarfile.open(fileobj=response.raw, mode="r|") as archive:
                    archive.extractall(part, filter="data")
            except (tarfile.TarError, urllib3.exceptions.HTTPError, OSError) as error:
                raise UnavailableError(
                    f"the snapshot from {self.url} broke off: {error}; run again"
                ) from error
        shutil.rmtree(path, ignore_errors=True)
        part.replace(path)
        return replace(snapshot, path=path)

    def _get(self, path: str, kind: type[_T], **options: Any) -> _T:
        with self._answer("GET", path, **options) as response:
            return _parsed(response.content, kind)

    @contextmanager
    def _answer(self, method: str, path: str, **options: Any) -> "Iterator[requests.Response]":
        import requests

        try:
            response = self._session.request(
                method,
                self.url + path,
                timeout=(_CONNECT_SECONDS, _ANSWER_SECONDS),
                allow_redirects=False,
                **options,
            )
        except requests.RequestException as error:
            raise UnavailableError(
                f"`thumbwheel serve` at {self.url} does not answer ({_cause(error)}); "
                "start it, or mend `serve.url`"
            ) from error
        with response:
            if response.status_code == requests.codes.unauthorized:
                raise ConfigError(
                    f"{self.url} refuses the token; set the environment variable that "
                    "`serve.token_env` names to the same value on both sides"
                )
            if response.status_code != requests.codes.ok:
                raise _refusal(response)
            yield response


def _parsed(content: bytes | str, kind: type[_T]) -> _T:
    try:
        return TypeAdapter(kind).validate_json(content)
    except ValidationError as error:
        raise UnavailableError(
            "the store's owner gave an answer that this Thumbwheel does not understand; "
            "install the same version on both sides"
        ) from error


def _refusal(response: "requests.Response") -> DataError | UnavailableError:
    try:
        message = str(response.json()["error"])
    except (ValueError, LookupError, TypeError):
        message = f"{response.url} answered {response.status_code}"
    is_ours = response.status_code >= 500
    return UnavailableError(message) if is_ours else DataError(message)


def _cause(error: Exception) -> str:
    while error.__cause__ or error.__context__:
        error = error.__cause__ or error.__context__  # type: ignore[assignment]
    return str(error) or type(error).__name__
