"""Parsing in processes of its own, so that reading a source and parsing it share no core.

Batches lie in anonymous files that both processes have open; only a word goes through a pipe. What
this module imports, each of them imports before its first batch: nothing but what parsing needs.
"""

import gc
import os
import queue
import sys
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import accumulate, pairwise
from multiprocessing.connection import Connection
from multiprocessing.reduction import DupFd
from typing import Any, Self

from thumbwheel.events import EventParser, ParsedBatch
from thumbwheel.process.anonymous import (
    anonymous_file,
    read_bytes,
    read_table,
    write_bytes,
    write_table,
)
from thumbwheel.process.spawn import spawn

__all__ = ["Parsing"]

_WORTH_THE_TRIP = 1000

# A batch is tens of thousands of objects that live for a moment, and the collector would look at
# each of them several times.
_COLLECTOR = (50_000, 20, 50)

# A source's reader hardly ever lets go of the interpreter, and a commit asks for it a dozen times:
# at Python's 5 milliseconds each, the commits of a fast source would wait most of their time.
_SWITCH_SECONDS = 0.0005


class Parsing:
    """Parses batches, large ones in worker processes that are started when they are needed.

    Use it as a context manager; it may be shared by threads. Inside, Python's garbage collector
    runs less often, and its threads take turns more often.
    """

    def __init__(self) -> None:
        self._threads = ThreadPoolExecutor(os.cpu_count(), "parse")
        self._idle: queue.SimpleQueue[_Worker] = queue.SimpleQueue()
        self._before = gc.get_threshold(), sys.getswitchinterval()

    def __enter__(self) -> Self:
        gc.set_threshold(*_COLLECTOR)
        sys.setswitchinterval(_SWITCH_SECONDS)
        return self

    def __exit__(self, *exc: object) -> None:
        self._threads.shutdown(cancel_futures=True)
        while not self._idle.empty():
            self._idle.get().close()
        collector, switch_seconds = self._before
        gc.set_threshold(*collector)
        sys.setswitchinterval(switch_seconds)

    def submit(self, parser: EventParser, raws: Sequence[bytes]) -> "Future[ParsedBatch]":
        """Begin to parse a batch."""
        if len(raws) >= _WORTH_THE_TRIP:
            return self._threads.submit(self._parse, parser, raws)
        future: Future[ParsedBatch] = Future()
        future.set_result(parser.parse_batch(raws))
        return future

    def _parse(self, parser: EventParser, raws: Sequence[bytes]) -> ParsedBatch:
        try:
            worker = self._idle.get_nowait()
        except queue.Empty:
            worker = _Worker()
        try:
            parsed = worker.parse(parser, raws)
        except (EOFError, OSError):
            # It was killed, by the system for want of memory perhaps: never lose a batch.
            worker.close()
            return parser.parse_batch(raws)
        except BaseException:
            worker.close()
            raise
        self._idle.put(worker)
        return parsed


class _Worker:
    """A process that parses one batch at a time; it ends when this one does, however it does."""

    def __init__(self) -> None:
        self._records, self._table = anonymous_file(), anonymous_file()
        files = DupFd(self._records), DupFd(self._table)
        self._process, self._pipe = spawn(_work, *files)

    def parse(self, parser: EventParser, raws: Sequence[bytes]) -> ParsedBatch:
        """Return what became of a batch.

        Raises:
            EOFError, OSError: The process has died.
        """
        write_bytes(self._records, b"".join(raws))
        self._pipe.send((parser, [len(raw) for raw in raws]))
        size, *rest = self._pipe.recv()
        return ParsedBatch(read_table(self._table, size), *rest)

    def close(self) -> None:
        """End the process."""
        self._pipe.close()
        self._process.join()
        os.close(self._records)
        os.close(self._table)


def _work(pipe: Connection, records: Any, table: Any) -> None:
    """Parse what comes, until the other end of the pipe is gone."""
    gc.set_threshold(*_COLLECTOR)
    records_fd, table_fd = records.detach(), table.detach()
    while True:
        try:
            parser, lengths = pipe.recv()
        except EOFError:
            return
        parsed = parser.parse_batch(_cut(read_bytes(records_fd, sum(lengths)), lengths))
        size = write_table(table_fd, parsed.events)
        pipe.send((size, parsed.malformed, parsed.ignored, parsed.notes))


def _cut(joined: bytes, lengths: Sequence[int]) -> list[bytes]:
    ends = accumulate(lengths, initial=0)
    return [joined[start:end] for start, end in pairwise(ends)]
