"""Records of a file gathered by a key: the messages of a conversation that are rows of a table."""

from collections.abc import Iterator

import pydantic_core

from thumbwheel.errors import SourceError
from thumbwheel.events.paths import Key, KeyPath
from thumbwheel.types import Record
from thumbwheel_connectors.files.marks import Mark, digest
from thumbwheel_connectors.files.readers import Reader
from thumbwheel_connectors.files.storage import File

__all__ = ["GatheredReader"]

_MAX_BYTES = 1 << 30


class GatheredReader:
    """Hands on the records of a file that share a key as one record, a JSON array.

    They come in the order in which their keys come first; records without the key come as they
    are. All of the file is in memory meanwhile. A file that has changed is read anew.

    Args:
        inner: Reads the file from its beginning.
        file: The file.
        mark: How many were handed on; of another version of the file it counts nothing.
        key: The key that they share.
    """

    def __init__(self, inner: Reader, file: File, mark: Mark, key: Key) -> None:
        self._inner, self._file, self._path = inner, file, KeyPath.of(key)
        self._check = digest(f"{file.version}/{file.size}".encode())
        self._done = mark.position if mark.check == self._check else 0
        self._total = 0
        self.is_complete = False

    @property
    def unit(self) -> str:
        """What its positions count."""
        return self._inner.unit

    @property
    def mark(self) -> Mark:
        """The mark behind what was handed on."""
        return Mark(self._done, self._done, 0, self._check)

    @property
    def share(self) -> float:
        """The share of the file handed on, in [0, 1]."""
        return self._done / self._total if self._total else 0.0

    def records(self) -> Iterator[Record]:
        """Yield what belongs together.

        Raises:
            SourceError: The file is too large to be gathered.
        """
        groups = self._gather()
        self._total = len(groups)
        for group in groups[self._done :]:
            self._done += 1
            yield _joined(group)
        self.is_complete = self._inner.is_complete

    def _gather(self) -> list[list[Record]]:
        groups: list[list[Record]] = []
        by_key: dict[str, list[Record]] = {}
        n_bytes = 0
        for record in self._inner.records():
            n_bytes += len(record.raw)
            if n_bytes > _MAX_BYTES:
                raise SourceError(
                    f"{self._file.path} has more than {_MAX_BYTES >> 20} MiB of records to gather; "
                    "export it in several files, each with whole conversations"
                )
            key = self._key(record.raw)
            if key is not None and key in by_key:
                by_key[key].append(record)
                continue
            groups.append([record])
            if key is not None:
                by_key[key] = groups[-1]
        return groups

    def _key(self, raw: bytes) -> str | None:
        try:
            record = pydantic_core.from_json(raw)
        except ValueError:
            return None
        value = self._path.find(record, record)
        return None if value is None or value == "" else str(value)

    def close(self) -> None:
        """Close the file."""
        self._inner.close()


def _joined(group: list[Record]) -> Record:
    if len(group) == 1:
        return group[0]
    return Record(b"[" + b",".join(record.raw for record in group) + b"]", group[0].position)
