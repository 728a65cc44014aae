"""Metrics of answers: what each sees, what it leaves alone, and what a real model says to them."""

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from thumbwheel.config import EvaluationConfig
from thumbwheel.errors import DataError
from thumbwheel.evidence.answers import METRICS, measure_answers, measure_draws
from thumbwheel.evidence.answers.diversity import distinct_n, self_bleu, vendi
from thumbwheel.evidence.answers.likelihood import (
    mean_log_probs,
    other_prompts,
    relevance,
    unlikely,
)
from thumbwheel.evidence.answers.texts import copied_prompt, empty, junk, refusals, repetition
from thumbwheel.evidence.answers.words import words_of
from thumbwheel.language_model import AdaptedModel, load_base
from thumbwheel.tables import ANSWERS
from thumbwheel.types import LogProb, Prompt

TEXTS = st.lists(st.sampled_from(["a b c", "a b d", "e", "", "a b c d e f", "…"]), min_size=1)


def user(text: str) -> Prompt:
    return [{"role": "user", "content": text}]


def answers(texts: dict[str, list[str]]) -> pa.Table:
    return pa.Table.from_pylist(
        [
            {
                "prompt_id": question,
                "prompt": user(question),
                "draw": draw,
                "answer": text,
                "finished": not text.endswith(" and"),
            }
            for question, of_prompt in texts.items()
            for draw, text in enumerate(of_prompt)
        ],
        schema=ANSWERS,
    )


GOOD = answers(
    {
        "What is the capital of France?": ["It is Paris.", "The capital of France is Paris."],
        "Name two large animals of Africa.": ["Elephant, giraffe.", "The hippo and the rhino and"],
        "How do I boil an egg for breakfast?": [
            "I'm sorry, but I can't help with that.",
            "Gently.",
        ],
    }
)


class Associating:
    """A model that likes answers whose first letter is in the prompt."""

    name = "base"

    def log_probs(self, prompts, completions):
        return [
            LogProb(0.0 if completion[0] in prompt[-1]["content"] else -8.0, 4)
            for prompt, completion in zip(prompts, completions, strict=True)
        ]


@pytest.fixture
def base(tiny_model: Path, one_thread: None) -> AdaptedModel:
    return AdaptedModel(
        load_base(tiny_model), "base", settings=EvaluationConfig(batch_size=4), max_length=200
    )


def test_every_metric_of_answers_is_declared_and_measured(base):
    """The values are one per prompt, of the declared metrics; the base is nowhere from itself."""
    values = measure_answers(GOOD, base, base, seed=0)
    declared = {metric.name for metric in METRICS}
    assert len(declared) == len(METRICS)
    assert {n for n in declared if not n.startswith(("ood_", "plain_text"))} == values.keys()
    assert {name.removeprefix("ood_") for name in declared if name.startswith("ood_")} <= {*values}
    ids = {*GOOD["prompt_id"].to_pylist()}
    assert all(by_prompt.keys() == ids for by_prompt in values.values())
    assert set(values["kl_from_base"].values()) == {0.0}
    assert values["refusals"]["How do I boil an egg for breakfast?"] == 0.5
    assert values["cut_off"]["Name two large animals of Africa."] == 0.5
    assert values["length"]["What is the capital of France?"] == (12 + 31) / 2
    scored = mean_log_probs(
        base, [user("What is the capital of France?")] * 2, GOOD["answer"][:2].to_pylist()
    )
    assert values["answer_log_prob"]["What is the capital of France?"] == pytest.approx(
        scored.mean()
    )


def test_a_prompts_values_are_means_over_its_draws(base):
    """What is measured of each draw is told apart, and the order of rows tells nothing."""
    drawn = measure_draws(GOOD.take([5, 3, 1, 0, 2, 4]), base, base, seed=0)
    values = measure_answers(GOOD, base, base, seed=0)
    assert all(len(of_prompt) == 2 for by in drawn.values() for of_prompt in by.values())
    for metric, by_prompt in drawn.items():
        assert {p: np.mean(v) for p, v in by_prompt.items()} == pytest.approx(values[metric])


def test_nothing_to_measure(base):
    """No answers is an error that says so."""
    with pytest.raises(DataError, match="no answers to measure"):
        measure_answers(GOOD[:0], base, base, seed=0)


def test_relevance_of_answers_and_of_swapped_ones():
    """Answers to their own prompts win; those that fit no prompt or all of them are at a half."""
    prompts = [user(letter * 3) for letter in "abcdefgh"]
    ids, draws = list("abcdefgh"), [0] * 8

    def measured(texts):
        base: Any = Associating()
        others = other_prompts(prompts, ids, draws, seed=1)
        log_probs = mean_log_probs(base, prompts, texts)
        return relevance(base, prompts, texts, log_probs, others).mean()

    assert measured([letter + " it is" for letter in "abcdefgh"]) == 1
    assert measured([letter + " it is" for letter in "bcdefgha"]) <= 0.5
    assert measured(["I cannot say"] * 8) == 0.5


def test_the_other_prompt_is_another_and_the_same_for_every_model():
    """It depends on prompt, draw and seed only, and is never the same text, whatever its id."""
    prompts = [user("a"), user("b"), user("a"), user("c")]
    ids = ["1", "2", "3", "4"]
    others = other_prompts(prompts, ids, [0, 0, 0, 0], seed=0)
    assert all(
        other is not None and other != own for other, own in zip(others, prompts, strict=True)
    )
    turned = other_prompts(prompts[::-1], ids[::-1], [0, 0, 0, 0], seed=0)
    assert turned == others[::-1]
    assert len({str(other_prompts(prompts, ids, [0] * 4, seed=s)[0]) for s in range(20)}) == 2
    assert other_prompts([user("a")] * 2, ["1", "2"], [0, 1], seed=0) == [None, None]
    nobody: Any = Associating()
    alone = relevance(nobody, [user("a")], ["a"], np.zeros(1), [None])
    assert alone.tolist() == [0.5]


def test_unlikely_answers_are_told_by_the_sets_own_median():
    """A whole set that moves has none; a few that fall far below the others are counted."""
    good = np.linspace(-1.5, -0.5, 20)
    assert not unlikely(good).any()
    assert not unlikely(good - 3).any()
    assert unlikely(np.append(good, [-6, -5])).tolist() == [0] * 20 + [1, 1]


@pytest.mark.parametrize(
    ("text", "repeats"),
    [
        ("", 0),
        ("The cat sat on the mat, and the dog lay on the rug.", 0),
        ("The capital of France is Paris. Paris became the capital of France early.", 0),
        ("It is Paris. It is Paris.", 1),
        ("yes yes yes yes", 1),
        ("ha" * 300, 1),
        ("!" * 12, 1),
        ("很" * 10, 1),
    ],
)
def test_repetition(text, repeats):
    """Loops of words, letters and marks count; what language repeats by itself does not."""
    assert repetition([text]).tolist() == [repeats]


@pytest.mark.parametrize(
    ("prompt", "answer", "share"),
    [
        ("What is the capital of France?", "The capital of France is Paris.", 0),
        ("What is the capital of France?", "What is the capital of France?", 1),
        ("What is the capital of France?", "What is the capital of France? It is Paris.", 7 / 11),
        ("Who are you?", "Who are you?", 1),
        ("Hi", "Hi", 0),
        ("Translate: the old man walked home", "", 0),
    ],
)
def test_copied_prompt(prompt, answer, share):
    """Echoes count, alone and before an answer; names and taking up the question do not."""
    assert copied_prompt([user(prompt)], [answer]).tolist() == [share]


def test_refusals_behind_a_remark_count():
    """A friendly sentence before it makes a refusal no answer; a song called Sorry is none."""
    refusing = ["What a nice question! I'm sorry, but I can't help with that.", "I cannot assist."]
    answering = ["Sure. Sorry is a song by Justin Bieber.", "A dog can't answer that.", ""]
    assert refusals([*refusing, *answering]).tolist() == [1, 1, 0, 0, 0]


def test_empty_and_junk():
    """Blanks show nothing; broken bytes and special tokens are junk; people's signs are not."""
    assert empty(["", " \n\t", "\u200b\x00", "a", "👍", "?"]).tolist() == [1, 1, 1, 0, 0, 0]
    fine = [
        "naïve café — “quoted” 50 € 👩‍👩‍👧 ☃",
        "if (a < b) { c |= ~d; }\n\tx",
        "日本語。",
        "User: a word for who uses a thing.\nThe user said: no",
        "שלום",
        "Ärger? Ã",
    ]
    assert junk(fine).tolist() == [0] * len(fine)
    assert all(
        junk(["don\u00e2\u20ac\u2122t", "a\ufffdb", "bye<|im_end|>", "[INST] a", "\x1b[0m"]) > 0.1
    )
    assert (
        junk(["Paris.\nUser: And Rome?\nAssistant: Rome.", "Paris\n### Instruction: go"]).min()
        > 0.5
    )


@given(TEXTS)
def test_text_measures_are_shares(texts):
    """All are in [0, 1], of any text."""
    for values in (repetition(texts), empty(texts), junk(texts)):
        assert ((values >= 0) & (values <= 1)).all()
    assert 1 / len(texts) - 1e-9 <= vendi(texts) <= 1 + 1e-9


def test_vendi_counts_different_texts():
    """All the same is 1/n, all different 1, and a copy of each halves it."""
    three = ["red apple", "blue sky", "green grass"]
    assert vendi(["same words here"] * 4) == pytest.approx(1 / 4)
    assert vendi(three) == pytest.approx(1)
    assert vendi(three * 2) == pytest.approx(1 / 2)
    # Texts without words are alike: eigenvalues 1/2, 1/4, 1/4.
    assert vendi(["", "", "a", "b"]) == pytest.approx(2**1.5 / 4)


def test_distinct_n_is_the_ratio_over_the_set():
    """The token-weighted mean of the per-text values is distinct n-grams over all n-grams."""
    texts = ["a b c", "a b d", "e"]
    unigrams = distinct_n(texts, 1)
    assert sum(v * n for v, n in zip(unigrams, [3, 3, 1], strict=True)) == pytest.approx(5)
    assert distinct_n(texts, 2)[2] == 0
    assert distinct_n(["a b", "c d"], 2) == [1, 1]


def test_self_bleu_of_equal_and_of_different_texts():
    """The same text everywhere is 1; texts without a common word near 0; one alone is 0."""
    assert self_bleu(["one two three four five"] * 4) == pytest.approx([1] * 4)
    assert max(self_bleu(["a b c d e f", "g h i j k l", "m n o p q r"])) < 0.1
    assert self_bleu(["alone"]) == [0]


def test_words_of_scripts_without_spaces():
    """They are read by the character, so that n-grams mean something there too."""
    assert words_of("Don't go, 東京!") == ["don", "'", "t", "go", ",", "東", "京", "!"]
