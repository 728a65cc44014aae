"""Events from JSONL files: an export, or files that other programs append to."""

import glob
import json
from collections import deque
from dataclasses import astuple
from pathlib import Path
from typing import Annotated

from pydantic import Field
from pydantic.dataclasses import dataclass

from thumbwheel.config import ConfigPath
from thumbwheel.errors import SourceError
from thumbwheel.types import Batch, EventLog, Record
from thumbwheel_connectors.jsonl import JsonlReader, Mark

__all__ = ["FileConnector"]


@dataclass(frozen=True, config={"extra": "forbid"})
class FileConnector:
    """Read one JSON object a line, from plain or gzip files.

    Files may grow and new ones may appear; what was read before may not change.

    Args:
        path: A file, or a glob such as `exports/*.jsonl.gz` (`**` reaches into folders).
        max_line_bytes: A longer line becomes a dead letter, cut to this length.
    """

    path: ConfigPath
    max_line_bytes: Annotated[int, Field(ge=1024)] = 4 * 1024 * 1024

    def open(self, cursor: str | None) -> EventLog:
        """Find the files and go on behind `cursor`.

        Raises:
            SourceError: No file is there, or the cursor was written by another connector.
        """
        return _FileLog(self, _parse_cursor(cursor))

    def files(self) -> dict[Path, str]:
        """Return the files in order of reading, each with its name in positions.

        Raises:
            SourceError: There is none.
        """
        if self.path.is_dir():
            raise SourceError(f"{self.path} is a directory; set `path` to {self.path}/*.jsonl")
        if self.path.is_file():
            return {self.path: self.path.name}
        if not glob.has_magic(str(self.path)):
            raise SourceError(f"there is no file {self.path}; check `path`")
        found = [Path(name) for name in sorted(glob.glob(str(self.path), recursive=True))]
        root = next(parent for parent in self.path.parents if not glob.has_magic(str(parent)))
        files = {path: str(path.relative_to(root)) for path in found if path.is_file()}
        if not files:
            raise SourceError(f"no file matches {self.path}; check `path`")
        return files


class _FileLog:
    """The files of a connector as one log.

    The files are gone through in rounds. A round ends with None, so that reading comes to an end
    even while a file grows all the time; the next `poll` begins another.
    """

    def __init__(self, connector: FileConnector, marks: dict[Path, Mark]) -> None:
        self._connector = connector
        self._marks = marks
        self._sizes: dict[Path, int] = {}
        self._read: dict[Path, int] = {}
        self._current: tuple[Path, JsonlReader] | None = None
        self._failure: SourceError | None = None
        self._waiting: deque[tuple[Path, str]] | None = self._changed_files()

    def _changed_files(self) -> deque[tuple[Path, str]]:
        files = self._connector.files()
        # The marks of files that are gone are forgotten: a cursor must not grow for ever.
        self._marks = {path: self._marks[path] for path in files if path in self._marks}
        changed: deque[tuple[Path, str]] = deque()
        self._sizes, self._read = {}, {}
        for path, name in files.items():
            status = path.stat()
            mark = self._marks.get(path, Mark())
            is_read = mark.is_end_of(status)
            self._sizes[path] = status.st_size
            self._read[path] = status.st_size if is_read else min(mark.offset, status.st_size)
            if not is_read:
                changed.append((path, name))
        return changed

    def poll(self, max_records: int) -> Batch | None:
        """Return the next records, from as many files as it takes; None ends a round."""
        if self._failure:
            raise self._failure
        if self._waiting is None:
            self._waiting = self._changed_files()
        records: list[Record] = []
        while len(records) < max_records and (self._current or self._waiting):
            try:
                self._read_into(records, max_records)
            except SourceError as error:
                if not records:
                    raise
                # What was read before it is stored first; the next call raises.
                self._failure = error
                break
        if not records:
            self._waiting = None
            return None
        cursor = {"files": {str(path): astuple(mark) for path, mark in self._marks.items()}}
        share = sum(self._read.values()) / max(1, sum(self._sizes.values()))
        return Batch(records, json.dumps(cursor, separators=(",", ":")), min(1.0, share))

    def _read_into(self, records: list[Record], max_records: int) -> None:
        if self._current is None:
            assert self._waiting  # noqa: S101 - the only caller has looked
            path, name = self._waiting.popleft()
            mark = self._marks.get(path, Mark())
            self._current = path, JsonlReader(path, name, mark, self._connector.max_line_bytes)
        path, reader = self._current
        try:
            reader.read_into(records, max_records)
        finally:
            self._marks[path] = reader.mark
            self._read[path] = reader.disk_bytes
        if reader.at_end:
            self.close()

    def acknowledge(self, cursor: str) -> None:
        """Do nothing: a file does not mind."""

    def close(self) -> None:
        """Close the file that is open."""
        if self._current:
            self._current[1].close()
            self._current = None


def _parse_cursor(cursor: str | None) -> dict[Path, Mark]:
    if cursor is None:
        return {}
    try:
        return {Path(path): Mark(*mark) for path, mark in json.loads(cursor)["files"].items()}
    except (ValueError, TypeError, LookupError, AttributeError) as error:
        raise SourceError(
            "this source was read by another connector before; give it a new `name` to read files"
        ) from error
