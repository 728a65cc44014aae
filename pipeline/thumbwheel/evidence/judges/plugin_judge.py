"""A plugin as a judge."""

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from thumbwheel.evidence.judges.judge import Pairings
from thumbwheel.plugin.host import Plugins

__all__ = ["PluginJudge"]

_AT_ONCE = 1_000
"""Comparisons of one call, so that its limit of time is one of a thousand."""


class PluginJudge:
    """Asks the `judge_answers` of one plugin; implements `Judge`.

    Args:
        plugins: Those of the configuration.
        name: The plugin's name.
    """

    pairings: Pairings = "all"

    def __init__(self, plugins: Plugins, name: str) -> None:
        self._plugins = plugins
        self._name = name

    @property
    def name(self) -> str:
        """The plugin's name."""
        return self._name

    def prefer(self, compared: pa.Table) -> npt.NDArray[np.float64]:
        """Return what the plugin says, see `Judge.prefer`.

        Raises:
            PluginError: The plugin failed.
        """
        parts = [
            self._plugins.judge_answers(compared.slice(start, _AT_ONCE), self._name)
            for start in range(0, len(compared), _AT_ONCE)
        ]
        # As doubles, a null is NaN.
        said = [part["preference"].to_numpy() for part in parts]
        return np.concatenate([np.empty(0), *said])
