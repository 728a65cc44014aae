"""The sections about models: how one is trained, measured, judged and registered."""

from typing import Annotated, Literal, Self

from pydantic import AfterValidator, Field, model_validator

from thumbwheel.config.section import ConfigPath, Section

__all__ = [
    "EvaluationConfig",
    "GateConfig",
    "Guard",
    "MLflowConfig",
    "ModelConfig",
    "TrainingConfig",
]

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


class TrainingConfig(Section):
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


class EvaluationConfig(Section):
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


class Guard(Section):
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


class GateConfig(Section):
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


class MLflowConfig(Section):
    """Where results are registered. `tracking_uri` defaults to a sqlite file in `home`."""

    tracking_uri: str | None = None
    experiment: str | None = None


class ModelConfig(Section):
    """The base model: a local directory in Hugging Face's layout, with safetensors."""

    path: ConfigPath
