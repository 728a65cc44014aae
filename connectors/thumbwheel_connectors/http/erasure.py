"""The receiver's log with lines taken out: each segment is written anew, whole or not at all.

In the place of a removed line as many spaces stand. So every other line stays where it is, and
cursors and positions mean what they meant.
"""

import os
from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import IO

from thumbwheel.errors import SourceError
from thumbwheel.process.durable import replacing
from thumbwheel.process.locks import only_one
from thumbwheel_connectors.http.log import segment_numbers, segment_path

__all__ = ["erase_lines"]

_LINES = 1_000


def erase_lines(directory: Path, is_erased: Callable[[Sequence[bytes]], Sequence[bool]]) -> int:
    """Remove lines from a log that nobody writes; return how many.

    A line without its end was never acknowledged, and nobody reads it: it is cut off too.

    Args:
        directory: The log; it need not be there.
        is_erased: Flags, of some lines in their order and without their ends, those to remove.

    Raises:
        SourceError: The log cannot be read or written.
        BusyError: A receiver writes to it.
    """
    if not directory.is_dir():
        return 0
    lock = only_one(
        directory / "receiver.lock",
        f"another process receives into {directory}; stop it, then remove what is in its log",
    )
    try:
        with lock:
            return sum(
                _erase_in(segment_path(directory, number), is_erased)
                for number in segment_numbers(directory)
            )
    except OSError as error:
        raise SourceError(
            f"the log {directory} cannot be written anew: {error.strerror or error}; check the "
            "rights on it and the space that is left"
        ) from error


def _erase_in(segment: Path, is_erased: Callable[[Sequence[bytes]], Sequence[bool]]) -> int:
    n_erased = 0
    with replacing(segment) as fresh:
        with segment.open("rb") as lines, _private(fresh) as kept:
            while batch := list(islice(_whole(lines), _LINES)):
                flags = is_erased([line.rstrip(b"\n") for line in batch])
                for line, erased in zip(batch, flags, strict=True):
                    gone = erased and not line.isspace()
                    kept.write(b" " * (len(line) - 1) + b"\n" if gone else line)
                    n_erased += gone
            is_cut = kept.tell() < segment.stat().st_size
        if not (n_erased or is_cut):
            fresh.unlink()
    return n_erased


def _whole(lines: IO[bytes]) -> Iterator[bytes]:
    return (line for line in lines if line.endswith(b"\n"))


def _private(path: Path) -> IO[bytes]:
    return open(path, "xb", opener=lambda name, flags: os.open(name, flags, 0o600))
