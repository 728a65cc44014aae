"""Two features of style that need a library each, and are slow: language and sentiment.

About 3,000 texts a second go through both, against 200,000 for all of `style.FEATURES`, so they
are measured on the audit's sample only.
"""

from collections.abc import Sequence
from functools import cache
from typing import Any

import numpy as np
import numpy.typing as npt

__all__ = ["other_language", "sentiment"]

Array = npt.NDArray[np.float64]

# What decides is at the beginning of a text, and a detector guesses below a sentence.
_READ = 1000
_SHORTEST = 20
_SURE = 0.9


def other_language(answers: Sequence[str], prompts: Sequence[str]) -> Array:
    """Return 1 where an answer is in another language than its prompt, else 0; shape (n,).

    Told by `py3langid` (97 languages); a text too short or mixed to be sure of is in none.
    """
    known = {text: _language(text) for text in {*answers, *prompts}}
    return np.array(
        [
            float(None not in (known[answer], known[prompt]) and known[answer] != known[prompt])
            for answer, prompt in zip(answers, prompts, strict=True)
        ]
    )


def _language(text: str) -> str | None:
    if len(text) < _SHORTEST:
        return None
    name, sure = _identifier().classify(text[:_READ])
    return str(name) if sure >= _SURE else None


@cache
def _identifier() -> Any:
    from py3langid.langid import MODEL_FILE, LanguageIdentifier

    return LanguageIdentifier.from_model_file(MODEL_FILE, norm_probs=True)


def sentiment(answers: Sequence[str]) -> Array:
    """Return VADER's compound score (Hutto and Gilbert 2014), in [-1, 1]; shape (n,).

    Its lexicon is English: most texts in other languages score 0.
    """
    from vaderSentiment.vaderSentiment import SentimentIntensityAnalyzer

    analyzer = SentimentIntensityAnalyzer()
    known = {text: analyzer.polarity_scores(text[:_READ])["compound"] for text in {*answers}}
    return np.array([float(known[answer]) for answer in answers])
