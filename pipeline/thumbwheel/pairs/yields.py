"""The yield: what became of every event ever received, and of one of them in a sentence."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import assert_never

from thumbwheel.store import Accounts, EventState
from thumbwheel.types.fates import IN_PAIRS, EventStatus, Fate, FateCount, NotStored

__all__ = ["Loss", "Stage", "YieldReport", "describe_event", "few_paired", "yield_report"]

_FEW = 0.05
_ENOUGH_TO_TELL = 40


@dataclass(frozen=True, slots=True)
class Loss:
    """How many events got no further for the same reason; `detail` is as of `Fate`."""

    fate: NotStored | EventStatus | Fate
    n_events: int
    detail: str | None = None

    @property
    def words(self) -> str:
        """The reason as people read it."""
        if isinstance(self.fate, Fate):
            return self.fate.of_completion(self.detail)
        return self.fate.words


@dataclass(frozen=True, slots=True)
class Stage:
    """A point that `n_events` events reached; `losses` are those that got no further."""

    name: str
    n_events: int
    losses: Sequence[Loss]


@dataclass(frozen=True, slots=True)
class YieldReport:
    """The way of all events, from received to paired.

    What a stage does not lose is what the next one has; what the last one does not lose is
    `paired`: how many events are behind the completions of training and of held-out pairs.
    `judgements` are what became of every two answers that somebody compared.
    """

    stages: Sequence[Stage]
    paired: Mapping[Fate, int]
    judgements: Sequence[FateCount] = ()


def yield_report(accounts: Accounts, judgements: Sequence[FateCount] = ()) -> YieldReport:
    """Return what became of all events.

    Args:
        accounts: Counted with the fates of a pairing.
        judgements: Of the same pairing.
    """
    received = sum(source.received for source in accounts.sources)
    missing = [
        Loss(fate, count)
        for fate in NotStored
        if (count := sum(getattr(source, fate) for source in accounts.sources))
    ]
    unrated: Counter[EventStatus] = Counter()
    unpaired: Counter[tuple[Fate, str | None]] = Counter()
    paired: Counter[Fate] = Counter()
    for count in accounts.states:
        if count.state is EventStatus.PARKED:
            continue
        if count.fate in IN_PAIRS:
            paired[count.fate] += count.n_events
        elif count.fate is not None:
            unpaired[count.fate, count.detail] += count.n_events
        else:
            counts = count.state in (EventStatus.VOTE, EventStatus.CORRECTION)
            unrated[EventStatus.LATE if counts else count.state] += count.n_events
    stored = unrated.total() + unpaired.total() + paired.total()
    unrated_losses = [Loss(state, n) for state, n in unrated.most_common()]
    unpaired_losses = [Loss(fate, n, detail) for (fate, detail), n in unpaired.most_common()]
    return YieldReport(
        [
            Stage("received", received, missing),
            Stage("stored", stored, unrated_losses),
            Stage("behind rated answers", stored - unrated.total(), unpaired_losses),
        ],
        {fate: paired[fate] for fate in IN_PAIRS},
        judgements,
    )


def few_paired(completions: Sequence[FateCount]) -> str | None:
    """Return a warning where next to nothing that was rated is in a pair, with what mends it.

    Args:
        completions: How many rated completions met each fate.
    """
    n_rated = sum(count.n for count in completions)
    n_paired = sum(count.n for count in completions if count.fate in IN_PAIRS)
    if n_rated < _ENOUGH_TO_TELL or n_paired >= _FEW * n_rated:
        return None
    most = max((count for count in completions if count.fate not in IN_PAIRS), key=lambda c: c.n)
    return (
        f"{n_paired:,} of {n_rated:,} rated answers are in a pair; most often, "
        f"{most.fate.of_completion(most.detail)} ({most.n:,}). "
        f"{_REMEDIES.get(most.fate, _ANY_REMEDY)}"
    )


_ANY_REMEDY = "`thumbwheel pairs --dropped` shows some that are not"
_REMEDIES = {
    Fate.ONLY_RATED_COMPLETION: "`across_near_duplicates = true` in [pairs] pairs answers to "
    "nearly the same prompt, and `thumbwheel annotate` has people rank more answers",
    Fate.NOT_PAIRED: "`min_confidence = 0.6` among the options of `all_pairs` takes pairs that are "
    "less sure; where one person rated several answers, map `rater`, so that their ratings are "
    "compared",
    Fate.STYLE_BALANCE: "A shorter `balance` in [pairs] leaves out less",
    Fate.OVER_RATER_CAP: "`max_rater_share` in [pairs] says how much may rest on one rater",
}


def describe_event(state: EventState, fate: Fate | None, detail: str | None = None) -> str:
    """Return in one sentence what became of an event.

    Args:
        state: Where it stands.
        fate: What became of the completion that it speaks about, if that was rated.
        detail: That of the fate.
    """
    when = f" on {state.received_at:%Y-%m-%d at %H:%M} UTC" if state.received_at else ""
    outcome = _outcome(state, fate, detail)
    notes = f" Mind that {' and that '.join(state.notes)}." if state.notes else ""
    return f"{state.event_id} came from {state.source}{when} {outcome}.{notes}"


def _outcome(event: EventState, fate: Fate | None, detail: str | None) -> str:
    rater, answer = event.rater_id or "nobody in particular", event.generation_id
    status = event.state
    match status:
        case EventStatus.PARKED:
            return f"and waits for the answer {answer}, which has not come"
        case EventStatus.EXPIRED:
            return "and was deleted, because the answer that it speaks about did not come in time"
        case EventStatus.DEAD_LETTER:
            return f"in a record that could not be read and is a dead letter ({event.reason})"
        case EventStatus.SUPERSEDED:
            changed = f", in {event.superseded_by}" if event.superseded_by else ""
            return f"and does not count, because {rater} said something else later{changed}"
        case EventStatus.WITHDRAWN:
            return f"and takes back what {rater} had said about the answer {answer}"
        case EventStatus.QUARANTINED:
            why = event.quarantined and event.quarantined.reason
            return f"and does not count, because the votes of {rater} are left out: {why}"
        case EventStatus.OVER_BUDGET:
            return f"and does not count, because {rater} has more votes than count of one rater"
        case EventStatus.RETOLD:
            return "and is not used, because a later version of its record replaced it"
        case EventStatus.COMMENT:
            return f"with words about the answer {answer} and no vote, so there is nothing to count"
        case EventStatus.ANSWER if fate is None:
            return "with an answer that nobody has rated"
        case EventStatus.ANSWER:
            return f"with an answer that was rated and {_ending(fate, detail)}"
        case EventStatus.CORRECTION:
            return f"with an answer of the rater's own, which {_ending(fate, detail)}"
        case EventStatus.VOTE | EventStatus.UNCOMPARED | EventStatus.LATE:
            return f"and counts; the answer that it is about {_ending(fate, detail)}"
        case _:
            assert_never(status)


def _ending(fate: Fate | None, detail: str | None) -> str:
    if fate is None:
        return "is not among those that pairs were made of"
    words = fate.of_completion(detail)
    return f"is {words}" if fate in IN_PAIRS else f"is in no pair: {words}"
