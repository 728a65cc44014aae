"""What every format of the file connector keeps: resuming, following, lightness."""

import gzip
import json
import os
import subprocess
import sys
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import zstandard
from written_files import LONG_AGO, array_export, csv_export, parquet_export, write

from thumbwheel.errors import SourceError
from thumbwheel_connectors.files.connector import FileConnector

FORMATS = {
    "a.csv": csv_export,
    "a.csv.gz": lambda numbers: gzip.compress(csv_export(numbers)),
    "a.csv.zst": lambda numbers: zstandard.compress(csv_export(numbers)),
    "a.json": array_export,
    "a.json.gz": lambda numbers: gzip.compress(array_export(numbers)),
    "a.parquet": parquet_export,
}


@pytest.mark.parametrize("name", FORMATS)
def test_resumes_behind_any_batch(tmp_path, drain, name):
    """In every format, from the cursor of each batch exactly the records behind it are read."""
    path = tmp_path / name
    path.write_bytes(FORMATS[name](range(500)))
    everything, _ = drain(FileConnector(path).open(None))
    assert [int(json.loads(r.raw)["n"]) for r in everything] == list(range(500))
    log = FileConnector(path).open(None)
    shares = []
    seen: list[Any] = []
    while (batch := log.poll(37)) is not None:
        seen += batch.records
        shares.append(batch.progress)
        assert seen + drain(FileConnector(path).open(batch.cursor))[0] == everything
    assert shares == sorted(shares)
    assert shares[-1] == 1.0
    assert log.poll(37) is None
    log.close()


@pytest.mark.parametrize("name", FORMATS)
def test_a_touched_file_is_not_read_again_and_a_rewritten_one_refused(tmp_path, drain, name):
    """In every format, a new time alone changes nothing; other content is an error."""
    path = tmp_path / name
    path.write_bytes(FORMATS[name](range(50)))
    _, cursor = drain(FileConnector(path).open(None))
    os.utime(path, LONG_AGO)
    assert drain(FileConnector(path).open(cursor)) == ([], None)
    for other in (range(40), range(50, 100)):
        path.write_bytes(FORMATS[name](other))
        log = FileConnector(path).open(cursor)
        with pytest.raises(
            SourceError, match=r"was cut or rewritten after \d+ (line|row|element)s"
        ):
            log.poll(100)
        log.close()


@pytest.mark.slow
def test_no_format_needs_pandas(tmp_path):
    """Reading every format, nanoseconds included, does not import pandas or torch."""
    for name, export in FORMATS.items():
        write(tmp_path / name, export(range(5)))
    pq.write_table(pa.table({"t": pa.array([1], pa.timestamp("ns"))}), tmp_path / "t.parquet")
    code = (
        "import sys; from thumbwheel_connectors.files.connector import FileConnector\n"
        f"batch = FileConnector({str(tmp_path)!r}).open(None).poll(1000)\n"
        "print(len(batch.records), {'pandas', 'torch'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "31 set()"
