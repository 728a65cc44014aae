"""Every error a user can meet, and the exit code the command line ends with.

```
ThumbwheelError                1   something went wrong
├── InputError                 2   what the user gave is wrong, and the message says how to mend it
│   ├── ConfigError                the configuration file
│   ├── PluginError                a plugin: unknown, misspelt, badly configured, or it raised
│   ├── SourceError                a file or topic that cannot be read as configured
│   ├── ModelError                 a model directory or adapter
│   └── DataError                  not enough, or unusable, data for the command
│       └── DamagedStoreError      the store's file is damaged and has to be built anew
├── BusyError                  3   another process holds the store or runs a cycle
├── UnavailableError           4   MLflow, a broker or the store's owner does not answer
│   └── DiskFullError              there is no space left
├── TrainingError              5   training diverged (a NaN) or could not go on
├── StaleEvidenceError         6   the champion moved while a candidate was compared with it
└── LimitError                 7   what was measured is beyond a limit of the configuration
```

A message is one line: what was wrong, with the value, and what to do about it.
"""

from typing import ClassVar

__all__ = [
    "BusyError",
    "ConfigError",
    "DamagedStoreError",
    "DataError",
    "DiskFullError",
    "InputError",
    "LimitError",
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


class DamagedStoreError(DataError):
    """The store's file is cut, or bytes in it were changed; `thumbwheel rebuild` mends it."""


class BusyError(ThumbwheelError):
    """Another process holds the store or runs a cycle."""

    exit_code = 3


class UnavailableError(ThumbwheelError):
    """A service outside (MLflow, a broker, the store's owner) does not answer."""

    exit_code = 4


class DiskFullError(UnavailableError):
    """There is no space left; what was not committed will be read again."""


class TrainingError(ThumbwheelError):
    """Training produced a NaN or could not go on."""

    exit_code = 5


class StaleEvidenceError(ThumbwheelError):
    """The champion moved after the candidate was compared with it."""

    exit_code = 6


class LimitError(ThumbwheelError):
    """What was measured is beyond a limit that the configuration sets."""

    exit_code = 7
