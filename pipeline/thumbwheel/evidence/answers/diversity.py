"""How different answers are: over a whole set of prompts, and among those to one prompt."""

from collections import Counter
from collections.abc import Sequence

import numpy as np

from thumbwheel.evidence.answers.words import n_grams, words_of

__all__ = ["distinct_n", "self_bleu", "vendi"]

_MAX_REFERENCES = 100
_KERNEL_GRAMS = (1, 2)


def distinct_n(texts: Sequence[str], n: int) -> list[float]:
    """Return each text's share in distinct-n, the ratio of distinct to all n-grams.

    Li et al. 2016 (arXiv 1510.03055, section 5.2) define distinct-n over a whole set. An n-gram
    that occurs c times in the set counts 1/c each time, so that the sum over the set is the number
    of distinct n-grams; a text's value is the mean over its n-grams, or 0 when it has none.
    """
    grams = [n_grams(words_of(text), n) for text in texts]
    counts = Counter(gram for text in grams for gram in text)
    return [sum(1 / counts[gram] for gram in text) / max(len(text), 1) for text in grams]


def self_bleu(texts: Sequence[str]) -> list[float]:
    """Return each text's BLEU against the others, in [0, 1]; 1 means they are all the same.

    Zhu et al. 2018 (arXiv 1802.01886, section 3.3), with sacrebleu's sentence BLEU. In large sets
    the references are the next 100 texts.
    """
    from sacrebleu.metrics import BLEU

    metric = BLEU(effective_order=True)
    doubled = [*texts, *texts]
    reach = min(len(texts) - 1, _MAX_REFERENCES)
    if reach < 1:
        return [0.0] * len(texts)
    return [
        metric.sentence_score(text, doubled[index + 1 : index + 1 + reach]).score / 100
        for index, text in enumerate(texts)
    ]


def vendi(texts: Sequence[str]) -> float:
    """Return the share of texts that are effectively different, in (0, 1]; 1 for a single text.

    The Vendi score (Friedman and Dieng 2023, arXiv 2210.02410, eq. 1) is the exponential of the
    entropy of the eigenvalues of K/n, with K here the cosine of counts of words and pairs of words.
    It is divided by n, so that texts without a common word give 1 and n times one text 1/n.
    """
    counts = [
        Counter(gram for n in _KERNEL_GRAMS for gram in n_grams(words_of(text), n))
        for text in texts
    ]
    columns = {
        gram: column for column, gram in enumerate({gram for text in counts for gram in text})
    }
    # A text without words is alike to others of its kind only.
    vectors = np.zeros((len(texts), len(columns) + 1))
    for row, text in enumerate(counts):
        vectors[row, [columns[gram] for gram in text]] = [*text.values()]
        vectors[row, -1] = not text
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    shares = np.linalg.eigvalsh(vectors @ vectors.T / len(texts))
    shares = shares[shares > 0]
    return float(np.exp(-np.sum(shares * np.log(shares))) / len(texts))
