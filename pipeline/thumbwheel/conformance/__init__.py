"""The contracts of connectors and plugins as tests: inherit one, and pytest runs them.

- `connectors`: `ConnectorContract`.
- `plugins`: `PluginContract`, and the same checks for `thumbwheel plugins check`.
- `checks`: what a plugin that makes or screens pairs is held to.
- `made_up`: the feedback that it is tried on, and small tables for tests of one's own.

`thumbwheel plugins check` runs them too; pytest is needed only by the classes to inherit.
"""

from thumbwheel.conformance.connectors import MALFORMED, ConnectorContract, event
from thumbwheel.conformance.made_up import made_pairs, pair_table, rated_table
from thumbwheel.conformance.plugins import PluginContract

__all__ = [
    "MALFORMED",
    "ConnectorContract",
    "PluginContract",
    "event",
    "made_pairs",
    "pair_table",
    "rated_table",
]
