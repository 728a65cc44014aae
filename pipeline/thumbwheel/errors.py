"""Every error a user can meet, and the exit code the command line ends with.

```
ThumbwheelError                1   something went wrong
├── InputError                 2   what the user gave is wrong, and the message says how to mend it
│   ├── ConfigError                the configuration file
│   ├── PluginError                a plugin: unknown, misspelt, badly configured, or it raised
│   ├── SourceError                a file or topic that cannot be read as configured
│   ├── ModelError                 a model directory or adapter
│   └── DataError                  not enough, or unusable, data for the command
├── BusyError                  3   another process holds the store or runs a cycle
├── UnavailableError           4   MLflow or a broker does not answer
├── TrainingError              5   training diverged (a NaN) or could not go on
└── StaleEvidenceError         6   the champion moved while a candidate was compared with it
```

A message is one line: what was wrong, with the value, and what to do about it.
"""

from typing import ClassVar

__all__ = [
    "BusyError",
    "ConfigError",
    "DataError",
    "InputError",
    "ModelError",
    "PluginError",
    "SourceError",
    "StaleEvidenceError",
    "ThumbwheelError",
    "TrainingError",
    "UnavailableError",
]


class ThumbwheelError(Exception):
    """The root of every error raised on purpose; `exit_code` is what the command line returns."""

    exit_code: ClassVar[int] = 1


class InputError(ThumbwheelError):
    """Something the user gave is wrong."""

    exit_code = 2


class ConfigError(InputError):
    """The configuration file cannot be read, or a value in it is wrong."""


class PluginError(InputError):
    """A plugin cannot be found, loaded or configured, or broke its contract when called."""


class SourceError(InputError):
    """A source of events cannot be read as configured."""


class ModelError(InputError):
    """A model directory or an adapter cannot be loaded safely."""


class DataError(InputError):
    """The data is not enough, or not usable, for what was asked."""


class BusyError(ThumbwheelError):
    """Another process holds the store or runs a cycle."""

    exit_code = 3


class UnavailableError(ThumbwheelError):
    """A service outside (MLflow, a broker) does not answer."""

    exit_code = 4


class TrainingError(ThumbwheelError):
    """Training produced a NaN or could not go on."""

    exit_code = 5


class StaleEvidenceError(ThumbwheelError):
    """The champion moved after the candidate was compared with it."""

    exit_code = 6
