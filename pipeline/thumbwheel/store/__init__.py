"""The store: every event, in one DuckDB file. The only part of the engine that uses DuckDB.

One process at a time holds the file. A batch of events, its dead letters, the counters and the
source's cursor are committed in one transaction, so that a kill at any instant loses nothing and
doubles nothing: either the batch is there with the cursor behind it, or neither is.

There is no primary key: with one, DuckDB scans all keys on every append. An event that has been
received before (same `event_id`) is found in memory instead (see `seen`).

- `store`: the opened store; `reading` and `intake` are its halves, `operations` what it is asked.
- `remote`: the same, asked of the process that holds the file.
- `database`, `connection`, `files`: DuckDB's file, opened once, locked down, made and replaced.
- `migrations`, `verify`, `faults`: older files, damaged ones, and what DuckDB's errors mean.
- `sources`, `letters`, `seen`: balances and cursors, dead letters, what was received before.
- `answers`, `votes`, `judgements`, `units`: which answer an event is about, which votes count, and
  what was compared.
- `standing`, `sides`, `conflicts`: what `status` says of votes and ids.
- `accounts`, `fate_groups`: what became of each event.
- `snapshot`, `production`: what is handed to the stages behind the store.
- `forgotten`, `forgetting`: whose records are left out, and the file written anew without them.
- `query`: a user's SQL in a process of its own; `scratch`: SQL over what was given out.
"""

from thumbwheel.store.accounts import FATES, Accounts, EventState, StateCount
from thumbwheel.store.forgetting import Found
from thumbwheel.store.forgotten import Forgotten, Subject
from thumbwheel.store.operations import OpenedStore
from thumbwheel.store.production import Produced, ProductionPrompt
from thumbwheel.store.snapshot import COMPARISONS_FILE, RATED_FILE, VOTES_FILE
from thumbwheel.store.standing import Standing
from thumbwheel.store.store import Store
from thumbwheel.store.values import (
    ConflictingIds,
    DeadLetter,
    PluginCount,
    Quarantined,
    ReplayCounts,
    Snapshot,
    SourceState,
    StoredDeadLetter,
    VoteSides,
)

__all__ = [
    "COMPARISONS_FILE",
    "FATES",
    "RATED_FILE",
    "VOTES_FILE",
    "Accounts",
    "ConflictingIds",
    "DeadLetter",
    "EventState",
    "Forgotten",
    "Found",
    "OpenedStore",
    "PluginCount",
    "Produced",
    "ProductionPrompt",
    "Quarantined",
    "ReplayCounts",
    "Snapshot",
    "SourceState",
    "Standing",
    "StateCount",
    "Store",
    "StoredDeadLetter",
    "Subject",
    "VoteSides",
]
