"""How often a judge prefers the candidate's answers, prompt by prompt, with and without length."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from thumbwheel.evidence.judges.judge import Judge, Meeting, Pairings, preferences
from thumbwheel.types import Prompt

__all__ = ["Wins", "length_controlled", "win_shares"]

_ROUNDING = 1e-9


@dataclass(frozen=True, slots=True)
class Wins:
    """What a judge says of two models' answers, by prompt id.

    Attributes:
        shares: Share of the comparisons that the judge decided, in [0, 1], in which it prefers the
            candidate's answer; ties half. A prompt of which it decided none is absent.
        length_differences: Mean length of the candidate's answers less that of the champion's, in
            characters; for the same prompts.
        n_comparisons: Meetings of two answers, over all prompts.
        n_abstained: Those of which the judge said nothing.
    """

    shares: Mapping[str, float]
    length_differences: Mapping[str, float]
    n_comparisons: int
    n_abstained: int


def win_shares(judge: Judge, candidate: pa.Table, champion: pa.Table) -> Wins:
    """Let a judge compare the answers of two models.

    All meetings of k answers each are k² comparisons of a prompt, which take most of the luck of
    sampling out of its share; the k meetings of the same draw are for a judge that costs.

    Args:
        judge: Who compares.
        candidate: The candidate's answers, `tables.ANSWERS`.
        champion: The champion's. Only prompts that both answered are compared.
    """
    ours, theirs = _answers(candidate), _answers(champion)
    meetings = [
        Meeting(prompt_id, prompt, text, other)
        for prompt_id, (prompt, texts) in sorted(ours.items())
        if prompt_id in theirs
        for text, other in _meet(texts, theirs[prompt_id][1], judge.pairings)
    ]
    preferred: dict[str, list[float]] = {}
    for meeting, preference in zip(meetings, preferences(judge, meetings), strict=True):
        if not np.isnan(preference):
            preferred.setdefault(meeting.prompt_id, []).append(preference)
    n_decided = sum(map(len, preferred.values()))
    return Wins(
        {prompt_id: float(np.mean(shares)) for prompt_id, shares in preferred.items()},
        {
            prompt_id: _mean_length(ours[prompt_id][1]) - _mean_length(theirs[prompt_id][1])
            for prompt_id in preferred
        },
        n_comparisons=len(meetings),
        n_abstained=len(meetings) - n_decided,
    )


def length_controlled(wins: Wins) -> dict[str, float]:
    """Return the shares without what goes with length, by prompt id.

    After Dubois et al. 2024, "Length-Controlled AlpacaEval" (arXiv 2404.04475, section 3): there a
    logistic regression explains each preference by the model, by tanh of the length difference over
    its standard deviation, and by how hard the prompt is, and the win rate is read off with the
    term of length at zero. Here a prompt's share w comes of many comparisons and is no single
    choice, so the same term is fitted by least squares, w = a + phi tanh(d / sd), and taken off:
    w - phi tanh(d / sd). What is left is one value per prompt again, for the same intervals and
    tests as the shares, and may leave [0, 1]. There is no term for hard prompts, because each
    prompt is its own control. As there, phi is learnt from how the difference varies between
    prompts: answers that are longer by the same length everywhere keep their shares.
    """
    shares = np.array(list(wins.shares.values()), dtype=np.float64)
    lengths = np.array([wins.length_differences[name] for name in wins.shares], dtype=np.float64)
    if not (len(lengths) and np.ptp(lengths) > 0):
        return dict(wins.shares)
    term = np.tanh(lengths / lengths.std())
    centred = term - term.mean()
    # Far from zero the term hardly changes, and nothing can be told from how it does.
    if not np.ptp(term) > _ROUNDING:
        return dict(wins.shares)
    phi = float(centred @ shares / (centred @ centred))
    return dict(zip(wins.shares, (shares - phi * term).tolist(), strict=True))


def _answers(answers: pa.Table) -> dict[str, tuple[Prompt, dict[int, str]]]:
    """Return each prompt with its answers by draw."""
    columns = (answers[name].to_pylist() for name in ("prompt_id", "prompt", "draw", "answer"))
    by_prompt: dict[str, tuple[Prompt, dict[int, str]]] = {}
    for prompt_id, prompt, draw, answer in zip(*columns, strict=True):
        by_prompt.setdefault(prompt_id, (prompt, {}))[1][draw] = answer
    return by_prompt


def _meet(
    ours: Mapping[int, str], theirs: Mapping[int, str], pairings: Pairings
) -> Iterator[tuple[str, str]]:
    for draw, text in sorted(ours.items()):
        for other_draw, other in sorted(theirs.items()):
            if pairings == "all" or draw == other_draw:
                yield text, other


def _mean_length(answers: Mapping[int, str]) -> float:
    return sum(map(len, answers.values())) / len(answers)
