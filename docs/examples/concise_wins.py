"""A pairing rule of one's own: of two well-liked answers, the shorter one is better."""

from collections.abc import Iterable, Sequence
from itertools import combinations

from pydantic.dataclasses import dataclass

from thumbwheel.authoring import PairEachPrompt, PreferencePair, Prompt, RatedCompletion


@dataclass(frozen=True)
class ConciseWins(PairEachPrompt):
    """Pairs liked answers of very different length, the shorter one chosen."""

    min_ratio: float = 2.0

    def pair_prompt(
        self, prompt: Prompt, completions: Sequence[RatedCompletion]
    ) -> Iterable[PreferencePair]:
        """Yield a pair for every two liked answers of which one is much longer."""
        liked = sorted((c for c in completions if c.score > 0), key=lambda c: len(c.completion))
        for short, long in combinations(liked, 2):
            if len(long.completion) >= self.min_ratio * len(short.completion):
                yield PreferencePair(chosen=short, rejected=long, confidence=0.9)
