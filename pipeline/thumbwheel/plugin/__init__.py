"""Plugins found, checked, ordered and called; connectors and mappings found.

- `loading`: from a name in the configuration to an instance with its options.
- `mappings`: the mapping of a source.
- `plugins`: the plugins of a configuration, and their hooks.
- `host`: the same in a process of their own.
"""

from thumbwheel.plugin.loading import (
    CONNECTORS_GROUP,
    MAPPINGS_GROUP,
    PLUGINS_GROUP,
    OptionInfo,
    installed,
    load_connector,
    needed_extra,
    option_infos,
)
from thumbwheel.plugin.mappings import EVENTS, load_mapping, load_rules
from thumbwheel.plugin.plugins import HOOKS, PluginManager

__all__ = [
    "CONNECTORS_GROUP",
    "EVENTS",
    "HOOKS",
    "MAPPINGS_GROUP",
    "PLUGINS_GROUP",
    "OptionInfo",
    "PluginManager",
    "installed",
    "load_connector",
    "load_mapping",
    "load_rules",
    "needed_extra",
    "option_infos",
]
