"""What can be shown with the feedback at hand, before anything is trained.

The champion answers the prompts, against itself: how far its win rate over other answers of its own
strays says how large a gain must be to stand out, and how often a guard would mistake chance for
harm.
"""

from dataclasses import dataclass, replace

import numpy as np
import pyarrow.compute as pc

from thumbwheel.config import Config, GateConfig
from thumbwheel.evidence.answers import (
    COUNTS,
    NeededAnswers,
    measure_draws,
    needed_answers,
    out_of_distribution_prompts,
)
from thumbwheel.evidence.asked import Asked
from thumbwheel.evidence.bench import Bench
from thumbwheel.evidence.budget import one_share
from thumbwheel.evidence.evaluation import answer
from thumbwheel.evidence.gate import JUDGED
from thumbwheel.evidence.judges import Judge, win_shares
from thumbwheel.measures.statistics import cluster_means, clusters_needed, smallest_gain
from thumbwheel.types import EvidencePlan, LanguageModel

__all__ = ["Pace", "doubt", "in_a_line", "plan_evidence"]

_WIDEST = 0.35
"""Standard deviation of a win rate over clusters where it was not measured."""

_NARROWEST = 0.15
"""The least that is believed: answers of one model differ less than those of two."""

_POWER = 0.8

_LARGEST_GAIN = 0.5
"""In win rate: a half is the champion's, and more than every answer cannot be won."""

_TRIED = 4
"""Answers of the champion to each prompt, from which it is told how many there have to be."""


@dataclass(frozen=True, slots=True)
class Pace:
    """How many votes there are, and how many come in a week, if that is known."""

    votes: int
    per_week: float | None


def plan_evidence(
    champion: LanguageModel,
    base: LanguageModel,
    asked: Asked,
    bench: Bench,
    config: Config,
    *,
    level: float,
    first_draw: int,
    pace: Pace,
) -> EvidencePlan:
    """Return what a candidate can be shown to be.

    Args:
        champion: The model to beat.
        base: The frozen base.
        asked: The prompts.
        bench: The judges and their licences.
        config: The gate's rules.
        level: What the next look may spend.
        first_draw: Number of the first answer to each prompt.
        pace: Of the votes.
    """
    needed = _answers(champion, base, asked, config, first_draw)
    plan = EvidencePlan(
        licences=bench.licences,
        judge=bench.judge.name if bench.judge else None,
        n_open=len(asked.open),
        n_sealed=len(asked.sealed),
        n_clusters=len({asked.clusters[prompt] for prompt in asked.sealed}),
        answers=needed.answers,
        first_draw=first_draw,
        harmless=needed.chance,
        hardest=needed.hardest,
        sd=_WIDEST,
        level=level,
        smallest_gain=0.0,
        clusters_needed=None,
    )
    if bench.judge is not None:
        plan = replace(plan, sd=_spread(champion, asked, bench.judge, plan))
    # A budget that is spent is there again in time: the votes that it takes are those at a share.
    level = level or one_share(
        tests_per_year=config.gate.tests_per_year,
        false_promotions=config.gate.false_promotions,
    )
    clusters = clusters_needed(config.gate.gain, plan.sd, level, _POWER)
    missing = max(0, (clusters or 0) - plan.n_clusters)
    votes = round(missing / plan.n_clusters * pace.votes)
    return replace(
        plan,
        smallest_gain=smallest_gain(plan.n_clusters, plan.sd, level, _POWER),
        clusters_needed=clusters,
        votes_needed=votes,
        weeks_needed=votes / pace.per_week if pace.per_week else None,
    )


def _answers(
    champion: LanguageModel, base: LanguageModel, asked: Asked, config: Config, first_draw: int
) -> NeededAnswers:
    """Return how many answers to each prompt there are to be: as configured, or as guards need."""
    wanted, seed = config.evaluation.answers, config.evaluation.seed
    elsewhere = out_of_distribution_prompts(config.evaluation.out_of_distribution)
    of_app, of_others = (
        measure_draws(
            answer(champion, prompts, wanted or _TRIED, first=first_draw), base, champion, seed=seed
        )
        for prompts in (asked.prompts, elsewhere)
    )
    return needed_answers(
        {**of_app, **{f"ood_{metric}": values for metric, values in of_others.items()}},
        config.gate.guards,
        len(asked.prompts),
        counts=(wanted,) if wanted else COUNTS,
        seed=seed,
    )


def _spread(champion: LanguageModel, asked: Asked, judge: Judge, plan: EvidencePlan) -> float:
    """Return the standard deviation over clusters of the win rate of half the answers over others.

    Half as many answers stray more, in place of what prompts do to two models that differ.
    """
    half = max(1, plan.answers // 2)
    drawn = answer(champion, asked.prompts, 2 * half, first=plan.first_draw)
    one, other = (
        drawn.filter(pc.equal(pc.less(drawn["draw"], half), is_first)) for is_first in (True, False)
    )
    wins = win_shares(judge, one, other).shares
    means = cluster_means(list(wins.values()), [asked.clusters[prompt] for prompt in wins])
    if len(means) < 2:
        return _WIDEST
    return float(np.clip(np.std(means, ddof=1), _NARROWEST, _WIDEST))


def in_a_line(plan: EvidencePlan) -> str:
    """Return what matters most of a plan."""
    judge = next((licence for licence in plan.licences if licence.judge == plan.judge), None)
    who = (
        f"{judge.judge} may decide (agrees with {judge.accuracy.value:.0%} of unseen votes)"
        if judge is not None
        else "no judge may decide yet"
    )
    return (
        f"{who}; {plan.n_sealed:,} held-out prompts can show a gain of "
        f"{plan.smallest_gain:.2g}; harmless candidates pass the guards in {plan.harmless:.0%}"
    )


def doubt(plan: EvidencePlan, config: GateConfig) -> str | None:
    """Return why a candidate will hardly be promoted, whatever it is; None where it may be."""
    if plan.judge is None and any(name.startswith(JUDGED) for name in config.improve):
        return (
            "no judge may decide yet, so that the candidate will be refused unless people compare "
            "its answers (`thumbwheel annotate`, then `thumbwheel decide`); `thumbwheel power` "
            "says what a judge lacks"
        )
    if plan.smallest_gain > _LARGEST_GAIN:
        return (
            f"the {plan.n_clusters:,} clusters of held-out prompts cannot show any gain at the "
            f"level that the error budget leaves ({plan.level:.2%}), so that the candidate will be "
            "refused; `thumbwheel power` says how many votes it takes"
        )
    return None
