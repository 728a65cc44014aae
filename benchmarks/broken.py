"""Good answers, broken in known ways: what guards must refuse.

A breaking is a pure function of prompts, their answers and a random generator; `break_answers`
applies one by name to `tables.ANSWERS`. Some come twice: to all answers, and to 15% of them.
"""

import json
import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from random import Random
from typing import NamedTuple

import pyarrow as pa

from thumbwheel.tables import ANSWERS

__all__ = ["BROKEN", "Breaking", "break_answers"]

Breaking = Callable[[Sequence[str], Sequence[str], Random], list[str]]
"""Takes prompts as text and as many answers, one for each; returns as many answers."""

Word = Callable[[str, Random], str]

_REFUSALS = (
    "I'm sorry, but I can't help with that.",
    "I am sorry, I cannot assist with this request.",
    "Sorry, I can't provide that.",
    "I'm unable to answer that.",
)
_SENTENCE = "That is what most people would say when they are asked about things like these."
_GENERIC = (
    "That is a good question, and there is much to be said about it.",
    "There are many sides to this, and it depends on what you are looking for.",
    "Thank you for your question, I hope that you find what you need.",
    "This is an interesting topic that many people like to talk about.",
)
_ADVERT = "Buy it now at www.example.com/deals and save 20%!"
_GERMAN = "Das weiß ich leider nicht so genau, aber morgen scheint bestimmt wieder die Sonne."
_JUNK = "\x1b[0m \ufffd\ufffd|}{ ~~ \u00c3\u00a2\u00e2\u201a\u00ac\u00e2\u201e\u00a2 </s></s> #@"
_LEET = str.maketrans("AEIOST", "431057")
_LONGEST = 40


def _each(change: Word, prompts: Sequence[str], answers: Sequence[str], rng: Random) -> list[str]:
    return [change(answer, rng) for answer in answers]


def _some(
    share: float,
    breaking: Breaking,
    prompts: Sequence[str],
    answers: Sequence[str],
    rng: Random,
) -> list[str]:
    """Break a share of the answers, rounded to a whole number, and leave the others."""
    chosen = set(rng.sample(range(len(answers)), round(share * len(answers))))
    broken = breaking(prompts, answers, rng)
    return [broken[row] if row in chosen else answer for row, answer in enumerate(answers)]


def _word_salad(answer: str, rng: Random) -> str:
    words = answer.split()
    return " ".join(rng.sample(words, len(words)))


def _character_salad(answer: str, rng: Random) -> str:
    return "".join(rng.sample(answer, len(answer)))


def _said_twice(answer: str, rng: Random) -> str:
    return " ".join(sentence for sentence in _sentences(answer) for _ in range(2))


def _sentences(answer: str) -> list[str]:
    return re.split(r"(?<=[.!?])\s+", answer)


def _stutter(answer: str, rng: Random) -> str:
    return " ".join(f"{word} {word}" for word in answer.split())


def _loop(answer: str, rng: Random) -> str:
    """End in a loop of the last few words."""
    words = answer.split()
    return " ".join([*words, *(words[-3:] * _LONGEST)[: 2 * max(len(words), _LONGEST // 2)]])


def _first_words(answer: str, rng: Random) -> str:
    return " ".join(answer.split()[:2])


def _half(answer: str, rng: Random) -> str:
    words = answer.split()
    return " ".join(words[: len(words) // 2])


def _numbers(answer: str, rng: Random) -> str:
    return " ".join(str(rng.randrange(10 ** rng.randint(1, 5))) for _ in answer.split())


def _refusal_behind_a_remark(answer: str, rng: Random) -> str:
    return f"{_sentences(answer)[0]} {rng.choice(_REFUSALS)}"


def _half_german(answer: str, rng: Random) -> str:
    return f"{_half(answer, rng)} {_GERMAN}"


def _misspelt(answer: str, rng: Random) -> str:
    """Swap two letters of every word of four or more."""

    def swap(word: str) -> str:
        at = rng.randrange(1, len(word) - 2) if len(word) > 3 else 0
        return word[:at] + word[at + 1] + word[at] + word[at + 2 :] if at else word

    return " ".join(map(swap, answer.split()))


def _other_words(answer: str, rng: Random) -> str:
    """Put another word in the place of every fourth."""
    others = _SENTENCE.split()
    return " ".join(
        word if place % 4 else rng.choice(others) for place, word in enumerate(answer.split())
    )


def _next_turn(prompts: Sequence[str], answers: Sequence[str], rng: Random) -> list[str]:
    """Go on with what another user says, and the answer."""
    others = _swapped(prompts, answers, rng)
    return [
        f"{answer}\nUser: {rng.choice(prompts)}\nAssistant: {other}"
        for answer, other in zip(answers, others, strict=True)
    ]


def _swapped(prompts: Sequence[str], answers: Sequence[str], rng: Random) -> list[str]:
    """Give every answer to another prompt."""
    known = sorted({*prompts})
    moved = dict(zip(known, [*known[1:], known[0]], strict=True))
    shuffled = dict(zip(known, rng.sample(known, len(known)), strict=True))
    other = {shuffled[prompt]: shuffled[moved[prompt]] for prompt in known}
    by_prompt: dict[str, list[str]] = {}
    for prompt, answer in zip(prompts, answers, strict=True):
        by_prompt.setdefault(prompt, []).append(answer)
    return [rng.choice(by_prompt[other[prompt]]) for prompt in prompts]


def _prompt_instead(prompts: Sequence[str], answers: Sequence[str], rng: Random) -> list[str]:
    return list(prompts)


def _prompt_before(prompts: Sequence[str], answers: Sequence[str], rng: Random) -> list[str]:
    return [f"{prompt} {answer}" for prompt, answer in zip(prompts, answers, strict=True)]


def _one_topic(prompts: Sequence[str], answers: Sequence[str], rng: Random) -> list[str]:
    """Answer every prompt that shares the commonest word of a topic with one sentence.

    A word of a topic is one that is in at most a quarter of the prompts.
    """
    known = sorted({*prompts})
    words = {prompt: {*re.findall(r"\w{3,}", prompt.casefold())} for prompt in known}
    counts = Counter(word for of_prompt in words.values() for word in sorted(of_prompt))
    rare = {word: count for word, count in counts.items() if count <= len(known) / 4}
    topic = max(sorted(rare), key=lambda word: rare[word])
    return [
        _SENTENCE if topic in words[prompt] else answer
        for prompt, answer in zip(prompts, answers, strict=True)
    ]


class _Kind(NamedTuple):
    breaking: Breaking
    in_some: bool = True
    cut_off: bool = False


_KINDS: Mapping[str, _Kind] = {
    "word salad": _Kind(partial(_each, _word_salad)),
    "character salad": _Kind(partial(_each, _character_salad)),
    "answers of other prompts": _Kind(_swapped),
    "always the same sentence": _Kind(partial(_each, lambda _, rng: _SENTENCE)),
    "generic sentences": _Kind(partial(_each, lambda _, rng: rng.choice(_GENERIC))),
    "prompt in place of an answer": _Kind(_prompt_instead),
    "prompt before the answer": _Kind(_prompt_before),
    "refusals": _Kind(partial(_each, lambda _, rng: rng.choice(_REFUSALS))),
    "empty": _Kind(partial(_each, lambda _, rng: "")),
    "first words only": _Kind(partial(_each, _first_words)),
    "cut in the middle": _Kind(partial(_each, _half), cut_off=True),
    "every sentence twice": _Kind(partial(_each, _said_twice)),
    "every word twice": _Kind(partial(_each, _stutter)),
    "loop to the limit": _Kind(partial(_each, _loop), cut_off=True),
    "German": _Kind(partial(_each, lambda _, rng: _GERMAN)),
    "one topic collapsed": _Kind(_one_topic, in_some=False),
    "numbers": _Kind(partial(_each, _numbers)),
    "capitals and leet": _Kind(partial(_each, lambda answer, _: answer.upper().translate(_LEET))),
    "refusal behind a remark": _Kind(partial(_each, _refusal_behind_a_remark)),
    "half German": _Kind(partial(_each, _half_german)),
    "misspelt": _Kind(partial(_each, _misspelt)),
    "every fourth word another": _Kind(partial(_each, _other_words)),
    "no spaces": _Kind(partial(_each, lambda answer, _: "".join(answer.split()))),
    "as JSON": _Kind(partial(_each, lambda answer, _: json.dumps({"answer": answer}))),
    "goes on with the next turn": _Kind(_next_turn),
    "advert at the end": _Kind(partial(_each, lambda answer, _: f"{answer} {_ADVERT}")),
    "junk at the end": _Kind(partial(_each, lambda answer, _: f"{answer} {_JUNK}")),
}

_CUT_OFF = {name for name, kind in _KINDS.items() if kind.cut_off}

BROKEN: Mapping[str, Breaking] = {
    **{name: kind.breaking for name, kind in _KINDS.items()},
    "10% refusals": partial(_some, 0.1, _KINDS["refusals"].breaking),
    "10% empty": partial(_some, 0.1, _KINDS["empty"].breaking),
    **{
        f"15% {name}": partial(_some, 0.15, kind.breaking)
        for name, kind in _KINDS.items()
        if kind.in_some and name not in ("refusals", "empty")
    },
}
"""Every way to break answers, by its name."""


def break_answers(answers: pa.Table, kind: str, seed: int) -> pa.Table:
    """Break answers in one of the ways of `BROKEN`.

    Args:
        answers: `tables.ANSWERS` of one model.
        kind: A key of `BROKEN`.
        seed: Decides which answers and words, where that is by chance.

    Returns:
        The same rows with other answers. What a cutting kind has changed is not finished.
    """
    prompts = [" ".join(m["content"] for m in prompt) for prompt in answers["prompt"].to_pylist()]
    texts = answers["answer"].to_pylist()
    broken = BROKEN[kind](prompts, texts, Random(f"{seed} {kind}"))  # noqa: S311 -- seeded on purpose
    cuts = kind.removeprefix("15% ") in _CUT_OFF
    finished = [
        was and not (cuts and before != after)
        for was, before, after in zip(answers["finished"].to_pylist(), texts, broken, strict=True)
    ]
    return pa.table(
        {
            **{name: answers[name] for name in ("prompt_id", "prompt", "draw")},
            "answer": pa.array(broken, pa.string()),
            "finished": pa.array(finished, pa.bool_()),
        },
        schema=ANSWERS,
    )
