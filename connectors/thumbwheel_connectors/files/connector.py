"""Events from files: exports, a folder they are put into, or files that programs append to."""

import codecs
import re
from collections.abc import Callable
from typing import Annotated

from pydantic import AfterValidator, Discriminator, Field, Tag
from pydantic.dataclasses import dataclass

from thumbwheel.config import ConfigPath
from thumbwheel.events.paths import Key
from thumbwheel.types import Connector, EventLog
from thumbwheel_connectors.files.formats import Reading
from thumbwheel_connectors.files.log import FileLog
from thumbwheel_connectors.files.marks import Marks
from thumbwheel_connectors.files.storage import Storage

__all__ = ["FileConnector"]


def _without_secrets(url: str) -> str:
    user = url.partition("://")[2].partition("/")[0].rpartition("@")[0]
    if ":" in user:
        raise ValueError(
            "a URL may not hold a password; give it in the environment, as the filesystem's "
            "package reads it or as FSSPEC_<SCHEME>_PASSWORD"
        )
    return url


def _known_encoding(name: str) -> str:
    try:
        known = codecs.lookup(name).name
        "".encode(known)
    except LookupError:
        raise ValueError(f"there is no text encoding {name!r}; cp1252 is one") from None
    return known


def _kind_of(location: object) -> str:
    is_url = isinstance(location, str) and re.match(r"[A-Za-z][A-Za-z0-9+.-]*(://|::)", location)
    return "url" if is_url else "path"


Location = Annotated[
    Annotated[str, AfterValidator(_without_secrets), Tag("url")]
    | Annotated[ConfigPath, Tag("path")],
    Discriminator(_kind_of),
]


@dataclass(frozen=True, config={"extra": "forbid"})
class FileConnector:
    """Read the rows of JSONL, CSV, Parquet and JSON array files, plain or packed.

    Files may grow and new ones may appear; what was read before may not change.

    Args:
        path: A file, a directory, a glob such as `exports/*.jsonl.gz` (`**` reaches into folders),
            or a URL of these such as `s3://bucket/exports/`.
        max_line_bytes: A larger record becomes a dead letter, cut to this length.
        encoding: What text is written in, such as `cp1252` or `utf-16`.
        records: Where the list of records lies in files that are one JSON object, such as `data`
            or `data.items`.
    """

    path: Location
    max_line_bytes: Annotated[int, Field(ge=1024)] = 4 * 1024 * 1024
    encoding: Annotated[str, AfterValidator(_known_encoding)] = "utf-8"
    records: str | None = None

    def open(self, cursor: str | None) -> EventLog:
        """Find the files and go on behind `cursor`.

        Raises:
            SourceError: No file is there, or the cursor was written by another connector.
            UnavailableError: The filesystem does not answer.
        """
        return self._open(cursor, None)

    def gather(self, key: Key) -> Connector:
        """Return this connector with the records of a file that share `key` as one record."""
        return _Gathering(lambda cursor: self._open(cursor, key))

    def _open(self, cursor: str | None, gather: Key | None) -> EventLog:
        storage = Storage(self.path)
        storage.expect_files()
        reading = Reading(self.max_line_bytes, self.encoding, self.records, gather)
        return FileLog(storage, Marks(cursor), reading)


class _Gathering:
    def __init__(self, opened: Callable[[str | None], EventLog]) -> None:
        self._opened = opened

    def open(self, cursor: str | None) -> EventLog:
        return self._opened(cursor)
