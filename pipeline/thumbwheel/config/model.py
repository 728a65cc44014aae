"""The sections about models: how one is trained, measured, judged and registered."""

from typing import Annotated, Literal, Self

from pydantic import Field, ValidationInfo, field_validator, model_validator

from thumbwheel.config.section import ConfigPath, Section

__all__ = [
    "EvaluationConfig",
    "GateConfig",
    "Guard",
    "JudgeConfig",
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
    """How the models are measured on prompts that no training run has seen.

    Attributes:
        answers: Answers of each model to each prompt; None takes as many as the guards need.
        max_generations: Prompts that are answered, at most.
        max_new_tokens: An answer that is longer is cut off.
        out_of_distribution: A JSONL file of prompts that are unlike the app's, one `{"prompt":
            ...}` a line; a few of the project's own are asked too.
        confidence: Coverage of every interval that is shown.
    """

    answers: Annotated[int, Field(ge=1, le=64)] | None = None
    out_of_distribution: ConfigPath | None = None
    batch_size: Annotated[int, Field(ge=1)] = 8
    max_generations: Annotated[int, Field(ge=1)] = 200
    max_new_tokens: Annotated[int, Field(ge=1)] = 256
    temperature: Annotated[float, Field(gt=0)] = 1.0
    top_p: Annotated[float, Field(gt=0, le=1)] = 1.0
    confidence: Annotated[float, Field(gt=0.5, lt=1)] = 0.95
    seed: int = 0


class Guard(Section):
    """A metric that may not get worse by more than a margin.

    The margin is absolute, or a share of the champion's value when `relative`.
    """

    metric: str
    max_drop: Annotated[float, Field(ge=0)] | None = None
    max_rise: Annotated[float, Field(ge=0)] | None = None
    relative: bool = False

    @model_validator(mode="after")
    def _one_side(self) -> Self:
        if self.max_drop is None and self.max_rise is None:
            raise ValueError(f"the guard on {self.metric!r} needs `max_drop` or `max_rise`")
        return self


class JudgeConfig(Section):
    """Who says which of two answers is better.

    Attributes:
        use: `vote_model` (learns from the votes, offline), `endpoint` (asks a model behind
            `[endpoint]`), `people`, or the name of a plugin with `judge_answers`.
        licence: It may decide only where the lower end of its accuracy on held-out pairs is above
            this.
        rubric: What makes an answer better, for `endpoint` and `people`.
    """

    use: str = "vote_model"
    licence: Annotated[float, Field(ge=0.5, lt=1)] = 0.55
    rubric: str = (
        "Prefer the answer that its reader would rather have got: right, to the point, complete, "
        "and in a fitting tone. Length by itself is no merit."
    )


DEFAULT_GUARDS = (
    # Another style costs some tenths of a nat a token; shuffled words cost several nats.
    Guard(metric="answer_log_prob", max_drop=0.5),
    # One garbled answer in twenty is a fault that people complain about.
    Guard(metric="unlikely", max_rise=0.05),
    # An answer that fits any prompt counts half: one in ten has nothing to do with its own.
    Guard(metric="relevance", max_drop=0.05),
    # One answer in twenty that is a loop, or says everything twice.
    Guard(metric="repetition", max_rise=0.05),
    # Longer answers run into the limit more often, and their readers get none of the end.
    Guard(metric="cut_off", max_rise=0.05),
    Guard(metric="empty", max_rise=0.03),
    # Five more of a hundred users sent away.
    Guard(metric="refusals", max_rise=0.05),
    # One answer in twenty that only says the prompt again.
    Guard(metric="copied_prompt", max_rise=0.05),
    Guard(metric="other_language", max_rise=0.05),
    # A hundredth of what is read; good answers have none at all.
    Guard(metric="junk", max_rise=0.01),
    # A quarter is what readers notice, and what raters who like it long or short may bring.
    Guard(metric="length", max_drop=0.25, max_rise=0.25, relative=True),
    # Answers to different prompts may become more alike by a style that all of them share.
    Guard(metric="distinct_2", max_drop=0.1),
    Guard(metric="self_bleu", max_rise=0.1),
    # A tuned model is surer of what it says; of four answers, one may become a copy.
    Guard(metric="vendi", max_drop=0.25),
    # A nat a token: what it says now, the base would say a third as often, word by word.
    Guard(metric="kl_from_base", max_rise=1.0),
    # What people chose became 1.6 times as unlikely, token by token: DPO that pushes down what
    # was rejected may take along what was chosen.
    Guard(metric="chosen_log_perplexity", max_rise=0.5),
    # A tenth more nats a token; at 2 nats a token that is perplexity times 1.2. A share, since
    # a few passages say little of a small model, to which all plain text is a riddle.
    Guard(metric="plain_text_log_perplexity", max_rise=0.1, relative=True),
    # Forty prompts tell less than hundreds, and a small model has little to lose there: these
    # wider margins see a model that has nothing else left to say.
    Guard(metric="ood_answer_log_prob", max_drop=1.0),
    Guard(metric="ood_relevance", max_drop=0.2),
    Guard(metric="ood_repetition", max_rise=0.1),
    Guard(metric="ood_refusals", max_rise=0.1),
)
"""What any candidate must keep, with reasons for the margins."""


class GateConfig(Section):
    """What a candidate must show to be promoted.

    Attributes:
        min_prompts: Held-out prompts, at least.
        improve: Metrics that must be better than the champion's.
        default_guards: Whether the guards of every project are there, beside those that are named.
        guards: Metrics that may not get worse by more than a margin. One that is named takes the
            place of the default on the same metric.
        gain: The gain in the first metric of `improve` that is worth finding: a cycle that would
            miss it more often than not does not look at the held-out prompts.
        tests_per_year: How often a candidate is to be tested.
        false_promotions: Share of years in which a candidate that is no better may be promoted.
        max_looks: A prompt that was looked at so often is held out no longer.
    """

    min_prompts: Annotated[int, Field(ge=2)] = 50
    gain: Annotated[float, Field(gt=0, lt=1)] = 0.05
    tests_per_year: Annotated[int, Field(ge=1)] = 52
    false_promotions: Annotated[float, Field(gt=0, lt=1)] = 0.05
    max_looks: Annotated[int, Field(ge=1)] = 52
    improve: list[str] = ["win_rate"]
    default_guards: bool = True
    guards: Annotated[list[Guard], Field(validate_default=True)] = []

    @field_validator("guards")
    @classmethod
    def _beside_the_defaults(cls, guards: list[Guard], info: ValidationInfo) -> list[Guard]:
        if not info.data.get("default_guards"):
            return guards
        replaced = {guard.metric for guard in guards}
        return [*(guard for guard in DEFAULT_GUARDS if guard.metric not in replaced), *guards]

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
