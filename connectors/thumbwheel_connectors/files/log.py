"""All files of a connector as one log."""

import zlib
from collections.abc import Generator, Sequence
from contextlib import closing

import pyarrow as pa

from thumbwheel.errors import SourceError, ThumbwheelError
from thumbwheel.types import Batch, Record
from thumbwheel_connectors.files.formats import Reading, open_reader
from thumbwheel_connectors.files.marks import Marks
from thumbwheel_connectors.files.readers import Reader
from thumbwheel_connectors.files.storage import File, Storage

__all__ = ["FileLog"]

_BATCH_BYTES = 64 << 20
_DAMAGE = (OSError, EOFError, zlib.error, pa.ArrowException)


class FileLog:
    """Reads the files one after the other, in rounds.

    A round ends with None, so that reading comes to an end even while a file grows all the time;
    the next `poll` begins another. A file that cannot be read does not keep the others from being
    read: its error ends the round.

    Args:
        storage: Where the files are.
        marks: How far they are read.
        reading: How they are read.
    """

    def __init__(self, storage: Storage, marks: Marks, reading: Reading) -> None:
        self._storage, self._marks, self._how = storage, marks, reading
        self._round: Generator[Record, None, None] | None = None
        self._reading: tuple[File, Reader] | None = None
        self._failure: ThumbwheelError | None = None
        self._bytes_total = self._bytes_done = 0

    def poll(self, max_records: int) -> Batch | None:
        """Return the next records, from as many files as it takes; None ends a round.

        Raises:
            SourceError: Files cannot be read; all others have been.
            UnavailableError: The filesystem does not answer.
        """
        if self._failure:
            failure, self._failure, self._round = self._failure, None, None
            raise failure
        records: list[Record] = []
        room = _BATCH_BYTES
        try:
            self._round = self._round or self._records(self._changed_files())
            for record in self._round:
                records.append(record)
                room -= len(record.raw)
                if len(records) == max_records or room <= 0:
                    return self._batch(records)
        except ThumbwheelError as error:
            if not records:
                self._round = None
                raise
            # What was read before it is stored first; the next call raises.
            self._failure = error
        if records:
            return self._batch(records)
        self._round = None
        return None

    def _batch(self, records: Sequence[Record]) -> Batch:
        done = float(self._bytes_done)
        if self._reading:
            file, reader = self._reading
            self._marks[file] = reader.mark
            done += reader.share * file.size
        return Batch(records, self._marks.cursor(), min(1.0, done / max(1, self._bytes_total)))

    def _changed_files(self) -> list[File]:
        files = self._storage.files()
        self._marks.sweep(files)
        changed = [file for file in files if not self._marks.is_finished(file)]
        self._bytes_total = sum(file.size for file in files)
        self._bytes_done = self._bytes_total - sum(file.size for file in changed)
        return changed

    def _records(self, files: Sequence[File]) -> Generator[Record, None, None]:
        failures: list[SourceError] = []
        for file in files:
            try:
                yield from self._records_of(file)
            except FileNotFoundError:
                # It was taken away after it had been listed.
                continue
            except SourceError as error:
                failures.append(error)
            self._bytes_done += file.size
        if failures:
            others = f"; {len(failures) - 1} more files cannot be read" if failures[1:] else ""
            raise SourceError(f"{failures[0]}{others}") from failures[0]

    def _records_of(self, file: File) -> Generator[Record, None, None]:
        where = ""
        try:
            reader = open_reader(self._storage, file, self._marks[file], self._how)
            with closing(reader):
                self._reading = file, reader
                try:
                    yield from reader.records()
                finally:
                    self._reading = None
                    self._marks[file] = reader.mark
                    number = reader.mark.number
                    where = f" behind {reader.unit} {number}" if number else ""
            if reader.is_complete:
                self._marks.finish(file)
        except FileNotFoundError:
            raise
        except _DAMAGE as error:
            # It may still be on its way; then it is read on in another round.
            if self._storage.is_settled(file):
                why = " ".join(str(error).split()).rstrip(".")
                raise SourceError(
                    f"{file.path} cannot be read{where}: {why}; if it is still being written, "
                    "run again when it is whole, else export it again"
                ) from error

    def acknowledge(self, cursor: str) -> None:
        """Do nothing: a file does not mind."""

    def close(self) -> None:
        """Close the file that is open."""
        if self._round:
            self._round.close()
            self._round = None
