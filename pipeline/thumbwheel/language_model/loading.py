"""A base model from a local directory: checked, without remote code, pickle or a model hub."""

import hashlib
import json
import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from thumbwheel.errors import ModelError
from thumbwheel.language_model.templates import find_excess

if TYPE_CHECKING:
    import torch

__all__ = ["LoadedBase", "load_base", "model_digest", "without_migration_warnings"]

_CONTENT = ("*.json", "*.safetensors", "*.jinja", "*.model", "*.txt")
_PICKLED = ("*.bin", "*.pt", "*.pth")
_TOKENIZER = ("tokenizer.json", "tokenizer.model", "vocab.json", "spiece.model", "vocab.txt")


class LoadedBase:
    """A base model in memory with its tokenizer, shared by the adapters added to it.

    Attributes:
        path: The directory it came from.
        model: The `transformers` causal language model, in eval mode.
        tokenizer: Its tokenizer, with a chat template and a padding token.
        stop_ids: The tokens that end a completion.
        context_length: The longest sequence the model was made for, in tokens.
    """

    def __init__(self, path: Path, model: Any, tokenizer: Any) -> None:
        self.path = path
        self.model = model
        self.tokenizer = tokenizer
        self.stop_ids = _stop_ids(model, tokenizer)
        self.context_length = int(
            getattr(model.config.get_text_config(), "max_position_embeddings", None)
            or tokenizer.model_max_length
        )
        self._peft: Any = None

    @cached_property
    def digest(self) -> str:
        """The `model_digest` of the directory, which is read once, when this is first asked for."""
        return model_digest(self.path)

    @property
    def device(self) -> "torch.device":
        """Where the weights are."""
        device: torch.device = self.model.device
        return device

    def add_adapter(self, directory: Path) -> str:
        """Load a LoRA adapter beside the others and return the name to call it by.

        Args:
            directory: Holds `adapter_config.json` and `adapter_model.safetensors`.

        Raises:
            ModelError: It is not a LoRA adapter of this base, or cannot be read.
        """
        from peft import PeftModel

        _check_adapter(directory)
        name = f"adapter_{len(self._peft.peft_config) if self._peft else 0}"
        with without_migration_warnings():
            # peft only warns when weights are missing and goes on with random ones.
            warnings.filterwarnings("error", message=".*missing adapter keys.*")
            try:
                if self._peft is None:
                    self._peft = PeftModel.from_pretrained(
                        self.model, str(directory), adapter_name=name, is_trainable=False
                    )
                else:
                    self._peft.load_adapter(str(directory), adapter_name=name, is_trainable=False)
            except Exception as error:
                raise ModelError(
                    f"the adapter {directory} does not fit the base model {self.path}: "
                    f"{_first_line(error)}; use an adapter trained on this base"
                ) from error
        self._peft.eval()
        return name

    @contextmanager
    def using(self, adapter: str | None) -> Iterator[Any]:
        """Give the model with one adapter active, or as the bare base when None.

        peft puts its layers into the base in place: once an adapter is added, only
        `disable_adapter` gives the base back.
        """
        if adapter is not None:
            self._peft.set_adapter(adapter, inference_mode=True)
            yield self.model
        elif self._peft is not None:
            with self._peft.disable_adapter():
                yield self.model
        else:
            yield self.model


def load_base(path: Path) -> LoadedBase:
    """Load a causal language model and its tokenizer from a local directory.

    Float32 on a CPU (few CPUs are fast at bfloat16), bfloat16 on a GPU that supports it.

    Args:
        path: A directory in Hugging Face's layout with safetensors weights.

    Raises:
        ModelError: The directory is not a complete model with a chat template, or asks for code of
            its own or pickled weights.
    """
    _check_base(path)
    # Read when huggingface_hub is first imported; the calls below pass local_files_only as well.
    os.environ.setdefault("HF_HUB_OFFLINE", "1")
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer, GenerationConfig
    from transformers.utils import logging

    logging.set_verbosity_error()
    logging.disable_progress_bar()
    on_gpu = torch.cuda.is_available()
    half = on_gpu and torch.cuda.is_bf16_supported()
    try:
        tokenizer = AutoTokenizer.from_pretrained(
            path, local_files_only=True, trust_remote_code=False
        )
    except Exception as error:
        raise ModelError(f"cannot load the tokenizer in {path}: {_first_line(error)}") from error
    if not tokenizer.chat_template:
        raise ModelError(
            f"the tokenizer in {path} has no chat template; add a chat_template.jinja, or use the "
            "instruction-tuned variant of the model"
        )
    for template in _templates(tokenizer.chat_template):
        if excess := find_excess(template):
            raise ModelError(
                f"the chat template in {path} {excess} of a short conversation; use the one that "
                "its makers publish"
            )
    try:
        # With `output_loading_info` it returns two things, which its types do not know.
        loaded: Any = AutoModelForCausalLM.from_pretrained(
            path,
            local_files_only=True,
            trust_remote_code=False,
            use_safetensors=True,
            dtype=torch.bfloat16 if half else torch.float32,
            output_loading_info=True,
        )
        model, loading = loaded
    except Exception as error:
        raise ModelError(
            f"cannot load the model in {path}: {_first_line(error)}; "
            "download or save it again if a file is damaged"
        ) from error
    if loading["missing_keys"]:
        # transformers would go on with random values in their place.
        raise ModelError(
            f"the weights in {path} lack {len(loading['missing_keys'])} tensors, such as "
            f"{min(loading['missing_keys'])}; download or save the model again"
        )
    model.to("cuda" if on_gpu else "cpu").eval()
    base = LoadedBase(path, model, tokenizer)
    if not base.stop_ids:
        raise ModelError(f"the tokenizer in {path} has no end-of-sequence token; set eos_token")
    if tokenizer.pad_token is None:
        tokenizer.pad_token = tokenizer.convert_ids_to_tokens(base.stop_ids[0])
    # Sampling defaults that ship with a model would silently add to the configured ones.
    model.generation_config = GenerationConfig(
        eos_token_id=base.stop_ids, pad_token_id=tokenizer.pad_token_id
    )
    return base


@contextmanager
def without_migration_warnings() -> Iterator[None]:
    """Silence peft and trl calling names that transformers is about to rename.

    Only their authors can act on these warnings.
    """
    with warnings.catch_warnings():
        warnings.filterwarnings(
            "ignore", message=".*is deprecated and will be removed in v6", category=FutureWarning
        )
        yield


def model_digest(path: Path) -> str:
    """Return a SHA-256 over the names and contents of a model directory's files.

    Configuration, safetensors, tokenizer and chat template count; a README or a licence does not.
    Reads at about 1 GB/s.

    Raises:
        ModelError: The directory does not exist, or holds no such file.
    """
    files = sorted({file for pattern in _CONTENT for file in path.glob(pattern)})
    if not files:
        raise ModelError(f"{path} holds no model; name a directory in Hugging Face's layout")
    digest = hashlib.sha256()
    for file in files:
        with file.open("rb") as stream:
            content = hashlib.file_digest(stream, "sha256").hexdigest()
        digest.update(f"{file.name} {content}\n".encode())
    return digest.hexdigest()


def _check_base(path: Path) -> None:
    if not path.is_dir():
        problem = "is not a directory" if path.exists() else "does not exist"
        raise ModelError(
            f"the model directory {path} {problem}; name a local directory in Hugging Face's "
            "layout (config.json, *.safetensors, tokenizer.json)"
        )
    if not (path / "config.json").is_file():
        raise ModelError(f"{path} has no config.json; name a directory in Hugging Face's layout")
    for name in ("config.json", "tokenizer_config.json"):
        if (path / name).is_file() and "auto_map" in _read_json(path / name):
            raise ModelError(
                f"{path / name} asks to run code of its own (auto_map), which is never done; use a "
                "model that transformers supports by itself, without the auto_map key"
            )
    if not any(path.glob("*.safetensors")):
        pickled = [file.name for pattern in _PICKLED for file in path.glob(pattern)]
        found = f"only pickled weights ({min(pickled)})" if pickled else "no weights"
        raise ModelError(f"{path} holds {found}; save the model as *.safetensors")
    if not any((path / name).is_file() for name in _TOKENIZER):
        raise ModelError(f"{path} has no tokenizer; save it beside the model (tokenizer.json)")


def _check_adapter(directory: Path) -> None:
    for name in ("adapter_config.json", "adapter_model.safetensors"):
        if not (directory / name).is_file():
            raise ModelError(f"{directory} is not a LoRA adapter: it has no {name}")
    kind = _read_json(directory / "adapter_config.json").get("peft_type")
    if kind != "LORA":
        raise ModelError(f"the adapter {directory} is of the type {kind!r}; only LORA is supported")


def _read_json(file: Path) -> dict[str, Any]:
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ModelError(f"cannot read {file}: {_first_line(error)}") from error
    if not isinstance(content, dict):
        raise ModelError(f"{file} must hold a JSON object, got {type(content).__name__}")
    return content


def _stop_ids(model: Any, tokenizer: Any) -> list[int]:
    # A chat model may end its turns with another token than its tokenizer's end of sequence.
    stops = {tokenizer.eos_token_id}
    for config in (model.generation_config, model.config.get_text_config()):
        declared = getattr(config, "eos_token_id", None)
        stops.update(declared if isinstance(declared, list) else [declared])
    return sorted(stop for stop in stops if stop is not None)


def _templates(given: Any) -> list[str]:
    """Return the texts of the template, or of several by name."""
    return [str(text) for text in given.values()] if isinstance(given, dict) else [str(given)]


def _first_line(error: Exception) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[0] if lines else type(error).__name__
