"""What can be seen of one answer by itself, or beside its prompt, without a model.

Every function takes n texts and returns n numbers.
"""

import re
import unicodedata
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from thumbwheel.evidence.answers.words import Gram, n_grams, words_of
from thumbwheel.measures.style import style_features
from thumbwheel.types import Prompt

__all__ = ["copied_prompt", "empty", "junk", "refusals", "repetition"]

Array = npt.NDArray[np.float64]

_REPEATED_WORDS = 3
_MUCH = 0.2
_COPIED_WORDS = 5
_FEWEST_WORDS = 3

_SPECIAL = re.compile(
    r"<\|[\w ]{1,30}\|>|</?s>|\[/?INST\]|<</?SYS>>|<(?:pad|unk|eos|bos|mask)>"
    r"|<(?:start|end)_of_turn>"
)
_TURN = re.compile(r"\n\W{0,4}(?:user|human|assistant|instruction|response)\W{0,3}:", re.IGNORECASE)
_FIRST_SENTENCE = re.compile(r"\A[^.!?\n]*[.!?\n]+\s+")
_JOINERS = {"\u200c", "\u200d", "\u00ad"}
_BREAKS = {"\n", "\r", "\t"}


def repetition(answers: Sequence[str]) -> Array:
    """Return 1 where a fifth of an answer's words or more only repeat.

    A word does where it ends three words that occurred before in the answer, or follows itself. So
    an answer that says every sentence twice counts, and one that takes up a phrase does not.
    """
    return np.array([_repeated(words_of(answer)) >= _MUCH for answer in answers], dtype=np.float64)


def _repeated(words: list[str]) -> float:
    """Return the share of words that only repeat."""
    seen: set[Gram] = set()
    repeated = [
        word == before and word[0].isalnum()
        for before, word in zip(["", *words], words, strict=False)
    ]
    for last, gram in enumerate(n_grams(words, _REPEATED_WORDS), start=_REPEATED_WORDS - 1):
        repeated[last] |= gram in seen
        seen.add(gram)
    return sum(repeated) / max(len(words), 1)


def copied_prompt(prompts: Sequence[Prompt], answers: Sequence[str]) -> Array:
    """Return the share of an answer's words that are in a run of five or more from its prompt.

    So quoting a name, or taking up "the capital of France", counts nothing. Of a message of fewer
    than five words, but three at least, the whole counts as a run.
    """
    return np.array(
        [_copied(prompt, answer) for prompt, answer in zip(prompts, answers, strict=True)]
    )


def _copied(prompt: Prompt, answer: str) -> float:
    words = words_of(answer)
    copied = [False] * len(words)
    for message in prompt:
        asked = words_of(message["content"])
        n = min(_COPIED_WORDS, len(asked))
        if n < _FEWEST_WORDS:
            continue
        runs = {*n_grams(asked, n)}
        for start, gram in enumerate(n_grams(words, n)):
            if gram in runs:
                copied[start : start + n] = [True] * n
    return sum(copied) / max(len(words), 1)


def empty(answers: Sequence[str]) -> Array:
    """Return 1 where an answer shows nothing: it is blank, or only control characters."""
    return np.array([float(not any(map(_is_visible, answer))) for answer in answers])


def refusals(answers: Sequence[str]) -> Array:
    """Return 1 where an answer, or what follows its first sentence, begins with a known refusal."""
    rests = [_FIRST_SENTENCE.sub("", answer, count=1) for answer in answers]
    found = [style_features(texts, ["refusals"])[:, 0] > 0 for texts in (answers, rests)]
    return np.logical_or(*found).astype(np.float64)


def _is_visible(character: str) -> bool:
    return unicodedata.category(character)[0] not in "CZ"


def junk(answers: Sequence[str]) -> Array:
    """Return the share of an answer's characters that nobody writes.

    They are control, private, unassigned and replacement characters, the special tokens of chat
    templates such as `<|im_end|>`, words of UTF-8 that was read as Windows-1252 ("donâ€™t"), and
    whatever follows where the answer goes on with a turn of somebody else ("User: ...").
    """
    return np.array([_junk(answer) for answer in answers])


def _junk(answer: str) -> float:
    n_special = sum(len(match) for match in _SPECIAL.findall(answer))
    n_garbled = sum(len(word) for word in answer.split() if _is_garbled(word))
    n_odd = sum(map(_is_odd, answer))
    turn = _TURN.search(answer)
    n_made_up = len(answer) - turn.start() if turn else 0
    return min((n_special + n_garbled + n_odd + n_made_up) / max(len(answer), 1), 1.0)


def _is_odd(character: str) -> bool:
    if character in _BREAKS or character in _JOINERS:
        return False
    category = unicodedata.category(character)
    # Marks of direction and the parts of an emoji are Cf, and are written.
    return character == "\ufffd" or category in ("Cc", "Co", "Cn", "Cs")


def _is_garbled(word: str) -> bool:
    if word.isascii():
        return False
    try:
        return word.encode("cp1252").decode("utf-8") != word
    except UnicodeError:
        return False
