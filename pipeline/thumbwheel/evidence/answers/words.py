"""Texts as words, for whatever counts n-grams."""

import re

__all__ = ["Gram", "n_grams", "words_of"]

Gram = tuple[str, ...]

# Scripts that set no spaces between words are read by the character. Thirty characters without a
# break are no word but a run of something, which is to be seen when it goes on.
_UNSPACED = "\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff"
_WORD = re.compile(rf"[{_UNSPACED}]|[^\W{_UNSPACED}]{{1,30}}|[^\w\s]")


def words_of(text: str) -> list[str]:
    """Return the words and punctuation marks of a text, case folded."""
    return _WORD.findall(text.casefold())


def n_grams(words: list[str], n: int) -> list[Gram]:
    """Return all runs of `n` words, in order."""
    return list(zip(*(words[start:] for start in range(n)), strict=False))
