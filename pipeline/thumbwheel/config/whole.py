"""The configuration as a whole, read from its file."""

import hashlib
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self

from pydantic import Field, ValidationError, model_validator

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
    JudgeConfig,
    MLflowConfig,
    ModelConfig,
    TrainingConfig,
)
from thumbwheel.config.section import ConfigPath, Name, Section
from thumbwheel.errors import ConfigError
from thumbwheel.home import Layout

__all__ = ["Config", "describe_errors", "load_config"]


class Config(Section):
    """A whole configuration."""

    project: Name
    home: ConfigPath
    model: ModelConfig
    sources: list[SourceConfig] = Field(min_length=1)
    plugins: list[PluginConfig] = Field(min_length=1)
    votes: VotesConfig = VotesConfig()
    pairs: PairsConfig = PairsConfig()
    execution: ExecutionConfig = ExecutionConfig()
    audit: AuditConfig = AuditConfig()
    endpoint: EndpointConfig | None = None
    dataset: DatasetConfig = DatasetConfig()
    training: TrainingConfig = TrainingConfig()
    evaluation: EvaluationConfig = EvaluationConfig()
    judges: list[JudgeConfig] = Field([JudgeConfig()], min_length=1)
    gate: GateConfig = GateConfig()
    mlflow: MLflowConfig = MLflowConfig()
    store: StoreConfig = StoreConfig()
    serve: ServeConfig = ServeConfig()
    base_dir: Path = Field(exclude=True, default=Path())

    @model_validator(mode="before")
    @classmethod
    def _execution_apart(cls, values: Any) -> Any:
        """Take the keys of `execution` from `pairs`, where they once were."""
        if not isinstance(values, dict) or not isinstance(values.get("pairs"), dict):
            return values
        pairs = dict(values["pairs"])
        moved = {name: pairs.pop(name) for name in ExecutionConfig.model_fields if name in pairs}
        if not moved:
            return values
        return {**values, "pairs": pairs, "execution": {**moved, **values.get("execution", {})}}

    @model_validator(mode="after")
    def _unique_sources(self) -> Self:
        names = [source.name for source in self.sources]
        for name in names:
            if names.count(name) > 1:
                raise ValueError(f"two sources are named {name!r}; the name is a source's identity")
        return self

    @property
    def layout(self) -> Layout:
        """What lies where under `home`."""
        return Layout(self.home)

    @property
    def tracking_uri(self) -> str:
        """The MLflow tracking URI in force."""
        return self.mlflow.tracking_uri or f"sqlite:///{self.layout.mlflow_database}"

    @property
    def vote_policy(self) -> VotePolicy:
        """Which votes count."""
        origins = {source.name: source.origin for source in self.sources}
        return VotePolicy(votes=self.votes, origins=origins)

    def digest(self) -> str:
        """Return a hash of what shapes a candidate and its verdict, not where things are."""
        shaping = self.model_dump_json(
            include={
                "plugins",
                "votes",
                "pairs",
                "dataset",
                "training",
                "evaluation",
                "judges",
                "gate",
            },
        )
        return hashlib.blake2b(shaping.encode(), digest_size=16).hexdigest()


def load_config(path: Path) -> Config:
    """Read and check a configuration file.

    Raises:
        ConfigError: The file is missing, not TOML, or has a wrong key or value.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise ConfigError(
            f"cannot read the configuration {path}: {error.strerror}; "
            "`thumbwheel init` writes a new one"
        ) from error
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path} is not UTF-8 text: {error}") from error
    try:
        values: Mapping[str, Any] = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"{path} is not valid TOML: {error}") from error
    base_dir = path.resolve().parent
    try:
        return Config.model_validate(
            {**values, "base_dir": base_dir}, context={"base_dir": base_dir}
        )
    except ValidationError as error:
        raise ConfigError(f"{path}: {describe_errors(error)}") from error


def describe_errors(error: ValidationError) -> str:
    """Return pydantic's findings as one line: where, what, and the value."""
    findings = []
    for item in error.errors(include_url=False):
        where = ".".join(str(part) for part in item["loc"]) or "the file"
        if item["type"] in ("extra_forbidden", "unexpected_keyword_argument"):
            findings.append(f"unknown key `{where}`")
        elif item["type"] in ("missing", "missing_argument"):
            findings.append(f"`{where}` is required")
        else:
            message = item["msg"].removeprefix("Value error, ")
            findings.append(
                f"`{where}`: {message[:1].lower()}{message[1:]}, got {item['input']!r:.80}"
            )
    return "; ".join(findings)
