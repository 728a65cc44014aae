"""Topics: groups of prompts about the same things, so that the collapse of one is seen."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import stats

from thumbwheel.config import Guard
from thumbwheel.types import Prompt

__all__ = ["Collapse", "collapsed_topics", "topics"]

Array = npt.NDArray[np.float64]

_FEWEST = 8
"""Prompts of a topic, about which something is to be said."""
_MOST_TOPICS = 8
_PER_TOPIC = 25
_LABEL_WORDS = 2
_LEVEL = 0.05
_STARTS = 5
_NOTHING = 1e-9
"""What rounding may leave of a difference that is none."""
# Letters only: numbers say little about what a prompt is about.
_WORD = r"(?u)\b[^\W\d_]{2,}\b"


def topics(prompts: Mapping[str, Prompt], *, seed: int) -> dict[str, str]:
    """Group prompts by their words.

    k-means on TF-IDF vectors (scikit-learn), with one topic for every 25 prompts, at most eight. A
    topic of fewer than eight prompts is joined with that which lies next.

    Args:
        prompts: By prompt id.
        seed: The same seed and prompts give the same topics, in whatever order.

    Returns:
        For each prompt id its topic's label: the two most typical words, such as `capital, france`.
        All have one label, `all`, where there are too few prompts to tell topics apart.
    """
    from sklearn.cluster import KMeans
    from sklearn.feature_extraction.text import TfidfVectorizer

    ids = sorted(prompts)
    n_topics = min(_MOST_TOPICS, len(ids) // _PER_TOPIC)
    alone = dict.fromkeys(ids, "all")
    if n_topics < 2:
        return alone
    texts = [" ".join(message["content"] for message in prompts[name]) for name in ids]
    try:
        vectorizer = TfidfVectorizer(
            sublinear_tf=True,
            token_pattern=_WORD,
            stop_words="english",
            min_df=2,
            max_df=0.5,
            max_features=5000,
        )
        vectors = vectorizer.fit_transform(texts).toarray()
    except ValueError:  # no word is in two prompts
        return alone
    n_topics = min(n_topics, len(np.unique(vectors, axis=0)))
    means = KMeans(n_topics, n_init=_STARTS, random_state=seed).fit(vectors)
    of_prompt = _join_small(vectors, means.labels_)
    words = vectorizer.get_feature_names_out()
    labels = _labels(vectors, of_prompt, words)
    return {name: labels[int(topic)] for name, topic in zip(ids, of_prompt, strict=True)}


def _join_small(vectors: Array, of_prompt: npt.NDArray[np.int_]) -> npt.NDArray[np.int_]:
    """Give the prompts of small topics to the next topic, the smallest first."""
    of_prompt = of_prompt.copy()
    while True:
        names, sizes = np.unique(of_prompt, return_counts=True)
        if len(names) == 1 or sizes.min() >= _FEWEST:
            return of_prompt
        smallest = names[np.argmin(sizes)]
        centres = {name: vectors[of_prompt == name].mean(axis=0) for name in names}
        others = [name for name in names if name != smallest]
        distances = [np.linalg.norm(centres[name] - centres[smallest]) for name in others]
        of_prompt[of_prompt == smallest] = others[int(np.argmin(distances))]


def _labels(
    vectors: Array, of_prompt: npt.NDArray[np.int_], words: Sequence[str]
) -> dict[int, str]:
    """Name each topic by the words that are more typical of it than of all prompts."""
    labels: dict[int, str] = {}
    for topic in np.unique(of_prompt):
        excess = vectors[of_prompt == topic].mean(axis=0) - vectors.mean(axis=0)
        label = ", ".join(words[index] for index in np.argsort(-excess)[:_LABEL_WORDS])
        labels[int(topic)] = label if label not in labels.values() else f"{label} ({topic})"
    return labels


@dataclass(frozen=True, slots=True)
class Collapse:
    """A guard's metric that is credibly beyond its margin in one topic.

    Attributes:
        topic: Its label.
        metric: The guard's metric.
        champion: Its mean there.
        candidate: The candidate's.
        margin: The change that the guard allows, in the metric's unit, signed.
        n: Prompts of the topic.
    """

    topic: str
    metric: str
    champion: float
    candidate: float
    margin: float
    n: int

    @property
    def reason(self) -> str:
        """What to say."""
        direction = "dropped" if self.margin < 0 else "rose"
        return (
            f"{self.metric} {direction} from {self.champion:.3g} to {self.candidate:.3g} on the "
            f"{self.n} prompts about {self.topic}, more than the {abs(self.margin):.3g} allowed"
        )


def collapsed_topics(
    values: Mapping[str, Mapping[str, Mapping[str, float]]],
    of_prompt: Mapping[str, str],
    guards: Sequence[Guard],
) -> list[Collapse]:
    """Return where a guard's metric is credibly worse than its margin within one topic.

    Unlike over all prompts, where a candidate must show that it is within the margin, it is refused
    here only where it is shown to be beyond: a one-sided t-test of 5%, divided by the number of
    topics and sides of guards (Bonferroni), so that few harmless candidates are.

    Args:
        values: Of `champion` and `candidate`, by metric and prompt id. A metric of one model only
            is none. What is a comparison by itself, such as a win rate, has 0.5 for the champion.
        of_prompt: The topic of each prompt id, as from `topics`; other prompts are left out.
        guards: Their metrics, sides and margins.
    """
    names = sorted({*of_prompt.values()})
    sides = [
        (guard, sign * margin)
        for guard in guards
        for sign, margin in ((-1, guard.max_drop), (1, guard.max_rise))
        if margin is not None
    ]
    level = _LEVEL / max(len(names) * len(sides), 1)
    found = []
    for guard, margin in sides:
        champion = values["champion"].get(guard.metric, {})
        candidate = values["candidate"].get(guard.metric, {})
        for topic in names:
            ids = sorted(
                name
                for name in champion.keys() & candidate.keys() & of_prompt.keys()
                if of_prompt[name] == topic
            )
            before = np.array([champion[name] for name in ids])
            after = np.array([candidate[name] for name in ids])
            if len(ids) >= _FEWEST and _is_beyond(before, after, margin, guard.relative, level):
                allowed = margin * (abs(before.mean()) if guard.relative else 1.0)
                found.append(
                    Collapse(
                        topic,
                        guard.metric,
                        float(before.mean()),
                        float(after.mean()),
                        float(allowed),
                        len(ids),
                    )
                )
    return found


def _is_beyond(
    champion: Array, candidate: Array, margin: float, relative: bool, level: float
) -> bool:
    """Return whether the mean change is beyond a signed margin, by a one-sided t-test.

    A relative margin is tested on candidate - (1 + margin) champion, so that the champion's mean,
    which is as uncertain, is not taken as known.
    """
    allowed = margin * np.abs(champion) if relative else margin
    excess = (candidate - champion - allowed) * math.copysign(1, margin)
    mean, spread = float(np.mean(excess)), float(np.std(excess, ddof=1))
    if not math.isfinite(mean) or mean < _NOTHING:
        return False
    if spread < _NOTHING:
        return True
    t = mean / (spread / math.sqrt(len(excess)))
    return bool(stats.t.sf(t, len(excess) - 1) < level)
