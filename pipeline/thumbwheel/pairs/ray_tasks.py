"""Chunks of whole prompts as Ray tasks: the same pairs, made by many processes or machines.

A snapshot is sorted by the hash that names a prompt, so that its chunks are hash buckets. Each is
a task, and the results come back in the order of the chunks, as if one process had paired them.

Ray comes with the extra `thumbwheel[ray]`, and is imported when there is something to pair. It
runs on the machine's own cores, or on the cluster that the environment variable `RAY_ADDRESS`
names; there, every machine needs Thumbwheel and the plugins at the same paths.
"""

import logging
import os
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow as pa

from thumbwheel.config import Config, PluginConfig
from thumbwheel.errors import ConfigError, UnavailableError
from thumbwheel.pairs.chunks import ChunkPairs, Chunks, pair_chunk
from thumbwheel.plugin.host import IsolatedPlugins, Plugins
from thumbwheel.process.extras import require

__all__ = ["pair_with_ray"]

_CLUSTER = "RAY_ADDRESS"

# Ray reads these when it is imported. Without the last it listens on every interface, whatever
# address it is told.
_QUIET = {"RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0", "RAY_USAGE_STATS_ENABLED": "0"}
_LOOPBACK = {"RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0"}

_WAITING_PER_CPU = 2


def pair_with_ray(
    chunks: Chunks, plugins: Plugins, config: Config
) -> Iterator[tuple[float, ChunkPairs]]:
    """Yield (share done, what became of the chunk), as `pair_chunk` gives it, in order.

    Memory is bounded by two chunks per core. Every Ray worker has the plugins in a process of
    their own, with the limits of the configuration.

    Args:
        chunks: (share done, rated, comparisons) of whole prompts.
        plugins: Those of the configuration; which of them failed in a task is noted in `failed`.
        config: What the tasks load plugins from.

    Raises:
        ConfigError: Ray is not installed.
        PluginError: A screen failed, or every plugin that makes pairs.
        UnavailableError: Ray does not start, or lost a task for good.
    """
    limits = config.execution
    task = _Task(
        tuple(plugin.model_dump_json() for plugin in config.plugins),
        str(config.base_dir),
        limits.plugin_seconds,
        limits.plugin_memory_mb,
    )
    with _running() as ray:
        remote = ray.remote(_pair_chunk)
        most = _WAITING_PER_CPU * max(1, int(ray.cluster_resources().get("CPU", 1)))
        waiting: deque[tuple[float, object]] = deque()
        for done, rated, comparisons in chunks:
            waiting.append((done, remote.remote(rated, comparisons, task)))
            if len(waiting) >= most:
                yield _result(ray, waiting.popleft(), plugins)
        while waiting:
            yield _result(ray, waiting.popleft(), plugins)


class _Task(NamedTuple):
    """What a task loads the plugins from: JSON of each `config.PluginConfig`, and the limits."""

    plugins: tuple[str, ...]
    base_dir: str
    seconds: float
    memory_mb: int


class _Done(NamedTuple):
    """What a task gives back: its chunk, and the plugins that failed so far."""

    chunk: ChunkPairs
    failed: dict[str, str]


def _pair_chunk(rated: pa.Table, comparisons: pa.Table, task: _Task) -> _Done:
    plugins = _loaded(task)
    chunk = pair_chunk(rated, comparisons, plugins)
    return _Done(chunk, dict(plugins.failed))


@lru_cache(maxsize=1)
def _loaded(task: _Task) -> IsolatedPlugins:
    """Load the plugins: once for all tasks that a Ray worker does."""
    plugins = [PluginConfig.model_validate_json(plugin) for plugin in task.plugins]
    return IsolatedPlugins(
        plugins, Path(task.base_dir), seconds=task.seconds, memory_mb=task.memory_mb
    )


def _result(ray: Any, waiting: tuple[float, object], plugins: Plugins) -> tuple[float, ChunkPairs]:
    share_done, task = waiting
    try:
        done: _Done = ray.get(task)
    except ray.exceptions.RayTaskError as error:
        # Ray's own message is a traceback.
        raise error.cause from None
    except ray.exceptions.RayError as error:
        raise UnavailableError(
            f"Ray lost a task ({_line(error)}); run this again, or without Ray: "
            '`execution.runner = "local"`'
        ) from error
    for name, failure in done.failed.items():
        plugins.failed.setdefault(name, failure)
    return share_done, done.chunk


@contextmanager
def _running() -> Iterator[Any]:
    """Start Ray on this machine, or join the cluster, for as long as the block runs."""
    here = _CLUSTER not in os.environ
    for name, value in (_QUIET | (_LOOPBACK if here else {})).items():
        os.environ.setdefault(name, value)
    require("ray", by='`execution.runner = "ray"`', error=ConfigError)
    import ray

    options: dict[str, Any] = {"log_to_driver": False, "logging_level": logging.ERROR}
    if here:
        options |= {"include_dashboard": False, "_node_ip_address": "127.0.0.1"}
    try:
        ray.init(**options)
    except (ray.exceptions.RayError, OSError, RuntimeError, ValueError) as error:
        where = "on this machine" if here else f"at {_CLUSTER}={os.environ[_CLUSTER]}"
        raise UnavailableError(
            f"Ray does not answer {where} ({_line(error)}); start it, or pair without it: "
            '`execution.runner = "local"`'
        ) from error
    try:
        yield ray
    finally:
        ray.shutdown()


def _line(error: BaseException) -> str:
    return f"{' '.join(str(error).split()):.200}" or type(error).__name__
