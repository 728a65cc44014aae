"""What an installation lacks, told as the extra that brings it.

`pip install thumbwheel` is small: it reads feedback and makes pairs. The rest are extras, called as
in `pyproject.toml`.
"""

from collections.abc import Mapping, Sequence
from importlib.util import find_spec

from thumbwheel.errors import InputError

__all__ = ["EXTRAS", "explain", "install_command", "missing", "require"]

EXTRAS: Mapping[str, Sequence[str]] = {
    "audit": ("py3langid", "scikit-learn", "vaderSentiment"),
    "kafka": ("aiokafka", "kafka-python"),
    "mlflow": ("mlflow",),
    "ray": ("ray",),
    "redact": ("phonenumbers", "presidio-analyzer", "tldextract"),
    "serve": (
        "fastapi",
        "httptools",
        "limits",
        "prometheus-client",
        "standardwebhooks",
        "structlog",
        "uvicorn",
    ),
    "train": (
        "accelerate",
        "datasets",
        "peft",
        "py3langid",
        "sacrebleu",
        "scikit-learn",
        "torch",
        "transformers",
        "trl",
    ),
}
"""The distributions that each extra brings everywhere."""

# The module of a distribution is named like it, or
_MODULES = {"kafka-python": "kafka", "scikit-learn": "sklearn"}
# What one of them brings, and is imported here by itself.
_BROUGHT = {"starlette": "fastapi", "tokenizers": "transformers"}


def missing(extra: str, *distributions: str) -> list[str]:
    """Return which distributions of an extra, by default all, are not installed."""
    return [name for name in distributions or EXTRAS[extra] if not _is_found(_module(name))]


def require(
    extra: str, *distributions: str, by: str = "this", error: type[InputError] = InputError
) -> None:
    """Raise an error when distributions of an extra, by default all, are not installed.

    Args:
        extra: A name in `EXTRAS`.
        distributions: Those of it that are needed.
        by: Who needs them, as the error begins.
        error: What is raised.
    """
    if lacking := missing(extra, *distributions):
        raise error(_message(by, lacking, extra))


def explain(error: ModuleNotFoundError) -> InputError | None:
    """Return what to install for a module that was not found, or None when no extra brings it."""
    module = (error.name or "").partition(".")[0]
    module = _BROUGHT.get(module, module)
    for extra, distributions in EXTRAS.items():
        for name in distributions:
            if module == _module(name):
                return InputError(_message("this", [name], extra))
    return None


def install_command(extra: str) -> str:
    """Return how an extra is installed."""
    return f'pip install "thumbwheel[{extra}]"'


def _module(distribution: str) -> str:
    return _MODULES.get(distribution, distribution.replace("-", "_"))


def _is_found(module: str) -> bool:
    try:
        return find_spec(module) is not None
    except (ModuleNotFoundError, ValueError):  # ValueError: a module that is half imported
        return False


def _message(by: str, lacking: Sequence[str], extra: str) -> str:
    *others, last = lacking
    listed = f"{', '.join(others)} and {last}" if others else last
    which = "are" if others else "is"
    return f"{by} needs {listed}, which {which} not installed: {install_command(extra)}"
