"""A disk that can be full, for tests: a small tmpfs. Making one takes the rights of root."""

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

__all__ = ["SmallDisk", "small_disk"]


class SmallDisk:
    """A file system that can be filled and freed."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._filler = path / "filler"

    def fill(self, keep: int = 0) -> None:
        """Leave no more than `keep` bytes free."""
        with self._filler.open("ab", buffering=0) as filler, suppress(OSError):
            while (room := os.statvfs(self.path)).f_bavail * room.f_frsize > keep:
                filler.write(bytes(min(room.f_bavail * room.f_frsize - keep, 1 << 20)))

    def free(self) -> None:
        """Free what `fill` took."""
        self._filler.unlink(missing_ok=True)

    @contextmanager
    def read_only(self) -> Iterator[None]:
        """Refuse writing inside the block."""
        subprocess.run(["mount", "-o", "remount,ro", str(self.path)], check=True)
        try:
            yield
        finally:
            subprocess.run(["mount", "-o", "remount,rw", str(self.path)], check=True)


@contextmanager
def small_disk(path: Path, size: int) -> Iterator[SmallDisk]:
    """Mount `size` bytes at a new folder inside the block."""
    path.mkdir()
    options = ["-t", "tmpfs", "-o", f"size={size}"]
    subprocess.run(["mount", *options, "none", str(path)], check=True)
    try:
        yield SmallDisk(path)
    finally:
        subprocess.run(["umount", "--lazy", str(path)], check=True)
