"""What reads the records of one file, whatever its format."""

from collections.abc import Iterator
from typing import Protocol

from thumbwheel.types import Record
from thumbwheel_connectors.files.marks import Mark

__all__ = ["Reader"]


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
