"""The plugins' process as the one that started it sees it: started, asked, watched, stopped."""

import contextlib
import json
import os
import signal
import time
from collections.abc import Mapping, Sequence
from multiprocessing.reduction import DupFd, send_handle
from typing import Any

import psutil
import pyarrow as pa

from thumbwheel.plugin.host.places import place_of_dump
from thumbwheel.plugin.host.worker import Task, work
from thumbwheel.process.anonymous import anonymous_file, read_bytes, read_table, write_table
from thumbwheel.process.spawn import spawn
from thumbwheel.types import PluginInfo

__all__ = ["PluginFailedError", "PluginProcess"]

# How long a process may take to come to its first plugin, and to end once it was told to.
_START_SECONDS = 120.0
_END_SECONDS = 2.0

# A process fills some hundred megabytes between two looks at it.
_LOOK_SECONDS = 0.02

_MAX_WORDS = 1 << 20
_IMPORT = "import"


class PluginFailedError(Exception):
    """A plugin failed; `plugin` is None when it cannot be told which."""

    def __init__(self, plugin: str | None, message: str) -> None:
        super().__init__(" ".join(message.split()))
        self.plugin = plugin


class PluginProcess:
    """A process with loaded plugins. It ends when this one does, however it does.

    Args:
        task: What it loads, and how long a call may take.
        memory_mb: How much memory it may hold, in MiB.

    Attributes:
        infos: The plugins it has loaded.

    Raises:
        PluginFailedError: A plugin cannot be loaded.
    """

    def __init__(self, task: Task, memory_mb: int) -> None:
        self._seconds = task.seconds
        self._memory_mb = memory_mb
        self._at: Mapping[str, Any] = {}
        self._result, self._report = anonymous_file(), anonymous_file()
        files = DupFd(self._result), DupFd(self._report)
        self._process, self._pipe = spawn(work, *files, task)
        self._pid = int(self._process.pid or 0)
        self._watched = psutil.Process(self._pid)
        try:
            infos = self._answer(_IMPORT)["infos"]
        except BaseException:
            self.close()
            raise
        self.infos = [PluginInfo(**info) for info in infos]

    def call(self, hook: str, *tables: pa.Table, left_out: Sequence[str] = ()) -> pa.Table:
        """Call a hook of every plugin that implements it, as `manager.PluginManager` does.

        Args:
            hook: Its name.
            tables: What the hook takes.
            left_out: Names of plugins that are not called.

        Raises:
            PluginFailedError: A plugin raised or returned what it must not; or it took too long or
                too much memory, or ended the process: then there is none any more.
        """
        self._at = {}
        with contextlib.suppress(ConnectionError):  # it has ended: the answer says how
            self._send(hook, left_out, tables)
        size = self._answer(hook)["size"]
        try:
            result = read_table(self._result, size)
            result.validate(full=True)
        except (pa.ArrowException, EOFError, OSError, ValueError) as error:
            raise self._failure(f"returned a broken table ({error}); build it anew") from error
        return result

    def is_alive(self) -> bool:
        """Tell whether the process is there."""
        return self._process.is_alive()

    def close(self) -> None:
        """End the process, and whatever a plugin started in it."""
        self._pipe.close()
        self._stop()
        for file in (self._result, self._report):
            os.close(file)

    def _send(self, hook: str, left_out: Sequence[str], tables: Sequence[pa.Table]) -> None:
        with contextlib.ExitStack() as files:
            sent = []
            for table in tables:
                file = anonymous_file()
                files.callback(os.close, file)
                sent.append((file, write_table(file, table)))
            self._pipe.send((hook, list(left_out), [size for _, size in sent]))
            for file, _ in sent:
                send_handle(self._pipe, file, self._pid)

    def _answer(self, hook: str) -> Any:
        """Wait for the last word on a call, while watching time and memory."""
        self._hook = hook
        deadline = time.monotonic() + _START_SECONDS
        while True:
            try:
                if not self._pipe.poll(_LOOK_SECONDS):
                    self._look(deadline)
                    continue
                words = json.loads(self._pipe.recv_bytes(_MAX_WORDS))
            except (EOFError, OSError, ValueError):
                raise self._ended() from None
            if "at" in words:
                self._at = words
                # The process keeps to its time by itself, unless it is beyond doing anything.
                deadline = time.monotonic() + self._seconds + _END_SECONDS
                continue
            where = words.get("where") and f"{words['where']}; mend it there"
            if "failed" in words:
                raise PluginFailedError(self._at.get("at"), words["failed"].rstrip(": ") + where)
            if "raised" in words:
                raise self._failure(f"raised {words['raised'].rstrip(': ')}{where}")
            if "exited" in words:
                advice = "raise an exception, or return an empty table, instead"
                raise self._failure(f"called sys.exit({words['exited']}){words['where']}; {advice}")
            return words

    def _look(self, deadline: float) -> None:
        try:
            held = self._watched.memory_info().rss
        except psutil.NoSuchProcess:
            return  # the pipe says so as well
        if held > self._memory_mb << 20:
            # On this signal it says where it is.
            os.kill(self._pid, signal.SIGABRT)
            self._process.join(_END_SECONDS)
            self._stop()
            raise self._failure(
                f"held more than {self._memory_mb:,} MB of memory{self._place()}; let it take one "
                "prompt at a time, or raise `plugin_memory_mb` in [execution]"
            )
        if time.monotonic() > deadline:
            self._stop()
            raise self._too_long()

    def _too_long(self) -> PluginFailedError:
        seconds = self._seconds if self._at else _START_SECONDS
        return self._failure(
            f"took longer than {seconds:g} s{self._place()}; make it faster, or raise "
            "`plugin_seconds` in [execution]"
        )

    def _ended(self) -> PluginFailedError:
        """Tell how the process came to its end."""
        self._process.join(_END_SECONDS)
        self._stop()
        code = self._process.exitcode or 0
        if self._hook == _IMPORT and not self._at:
            return PluginFailedError(
                None,
                f"the plugins' process ended (exit code {code}) before it came to a plugin; a "
                'script that starts it must do so under `if __name__ == "__main__":`',
            )
        if code > 0 and self._last_lines().startswith("Timeout"):
            return self._too_long()
        if code >= 0:
            how = f"ended its process with exit code {code}"
            return self._failure(f"{how}; let it return an empty table, or raise an exception")
        if -code == signal.SIGKILL:
            return self._failure("lost its process, which was killed, for want of memory perhaps")
        how = f"crashed ({signal.strsignal(-code)}){self._place()}"
        return self._failure(f"{how}; look at what it calls there")

    def _failure(self, what: str) -> PluginFailedError:
        name = self._at.get("at")
        if name is None:
            return PluginFailedError(None, f"the plugins' process, before any was called, {what}")
        if self._hook == _IMPORT:
            return PluginFailedError(name, f"the plugin {name!r}, while it was loaded, {what}")
        (origin,) = {info.origin for info in self.infos if info.name == name}
        return PluginFailedError(name, f"{name}.{self._hook} ({origin}) {what}")

    def _place(self) -> str:
        return place_of_dump(self._last_lines(), self._at.get("file"))

    def _last_lines(self) -> str:
        return read_bytes(self._report, os.fstat(self._report).st_size).decode(errors="replace")

    def _stop(self) -> None:
        # Between its start and its first lines it has no group yet.
        for stop in (os.killpg, os.kill):
            with contextlib.suppress(ProcessLookupError):
                stop(self._pid, signal.SIGKILL)
        self._process.join()
