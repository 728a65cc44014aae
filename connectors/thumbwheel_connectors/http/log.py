"""The receiver's log on disk, read in order.

The log is a directory of segments, `0000000042.jsonl` and so on, one event a line. A segment is
only ever appended to, and left for good when a write to it fails or its writer ends. So a line
without its line end, in any segment but the last, is one that was never acknowledged. A line of
spaces stands for one that was removed (see `http_erasure`): it is counted, and not handed out.

The first segment is numbered by the clock, each next one by one more: a log that was emptied and
begun anew is never mistaken for the one before, and a segment that is missing is noticed.
"""

import json
import os
import re
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO

import pydantic_core

from thumbwheel.errors import SourceError
from thumbwheel.types import Batch, Lag, Record

__all__ = ["Cursor", "SegmentLog", "parse_cursor", "segment_numbers", "segment_path"]

_SEGMENT = re.compile(r"(\d{10})\.jsonl")
_BATCH_BYTES = 32 * 1024 * 1024


def segment_path(directory: Path, number: int) -> Path:
    """Return the file of a segment."""
    return directory / f"{number:010d}.jsonl"


def segment_numbers(directory: Path) -> list[int]:
    """Return the numbers of the segments that are there, ascending.

    Raises:
        OSError: The directory cannot be read.
    """
    try:
        names = os.listdir(directory)
    except FileNotFoundError:
        return []
    return sorted(int(match[1]) for name in names if (match := _SEGMENT.fullmatch(name)))


@dataclass(frozen=True, slots=True)
class Cursor:
    """Where reading goes on: a segment, the bytes of it that were read, the lines among them."""

    segment: int
    offset: int = 0
    lines: int = 0


def parse_cursor(cursor: str | None) -> Cursor | None:
    """Return the position that a cursor holds.

    Raises:
        SourceError: The cursor is another connector's.
    """
    if cursor is None:
        return None
    try:
        return Cursor(**{name: int(value) for name, value in json.loads(cursor).items()})
    except (ValueError, TypeError, AttributeError) as error:
        raise SourceError(
            "this source was read by another connector before; give it a new `name` to receive "
            "over HTTP"
        ) from error


class SegmentLog:
    """Reads the segments in rounds, as far as the log reached when the round began.

    A round ends with None, so that reading comes to an end even while events come in all the time.

    Args:
        directory: The log; it need not be there yet.
        cursor: Where to begin; None is the beginning of the first segment.

    Raises:
        SourceError: The log cannot be read, or a segment that is still to be read is missing.
    """

    def __init__(self, directory: Path, cursor: Cursor | None) -> None:
        self._directory = directory
        self._at = cursor
        self._file: IO[bytes] | None = None
        self._numbers: list[int] = []
        self._end: Cursor | None = None
        self._begin_round()

    def _begin_round(self) -> None:
        try:
            self._numbers = segment_numbers(self._directory)
            if self._numbers:
                # Listed before anything is read: a segment that has one behind it is finished.
                last = self._numbers[-1]
                self._end = Cursor(last, segment_path(self._directory, last).stat().st_size)
        except OSError as error:
            raise self._unreadable(error) from error
        if self._at is None and self._numbers:
            self._at = Cursor(self._numbers[0])
        if self._at is not None and self._at.segment not in self._numbers:
            raise self._missing(self._at.segment)

    def poll(self, max_records: int) -> Batch | None:
        """Return the next records; None ends a round.

        Raises:
            SourceError: The log cannot be read, or a segment is missing.
        """
        if self._end is None:
            self._begin_round()
        if self._at is None or self._end is None:
            return None
        records: list[Record] = []
        size = 0
        try:
            while len(records) < max_records and size < _BATCH_BYTES:
                line = self._next_line(self._at, self._end)
                if line is None:
                    break
                records.append(Record(line.rstrip(b"\n"), self._position(self._at)))
                size += len(line)
            if records:
                return self._batch(records, self._at, self._end)
        except OSError as error:
            raise self._unreadable(error) from error
        self._end = None
        return None

    def _next_line(self, at: Cursor, end: Cursor) -> bytes | None:
        """Return the next line, behind which `_at` then stands; None at the end of the round."""
        while (at.segment, at.offset) < (end.segment, end.offset):
            if self._file is None:
                self._file = segment_path(self._directory, at.segment).open("rb")
                self._file.seek(at.offset)
            line = self._file.readline()
            if line.endswith(b"\n"):
                at = self._at = Cursor(at.segment, at.offset + len(line), at.lines + 1)
                if line.isspace():
                    continue
                return line
            # Opened anew where it stands, or at the next segment: without this tail.
            self.close()
            if at.segment == end.segment:
                break
            at = self._at = self._next_segment(at.segment)
        return None

    def _next_segment(self, number: int) -> Cursor:
        if number + 1 not in self._numbers:
            raise self._missing(number + 1)
        return Cursor(number + 1)

    def _position(self, behind: Cursor) -> str:
        name = segment_path(self._directory, behind.segment).name
        return f"{self._directory.name}/{name}:{behind.lines}"

    def _batch(self, records: list[Record], at: Cursor, end: Cursor) -> Batch:
        cursor = json.dumps(asdict(at), separators=(",", ":"))
        if at.segment == end.segment and at.offset >= end.offset:
            return Batch(records, cursor, progress=1.0, lag=Lag(records=0, seconds=0.0))
        size = segment_path(self._directory, at.segment).stat().st_size
        finished = self._numbers.index(at.segment) + min(1.0, at.offset / size)
        lag = Lag(seconds=_age(records[-1]))
        return Batch(records, cursor, progress=finished / len(self._numbers), lag=lag)

    def acknowledge(self, cursor: str) -> None:
        """Do nothing: the log is kept, so that a store can be built from it anew."""

    def close(self) -> None:
        """Close the segment that is open."""
        if self._file is not None:
            self._file.close()
            self._file = None

    def _unreadable(self, error: OSError) -> SourceError:
        return SourceError(
            f"the log {self._directory} cannot be read: {error.strerror or error}; check `log` "
            "and the rights on it"
        )

    def _missing(self, number: int) -> SourceError:
        return SourceError(
            f"{segment_path(self._directory, number)} is still to be read, but it is not there; "
            "bring it back, or give the source a new `name` to read what is left from its beginning"
        )


def _age(record: Record) -> float | None:
    """Return the seconds since a record was received; None when it does not say."""
    try:
        return max(0.0, time.time() - float(pydantic_core.from_json(record.raw)["received_at"]))
    except (ValueError, TypeError, LookupError):
        return None
