"""Which reader a file needs."""

import codecs
from dataclasses import dataclass, replace

from thumbwheel.errors import SourceError
from thumbwheel.events.paths import Key
from thumbwheel_connectors.files.csv_table import CsvReader
from thumbwheel_connectors.files.gathered import GatheredReader
from thumbwheel_connectors.files.json_array import (
    JsonArrayReader,
    arrays_in,
    begins_array,
    begins_document,
)
from thumbwheel_connectors.files.jsonl import JsonlReader
from thumbwheel_connectors.files.marks import Mark
from thumbwheel_connectors.files.parquet import ParquetReader
from thumbwheel_connectors.files.readers import Reader
from thumbwheel_connectors.files.storage import File, Storage
from thumbwheel_connectors.files.text import Text, TextReader

__all__ = ["Reading", "open_reader"]

_PARQUET_MAGIC = b"PAR1"
_MAGIC_BYTES = 16
_WRAPPERS = frozenset(
    {"data", "results", "items", "records", "rows", "entries", "events", "hits", "documents"}
    | {"feedback_data", "feedback", "feedbacks", "annotations", "value", "values"}
)
_ELSE = {
    b"PK\x03\x04": "a zip archive, or a spreadsheet that is one; unpack it, or save it as CSV",
    b"BZh": "packed with bzip2; unpack it, or pack it with gzip or zstd",
    b"\xfd7zXZ\x00": "packed with xz; unpack it, or pack it with gzip or zstd",
    b"7z\xbc\xaf\x27\x1c": "a 7z archive; unpack it",
    b"SQLite format 3\x00": "an SQLite database; export the table as CSV or JSON",
}


@dataclass(frozen=True, slots=True)
class Reading:
    """How the files of a source are read.

    Attributes:
        max_bytes: A larger record becomes a dead letter, cut to this length.
        encoding: What text is written in, as Python calls it.
        records: The path to the array of records within a file that is one JSON object.
        gather: What records share that belong together, and are handed on as one.
    """

    max_bytes: int
    encoding: str = "utf-8"
    records: str | None = None
    gather: Key | None = None


def open_reader(storage: Storage, file: File, mark: Mark, reading: Reading) -> Reader:
    """Open a file with the reader of its format.

    Parquet, JSON arrays and the packing are recognised by content, CSV by the name's ending; all
    else is JSONL.

    Raises:
        FileNotFoundError: The file is gone.
        OSError, EOFError, zlib.error: It is damaged.
        SourceError: It may not be read, or is something else; the message says what mends it.
        UnavailableError: Its filesystem does not answer.
    """
    if reading.gather is not None:
        whole = open_reader(storage, file, Mark(), replace(reading, gather=None))
        return GatheredReader(whole, file, mark, reading.gather)
    stream = storage.open(file)
    try:
        magic = stream.read(_MAGIC_BYTES)
        stream.seek(0)
        if magic.startswith(_PARQUET_MAGIC) or file.ending == ".parquet":
            return ParquetReader(stream, file, mark, reading.max_bytes)
        for sign, what in _ELSE.items():
            if magic.startswith(sign):
                raise SourceError(f"{file.path} is {what}")
        text = Text(stream, reading.encoding)
        begin = text.peek()
        if mark.position == 0:
            _expect_text(begin, file, reading.encoding)
        kind: type[TextReader] = JsonlReader
        if file.ending in (".csv", ".tsv"):
            kind = CsvReader
        elif reading.records is not None or _is_one_value(begin, file):
            kind = JsonArrayReader
        reader = kind(text, file, mark, reading.max_bytes, lambda: storage.is_settled(file))
        if isinstance(reader, JsonArrayReader) and not begins_array(begin):
            reader.wrapped_at = _records_in(begin, file, reading.records)
        return reader
    except BaseException:
        stream.close()
        raise


def _is_one_value(begin: bytes, file: File) -> bool:
    """Tell whether a file is one JSON value that holds records, and not one record a line."""
    if begins_array(begin) or begins_document(begin):
        return True
    if file.ending != ".json" or b"\n" in begin.strip():
        return False
    # A conversation may be an object with a list too; these names are of what an API answers.
    return any(path.rpartition(".")[2].casefold() in _WRAPPERS for path in arrays_in(begin))


def _expect_text(begin: bytes, file: File, encoding: str) -> None:
    """Refuse a file as a whole whose beginning shows that its text is in another encoding."""
    if begin.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        raise SourceError(f'{file.path} is UTF-16 text; set `encoding = "utf-16"`')
    try:
        codecs.getincrementaldecoder("utf-8")().decode(begin)
    except ValueError:
        # Where some of it is UTF-8, single lines are damaged: each is a dead letter.
        if encoding == "utf-8" and begin.decode(errors="ignore").isascii() and b"\0" not in begin:
            raise SourceError(
                f'{file.path} is not UTF-8 text; say what it is: `encoding = "cp1252"` is what '
                "Excel writes in western Europe and America"
            ) from None


def _records_in(begin: bytes, file: File, records: str | None) -> int:
    """Return where the array of records is open in a file that is one JSON object."""
    arrays = arrays_in(begin)
    if records is not None and records in arrays:
        return arrays[records]
    listed = " or ".join(f'`records = "{path}"`' for path in list(arrays)[:5])
    if records is not None:
        others = f"; there is {listed}" if listed else ""
        raise SourceError(
            f"{file.path} has no list of objects under {records!r}, as `records` says{others}"
        )
    if not listed:
        raise SourceError(
            f"{file.path} is JSON spread over several lines; write one object a line, for example "
            "with: jq -c . FILE > NEW_FILE.jsonl"
        )
    raise SourceError(
        f"{file.path} is one JSON object that holds its records in a list: set {listed}"
    )
