"""The sections about feedback: where it comes from, whose votes count, which pairs are made."""

from typing import Annotated, Any, Literal, Self

from pydantic import Field, model_validator

from thumbwheel.config.section import Name, Section

__all__ = [
    "AuditConfig",
    "DatasetConfig",
    "EndpointConfig",
    "ExecutionConfig",
    "PairsConfig",
    "PluginConfig",
    "ServeConfig",
    "SourceConfig",
    "StoreConfig",
    "VotePolicy",
    "VotesConfig",
]

Origin = Literal["users", "annotators", "ai"]
"""Whose judgements a source brings: users', annotators', or those of a model that wrote pairs."""


class SourceConfig(Section):
    """One source of events: a connector by entry-point name, its options, and the mapping.

    The mapping is a name, or a table of options whose `use` is the name (by default `keys`), or a
    list of tables, one for each kind of record.
    Without one, records are in Thumbwheel's own event format (see docs/events.md). Up to
    `batch_size` records are committed together. `origin` says whose judgements these are.

    Ids of events, answers, comparisons and raters are the source's own: nobody who writes to one
    source speaks for another. `ids = "shared"`, or the same `namespace`, joins sources that mean
    the same by an id.
    """

    name: Name
    connector: str
    options: dict[str, Any] = {}
    mapping: str | dict[str, Any] | list[dict[str, Any]] | None = None
    batch_size: Annotated[int, Field(ge=1)] = 10_000
    origin: Origin = "users"
    ids: Literal["own", "shared"] = "own"
    namespace: Name | None = None

    @model_validator(mode="after")
    def _one_way_to_join(self) -> Self:
        if self.namespace is not None and self.ids == "shared":
            raise ValueError('`ids = "shared"` and `namespace` both join sources: set one of them')
        return self

    @property
    def id_namespace(self) -> str:
        """Whose the ids are: no source is called `*`."""
        return "*" if self.ids == "shared" else self.namespace or self.name


class PluginConfig(Section):
    """A plugin by entry-point name, or as `path/to/file.py:Class`, and its options."""

    use: str
    options: dict[str, Any] = {}


class VotesConfig(Section):
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

    half_life_days: Annotated[float, Field(gt=0, le=1e6)] | None = None
    max_rater_share: Annotated[float, Field(gt=0, le=1)] = 0.01
    quarantine_constant: bool = True
    burst_votes: Annotated[int, Field(ge=2, le=1_000_000_000)] | None = 20
    burst_seconds: Annotated[float, Field(gt=0, le=1e9)] = 60.0


class VotePolicy(Section):
    """All that decides which votes count: the limits, and the origin of each source.

    A source that is not in `origins` is of users.
    """

    votes: VotesConfig = VotesConfig()
    origins: dict[str, Origin] = {}


class PairsConfig(Section):
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


class ExecutionConfig(Section):
    """Where plugins run, and what they may take; nothing here changes what comes out.

    Attributes:
        runner: Pair in this process, or in tasks of Ray (the extra `thumbwheel[ray]`).
        plugin_seconds: A plugin that takes longer over one call is stopped.
        plugin_memory_mb: A plugin whose process holds more is stopped.
    """

    runner: Literal["local", "ray"] = "local"
    plugin_seconds: Annotated[float, Field(gt=0, allow_inf_nan=False)] = 600.0
    plugin_memory_mb: Annotated[int, Field(ge=256)] = 4096


class AuditConfig(Section):
    """What `thumbwheel audit` holds against the pairs.

    Attributes:
        intended: Style features that are meant to differ: they are shown, but left out of the
            classifier of style.
        max_auc: Highest cross-validated AUC of that classifier.
        max_rater_share: Highest share of one rater in the pairs.
        max_near_duplicates: Highest share of prompts that have a near-duplicate.
        max_wrong_pairs: Highest share of pairs that are surely the wrong way round: the lower end
            of the estimate's interval. `thumbwheel cycle` trains on no set beyond it; 1 sets no
            limit.
    """

    intended: list[str] = []
    max_auc: Annotated[float, Field(ge=0.5, le=1)] | None = None
    max_rater_share: Annotated[float, Field(gt=0, le=1)] | None = None
    max_near_duplicates: Annotated[float, Field(ge=0, le=1)] | None = None
    max_wrong_pairs: Annotated[float, Field(ge=0, le=1)] = 0.3


class EndpointConfig(Section):
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


class DatasetConfig(Section):
    """What becomes of the pairs.

    Attributes:
        held_out: Share of prompts that are held out: on them a candidate is judged.
        judge: Share of prompts whose votes teach the judge, and never the candidate.
        max_train_pairs: Pairs to train on, at most.
        max_eval_pairs: Pairs held out, at most.
    """

    held_out: Annotated[float, Field(gt=0, lt=1)] = 0.2
    judge: Annotated[float, Field(ge=0, lt=1)] = 0.2
    max_train_pairs: Annotated[int, Field(ge=1)] | None = None
    max_eval_pairs: Annotated[int, Field(ge=1)] | None = None

    @model_validator(mode="after")
    def _some_to_train_on(self) -> Self:
        if self.held_out + self.judge >= 1:
            raise ValueError(
                f"`held_out` and `judge` leave nothing to train on: {self.held_out:g} and "
                f"{self.judge:g} add up to 1 or more"
            )
        return self


class StoreConfig(Section):
    """How the store keeps what it gets.

    A vote whose answer has not come after `expire_parked_days` is deleted and counted as expired;
    by default it waits for ever.
    """

    expire_parked_days: Annotated[float, Field(gt=0)] | None = None


class ServeConfig(Section):
    """The process that holds the store while it reads the sources, and who asks it.

    It listens on `host` and `port`. Who runs elsewhere finds it at `url`; on the same machine it is
    found by itself. Where only this machine reaches `host`, a request must name it so, or by the
    name in `url` or one of `names`, which a proxy in front may hand on. Both sides take the bearer
    token from the environment variable `token_env`; without one, a token is made that only the same
    user on the same machine can read.
    """

    host: str = "127.0.0.1"
    port: Annotated[int, Field(ge=0, lt=1 << 16)] = 8765
    url: Annotated[str, Field(pattern=r"^https?://[^/\s]+/?$")] | None = None
    names: list[str] = []
    token_env: str = "THUMBWHEEL_TOKEN"  # noqa: S105 - a name, not a secret
