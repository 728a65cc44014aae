"""Who watches the stages at work."""

from typing import Protocol

__all__ = [
    "Observer",
]


class Observer(Protocol):
    """Who watches the stages at work: the command line's progress display."""

    def stage(self, name: str) -> None:
        """Begin a stage."""
        ...

    def progress(self, share: float, note: str = "") -> None:
        """Report the share of the stage done, in [0, 1]."""
        ...

    def done(self, summary: str) -> None:
        """End the stage with a line on what it did."""
        ...

    def warn(self, message: str) -> None:
        """Tell of something that went wrong without stopping the work."""
        ...
