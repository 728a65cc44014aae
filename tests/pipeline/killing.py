"""A process that is killed at one of its writes to a database."""

import os
import signal
from typing import Any

__all__ = ["die_at_write"]


def die_at_write(fatal_write: int | None) -> None:
    """Kill this process, as `kill -9` does, before its n-th commit of something written.

    Args:
        fatal_write: n, from 1; None lets it live.
    """
    from sqlalchemy import event
    from sqlalchemy.engine import Engine

    writes, dirty = 0, False

    def look(connection: Any, cursor: Any, statement: str, *rest: Any) -> None:
        nonlocal dirty
        dirty = dirty or statement.startswith(("INSERT", "UPDATE", "DELETE"))

    def count(connection: Any) -> None:
        nonlocal writes, dirty
        writes, dirty = writes + dirty, False
        if writes == fatal_write:
            os.kill(os.getpid(), signal.SIGKILL)

    event.listen(Engine, "before_cursor_execute", look)
    event.listen(Engine, "commit", count)
