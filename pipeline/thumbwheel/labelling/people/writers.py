"""Who writes the completions that a task lacks: the current model, or an endpoint."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

from thumbwheel.config import Config
from thumbwheel.endpoint import Endpoint, RequestFailedError
from thumbwheel.events import to_chat
from thumbwheel.types import Prompt

__all__ = ["Draw", "EndpointWriter", "ModelWriter", "Writer", "Written"]

_MAX_TOKENS = 2048
_DRAWS_AT_ONCE = 32


@dataclass(frozen=True, slots=True)
class Draw:
    """One completion to write: the draw of this number, from 0, for a prompt."""

    prompt_id: str
    prompt: Prompt
    number: int


@dataclass(frozen=True, slots=True)
class Written:
    """What was written for a draw, or why nothing was."""

    draw: Draw
    completion: str | None
    reason: str | None = None


class Writer(Protocol):
    """Writes completions."""

    @property
    def model_version(self) -> str:
        """What its completions are attributed to."""
        ...

    def write(self, draws: Sequence[Draw]) -> Iterator[Written]:
        """Yield what was written for each draw, in order, each as soon as it is there."""
        ...


class EndpointWriter:
    """Asks an OpenAI-compatible endpoint, several draws at a time."""

    def __init__(self, endpoint: Endpoint) -> None:
        self._endpoint = endpoint

    @property
    def model_version(self) -> str:
        """The model's name at the endpoint."""
        return self._endpoint.config.model

    def write(self, draws: Sequence[Draw]) -> Iterator[Written]:
        """Yield what was written for each draw, in order.

        Raises:
            UnavailableError: Nobody listens, or request after request failed.
            ConfigError: The key, the model or the address is wrong.
        """
        return self._endpoint.each(self._write, draws)

    def _write(self, draw: Draw) -> Written:
        try:
            reply = self._endpoint.ask(to_chat(draw.prompt), _MAX_TOKENS)
        except RequestFailedError as error:
            return Written(draw, None, f"the endpoint {error}")
        return Written(draw, reply.text)


class ModelWriter:
    """Samples from the champion, or from the base model where there is no champion.

    Loads the model. The same draw of the same model is the same text.

    Raises:
        ModelError: The model or the champion's adapter cannot be loaded.
        UnavailableError: MLflow does not answer.
    """

    def __init__(self, config: Config) -> None:
        from thumbwheel.language_model import AdaptedModel, load_base
        from thumbwheel.registry import open_registry

        champion = open_registry(config).champion(config.layout.champions)
        self._model = AdaptedModel(
            load_base(config.model.path),
            "base" if champion is None else "champion",
            None if champion is None else champion.adapter,
            settings=config.evaluation,
            max_length=config.training.max_length,
        )
        base = config.model.path.name
        self._name = base if champion is None else f"{config.project}@{champion.version}"

    @property
    def model_version(self) -> str:
        """`project@version` of the champion, or the name of the base model's directory."""
        return self._name

    def write(self, draws: Sequence[Draw]) -> Iterator[Written]:
        """Yield what was written for each draw, in order.

        Raises:
            DataError: The chat template refuses a prompt.
        """
        for start in range(0, len(draws), _DRAWS_AT_ONCE):
            some = draws[start : start + _DRAWS_AT_ONCE]
            # The model counts draws by how often a prompt is listed.
            needed: dict[str, int] = {}
            for draw in some:
                needed[draw.prompt_id] = max(needed.get(draw.prompt_id, 0), draw.number + 1)
            prompts = {draw.prompt_id: draw.prompt for draw in some}
            keys = [(prompt_id, n) for prompt_id, count in needed.items() for n in range(count)]
            texts = self._model.generate([prompts[prompt_id] for prompt_id, _ in keys])
            by_key = dict(zip(keys, texts, strict=True))
            yield from (Written(draw, by_key[draw.prompt_id, draw.number]) for draw in some)
