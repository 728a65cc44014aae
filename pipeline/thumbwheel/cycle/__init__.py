"""One turn of the wheel: ingest, snapshot, pair, train, evaluate, decide, register.

- `journal`: what a cycle has done so far, on disk, so that a killed one goes on.
- `run`: the turn itself.
"""

from thumbwheel.cycle.journal import CycleJournal, find_report, list_cycles
from thumbwheel.cycle.run import NothingNew, Observer, ingest_all, open_registry, run_cycle

__all__ = [
    "CycleJournal",
    "NothingNew",
    "Observer",
    "find_report",
    "ingest_all",
    "list_cycles",
    "open_registry",
    "run_cycle",
]
