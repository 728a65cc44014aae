"""Files made to fill the memory: small on disk, or with records beyond any measure."""

import gzip
import json
import os
import subprocess
import sys
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import zstandard

pytestmark = pytest.mark.slow  # each file is read by a process of its own

MEGABYTE = 1 << 20
SIZE = 200 * MEGABYTE

READ = """
import json, re, sys
import pyarrow.parquet
from thumbwheel.errors import SourceError
from thumbwheel_connectors.files.connector import FileConnector

def peak():
    # Unlike getrusage, which counts the process that started this one too.
    with open("/proc/self/status") as status:
        return int(re.search(r"VmHWM:\\s+(\\d+) kB", status.read())[1]) // 1024

before = peak()
log, raws, failure = FileConnector(sys.argv[1]).open(None), [], ""
try:
    while batch := log.poll(1000):
        raws += [record.raw[:20].decode() + "..." + record.raw[-60:].decode()
                 for record in batch.records]
except SourceError as error:
    failure = str(error)
log.close()
print(json.dumps({"raws": raws, "failure": failure, "grown": peak() - before}))
"""


def read(path: Path, may_grow: int = 64) -> tuple[list[str], str]:
    """Read a file in a process of its own: its records, shortened, and the error, if any.

    The process may take up to `may_grow` megabytes more than before.
    """
    command = [sys.executable, "-c", READ, str(path)]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=300)
    result = json.loads(done.stdout)
    assert result["grown"] < may_grow
    return result["raws"], result["failure"]


def packed(content: bytes, pack) -> bytes:
    """`content` with its zeros blown up to SIZE; members and frames are simply joined."""
    before, after = content.split(b"0", 1)
    zeros = pack(b"0" * MEGABYTE)
    return pack(before) + zeros * (SIZE // MEGABYTE) + pack(after)


@pytest.mark.parametrize("pack", [gzip.compress, zstandard.compress], ids=["gzip", "zstd"])
@pytest.mark.parametrize(
    ("name", "content", "note"),
    [
        ("a.jsonl", b'{"n": 1}\n{"n": "0"}\n{"n": 3}\n', f"<cut: the line has {SIZE + 10} bytes>"),
        (
            "a.json",
            b'[{"n": 1}, {"n": "0"}, {"n": 3}]',
            f"<cut: the element has {SIZE + 10} bytes>",
        ),
        ("a.csv", b'n\n{"n": 1}\n"0"\n{"n": 3}\n', "<cut: the row has more than 4194304 bytes>"),
    ],
)
def test_a_packed_bomb_is_one_dead_letter(tmp_path, pack, name, content, note):
    """One record of 200 MB is cut, those around it are read, and the memory stays small."""
    (tmp_path / name).write_bytes(packed(content, pack))
    (before, bomb, after), failure = read(tmp_path / name)
    assert (failure, bomb.endswith(note)) == ("", True)
    assert "1" in before
    assert "3" in after


def test_a_csv_header_of_200_megabytes_is_refused(tmp_path):
    """It is not even split into its columns."""
    (tmp_path / "a.csv").write_bytes(packed(b"n0\n1\n", gzip.compress))
    raws, failure = read(tmp_path / "a.csv")
    assert raws == []
    assert "it has more than 4194304 bytes" in failure


@pytest.mark.parametrize("n", [1, 200])
def test_a_parquet_column_of_huge_values_is_refused_unread(tmp_path, n):
    """The footer tells that they would be unpacked at once; nothing of the column is."""
    table = pa.table({"a": ["0" * (SIZE // n)] * n})
    pq.write_table(table, tmp_path / "a.parquet", use_dictionary=False, write_statistics=False)
    raws, failure = read(tmp_path / "a.parquet")
    assert raws == []
    assert "bytes in column a of row group 0, which may not fit the memory; write it" in failure


def test_a_parquet_row_that_is_too_large_is_a_dead_letter(tmp_path):
    """Large rows among small ones are handed on without their content."""
    values = ["1", "0" * (6 * MEGABYTE), '"' * (3 * MEGABYTE), "3"]
    pq.write_table(pa.table({"a": values}), tmp_path / "a.parquet")
    (before, large, quoted, after), failure = read(tmp_path / "a.parquet", may_grow=128)
    assert failure == ""
    assert large.startswith("<the row has 62914")
    assert quoted.endswith("<cut: the row has 6291464 bytes>")
    assert (before, after) == ('{"a":"1"}...{"a":"1"}', '{"a":"3"}...{"a":"3"}')


def test_a_large_row_group_is_not_held_in_memory(tmp_path):
    """100 MB of small rows in one row group are read a few at a time."""
    text = os.urandom(50 * MEGABYTE).hex()
    values = [text[start : start + 1024] for start in range(0, len(text), 1024)]
    pq.write_table(pa.table({"a": values}), tmp_path / "a.parquet", use_dictionary=False)
    raws, failure = read(tmp_path / "a.parquet")
    assert (len(raws), failure) == (len(values), "")
