"""What runs in the plugins' process: it loads them, and calls a hook for each word that comes.

What it says back is JSON, never a pickle: whatever a plugin has made of this process, the one that
started it reads plain values and Arrow tables.
"""

import dataclasses
import faulthandler
import json
import os
import signal
import sys
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from multiprocessing.reduction import recv_handle
from pathlib import Path
from typing import Any

import pyarrow as pa

from thumbwheel.config import PluginConfig
from thumbwheel.errors import ThumbwheelError
from thumbwheel.plugin import PluginManager
from thumbwheel.plugin.host.places import place_of_error
from thumbwheel.process.anonymous import map_table, write_table
from thumbwheel.process.spawn import make_expendable

__all__ = ["Task", "work"]


@dataclasses.dataclass(frozen=True, slots=True)
class Task:
    """What a worker is told when it starts.

    Attributes:
        plugins: The plugins to load, in their order.
        base_dir: What relative paths are relative to.
        seconds: How long one call, or one import, may take.
    """

    plugins: Sequence[PluginConfig]
    base_dir: Path
    seconds: float


class _AnnouncingManager(PluginManager):
    """Says whose turn it is before each call, so that a call that never returns has a name."""

    def __init__(self, task: Task, announce: Callable[[str, str | None], None]) -> None:
        for config in task.plugins:
            path = config.use.rpartition(":")[0]
            file = (task.base_dir / path).resolve() if path.endswith(".py") else None
            announce(config.use, str(file) if file else None)
            PluginManager([config], task.base_dir)
        super().__init__(task.plugins, task.base_dir)
        self.left_out: Sequence[str] = ()
        self._announce = announce

    def _calls(self, hook: str) -> Iterator[tuple[str, Callable[..., Any]]]:
        for name, call in super()._calls(hook):
            if name in self.left_out:
                continue
            module = sys.modules[type(self._instances[name]).__module__]
            self._announce(name, module.__file__)
            yield name, call


class _Line:
    """The pipe to the process that started this one, and what was announced on it last."""

    def __init__(self, pipe: Any, report: int, seconds: float) -> None:
        self._pipe = pipe
        self._report = report
        self._seconds = seconds
        self._file: str | None = None

    def announce(self, name: str, file: str | None) -> None:
        self._file = file
        self.say(at=name, file=file)
        # Needs no interpreter, so that it ends even a plugin that never lets go of it.
        faulthandler.dump_traceback_later(self._seconds, exit=True, file=self._report)

    def say(self, **words: object) -> None:
        self._pipe.send_bytes(json.dumps(words).encode())

    def attempt(self, action: Callable[[], Any]) -> Any:
        """Return the action's result, or None after saying why there is none."""
        try:
            return action()
        except ThumbwheelError as error:
            self.say(failed=f"{error!s:.2000}", where=place_of_error(error, self._file))
        except SystemExit as error:
            self.say(exited=repr(error.code), where=place_of_error(error, self._file))
        except BaseException as error:
            raised = f"{type(error).__name__}: {error!s:.1000}"
            self.say(raised=raised, where=place_of_error(error, self._file))
        finally:
            faulthandler.cancel_dump_traceback_later()
        return None


def work(pipe: Any, result: Any, report: Any, task: Task) -> None:
    """Load the plugins, then call the hooks that are asked for, until the pipe is closed.

    Args:
        pipe: Comes: (hook, plugins to leave out, size of each table), then a file with each. Goes:
            `at` (whose turn it is), then the `size` of the resulting table, or why there is none;
            at first `infos`, the loaded plugins.
        result: The file that takes the resulting table.
        report: The file that a dying process writes its last lines to.
        task: What to load.
    """
    result_fd, report_fd = result.detach(), report.detach()
    _settle(report_fd)
    line = _Line(pipe, report_fd, task.seconds)
    plugins = line.attempt(lambda: _AnnouncingManager(task, line.announce))
    if plugins is None:
        return
    line.say(infos=[dataclasses.asdict(info) for info in plugins.infos])
    while True:
        try:
            hook, plugins.left_out, sizes = pipe.recv()
        except EOFError:
            return
        tables = [_received(pipe, size) for size in sizes]
        answer = line.attempt(partial(getattr(plugins, hook), *tables))
        if answer is not None:
            line.say(size=write_table(result_fd, answer))


def _received(pipe: Any, size: int) -> pa.Table:
    file = recv_handle(pipe)
    try:
        return map_table(file, size)
    finally:
        os.close(file)


def _settle(report: int) -> None:
    """Make this process one that can be stopped, and that harms nobody when it ends."""
    # A group of its own, so that what a plugin starts is stopped with it.
    os.setsid()
    faulthandler.enable(file=report)
    # What a plugin prints must not end up in what a command writes.
    os.dup2(2, 1)
    make_expendable(partial(os.killpg, 0, signal.SIGKILL))
