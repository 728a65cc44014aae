"""What an opened store can be asked: each operation once, its types and where it is served.

Two kinds of opened store do all of it: `Store` on the file that this process holds, and
`remote.RemoteStore`, which asks the process that does. The routes of `thumbwheel serve` and the
client's methods are made from the operations that are marked here.
"""

import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, Protocol, TypeVar

import pyarrow as pa
from annotated_types import Ge, Gt, Le

from thumbwheel.config import VotePolicy
from thumbwheel.store.accounts import Accounts, EventState
from thumbwheel.store.production import ProductionPrompt
from thumbwheel.store.standing import Standing
from thumbwheel.store.values import (
    ConflictingIds,
    PluginCount,
    ReplayCounts,
    Snapshot,
    SourceState,
    StoredDeadLetter,
    VoteSides,
)
from thumbwheel.types import SourceCounts, VoteCounts

if TYPE_CHECKING:
    from thumbwheel.store.store import Store

__all__ = ["OPERATIONS", "OpenedStore", "Operation"]

_F = TypeVar("_F", bound=Callable[..., Any])
_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class Operation:
    """An operation that is served as it is: arguments in, an answer out.

    A `GET` has its arguments in the query, a `POST` in a JSON object, in which the fields of a
    `VotePolicy` stand for it. The answer is JSON, or an Arrow stream where it is a table.

    Attributes:
        name: The method's name.
        method: The HTTP method.
        path: The HTTP path.
        signature: What it takes and returns.
        description: The first line of its documentation.
    """

    name: str
    method: Literal["GET", "POST"]
    path: str
    signature: inspect.Signature
    description: str


OPERATIONS: list[Operation] = []


def _served(method: Literal["GET", "POST"], path: str) -> Callable[[_F], _F]:
    """Put an operation on the list."""

    def note(function: _F) -> _F:
        signature = inspect.signature(function)
        _, *parameters = signature.parameters.values()
        description = inspect.getdoc(function) or ""
        OPERATIONS.append(
            Operation(
                function.__name__,
                method,
                path,
                signature.replace(parameters=parameters),
                description.partition("\n")[0],
            )
        )
        return function

    return note


class OpenedStore(Protocol):
    """A store, whoever holds it; `Store` says which errors there are."""

    @_served("GET", "/v1/sources")
    def source_counts(self) -> list[SourceCounts]:
        """Return the balance of every source read so far."""
        ...

    @_served("GET", "/v1/sources/states")
    def source_states(self) -> list[SourceState]:
        """Return how every source that is being read fares at this moment."""
        ...

    @_served("GET", "/v1/plugin-counts")
    def plugin_counts(self) -> list[PluginCount]:
        """Return what plugins did to the events before they were stored."""
        ...

    @_served("GET", "/v1/votes")
    def vote_counts(self) -> VoteCounts:
        """Return what became of the stored votes."""
        ...

    @_served("GET", "/v1/conflicts")
    def conflicting_ids(self) -> list[ConflictingIds]:
        """Return the ids that name several answers, or that two sources claim."""
        ...

    @_served("POST", "/v1/votes/standing")
    def standing(self, policy: VotePolicy) -> Standing:
        """Return which votes count and whose do not, as of some seconds ago in a large store."""
        ...

    @_served("GET", "/v1/votes/sides")
    def vote_sides(self) -> list[VoteSides]:
        """Return how many votes of each source are up and down, withdrawn ones left out."""
        ...

    @_served("GET", "/v1/dead-letters")
    def dead_letters(
        self, *, source: str | None = None, limit: Annotated[int, Ge(1), Le(10_000)] = 100
    ) -> list[StoredDeadLetter]:
        """Return dead letters of one source, or of all, the newest first."""
        ...

    @_served("GET", "/v1/dead-letters/reasons")
    def dead_letter_reasons(
        self, limit: Annotated[int, Ge(1), Le(1000)] = 10
    ) -> list[tuple[str, int, str]]:
        """Return (reason, count, an example's position), the most frequent first."""
        ...

    def dead_letter(self, letter_id: int) -> tuple[StoredDeadLetter, bytes]:
        """Return a dead letter and its bytes."""
        ...

    @_served("POST", "/v1/query")
    def query(
        self,
        sql: str,
        *,
        max_rows: Annotated[int, Ge(1), Le(1_000_000)] = 10_000,
        timeout_seconds: Annotated[float, Gt(0), Le(300)] = 60.0,
    ) -> pa.Table:
        """Return the first rows of one SELECT of a user's, read-only."""
        ...

    @_served("POST", "/v1/events/state")
    def event_state(self, event_id: str, policy: VotePolicy) -> EventState | None:
        """Return where an event stands, or nothing when nothing is known of it."""
        ...

    @_served("POST", "/v1/production/pool")
    def prompt_pool(
        self, policy: VotePolicy, size: Annotated[int, Ge(1), Le(1_000_000)]
    ) -> Mapping[str, str]:
        """Return prompts of users drawn at random: the end of each one's text, by prompt_id."""
        ...

    @_served("POST", "/v1/production/prompts")
    def production_prompts(
        self, policy: VotePolicy, prompt_ids: Sequence[str]
    ) -> list[ProductionPrompt]:
        """Return prompts of users with some of the completions that production gave."""
        ...

    def accounts(self, fates: pa.Table, policy: VotePolicy) -> Accounts:
        """Count everything that was received, each event once, by what became of it."""
        ...

    def snapshot(self, path: Path, policy: VotePolicy) -> Snapshot:
        """Write what raters hold to a new directory and return what is in it."""
        ...

    def ingest(self, read: Callable[["Store"], _T]) -> _T:
        """Let `read` read the sources into the store.

        Raises:
            BusyError: Its owner reads them all the time.
        """
        ...

    def refresh(self, read: Callable[["Store"], object]) -> None:
        """Let `read` read the sources, unless the store's owner does so all the time."""
        ...

    def replay(
        self, source: str | None, read: Callable[["Store"], dict[str, ReplayCounts]]
    ) -> dict[str, ReplayCounts]:
        """Read dead letters again: the store's owner does, or `read`."""
        ...
