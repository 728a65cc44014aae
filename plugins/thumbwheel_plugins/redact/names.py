"""Names of persons and places, by a spaCy model."""

import functools
import importlib.util
import re
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from thumbwheel.errors import PluginError
from thumbwheel_plugins.redact.scanner import Finder, Span, in_windows

if TYPE_CHECKING:
    from spacy.language import Language

__all__ = ["NAMES", "check_model", "name_finder"]

NAMES = ("PERSON", "LOCATION")

_KINDS = {"PERSON": "PERSON", "PER": "PERSON"} | dict.fromkeys(("LOC", "GPE", "FAC"), "LOCATION")

# What Presidio gives to the finds of a model that has no scores.
_SCORE = 0.85

_UNNEEDED = ("tagger", "parser", "attribute_ruler", "lemmatizer", "morphologizer", "senter")

_SURROGATES = re.compile("[\ud800-\udfff]")


def check_model(model: str) -> None:
    """Raise a PluginError unless the model is an installed package or a folder."""
    installed = model.isidentifier() and importlib.util.find_spec(model) is not None
    if not installed and not Path(model, "config.cfg").is_file():
        raise PluginError(
            f"redact: the spaCy model {model!r} is not installed; for one of spaCy's own, run "
            f"`python -m spacy download {model}`; or leave `model` out, to find no names"
        )


def name_finder(model: str, kinds: Sequence[str]) -> Finder:
    """Return a finder of `kinds`, which are of `NAMES`."""
    return functools.partial(_find, model, frozenset(kinds))


def _find(model: str, kinds: frozenset[str], text: str) -> Iterator[Span]:
    if text and not text.isspace():
        # spaCy cannot encode half of a surrogate pair.
        yield from in_windows(
            _SURROGATES.sub("?", text), functools.partial(_recognize, model, kinds)
        )


def _recognize(model: str, kinds: frozenset[str], text: str) -> Iterator[Span]:
    for entity in _load(model)(text).ents:
        kind = _KINDS.get(entity.label_)
        if kind in kinds:
            yield Span(entity.start_char, entity.end_char, kind, _SCORE)


@functools.cache
def _load(model: str) -> "Language":
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import spacy

        return spacy.load(model, exclude=_UNNEEDED)
