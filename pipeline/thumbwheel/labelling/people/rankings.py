"""From rankings to events: who ranked what above what, as side-by-side judgements."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import combinations
from typing import Any, Literal

from thumbwheel.events import content_id
from thumbwheel.labelling.judgements import generation_event, judgement_events
from thumbwheel.labelling.people.tasks import Task

__all__ = ["Imported", "Pairs", "Ranking", "chosen", "to_events"]

Pairs = Literal["all", "adjacent"]


@dataclass(frozen=True, slots=True)
class Ranking:
    """What one annotator said about one task, as a tool exported it.

    `ranks` names answers by completion_id or as `answer_1`, `answer_2`, ..., each with its rank: 1
    is the best, equal ranks are a tie, None is no number. Where the tool's words cannot be read as
    ranks, `problem` says why.
    """

    task_id: str | None
    annotator: str | None
    ranks: Sequence[tuple[str, int | None]]
    ranked_at: datetime | None = None
    skipped: bool = False
    problem: str | None = None


_CHOICES = {"1": (1, 2), "2": (2, 1), "tie": (1, 1)}


def chosen(
    task_id: str | None,
    annotator: str | None,
    choice: str,
    chosen_at: datetime | None = None,
    *,
    skipped: bool = False,
) -> Ranking:
    """Return what an annotator said of two answers as a ranking.

    Args:
        task_id: The task.
        annotator: Who chose.
        choice: The better answer, `1` or `2`, or `tie`; nothing where none was chosen.
        chosen_at: When.
        skipped: Whether the annotator skipped the task.
    """
    ranks = _CHOICES.get(choice.casefold())
    return Ranking(
        task_id,
        annotator,
        [] if ranks is None else [("answer_1", ranks[0]), ("answer_2", ranks[1])],
        chosen_at,
        skipped,
        problem="what it says is better is none of 1, 2 and tie" if choice and not ranks else None,
    )


@dataclass(frozen=True, slots=True)
class Imported:
    """Events, and what became of the rankings: `n_rankings` are used, the others have a reason.

    `n_ties` counts the twos of completions that a used ranking holds equal: they are events too.
    """

    events: Sequence[Mapping[str, Any]]
    n_rankings: int
    n_judgements: int
    n_ties: int
    skipped: Mapping[str, int]


def to_events(
    tasks: Mapping[str, Task], rankings: Iterable[Ranking], pairs: Pairs, annotator: str | None
) -> Imported:
    """Return the judgements in the rankings as events; the same rankings give the same events.

    Args:
        tasks: By id.
        rankings: In the order of the export; of several by one annotator the latest counts, by
            time where there is one, else by order.
        pairs: `all` compares each answer with each one ranked below, `adjacent` only with those on
            the next rank below.
        annotator: Who is meant where a ranking names nobody.
    """
    skipped: Counter[str] = Counter()
    latest: dict[str, dict[str, _Judged]] = {}
    for ranking in rankings:
        task, who = tasks.get(ranking.task_id or ""), ranking.annotator or annotator
        judged = "its task is not in tasks.jsonl" if task is None else _read(ranking, task)
        if isinstance(judged, _Judged) and who is None:
            judged = "it names no annotator; --annotator gives a name"
        if isinstance(judged, str) or task is None or who is None:
            skipped[str(judged)] += 1
            continue
        of_task = latest.setdefault(task.task_id, {})
        if who in of_task:
            skipped["the same annotator ranked the task again"] += 1
            judged = _later(of_task[who], judged)
        of_task[who] = judged
    events: list[dict[str, Any]] = []
    n_judgements = n_ties = 0
    for task_id, task in tasks.items():
        if task_id in latest:
            events.extend(_generations(task))
        for who, judged in sorted(latest.get(task_id, {}).items()):
            for better, worse in _judgements(judged.ranks, pairs):
                n_judgements += 1
                events.extend(_votes(task, who, better, worse, judged.when))
            for one, other in _ties(judged.ranks):
                n_ties += 1
                events.extend(_votes(task, who, one, other, judged.when, tied=True))
    n_rankings = sum(map(len, latest.values()))
    return Imported(events, n_rankings, n_judgements, n_ties, dict(skipped))


@dataclass(frozen=True, slots=True)
class _Judged:
    """A ranking that can be used: the rank of each completion, in the task's order, and when."""

    ranks: Mapping[str, int]
    when: datetime | None


def _later(one: _Judged, two: _Judged) -> _Judged:
    """Return the later of two, the second where times do not tell."""
    return one if one.when and two.when and one.when > two.when else two


def _read(ranking: Ranking, task: Task) -> _Judged | str:
    """Return what a ranking says about its task, or why it cannot be used."""
    if ranking.skipped:
        return "the annotator skipped the task"
    if ranking.problem is not None:
        return ranking.problem
    if not ranking.ranks:
        return "nothing is ranked in it"
    ranks: dict[str, int] = {}
    for label, rank in ranking.ranks:
        completion = task.completion_of(label)
        if completion is None and label.startswith("answer_"):
            continue  # tools with a fixed number of columns rank answers that are not there
        if completion is None:
            return "it names an answer that its task does not have"
        if rank is None:
            return "a rank in it is not a whole number"
        if completion in ranks:
            return "it ranks an answer twice"
        ranks[completion] = rank
    if len(ranks) < len(task.answers):
        return "a rank is missing in it"
    in_order = {answer.completion_id: ranks[answer.completion_id] for answer in task.answers}
    return _Judged(in_order, _utc(ranking.ranked_at))


def _utc(moment: datetime | None) -> datetime | None:
    if moment is None:
        return None
    return moment.astimezone(UTC) if moment.tzinfo else moment.replace(tzinfo=UTC)


def _judgements(ranks: Mapping[str, int], pairs: Pairs) -> Iterator[tuple[str, str]]:
    """Yield (better, worse) completion ids."""
    levels = sorted(set(ranks.values()))
    for upper, lower in combinations(range(len(levels)), 2):
        if pairs == "adjacent" and lower > upper + 1:
            continue
        for better in (c for c, rank in ranks.items() if rank == levels[upper]):
            for worse in (c for c, rank in ranks.items() if rank == levels[lower]):
                yield better, worse


def _ties(ranks: Mapping[str, int]) -> Iterator[tuple[str, str]]:
    """Yield the ids of every two completions of one rank."""
    for one, other in combinations(ranks, 2):
        if ranks[one] == ranks[other]:
            yield one, other


def _generation_id(completion_id: str) -> str:
    return f"annotation:{completion_id}"


def _generations(task: Task) -> Iterator[dict[str, Any]]:
    for answer in task.answers:
        yield generation_event(
            _generation_id(answer.completion_id),
            task.prompt,
            answer.completion,
            model_version=answer.model_version,
            metadata={"origin": "annotation", "generated": answer.generated},
        )


def _votes(
    task: Task, who: str, better: str, worse: str, when: datetime | None, *, tied: bool = False
) -> list[dict[str, Any]]:
    comparison = content_id("annotation", task.task_id, who, *sorted((better, worse)))
    return judgement_events(
        f"annotation:{comparison}",
        f"annotator:{who}",
        chosen=_generation_id(better),
        rejected=_generation_id(worse),
        tied=tied,
        occurred_at=when,
    )
