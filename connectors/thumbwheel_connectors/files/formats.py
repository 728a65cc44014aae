"""Which reader a file needs."""

import codecs
from collections.abc import Iterator
from typing import Protocol

from thumbwheel.errors import SourceError
from thumbwheel.types import Record
from thumbwheel_connectors.files.csv_table import CsvReader
from thumbwheel_connectors.files.json_array import JsonArrayReader, begins_array
from thumbwheel_connectors.files.jsonl import JsonlReader
from thumbwheel_connectors.files.marks import Mark
from thumbwheel_connectors.files.parquet import ParquetReader
from thumbwheel_connectors.files.storage import File, Storage
from thumbwheel_connectors.files.text import Text, TextReader

__all__ = ["Reader", "open_reader"]

_PARQUET_MAGIC = b"PAR1"


class Reader(Protocol):
    """Reads the records of one file; see `TextReader`."""

    is_complete: bool

    @property
    def unit(self) -> str:
        """What its positions count."""
        ...

    @property
    def mark(self) -> Mark:
        """The mark behind the record that was yielded last."""
        ...

    @property
    def share(self) -> float:
        """The share of the file read, in [0, 1]."""
        ...

    def records(self) -> Iterator[Record]:
        """Yield the records that are there now."""
        ...

    def close(self) -> None:
        """Close the file."""
        ...


def open_reader(storage: Storage, file: File, mark: Mark, max_bytes: int) -> Reader:
    """Open a file with the reader of its format.

    Parquet, JSON arrays and the packing are recognised by content, CSV by the name's ending; all
    else is JSONL.

    Raises:
        FileNotFoundError: The file is gone.
        OSError, EOFError, zlib.error: It is damaged.
        SourceError: It may not be read, or is UTF-16.
        UnavailableError: Its filesystem does not answer.
    """
    stream = storage.open(file)
    try:
        magic = stream.read(len(_PARQUET_MAGIC))
        stream.seek(0)
        if magic == _PARQUET_MAGIC or file.ending == ".parquet":
            return ParquetReader(stream, file, mark, max_bytes)
        text = Text(stream)
        begin = text.peek()
        if begin.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
            raise SourceError(
                f"{file.path} is UTF-16 text; convert it, for example with: "
                "iconv -f UTF-16 -t UTF-8 FILE > NEW_FILE"
            )
        kind: type[TextReader] = JsonlReader
        if file.ending in (".csv", ".tsv"):
            kind = CsvReader
        elif begins_array(begin):
            kind = JsonArrayReader
        return kind(text, file, mark, max_bytes, lambda: storage.is_settled(file))
    except BaseException:
        stream.close()
        raise
