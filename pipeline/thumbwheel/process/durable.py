"""Files that appear whole or not at all, and are still there after a crash of the machine."""

import errno
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from thumbwheel.errors import DiskFullError

__all__ = ["replacing", "sync", "write_bytes", "write_text"]


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yield a hidden path beside `path`: what the block leaves there takes the place of `path`.

    That may be a file or a directory. When the block leaves nothing or raises, or the process is
    killed, `path` is as it was; whatever was left by a process that was killed is removed first.

    Raises:
        DiskFullError: There is no space left; `path` is as it was.
        OSError: It could not be written.
    """
    fresh = path.with_name(f".{path.name}.fresh")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        _remove(fresh)
        yield fresh
        if not fresh.exists():
            return
        for written in (*fresh.rglob("*"), fresh):
            sync(written)
        if path.is_dir():
            shutil.rmtree(path)
        fresh.replace(path)
        sync(path.parent)
    except BaseException as error:
        _remove(fresh)
        if isinstance(error, OSError) and error.errno == errno.ENOSPC:
            raise DiskFullError(f"there is no space left for {path}") from error
        raise


def write_bytes(path: Path, content: bytes, *, private: bool = False) -> None:
    """Put a file in the place of `path`; `private` is readable by its owner alone.

    Raises:
        DiskFullError: There is no space left; `path` is as it was.
        OSError: It could not be written.
    """
    mode = 0o600 if private else 0o666
    with (
        replacing(path) as fresh,
        open(fresh, "xb", opener=lambda name, flags: os.open(name, flags, mode)) as file,
    ):
        file.write(content)


def write_text(path: Path, text: str) -> None:
    """Put a UTF-8 text in the place of `path`, see `write_bytes`."""
    write_bytes(path, text.encode())


def sync(path: Path) -> None:
    """Bring a file's content, or the names in a directory, to disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
