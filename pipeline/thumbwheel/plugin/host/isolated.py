"""Plugins that can be stopped, behind the methods of `manager.PluginManager`."""

import threading
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Self

import pyarrow as pa

from thumbwheel.config import PluginConfig
from thumbwheel.errors import PluginError
from thumbwheel.plugin import PluginManager
from thumbwheel.plugin.host.process import PluginFailedError, PluginProcess
from thumbwheel.plugin.host.worker import Task
from thumbwheel.types import CycleReport, LanguageModel, Metric, PluginInfo

__all__ = ["IsolatedPlugins"]


class IsolatedPlugins:
    """The plugins of one configuration, called in a process of their own.

    A plugin that raises, takes too long, holds too much memory, ends its process or returns what it
    must not is stopped, and named in a `PluginError`: at once where leaving it out would let
    something through (`process_events`, `screen_pairs`), or it is the only one asked
    (`judge_answers`). A failing `make_pairs` is left out from then on and kept in `failed`, and the
    pairs of the others go on; only when none is left, that is an error.

    `evaluate_model` and `cycle_finished` get a loaded model and a report, and are called in this
    process: only for plugins that implement one of these their code is imported here, at the first
    such call, after the other process could import it.

    Use it as a context manager, or close it. Threads may share it; they take turns.

    Args:
        plugins: As the config lists them.
        base_dir: What relative paths are relative to.
        seconds: How long a plugin may take over one call, or over its import.
        memory_mb: How much memory the process may hold, in MiB; 150 are taken before any plugin is
            loaded.

    Attributes:
        infos: The loaded plugins, those that failed included.
        failed: The name of each plugin whose `make_pairs` failed, and what it did.

    Raises:
        PluginError: A plugin is unknown, misspelt, badly configured, has no hook, or cannot be
            loaded within the time and memory.
    """

    def __init__(
        self, plugins: Sequence[PluginConfig], base_dir: Path, *, seconds: float, memory_mb: int
    ) -> None:
        self._plugins = tuple(plugins)
        self._base_dir = base_dir
        self._seconds = seconds
        self._memory_mb = memory_mb
        self._turn = threading.Lock()
        self._process: PluginProcess | None = None
        self.failed: dict[str, str] = {}
        self.infos: list[PluginInfo] = self._running().infos

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def close(self) -> None:
        """End the process; a later call would start another."""
        if self._process is not None:
            self._process.close()
            self._process = None

    def has(self, hook: str) -> bool:
        """Tell whether any plugin implements the hook, and has not failed in it."""
        failed = self.failed if hook == "make_pairs" else ()
        return any(hook in info.hooks and info.name not in failed for info in self.infos)

    def process_events(self, events: pa.Table) -> pa.Table:
        """Chain the plugins' `process_events` over a batch.

        Raises:
            PluginError: A plugin failed.
        """
        return self._call("process_events", events)

    def process_dead_letters(self, letters: pa.Table) -> pa.Table:
        """Chain the plugins' `process_dead_letters` over a batch.

        Raises:
            PluginError: A plugin failed.
        """
        return self._call("process_dead_letters", letters)

    def make_pairs(self, rated: pa.Table, comparisons: pa.Table) -> pa.Table:
        """Join the proposals of the plugins that have not failed; see `PluginManager.make_pairs`.

        Raises:
            PluginError: Every plugin that makes pairs has failed.
        """
        while self.has("make_pairs") or not self.failed:
            try:
                return self._ask("make_pairs", rated, comparisons, left_out=tuple(self.failed))
            except PluginFailedError as failure:
                if failure.plugin is None:
                    raise PluginError(str(failure)) from failure
                self.failed[failure.plugin] = str(failure)
        raise PluginError("; ".join(self.failed.values()))

    def screen_pairs(self, pairs: pa.Table) -> pa.Table:
        """Let each plugin screen what the ones before it have left.

        Raises:
            PluginError: A plugin failed.
        """
        return self._call("screen_pairs", pairs)

    def judge_answers(self, compared: pa.Table, plugin: str) -> pa.Table:
        """Ask one plugin which answers are better; see `PluginManager.judge_answers`.

        Raises:
            PluginError: It failed, or there is none of this name that judges.
        """
        others = tuple(info.name for info in self.infos if info.name != plugin)
        return self._call("judge_answers", compared, left_out=others)

    @property
    def metrics(self) -> Sequence[Metric]:
        """The metrics that the plugins measure."""
        return self._here.metrics

    def evaluate_model(self, model: LanguageModel, pairs: pa.Table, answers: pa.Table) -> pa.Table:
        """Join the metrics that the plugins measure, in this process."""
        return self._here.evaluate_model(model, pairs, answers)

    def cycle_finished(self, report: CycleReport) -> list[str]:
        """Tell every observer, in this process; return what went wrong in them."""
        return self._here.cycle_finished(report)

    @cached_property
    def _here(self) -> PluginManager:
        wanted = [
            config
            for config, info in zip(self._plugins, self.infos, strict=True)
            if {"evaluate_model", "cycle_finished"} & set(info.hooks)
        ]
        return PluginManager(wanted, self._base_dir)

    def _call(self, hook: str, table: pa.Table, left_out: Sequence[str] = ()) -> pa.Table:
        try:
            return self._ask(hook, table, left_out=left_out)
        except PluginFailedError as failure:
            raise PluginError(str(failure)) from failure

    def _ask(self, hook: str, *tables: pa.Table, left_out: Sequence[str] = ()) -> pa.Table:
        with self._turn:
            try:
                return self._ask_once(hook, tables, left_out)
            except PluginFailedError as failure:
                if failure.plugin is not None:
                    raise
            # It ended before any plugin was called: killed while it waited for a call.
            return self._ask_once(hook, tables, left_out)

    def _ask_once(self, hook: str, tables: Sequence[pa.Table], left_out: Sequence[str]) -> pa.Table:
        try:
            return self._running().call(hook, *tables, left_out=left_out)
        except (PluginError, PluginFailedError):
            raise
        except BaseException:
            # Interrupted, it is in the middle of something.
            self.close()
            raise

    def _running(self) -> PluginProcess:
        """Return the process, started anew where it has ended."""
        if self._process is not None and not self._process.is_alive():
            self.close()
        if self._process is None:
            task = Task(self._plugins, self._base_dir, self._seconds)
            try:
                self._process = PluginProcess(task, self._memory_mb)
            except PluginFailedError as failure:
                raise PluginError(str(failure)) from failure
        return self._process
