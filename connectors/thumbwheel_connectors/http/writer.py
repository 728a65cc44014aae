"""The receiver's log on disk, written: whole groups of lines, each group behind one fsync."""

import asyncio
import logging
import os
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from thumbwheel.process.durable import sync
from thumbwheel_connectors.http.log import segment_numbers, segment_path

__all__ = ["GroupCommit", "SegmentWriter"]

_SEGMENT_BYTES = 64 * 1024 * 1024

_log = logging.getLogger("thumbwheel.http")


class SegmentWriter:
    """Appends lines to the newest segment, and begins a new one with its first line.

    After any failure it goes on in a new segment, because what the failed one holds is not known:
    a page whose fsync failed once is taken for written by the next.

    Args:
        directory: The log. It is readable by its owner alone: it holds what users wrote.
        segment_bytes: A segment that has grown to this is followed by the next.

    Raises:
        OSError: The directory cannot be made.
    """

    def __init__(self, directory: Path, segment_bytes: int = _SEGMENT_BYTES) -> None:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._directory = directory
        self._segment_bytes = segment_bytes
        self._segment: int | None = None
        self._size = 0
        sync(directory.parent)

    def append(self, lines: bytes) -> None:
        """Write lines, each with its end, and return when they are on disk.

        Raises:
            OSError: They are not, or not all of them.
        """
        if self._segment is not None and self._size >= self._segment_bytes:
            self.close()
        if self._segment is None:
            self._begin_segment()
        try:
            self._write(lines)
        except OSError:
            # An empty segment serves as well as another one would.
            if self._size:
                self.close()
            raise

    def _begin_segment(self) -> None:
        number = 1 + max(segment_numbers(self._directory), default=int(time.time()))
        flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_EXCL
        self._segment = os.open(segment_path(self._directory, number), flags, 0o600)
        self._size = 0

    def _write(self, lines: bytes) -> None:
        assert self._segment is not None  # noqa: S101 - the only caller has begun one
        is_new = self._size == 0
        rest = memoryview(lines)
        while rest:
            written = os.write(self._segment, rest)
            self._size += written
            rest = rest[written:]
        os.fsync(self._segment)
        if is_new:
            sync(self._directory)

    def close(self) -> None:
        """Leave the segment; the next line begins another."""
        if self._segment is not None:
            segment, self._segment = self._segment, None
            os.close(segment)


class GroupCommit:
    """Lets requests that wait at the same time share one write and one fsync.

    While a group is written in a thread, the event loop gathers the next.

    Args:
        writer: Used by this object alone from now on.
    """

    def __init__(self, writer: SegmentWriter) -> None:
        self._writer = writer
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="http log")
        self._waiting: list[tuple[bytes, asyncio.Future[None]]] = []
        self._committing: asyncio.Task[None] | None = None
        self._is_failing = False

    async def append(self, lines: bytes) -> None:
        """Return when the lines are on disk.

        Raises:
            OSError: They could not be written; whether they are in the log is not known.
        """
        written = asyncio.get_running_loop().create_future()
        self._waiting.append((lines, written))
        if self._committing is None:
            self._committing = asyncio.create_task(self._commit_groups())
        await written

    async def _commit_groups(self) -> None:
        loop = asyncio.get_running_loop()
        while self._waiting:
            group, self._waiting = self._waiting, []
            lines = b"".join(lines for lines, _ in group)
            failure: Exception | None = None
            try:
                await loop.run_in_executor(self._thread, self._writer.append, lines)
            except Exception as error:
                failure = error
            self._note(failure)
            for _, written in group:
                if written.done():
                    continue
                if failure is None:
                    written.set_result(None)
                else:
                    written.set_exception(failure)
        self._committing = None

    def _note(self, failure: Exception | None) -> None:
        """Log where failing begins and ends, not each request between."""
        if failure is not None and not self._is_failing:
            _log.error("events are refused with 503, the log cannot be written: %s", failure)
        elif failure is None and self._is_failing:
            _log.warning("events are taken again, the log can be written")
        self._is_failing = failure is not None

    def close(self) -> None:
        """Wait until what was begun is written, and leave the segment."""
        self._thread.shutdown(wait=True)
        self._writer.close()
