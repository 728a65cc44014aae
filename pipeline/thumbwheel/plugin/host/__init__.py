"""Plugins in a process of their own, where they can be stopped.

- `isolated`: what callers use in place of `manager.PluginManager`.
- `process`: starts that process, watches its time and memory, and tells what became of it.
- `worker`: what runs in it.
- `places`: the line of a plugin at which something happened.
"""

from typing import TypeAlias

from thumbwheel.config import Config
from thumbwheel.plugin import PluginManager
from thumbwheel.plugin.host.isolated import IsolatedPlugins

__all__ = ["IsolatedPlugins", "Plugins", "isolated_plugins"]

Plugins: TypeAlias = PluginManager | IsolatedPlugins
"""Plugins to call, in this process or in one of their own."""


def isolated_plugins(config: Config) -> IsolatedPlugins:
    """Return the plugins of a configuration, within its limits of time and memory."""
    limits = config.execution
    return IsolatedPlugins(
        config.plugins,
        config.base_dir,
        seconds=limits.plugin_seconds,
        memory_mb=limits.plugin_memory_mb,
    )
