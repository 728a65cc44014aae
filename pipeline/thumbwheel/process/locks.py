"""What only one process may do at a time."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from thumbwheel.errors import BusyError

__all__ = ["only_one"]


@contextmanager
def only_one(path: Path, otherwise: str) -> Iterator[None]:
    """Hold a lock file inside the block.

    The system gives it back when the process ends, however it ends.

    Raises:
        BusyError: Another process holds it; `otherwise` is the message.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    lock = FileLock(path)
    try:
        lock.acquire(blocking=False)
    except Timeout as error:
        raise BusyError(otherwise) from error
    try:
        yield
    finally:
        lock.release()
