"""Files that are written whole in tests, and what the file connector reads of them."""

import io
import json
import os
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from thumbwheel.errors import SourceError
from thumbwheel_connectors.files.connector import FileConnector

__all__ = [
    "LONG_AGO",
    "array_export",
    "csv_export",
    "failure",
    "parquet_export",
    "read",
    "write",
]

LONG_AGO = (1_000_000_000, 1_000_000_000)


def write(path: Path, content: bytes) -> Path:
    path.write_bytes(content)
    os.utime(path, LONG_AGO)
    return path


def read(path: Path, drain, **options):
    return [(r.raw, r.position) for r in drain(FileConnector(path, **options).open(None))[0]]


def failure(path: Path) -> str:
    log = FileConnector(path).open(None)
    with pytest.raises(SourceError) as caught:
        log.poll(10)
    log.close()
    assert "\n" not in str(caught.value)
    return str(caught.value)


def csv_export(numbers: range) -> bytes:
    return b"n,text\r\n" + b"".join(b'%d,"two\nlines, %d"\r\n' % (n, n) for n in numbers)


def array_export(numbers: range) -> bytes:
    return json.dumps([{"n": n, "text": 'a "b", [c\n'} for n in numbers], indent=2).encode()


def parquet_export(numbers: range) -> bytes:
    file = io.BytesIO()
    pq.write_table(pa.table({"n": numbers, "text": ["a"] * len(numbers)}), file, row_group_size=300)
    return file.getvalue()
