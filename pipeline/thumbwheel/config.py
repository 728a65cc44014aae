"""The configuration file: TOML, checked whole before anything runs.

Unknown keys are errors. Relative paths are relative to the file. Secrets are never in it: an option
that needs one names an environment variable.
"""

import hashlib
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    ValidationError,
    ValidationInfo,
    model_validator,
)

from thumbwheel.errors import ConfigError
from thumbwheel.home import Layout

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


def _resolve(path: Path, info: ValidationInfo) -> Path:
    base: Path = (info.context or {}).get("base_dir", Path())
    return (base / path.expanduser()).resolve()


ConfigPath = Annotated[Path, AfterValidator(_resolve)]
"""A path option, relative to the configuration file. Connectors and plugins use it too."""

Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]*$", max_length=100)]

Origin = Literal["users", "annotators", "ai"]
"""Whose judgements a source brings: users', annotators', or those of a model that wrote pairs."""


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class SourceConfig(_Section):
    """One source of events: a connector by entry-point name, its options, and the mapping.

    The mapping is a name, or a table of options whose `use` is the name (by default `keys`).
    Without one, records are in Thumbwheel's own event format (see docs/events.md). Up to
    `batch_size` records are committed together. `origin` says whose judgements these are.
    """

    name: Name
    connector: str
    options: dict[str, Any] = {}
    mapping: str | dict[str, Any] | None = None
    batch_size: Annotated[int, Field(ge=1)] = 10_000
    origin: Origin = "users"


class PluginConfig(_Section):
    """A plugin by entry-point name, or as `path/to/file.py:Class`, and its options."""

    use: str
    options: dict[str, Any] = {}


class VotesConfig(_Section):
    """How much each vote counts.

    Attributes:
        half_life_days: A vote that is so many days older than the newest counts half; None never
            fades. A vote without a time counts as the newest.
        max_rater_share: A rater's budget: at most this share of all votes, or half as much again
            as an equal share where there are few raters. Votes beyond it do not count; a rater
            with five times as many is left out.
        quarantine_constant: Leave out raters who always vote the same, when chance cannot explain
            it.
        burst_votes: Leave out raters who cast so many votes at different moments within
            `burst_seconds`; None leaves nobody out.
        burst_seconds: See `burst_votes`.
    """

    half_life_days: Annotated[float, Field(gt=0)] | None = None
    max_rater_share: Annotated[float, Field(gt=0, le=1)] = 0.01
    quarantine_constant: bool = True
    burst_votes: Annotated[int, Field(ge=2)] | None = 20
    burst_seconds: Annotated[float, Field(gt=0)] = 60.0


class VotePolicy(_Section):
    """All that decides which votes count: the limits, and the origin of each source.

    A source that is not in `origins` is of users.
    """

    votes: VotesConfig = VotesConfig()
    origins: dict[str, Origin] = {}


class PairsConfig(_Section):
    """Which of the screened pairs are drawn.

    Attributes:
        max_per_prompt: Pairs of one prompt.
        max_per_cluster: Pairs of near-duplicate prompts together.
        max_per_rater: Pairs that rest on one rater; a pair counts in parts to the raters who speak
            for it. None sets no limit.
        max_rater_share: The same as a share of all pairs, or half as much again as an equal share
            where there are few raters.
        max_ai_share: Share of pairs of which a model wrote a side.
        near_duplicate: Prompts of at least this Jaccard similarity are one cluster: they lie on
            the same side of the split. 1 clusters only what differs in case and punctuation.
        across_near_duplicates: Pair answers to near-duplicate prompts as if it were one prompt.
        balance: Style features (see `style.FEATURES`) whose mean difference between chosen and
            rejected is brought to zero.
    """

    max_per_prompt: Annotated[int, Field(ge=1)] = 3
    max_per_cluster: Annotated[int, Field(ge=1)] = 3
    max_per_rater: Annotated[float, Field(gt=0)] | None = None
    max_rater_share: Annotated[float, Field(gt=0, le=1)] = 0.01
    max_ai_share: Annotated[float, Field(ge=0, le=1)] = 0.3
    near_duplicate: Annotated[float, Field(gt=0, le=1)] = 0.8
    across_near_duplicates: bool = False
    balance: list[str] = ["length", "lists", "bold", "headings", "code", "emoji"]

    @property
    def caps_raters(self) -> bool:
        """Whether anything limits how many pairs rest on one rater."""
        return self.max_per_rater is not None or self.max_rater_share < 1


class ExecutionConfig(_Section):
    """Where plugins run, and what they may take; nothing here changes what comes out.

    Attributes:
        runner: Pair in this process, or in tasks of Ray (the extra `thumbwheel[ray]`).
        plugin_seconds: A plugin that takes longer over one call is stopped.
        plugin_memory_mb: A plugin whose process holds more is stopped.
    """

    runner: Literal["local", "ray"] = "local"
    plugin_seconds: Annotated[float, Field(gt=0, allow_inf_nan=False)] = 600.0
    plugin_memory_mb: Annotated[int, Field(ge=256)] = 4096


class AuditConfig(_Section):
    """What `thumbwheel audit` holds against the pairs.

    Attributes:
        intended: Style features that are meant to differ: they are shown, but left out of the
            classifier of style.
        max_auc: Highest cross-validated AUC of that classifier.
        max_rater_share: Highest share of one rater in the pairs.
        max_near_duplicates: Highest share of prompts that have a near-duplicate.
    """

    intended: list[str] = []
    max_auc: Annotated[float, Field(ge=0.5, le=1)] | None = None
    max_rater_share: Annotated[float, Field(gt=0, le=1)] | None = None
    max_near_duplicates: Annotated[float, Field(ge=0, le=1)] | None = None


class EndpointConfig(_Section):
    """An OpenAI-compatible endpoint that writes answers.

    The key is taken from the environment variable `api_key_env`. Prices are for the estimate.
    """

    url: Annotated[str, Field(pattern=r"^https?://\S+$")]
    model: str
    api_key_env: str | None = None
    timeout_seconds: Annotated[float, Field(gt=0)] = 60.0
    max_concurrency: Annotated[int, Field(ge=1)] = 4
    usd_per_million_input_tokens: Annotated[float, Field(ge=0)] = 0.0
    usd_per_million_output_tokens: Annotated[float, Field(ge=0)] = 0.0


class DatasetConfig(_Section):
    """What becomes of the pairs."""

    held_out: Annotated[float, Field(gt=0, lt=1)] = 0.2
    max_train_pairs: Annotated[int, Field(ge=1)] | None = None
    max_eval_pairs: Annotated[int, Field(ge=1)] | None = None


LossType = Literal[
    "sigmoid",
    "sigmoid_norm",
    "hinge",
    "ipo",
    "exo_pair",
    "nca_pair",
    "robust",
    "bco_pair",
    "sppo_hard",
    "aot",
    "aot_unpaired",
    "apo_zero",
    "apo_down",
    "discopop",
    "sft",
]
"""The losses of TRL's DPOTrainer."""


class TrainingConfig(_Section):
    """LoRA DPO, in TRL's and peft's words."""

    lora_r: Annotated[int, Field(ge=1)] = 16
    lora_alpha: Annotated[int, Field(ge=1)] = 32
    target_modules: list[str] | str = ["q_proj", "v_proj"]
    beta: Annotated[float, Field(gt=0)] = 0.1
    loss_type: list[LossType] = ["sigmoid", "sft"]
    loss_weights: list[float] = [1.0, 0.2]
    learning_rate: Annotated[float, Field(gt=0)] = 5e-5
    num_train_epochs: Annotated[float, Field(gt=0)] = 1.0
    max_steps: int = -1
    per_device_train_batch_size: Annotated[int, Field(ge=1)] = 2
    gradient_accumulation_steps: Annotated[int, Field(ge=1)] = 8
    max_length: Annotated[int, Field(ge=8)] = 1024
    gradient_checkpointing: bool = False
    save_steps: Annotated[int, Field(ge=1)] = 20
    seed: int = 0

    @model_validator(mode="after")
    def _weights(self) -> Self:
        if len(self.loss_type) != len(self.loss_weights):
            raise ValueError("`loss_weights` needs one number for each entry of `loss_type`")
        return self


class EvaluationConfig(_Section):
    """How the models are measured on held-out prompts."""

    batch_size: Annotated[int, Field(ge=1)] = 8
    max_generations: Annotated[int, Field(ge=1)] = 200
    max_new_tokens: Annotated[int, Field(ge=1)] = 256
    temperature: Annotated[float, Field(gt=0)] = 1.0
    top_p: Annotated[float, Field(gt=0, le=1)] = 1.0
    confidence: Annotated[float, Field(gt=0.5, lt=1)] = 0.95
    seed: int = 0


def _name_of_today(metric: str) -> str:
    return "margin_gain" if metric == "win_rate" else metric


MetricName = Annotated[str, AfterValidator(_name_of_today)]
"""A metric of the report; what is `margin_gain` now was `win_rate` in earlier configurations."""


class Guard(_Section):
    """A metric that may not get worse by more than a margin.

    The margin is absolute, or a share of the champion's value when `relative`.
    """

    metric: MetricName
    max_drop: Annotated[float, Field(ge=0)] | None = None
    max_rise: Annotated[float, Field(ge=0)] | None = None
    relative: bool = False

    @model_validator(mode="after")
    def _one_side(self) -> Self:
        if self.max_drop is None and self.max_rise is None:
            raise ValueError(f"the guard on {self.metric!r} needs `max_drop` or `max_rise`")
        return self


class GateConfig(_Section):
    """What a candidate must show to be promoted."""

    min_prompts: Annotated[int, Field(ge=2)] = 50
    improve: list[MetricName] = ["preference_accuracy"]
    guards: list[Guard] = [
        Guard(metric="distinct_2", max_drop=0.1),
        Guard(metric="self_bleu", max_rise=0.1),
        Guard(metric="length", max_rise=0.25, max_drop=0.25, relative=True),
        Guard(metric="chosen_log_perplexity", max_rise=0.1),
    ]

    @model_validator(mode="after")
    def _something(self) -> Self:
        if not self.improve:
            raise ValueError("`improve` needs at least one metric")
        return self


class MLflowConfig(_Section):
    """Where results are registered. `tracking_uri` defaults to a sqlite file in `home`."""

    tracking_uri: str | None = None
    experiment: str | None = None


class StoreConfig(_Section):
    """How the store keeps what it gets.

    A vote whose answer has not come after `expire_parked_days` is deleted and counted as expired;
    by default it waits for ever.
    """

    expire_parked_days: Annotated[float, Field(gt=0)] | None = None


class ServeConfig(_Section):
    """The process that holds the store while it reads the sources, and who asks it.

    It listens on `host` and `port`. Who runs elsewhere finds it at `url`; on the same machine it is
    found by itself. Both sides take the bearer token from the environment variable `token_env`;
    without one, a token is made that only the same user on the same machine can read.
    """

    host: str = "127.0.0.1"
    port: Annotated[int, Field(ge=0, lt=1 << 16)] = 8765
    url: Annotated[str, Field(pattern=r"^https?://[^/\s]+/?$")] | None = None
    token_env: str = "THUMBWHEEL_TOKEN"  # noqa: S105 - a name, not a secret


class ModelConfig(_Section):
    """The base model: a local directory in Hugging Face's layout, with safetensors."""

    path: ConfigPath


class Config(_Section):
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
            include={"plugins", "votes", "pairs", "dataset", "training", "evaluation", "gate"},
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
