"""Near-duplicate prompts: found exactly, told from templates, the same everywhere."""

import random
from itertools import combinations

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from thumbwheel.demo.facts import FACTS
from thumbwheel.events import cluster_id
from thumbwheel.measures.near_duplicates import cluster_fingerprints, cluster_prompts, fingerprints
from thumbwheel.measures.near_duplicates.similarity_join import Signatures, similar_pairs
from thumbwheel.tables import MESSAGES

WORDS = [f"word{number}" for number in range(3000)]


def user(text):
    return [{"role": "user", "content": text}]


def text_of(rng, n_words):
    return " ".join(rng.choices(WORDS, k=n_words))


def clusters(texts, threshold=0.8):
    return cluster_prompts([user(text) for text in texts], threshold).to_pylist()


def together(first, second, threshold=0.8):
    one, other = clusters([first, second], threshold)
    return one == other


def test_short_questions_that_differ_in_one_word_are_apart():
    """No two questions of the planted world are merged: the capital of Iran is not that of Iraq."""
    prompts = [user(fact.prompt) for fact in FACTS]
    assert cluster_prompts(prompts, 0.8).to_pylist() == [cluster_id(p) for p in prompts]


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("how do I reset my password", "Hi, how do I reset my password?"),
        ("how do I reset my password", "HOW DO I RESET MY PASSWORD!!"),
        ("how do I reset the password please", "how do I reset the password"),
        (
            "東京でおすすめのラーメン屋を三つ教えてください",
            "東京でおすすめのラーメン屋を三つ教えてくださいね",
        ),
    ],
)
def test_the_same_question_in_almost_the_same_words_is_one_cluster(first, second):
    """A greeting, a courtesy, case and punctuation do not make another prompt."""
    assert together(first, second)
    assert not together(first, "and now for something completely different")


def test_a_changed_word_counts_less_the_longer_the_prompt():
    """One changed word takes three shingles away, and brings three new ones."""
    words = text_of(random.Random(0), 60).split()
    for n_words, expected in ((20, False), (60, True)):
        changed = [*words[: n_words // 2], "other", *words[n_words // 2 + 1 : n_words]]
        assert together(" ".join(words[:n_words]), " ".join(changed)) is expected


@given(st.integers(0, 10_000), st.sampled_from([0.3, 0.5, 2 / 3, 0.8, 0.9]))
@settings(max_examples=25, deadline=None)
def test_exactly_the_similar_pairs_are_found(seed, threshold):
    """The join gives what comparing all with all gives, no pair more or less."""
    rng = random.Random(seed)
    sets: list[set[int]] = []
    for _ in range(60):
        base = set(rng.choice(sets)) if sets and rng.random() < 0.6 else set()
        # Hashes below 200 are frequent, and few sets share those above.
        base |= {rng.randrange(rng.choice((200, 1 << 32))) for _ in range(rng.randint(1, 20))}
        sets.append(set(rng.sample(sorted(base), rng.randint(1, len(base)))))
    offsets = np.append(0, np.cumsum([len(s) for s in sets]))
    values = np.array([value for s in sets for value in sorted(s)], np.uint32)
    pairs = similar_pairs(Signatures(offsets, values), threshold)
    rows = zip(pairs.first.tolist(), pairs.second.tolist(), strict=True)
    found = dict(zip(rows, pairs.similarity, strict=True))
    jaccard = {
        (i, j): len(sets[i] & sets[j]) / len(sets[i] | sets[j])
        for i, j in combinations(range(len(sets)), 2)
    }
    assert found == {pair: value for pair, value in jaccard.items() if value >= threshold}


@given(st.randoms(use_true_random=False))
@settings(max_examples=10, deadline=None)
def test_clusters_do_not_depend_on_order_or_company(rng):
    """Shuffled, repeated, as a column or a list: a prompt's cluster is the same."""
    texts = [text_of(rng, 12) for _ in range(20)]
    texts += [f"{rng.choice(['hi', 'so'])} {rng.choice(texts)}" for _ in range(20)]
    expected = dict(zip(texts, clusters(texts), strict=True))
    shuffled = rng.choices(texts, k=20) + rng.sample(texts, len(texts))
    column = pa.chunked_array([pa.array([user(text) for text in shuffled], MESSAGES)])
    assert cluster_prompts(column, 0.8).to_pylist() == [expected[text] for text in shuffled]


def test_a_cluster_is_named_by_its_smallest_member():
    """So a prompt without near-duplicates keeps its own `events.cluster_id`."""
    texts = ["how do I reset my password", "hi how do I reset my password", "what else is new"]
    own = [cluster_id(user(text)) for text in texts]
    assert clusters(texts) == [min(own[:2]), min(own[:2]), own[2]]
    assert clusters(texts, threshold=1.0) == own


def test_near_duplicates_of_near_duplicates_are_one_cluster():
    """A chain of small edits is one cluster, though its ends are not alike."""
    rng = random.Random(0)
    words = text_of(rng, 120).split()
    chain = [" ".join(words[start : start + 60]) for start in range(0, 60, 5)]
    assert not together(chain[0], chain[-1])
    assert len(set(clusters(chain))) == 1


def test_system_messages_do_not_make_prompts_alike_or_different():
    """Apps put one long system message before everything, or a date into it."""
    rng = random.Random(0)
    rules = text_of(rng, 300)

    def asked(system, text):
        return [{"role": "system", "content": system}, *user(text)]

    prompts = [
        asked(rules, "what is the weather like in the north of Spain"),
        asked(rules, "who wrote the book about the white whale"),
        asked("Today is Friday.", "who wrote the book about the white whale"),
    ]
    first, second, third = cluster_prompts(prompts, 0.8).to_pylist()
    assert first != second == third
    assert len(set(cluster_prompts(prompts, 1.0).to_pylist())) == 3


@pytest.mark.parametrize("n_context", [20, 150, 1000])
def test_a_template_is_no_cluster(n_context):
    """Many questions behind one long text are apart; the same question asked twice is not."""
    rng = random.Random(n_context)
    context = text_of(rng, n_context)
    questions = [text_of(rng, 1 + n_context // 20) for _ in range(200)]
    few, many = ([f"{context} {question}" for question in questions[:n]] for n in (20, 200))
    assert len(set(clusters(few))) < 10
    found = clusters([*many, *(f"{text} please" for text in many)])
    assert len(set(found)) > 150
    assert sum(a == b for a, b in zip(found[:200], found[200:], strict=True)) > 150


def test_long_prompts_are_compared_by_samples():
    """Of 2,000 words a sample tells a few edits from a text that is changed by half."""
    rng = random.Random(0)
    words = text_of(rng, 2000).split()
    edited = [*words[:1000], "other", *words[1001:]]
    assert together(" ".join(words), " ".join(edited))
    assert not together(" ".join(words), " ".join([*words[:1300], *text_of(rng, 700).split()]))
    sizes = [len(s) for s in fingerprints([user(" ".join(words))])["signature"].to_pylist()]
    assert sizes == [256]


def test_prompts_without_words_are_alike_only_by_their_hash():
    """An empty prompt, and system messages alone, are near-duplicates of nothing else."""
    prompts = [user(""), user("?!"), [], *([{"role": "system", "content": s}] for s in "ab")]
    assert cluster_prompts(prompts, 0.5).to_pylist() == [cluster_id(p) for p in prompts]
    assert len(cluster_prompts([], 0.8)) == 0


def test_fingerprints_never_change():
    """Fingerprints outlive the texts they were made of, so they are the same in every release."""
    (fingerprint,) = fingerprints([user("How do I reset my Straße?")]).to_pylist()
    assert fingerprint == {
        "words_id": "50b963e629b98e33e490f0439424acdb",
        "signature": [531227580, 3099444917, 3603997706, 4103721795],
    }
    short = fingerprints([user("hi"), user("hi there")])["signature"].to_pylist()
    assert [len(signature) for signature in short] == [1, 1]
    assert short[0] != short[1]


def test_clusters_are_the_same_when_the_texts_are_gone():
    """Fingerprints of several times together give what the prompts give."""
    rng = random.Random(1)
    texts = [text_of(rng, 15) for _ in range(50)]
    texts += [f"{text} thanks" for text in texts[:20]]
    prompts = [user(text) for text in texts]
    parts = [fingerprints(prompts[:30]), fingerprints(prompts[30:])]
    kept = cluster_fingerprints(pa.concat_tables(parts), 0.8)
    assert kept.equals(cluster_prompts(prompts, 0.8))
    assert len(kept.unique()) == 50
