"""The configuration file: TOML, checked whole before anything runs.

Unknown keys are errors. Relative paths are relative to the file. Secrets are never in it: an option
that needs one names an environment variable.

- `section`: what every section is.
- `feedback`: where it comes from, whose votes count, which pairs are made.
- `model`: how one is trained, measured, judged and registered.
- `whole`: all of it, read from its file.
"""

from thumbwheel.config.feedback import (
    AuditConfig,
    DatasetConfig,
    EndpointConfig,
    ExecutionConfig,
    PairsConfig,
    PluginConfig,
    ServeConfig,
    SourceConfig,
    StoreConfig,
    VotePolicy,
    VotesConfig,
)
from thumbwheel.config.model import (
    EvaluationConfig,
    GateConfig,
    Guard,
    JudgeConfig,
    MLflowConfig,
    ModelConfig,
    TrainingConfig,
)
from thumbwheel.config.section import ConfigPath
from thumbwheel.config.whole import Config, describe_errors, load_config

__all__ = [
    "AuditConfig",
    "Config",
    "ConfigPath",
    "DatasetConfig",
    "EndpointConfig",
    "EvaluationConfig",
    "ExecutionConfig",
    "GateConfig",
    "Guard",
    "JudgeConfig",
    "MLflowConfig",
    "ModelConfig",
    "PairsConfig",
    "PluginConfig",
    "ServeConfig",
    "SourceConfig",
    "StoreConfig",
    "TrainingConfig",
    "VotePolicy",
    "VotesConfig",
    "describe_errors",
    "load_config",
]
