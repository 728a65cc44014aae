"""The yield: what became of every event ever received, and of one of them in a sentence."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields

from thumbwheel.store import Accounts, EventState, SourceCounts

__all__ = ["IN_PAIRS", "Stage", "YieldReport", "describe_event", "yield_report"]

IN_PAIRS = ("in a training pair", "in a held-out pair")
"""The fates of completions that are in the set, as `pairing.Pairing.fates` calls them."""

_LATE = "came in while the pairs were made"

# Whatever else sources count is told by its own name.
_NOT_STORED = {
    "duplicates": "received twice",
    "dead_letters": "unreadable (kept as dead letters)",
    "dropped": "dropped by a plugin",
    "forgotten": "about somebody or something that was forgotten",
    "expired": "its answer did not come in time",
    "parked": "waits for its answer",
}

_NOT_RATED = {
    "superseded": "changed later by the same rater",
    "withdrawn": "takes a vote back",
    "quarantined": "of a rater whose votes are left out",
    "over budget": "beyond what counts of one rater",
    "uncompared": "a model's vote, or a correction, that decides no comparison",
    "retold": "another text of an answer that was told before",
    "answer": "an answer that nobody rated",
    "comment": "words about an answer, no vote",
}


@dataclass(frozen=True, slots=True)
class Stage:
    """A point that `n_events` events reached; `losses` of them, by reason, got no further."""

    name: str
    n_events: int
    losses: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class YieldReport:
    """The way of all events, from received to paired.

    What a stage does not lose is what the next one has; what the last one does not lose is
    `paired`: how many events are behind the completions of training and of held-out pairs.
    """

    stages: Sequence[Stage]
    paired: Mapping[str, int]


def yield_report(accounts: Accounts) -> YieldReport:
    """Return what became of all events.

    Args:
        accounts: Counted with the fates of a pairing.
    """
    received = sum(source.received for source in accounts.sources)
    missing = {
        _NOT_STORED.get(name, name.replace("_", " ")): count
        for name in (field.name for field in fields(SourceCounts))
        if name not in ("source", "received", "stored")
        and (count := sum(getattr(source, name) for source in accounts.sources))
    }
    unrated: Counter[str] = Counter()
    unpaired: Counter[str] = Counter()
    paired: Counter[str] = Counter()
    for count in accounts.states:
        if count.state == "parked":
            continue
        if count.fate in IN_PAIRS:
            paired[count.fate] += count.n_events
        elif count.fate is not None:
            unpaired[count.fate] += count.n_events
        else:
            unrated[_NOT_RATED.get(count.state, _LATE)] += count.n_events
    stored = unrated.total() + unpaired.total() + paired.total()
    return YieldReport(
        [
            Stage("received", received, missing),
            Stage("stored", stored, dict(unrated.most_common())),
            Stage("behind rated answers", stored - unrated.total(), dict(unpaired.most_common())),
        ],
        {fate: paired[fate] for fate in IN_PAIRS},
    )


def describe_event(state: EventState, fate: str | None) -> str:
    """Return in one sentence what became of an event.

    Args:
        state: Where it stands.
        fate: What became of the completion that it speaks about, if that was rated.
    """
    when = f" on {state.received_at:%Y-%m-%d at %H:%M} UTC" if state.received_at else ""
    return f"{state.event_id} came from {state.source}{when} {_outcome(state, fate)}."


def _outcome(state: EventState, fate: str | None) -> str:
    rater, answer = state.rater_id or "nobody in particular", state.generation_id
    changed = f", in {state.superseded_by}" if state.superseded_by else ""
    match state.state:
        case "parked":
            return f"and waits for the answer {answer}, which has not come"
        case "expired":
            return "and was deleted, because the answer that it speaks about did not come in time"
        case "dead letter":
            return f"in a record that could not be read and is a dead letter ({state.reason})"
        case "superseded":
            return f"and does not count, because {rater} said something else later{changed}"
        case "withdrawn":
            return f"and takes back what {rater} had said about the answer {answer}"
        case "quarantined":
            return f"and does not count, because the votes of {rater} are left out: {state.reason}"
        case "over budget":
            return f"and does not count, because {rater} has more votes than count of one rater"
        case "retold":
            return f"and is not used, because the answer {answer} had another text before"
        case "comment":
            return f"with words about the answer {answer} and no vote, so there is nothing to count"
        case "answer" if fate is None:
            return "with an answer that nobody has rated"
        case "answer":
            return f"with an answer that was rated and {_ending(fate)}"
        case "correction":
            return f"with an answer of the rater's own, which {_ending(fate)}"
        case _:
            return f"and counts; the answer that it is about {_ending(fate)}"


def _ending(fate: str | None) -> str:
    if fate is None:
        return "is not among those that pairs were made of"
    return f"is {fate}" if fate in IN_PAIRS else f"is in no pair: {fate}"
