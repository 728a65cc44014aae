"""A helping process, which Ctrl-C passes by: it is for the process that started it."""

import multiprocessing
import resource
import signal
import threading
from collections.abc import Callable
from multiprocessing import resource_tracker
from multiprocessing.connection import Connection
from multiprocessing.context import SpawnProcess
from pathlib import Path
from typing import Any

__all__ = ["make_expendable", "spawn"]

_CTRL_C = {signal.SIGINT}


def spawn(work: Callable[..., None], *arguments: object) -> tuple[SpawnProcess, Connection]:
    """Start a process that calls `work(pipe, *arguments)`; return it and the pipe's other end.

    From its first moment on it is deaf to Ctrl-C, which a terminal sends to every process of a
    command: it ends when its work does, or when it is ended.
    """
    # A fork would copy locks that other threads hold.
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=_begin, args=(work, theirs, *arguments), daemon=True)
    # Its first start, which is part of the first start of any process, ends the blocking.
    resource_tracker.ensure_running()
    # A new process inherits what is blocked; before its own first line it could do nothing itself.
    before = signal.pthread_sigmask(signal.SIG_BLOCK, _CTRL_C)
    try:
        process.start()
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
    theirs.close()
    return process, ours


def make_expendable(end: Callable[[], object]) -> None:
    """Make this process one that harms nobody when it ends, and that ends with its parent.

    Args:
        end: Ends it, when the parent has ended.
    """
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    # Where memory runs out all the same, the system takes this process and not the other.
    badness = Path("/proc/self/oom_score_adj")
    if badness.exists():
        badness.write_text("1000")
    threading.Thread(target=_outlive_no_parent, args=(end,), daemon=True).start()


def _outlive_no_parent(end: Callable[[], object]) -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
    end()


def _begin(work: Callable[..., None], pipe: Connection, *arguments: Any) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, _CTRL_C)
    work(pipe, *arguments)
