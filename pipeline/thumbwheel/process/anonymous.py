"""Files without a name, through which processes hand each other megabytes.

Through a pipe they would go in many small pieces, and for each the sending thread would have to win
the interpreter back from the others; in a file that both processes have open they go in one.
"""

import mmap
import os
import tempfile

import pyarrow as pa

__all__ = [
    "anonymous_file",
    "map_table",
    "read_bytes",
    "read_table",
    "write_bytes",
    "write_table",
]


def anonymous_file() -> int:
    """Return a descriptor of a new file, in memory where the system has such.

    It is gone with the last process that has it open.
    """
    if hasattr(os, "memfd_create"):
        return os.memfd_create("thumbwheel")
    with tempfile.TemporaryFile() as file:
        return os.dup(file.fileno())


def write_bytes(file: int, content: bytes | pa.Buffer) -> int:
    """Make `content` all that the file holds; return its size in bytes."""
    view = memoryview(content)
    os.ftruncate(file, len(view))
    written = 0
    while written < len(view):
        written += os.pwrite(file, view[written:], written)
    return written


def read_bytes(file: int, size: int) -> bytes:
    """Return the first `size` bytes of the file.

    Raises:
        EOFError: It holds fewer.
    """
    pieces = []
    read = 0
    while read < size:
        piece = os.pread(file, size - read, read)
        if not piece:
            raise EOFError(f"{read} bytes where {size} were to be")
        pieces.append(piece)
        read += len(piece)
    return pieces[0] if len(pieces) == 1 else b"".join(pieces)


def write_table(file: int, table: pa.Table) -> int:
    """Make `table`, as an Arrow IPC stream, all that the file holds; return its size in bytes."""
    os.lseek(file, 0, os.SEEK_SET)
    with open(file, "wb", closefd=False) as content:
        with pa.ipc.new_stream(content, table.schema) as writer:
            writer.write_table(table)
        size = content.tell()
    os.ftruncate(file, size)
    return size


def read_table(file: int, size: int) -> pa.Table:
    """Return the table that `write_table` wrote, in memory of its own.

    Raises:
        pyarrow.ArrowInvalid, EOFError, OSError: The bytes are no such stream.
    """
    return pa.ipc.open_stream(read_bytes(file, size)).read_all()


def map_table(file: int, size: int) -> pa.Table:
    """Return the table that `write_table` wrote, without copying it.

    The table keeps the content in memory, though not the descriptor; nobody may write to the file
    any more.

    Raises:
        pyarrow.ArrowInvalid, OSError, ValueError: The bytes are no such stream.
    """
    content = mmap.mmap(file, size, prot=mmap.PROT_READ)
    return pa.ipc.open_stream(pa.py_buffer(content)).read_all()
