"""What one model said, in memory and in the cache, under keys that name all it depends on."""

import hashlib
import json
import struct
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Generic, TypeVar

import numpy as np
import numpy.typing as npt

from thumbwheel.events.identity import text_identity
from thumbwheel.language_model.cache import ModelCache
from thumbwheel.language_model.cache_table import Output
from thumbwheel.language_model.forward import Ids
from thumbwheel.language_model.loading import LoadedBase
from thumbwheel.types import Answer, LogProb, Prompt

__all__ = ["Asked", "Kept", "kept_answers", "kept_embeddings", "kept_scores", "model_identity"]

Value = TypeVar("Value")

_SCORE = struct.Struct("<dq")


@dataclass(frozen=True, slots=True)
class Asked:
    """What a model is asked.

    Attributes:
        name: Tells it from what else this process asks.
        prompt: The prompt.
        completion: The completion that is read; empty where one is to be written.
        ids: The token ids of both, cut to what the model is given.
        settings: What else decides the output, beside the model.
    """

    name: Hashable
    prompt: Prompt
    completion: str
    ids: Ids
    settings: Sequence[float] = ()


class Kept(Generic[Value]):
    """One kind of output of one model.

    Args:
        cache: Where it is kept beyond this process, or None.
        model: The model's identity.
        kind: What it is, for the keys.
        pack: Returns an output's text, if it has one, and its other bytes.
        unpack: Returns the output.
    """

    def __init__(
        self,
        cache: ModelCache | None,
        model: str,
        kind: str,
        pack: Callable[[Value], tuple[str | None, bytes]],
        unpack: Callable[[str | None, bytes], Value],
    ) -> None:
        self._cache, self._model, self._kind = cache, model, kind
        self._pack, self._unpack = pack, unpack
        self._known: dict[Hashable, Value] = {}

    def __contains__(self, name: Hashable) -> bool:
        return name in self._known

    def __getitem__(self, name: Hashable) -> Value:
        return self._known[name]

    def look_up(self, asked: Sequence[Asked]) -> list[Asked]:
        """Look into the cache, and return what is not there."""
        if self._cache is None:
            return list(asked)
        keys = [self._key(it) for it in asked]
        found = self._cache.find(keys)
        missing = []
        for it, key in zip(asked, keys, strict=True):
            if key in found:
                self._known[it.name] = self._unpack(*found[key])
            else:
                missing.append(it)
        return missing

    def keep(self, asked: Sequence[Asked], values: Sequence[Value]) -> None:
        """Keep what was computed; of what is known already, the earlier stays."""
        for it, value in zip(asked, values, strict=True):
            # Computed in another batch, it would differ in the last digits.
            self._known.setdefault(it.name, value)
        if self._cache is not None:
            self._cache.keep([self._output(it) for it in asked])

    def _output(self, asked: Asked) -> Output:
        text, packed = self._pack(self._known[asked.name])
        identities = text_identity(asked.prompt, asked.completion if text is None else text)
        return Output(self._key(asked), *identities, text, packed)

    def _key(self, asked: Asked) -> bytes:
        parts = json.dumps([self._model, self._kind, *asked.ids, *asked.settings])
        return hashlib.blake2b(parts.encode(), digest_size=16).digest()


def model_identity(base: LoadedBase, adapter: Path | None) -> str:
    """Return what a model's outputs depend on: its files, the adapter's, and the precision.

    The base is read whole, once. Versions of libraries do not count: they change the last digits
    of what is computed.
    """
    digest = hashlib.blake2b(f"{base.digest} {base.model.dtype}".encode(), digest_size=16)
    if adapter is not None:
        for name in ("adapter_config.json", "adapter_model.safetensors"):
            with (adapter / name).open("rb") as file:
                digest.update(hashlib.file_digest(file, "sha256").digest())
    return digest.hexdigest()


def kept_answers(cache: ModelCache | None, model: str) -> Kept[Answer]:
    """Return a model's answers."""
    return Kept(
        cache,
        model,
        "answer",
        lambda answer: (answer.text, bytes([answer.finished])),
        lambda text, value: Answer(text or "", value != b"\0"),
    )


def kept_scores(cache: ModelCache | None, model: str) -> Kept[LogProb]:
    """Return the log-probabilities that a model gave to completions."""
    return Kept(
        cache,
        model,
        "log-probability",
        lambda score: (None, _SCORE.pack(score.total, score.n_tokens)),
        lambda _, value: LogProb(*_SCORE.unpack(value)),
    )


def kept_embeddings(cache: ModelCache | None, model: str) -> Kept[npt.NDArray[np.float32]]:
    """Return a model's embeddings of completions."""
    return Kept(
        cache,
        model,
        "embedding",
        lambda embedding: (None, embedding.astype("<f4").tobytes()),
        lambda _, value: np.frombuffer(value, "<f4"),
    )
