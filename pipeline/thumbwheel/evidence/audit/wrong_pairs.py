"""How many pairs are the wrong way round, by what most raters would say.

A pair is wrong where most raters would prefer its rejected answer; of two answers that are equally
good it is so by half. Nobody has asked most raters, but those who judged the same thing show how
far one speaks for others: where they hardly agree, few of the differences between answers that
single votes show are there. `measures.variance_components` has the model.

Style that the configuration balances away is no merit: an answer that has more of it, and its votes
for that alone, is not better. So where votes follow length, a pair of unlike lengths says little.

What misleads all raters alike does not show: neither a taste that all of them share and that is not
what is wanted, nor many who vote together.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from thumbwheel.evidence.audit.agreement import choices, of_named, votes_on_answers
from thumbwheel.evidence.audit.report import FEWEST, WrongPairs
from thumbwheel.measures.style import FEATURES, style_features
from thumbwheel.measures.variance_components import Judgements
from thumbwheel.store import RATED_FILE
from thumbwheel.types import Estimate

__all__ = ["RatedAnswers", "estimate_wrong_pairs", "rated_answers"]

Array = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]

_RESAMPLES = 200
_COVERAGE = 0.95
# More prompts make the interval no narrower than matters, and take longer.
_MOST_PROMPTS = 2000
_BENDS = (0.1, 0.3, 0.5, 0.7, 0.9)
_COLUMNS = (*FEATURES, *("length" for _ in _BENDS))
_OF_CHOICES = ("comparison", "annotation")


class RatedAnswers(NamedTuple):
    """Answers to some prompts, with their texts.

    Attributes:
        table: `prompt_id`, `completion_id` and `completion` of `tables.RATED`: all answers to each
            prompt.
        drawn: The prompts that were chosen without a look at votes or pairs. How far votes can be
            trusted is told by these: prompts that have pairs are those whose votes differ, be it by
            chance.
    """

    table: pa.Table
    drawn: pa.Array


def rated_answers(snapshot: Path, pairs: pa.Table, seed: int) -> RatedAnswers:
    """Read the answers to some prompts that have pairs, and to some drawn from all.

    Args:
        snapshot: The directory of `store.Snapshot`.
        pairs: `tables.PAIRS`.
        seed: Of the draw.
    """
    names = ["prompt_id", "completion_id", "completion"]
    counted = pq.read_table(snapshot / RATED_FILE, columns=names[:1]).group_by("prompt_id")
    answers = counted.aggregate([([], "count_all")]).sort_by("prompt_id")
    several = answers.filter(pc.greater(answers["count_all"], 1))["prompt_id"].combine_chunks()
    rng = np.random.default_rng(seed)
    drawn, paired = (_some(ids, rng) for ids in (several, pairs["prompt_id"].unique().sort()))
    wanted = pc.unique(pa.chunked_array([drawn, paired]))
    taken = pc.is_in(pc.field("prompt_id"), wanted)
    return RatedAnswers(pq.read_table(snapshot / RATED_FILE, columns=names, filters=taken), drawn)


def _some(prompts: pa.Array, rng: np.random.Generator) -> pa.Array:
    if len(prompts) <= _MOST_PROMPTS:
        return prompts
    return prompts.take(pa.array(rng.choice(len(prompts), _MOST_PROMPTS, replace=False)))


def estimate_wrong_pairs(
    pairs: pa.Table, rated: RatedAnswers, votes: pa.Table, no_merit: Sequence[str], seed: int
) -> WrongPairs:
    """Estimate the share of pairs that are the wrong way round.

    Pairs of side-by-side judgements are held against such judgements, those of raters who graded
    both answers against differences of each rater's grades, others against votes on their answers.
    Corrections and what a model wrote have no second rater, and are left out. The interval is a
    bootstrap over prompts, in which each pair is wrong or not by its chance.

    Args:
        pairs: `tables.PAIRS`; those whose answers are not among the rated are left out.
        rated: The answers.
        votes: `tables.VOTES`.
        no_merit: Features of style that make no answer better.
        seed: Of the resampling.
    """
    n_prompts = len(pairs["prompt_id"].unique())
    if n_prompts < FEWEST:
        return _untold(f"there are {n_prompts:,} prompts, and it takes {FEWEST}")
    answers = _Answers.of(rated)
    pairs = pairs.filter(pc.is_in(pairs["prompt_id"], rated.table["prompt_id"].unique()))
    votes = of_named(votes.filter(pc.is_in(votes["completion_id"], answers.ids)))
    if not len(votes):
        return _untold("no vote names its rater")
    first, second = (_numbers(pairs[side], answers.ids) for side in ("chosen_id", "rejected_id"))
    alone, origins = votes_on_answers(votes), pairs["origin"].to_numpy(zero_copy_only=False)
    is_vote, is_grade = origins == "votes", origins == "grades"
    is_choice = np.isin(origins, _OF_CHOICES)
    graded = _differences(answers, alone if is_grade.any() else alone.slice(0, 0))
    kinds = [
        _by_votes(answers, alone, first[is_vote], second[is_vote]),
        _by_choices(answers, graded, first[is_grade], second[is_grade]),
        _by_choices(answers, choices(votes), first[is_choice], second[is_choice]),
    ]
    told = [kind for kind in kinds if kind is not None and len(kind.first)]
    if not told:
        return _untold(f"fewer than {FEWEST} prompts have an answer that two raters judged")
    group = np.concatenate([answers.prompt[kind.first] for kind in told])
    is_merit = np.array([name not in no_merit for name in _COLUMNS])

    def chances(times: Array) -> Array:
        return np.concatenate([kind.wrong(times * answers.is_drawn, is_merit) for kind in told])

    rng = np.random.default_rng(seed)
    n = len(answers.is_drawn)
    resampled = []
    for _ in range(_RESAMPLES):
        times = rng.multinomial(n, np.full(n, 1 / n)).astype(np.float64)
        is_wrong = rng.random(len(group)) < chances(times)
        if (weight := times[group].sum()) > 0:
            resampled.append(float(times[group] @ is_wrong / weight))
    low, high = np.quantile(resampled, [(1 - _COVERAGE) / 2, (1 + _COVERAGE) / 2])
    value = float(chances(np.ones(n)).mean())
    share = Estimate(value, min(float(low), value), max(float(high), value), len(np.unique(group)))
    return WrongPairs(share, len(group))


def _untold(reason: str) -> WrongPairs:
    return WrongPairs(None, 0, reason)


class _Answers(NamedTuple):
    """The answers: identities, number of the prompt, style; shape (answers, ...).

    `is_drawn` is 1 for prompts that were drawn from all, shape (prompts,).
    """

    ids: pa.Array
    prompt: Integers
    style: Array
    is_drawn: Array

    @classmethod
    def of(cls, rated: RatedAnswers) -> "_Answers":
        prompts = rated.table["prompt_id"].unique().sort()
        style = style_features(rated.table["completion"])
        # Votes follow length in no straight line: what is long is up already, or too long.
        length = style[:, [FEATURES.index("length")]]
        bends = np.maximum(length - np.quantile(length, _BENDS), 0) if len(length) else length
        return cls(
            rated.table["completion_id"].combine_chunks(),
            _numbers(rated.table["prompt_id"], prompts),
            np.column_stack([style, bends]),
            pc.is_in(prompts, rated.drawn).to_numpy(zero_copy_only=False).astype(np.float64),
        )


class _Kind(NamedTuple):
    """Judgements of one kind, and the pairs that are held against them.

    `first` and `second` are the numbers of chosen and rejected answers. `unit` is the number of
    their comparison, and `sign` whether it is told from the chosen answer's side; None for votes.
    """

    judgements: Judgements
    first: Integers
    second: Integers
    unit: Integers | None = None
    sign: Integers | None = None

    def wrong(self, times: Array, merits: npt.NDArray[np.bool_]) -> Array:
        components = self.judgements.components(times)
        if self.unit is None or self.sign is None:
            return 1 - components.better(self.first, self.second, merits)
        positive = components.positive(self.unit, merits)
        return np.where(self.sign > 0, 1 - positive, positive)


def _by_votes(
    answers: _Answers, judged: pa.Table, first: Integers, second: Integers
) -> _Kind | None:
    unit = _numbers(judged["completion_id"], answers.ids)
    judgements = Judgements(
        unit, _codes(judged["rater"]), judged["value"].to_numpy(), answers.prompt, answers.style
    )
    return _Kind(judgements, first, second) if _is_enough(judgements) else None


def _by_choices(
    answers: _Answers, judged: pa.Table, first: Integers, second: Integers
) -> _Kind | None:
    n = len(answers.ids)
    one, other = (_numbers(judged[side], answers.ids) for side in ("first", "second"))
    units, unit = np.unique(one * n + other, return_inverse=True)
    one, other = units // n, units % n
    judgements = Judgements(
        unit,
        _codes(judged["rater"]),
        judged["value"].to_numpy(),
        answers.prompt[one],
        answers.style[one] - answers.style[other],
        is_contrast=True,
    )
    if not _is_enough(judgements):
        return None
    # Ids tell which of two answers is the first of a comparison.
    numbers = pa.array(units)
    ahead, behind = (
        pc.fill_null(pc.index_in(pa.array(key), numbers), -1).to_numpy().astype(np.int64)
        for key in (first * n + second, second * n + first)
    )
    where = np.maximum(ahead, behind)
    is_known = where >= 0
    return _Kind(
        judgements,
        first[is_known],
        second[is_known],
        where[is_known],
        np.where(ahead >= 0, 1, -1)[is_known],
    )


def _differences(answers: _Answers, judged: pa.Table) -> pa.Table:
    """Return which of two answers to a prompt each rater of both voted higher, as `choices`."""
    prompt = pa.array(answers.prompt[_numbers(judged["completion_id"], answers.ids)])
    judged = judged.append_column("prompt", prompt)
    both = judged.join(judged, ["prompt", "rater"], join_type="inner", right_suffix="_other")
    both = both.filter(pc.less(both["completion_id"], both["completion_id_other"]))
    lead = pc.cast(pc.sign(pc.subtract(both["value"], both["value_other"])), pa.float64())
    return pa.table(
        [both["completion_id"], both["completion_id_other"], both["rater"], lead],
        names=["first", "second", "rater", "value"],
    )


def _is_enough(judgements: Judgements) -> bool:
    """Tell whether two raters judged the same thing in prompts enough."""
    return len(np.unique(judgements.group[judgements.n > 1])) >= FEWEST


def _numbers(names: pa.ChunkedArray, known: pa.Array) -> Integers:
    numbers: Integers = pc.index_in(names, known).to_numpy().astype(np.int64)
    return numbers


def _codes(names: pa.ChunkedArray) -> Integers:
    """Return a number for each name, whatever their order."""
    return _numbers(names, names.unique().sort())
