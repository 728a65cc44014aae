"""The store, whoever holds it: the file itself, or `thumbwheel serve` asked over HTTP.

DuckDB lets one process open the file. While `thumbwheel serve` does, everybody else asks it; on the
same machine it is found by a note in the project's home, elsewhere by `serve.url`. Nobody has to
know which it is.
"""

import json
import os
import shutil
import tarfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Never, TypeVar, cast

import pyarrow as pa
from pydantic import TypeAdapter, ValidationError
from pydantic_core import to_json

from thumbwheel.config import Config, VotePolicy
from thumbwheel.errors import BusyError, ConfigError, DataError, UnavailableError
from thumbwheel.process.durable import replacing
from thumbwheel.store import Accounts, ReplayCounts, Snapshot, Store, StoredDeadLetter
from thumbwheel.store.fate_groups import FateGroup, group_fates
from thumbwheel.store.operations import OPERATIONS, OpenedStore, Operation

if TYPE_CHECKING:
    import requests

__all__ = [
    "ARROW_STREAM",
    "AccountsRequest",
    "OwnerNote",
    "RemoteStore",
    "arrow_bytes",
    "open_store",
]

ARROW_STREAM = "application/vnd.apache.arrow.stream"

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
class AccountsRequest:
    """What `/v1/accounts` is asked, as JSON."""

    fates: Sequence[FateGroup]
    policy: VotePolicy


@contextmanager
def open_store(config: Config) -> Iterator[OpenedStore]:
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
    """The store as `thumbwheel serve` shows it: an `OpenedStore`.

    What `operations` lists as served is asked as it is written there; the methods for it are made
    below. The others are written out.

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

    def __enter__(self) -> OpenedStore:
        return cast("OpenedStore", self)  # its methods are made below

    def __exit__(self, *exc: object) -> None:
        self._session.close()

    def dead_letter(self, letter_id: int) -> tuple[StoredDeadLetter, bytes]:
        """Return one dead letter with its bytes."""
        path = f"/v1/dead-letters/{letter_id}"
        letter = self._parsed("GET", path, StoredDeadLetter)
        with self._answer("GET", f"{path}/raw") as response:
            return letter, response.content

    def ingest(self, read: object) -> Never:
        """Say that the owner reads the sources."""
        raise BusyError(
            f"`thumbwheel serve` at {self.url} reads the sources all the time; `thumbwheel "
            "status` shows how far it is, and a restart makes it read a changed configuration"
        )

    def refresh(self, read: object) -> None:
        """Do nothing: the owner reads the sources all the time."""

    def replay(self, source: str | None, read: object) -> dict[str, ReplayCounts]:
        """Let the owner read dead letters again; return what became of them."""
        path = "/v1/dead-letters/replay"
        return self._parsed("POST", path, dict[str, ReplayCounts], json={"source": source})

    def accounts(self, fates: pa.Table, policy: VotePolicy) -> Accounts:
        """Count everything that was received, each event once, by what became of it."""
        return self._parsed(
            "POST",
            "/v1/accounts",
            Accounts,
            data=to_json(AccountsRequest(group_fates(fates), policy)),
            headers={"Content-Type": "application/json"},
        )

    def snapshot(self, path: Path, policy: VotePolicy) -> Snapshot:
        """Write what raters hold at this moment to a new directory."""
        import urllib3

        body = policy.model_dump(mode="json")
        with (
            replacing(path) as fresh,
            self._answer("POST", "/v1/snapshot", json=body, stream=True) as response,
        ):
            snapshot = _parsed(response.headers["Thumbwheel-Snapshot"], Snapshot)
            try:
                with tarfile.open(fileobj=response.raw, mode="r|") as archive:
                    _unpack(archive, fresh)
            except (tarfile.TarError, urllib3.exceptions.HTTPError, OSError) as error:
                raise UnavailableError(
                    f"the snapshot from {self.url} broke off: {error}; run again"
                ) from error
        return replace(snapshot, path=path)

    def ask(self, operation: Operation, arguments: Mapping[str, Any]) -> Any:
        """Return the owner's answer to an operation."""
        is_get = operation.method == "GET"
        values = {
            name: value for name, value in arguments.items() if value is not None or not is_get
        }
        if isinstance(policy := values.pop("policy", None), VotePolicy):
            values |= policy.model_dump(mode="json")
        sent: dict[str, Any] = {"params": values} if is_get else {"json": values}
        kind = operation.signature.return_annotation
        if kind is not pa.Table:
            return self._parsed(operation.method, operation.path, kind, **sent)
        with self._answer(operation.method, operation.path, **sent) as response:
            return pa.ipc.open_stream(response.content).read_all()

    def _parsed(self, method: str, path: str, kind: type[_T], **options: Any) -> _T:
        with self._answer(method, path, **options) as response:
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


def _asking(operation: Operation) -> Callable[..., Any]:
    """Return the method that asks an operation of the owner."""

    def method(self: RemoteStore, *arguments: Any, **named: Any) -> Any:
        return self.ask(operation, operation.signature.bind(*arguments, **named).arguments)

    return method


for _operation in OPERATIONS:
    setattr(RemoteStore, _operation.name, _asking(_operation))


def arrow_bytes(table: pa.Table) -> bytes:
    """Return a table as an Arrow stream."""
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    content: bytes = sink.getvalue().to_pybytes()
    return content


def _unpack(archive: tarfile.TarFile, folder: Path) -> None:
    """Write the files of an archive that is read as a stream; it has no folders and no links."""
    folder.mkdir()
    for member in archive:
        content = archive.extractfile(member)
        if content is None or not member.isfile() or Path(member.name).name != member.name:
            raise tarfile.TarError(f"{member.name!r} is no file of a snapshot")
        with content, (folder / member.name).open("wb") as file:
            shutil.copyfileobj(content, file)


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
