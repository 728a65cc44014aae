"""What benchmarks over whole cycles share: where they work, who watches, a cycle's models."""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from thumbwheel.config import Config
from thumbwheel.cycle.journal import CycleJournal
from thumbwheel.language_model import AdaptedModel, load_base
from thumbwheel.training import TrainResult

__all__ = ["Silent", "folder", "load_models"]


class Silent:
    """Watches the stages and says nothing."""

    def stage(self, name: str) -> None:
        """See a stage begin."""

    def progress(self, share: float, note: str = "") -> None:
        """See it go on."""

    def done(self, summary: str) -> None:
        """See it end."""

    def warn(self, message: str) -> None:
        """See something go wrong that stops nothing."""


@contextmanager
def folder(given: Path | None) -> Iterator[Path]:
    """Yield the folder to work in: the one given, or one that is gone afterwards."""
    if given is None:
        with tempfile.TemporaryDirectory() as name:
            yield Path(name)
    else:
        given.mkdir(parents=True, exist_ok=True)
        yield given.resolve()


def load_models(config: Config, journal: CycleJournal) -> dict[str, AdaptedModel]:
    """Return the base and the candidate of a cycle that has trained one."""
    trained = journal.read("training", TrainResult)
    assert trained is not None
    base = load_base(config.model.path)
    return {
        name: AdaptedModel(
            base,
            name,
            adapter,
            settings=config.evaluation,
            max_length=config.training.max_length,
        )
        for name, adapter in (("base", None), ("candidate", trained.adapter))
    }
