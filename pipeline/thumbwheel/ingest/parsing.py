"""Parsing in a process of its own, so that reading a source and parsing it share no core."""

import multiprocessing
import os
import signal
import threading
from collections.abc import Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path
from types import TracebackType
from typing import Self

from thumbwheel.config import SourceConfig
from thumbwheel.events import EventParser, ParsedBatch
from thumbwheel.manager import load_mapping

__all__ = ["Parsing", "parser_for"]

_WORTH_THE_TRIP = 1000


def parser_for(source: SourceConfig, base_dir: Path) -> EventParser:
    """Return the parser of a source's records.

    Raises:
        ConfigError: Its mapping is unknown or an option of it is wrong.
    """
    return EventParser(load_mapping(source, base_dir))


class Parsing:
    """Parses batches, large ones in worker processes that are started when the first comes.

    Use it as a context manager; it may be shared by threads.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._pool: ProcessPoolExecutor | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._pool is not None:
            self._pool.shutdown(cancel_futures=True)

    def submit(self, parser: EventParser, raws: Sequence[bytes]) -> "Future[ParsedBatch]":
        """Begin to parse a batch."""
        if len(raws) < _WORTH_THE_TRIP:
            return _done(parser.parse_batch(raws))
        try:
            return self._workers().submit(parser.parse_batch, raws)
        except BrokenProcessPool:
            # A worker was killed, by the system for want of memory perhaps: never lose a batch.
            with self._lock:
                self._pool = None
            return _done(parser.parse_batch(raws))

    def _workers(self) -> ProcessPoolExecutor:
        with self._lock:
            if self._pool is None:
                self._pool = ProcessPoolExecutor(
                    max(1, (os.cpu_count() or 1) - 1),
                    # A fork would copy locks that other threads hold.
                    mp_context=multiprocessing.get_context("spawn"),
                    initializer=_start_worker,
                )
            return self._pool


def _done(parsed: ParsedBatch) -> "Future[ParsedBatch]":
    future: Future[ParsedBatch] = Future()
    future.set_result(parsed)
    return future


def _start_worker() -> None:
    # Ctrl-C is for the parent, which then ends its workers; a parent that was killed cannot.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)
