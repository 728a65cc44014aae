"""What became of each stored event: every one has one state.

Whose votes count is asked of `votes`, as for a snapshot. What became of the completions that they
rate is decided where pairs are made; it is handed in.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

import pyarrow as pa
from pydantic_core import to_json

from thumbwheel.config import VotePolicy
from thumbwheel.store.conflicts import conflicts_of
from thumbwheel.store.connection import Connection
from thumbwheel.store.sources import balance
from thumbwheel.store.values import Quarantined
from thumbwheel.store.votes import WeighedVotes
from thumbwheel.types import SourceCounts
from thumbwheel.types.fates import EventStatus, Fate

__all__ = [
    "FATES",
    "Accounts",
    "EventState",
    "StateCount",
    "event_state",
    "take_stock",
]

FATES = pa.schema([("completion_id", pa.string()), ("fate", pa.string()), ("detail", pa.string())])
"""What became of rated completions, one row each: a `Fate` with its detail."""


@dataclass(frozen=True, slots=True)
class StateCount:
    """How many stored events share a state, and the fate of the completion that they speak about.

    `fate` is None where there is none, and for states that end before it matters.
    """

    state: EventStatus
    fate: Fate | None
    detail: str | None
    n_events: int


@dataclass(frozen=True, slots=True)
class Accounts:
    """Everything ever received, at one moment.

    The sum over `states` is what `sources` count as stored or parked.
    """

    sources: Sequence[SourceCounts]
    states: Sequence[StateCount]


@dataclass(frozen=True, slots=True)
class EventState:
    """Where one event stands.

    Attributes:
        event_id: Its id.
        state: What became of it.
        source: Where it came from.
        received_at: When it came.
        occurred_at: When it happened, as far as it says.
        generation_id: The answer that it is or speaks about.
        rater_id: Who speaks.
        prompt_id: What the answer answers.
        completion_id: The answer's text; of a correction, the text that the rater wrote.
        superseded_by: What the same rater said last, of a superseded vote.
        quarantined: The rater whose votes are left out.
        reason: Why a record could not be read.
        notes: What is wrong with its ids, in words.
    """

    event_id: str
    state: EventStatus
    source: str
    received_at: datetime | None = None
    occurred_at: datetime | None = None
    generation_id: str | None = None
    rater_id: str | None = None
    prompt_id: str | None = None
    completion_id: str | None = None
    superseded_by: str | None = None
    quarantined: Quarantined | None = None
    reason: str | None = None
    notes: Sequence[str] = ()


# Over the tables of `WeighedVotes`. Of an event that both votes and corrects, the vote is
# shown when it counts, and else the correction.
_CLASSIFIED = """
WITH counted AS (
    SELECT arrival, arg_min(c, place) AS c, min(place) AS place, arg_min(origin, place) AS origin
    FROM (
        SELECT arrival, c, origin, 1 AS place FROM votes
        UNION ALL
        SELECT arrival, c, 'users', 2 FROM corrected
    ) GROUP BY arrival
),
numbered AS (
    SELECT events.*, coalesce(numbered_raters.r, unnamed_comparers.r, -1 - arrival) AS r
    FROM scoped_events AS events LEFT JOIN numbered_raters USING (namespace, rater_id)
         LEFT JOIN unnamed_comparers USING (namespace, comparison_id)
),
spoken AS (
    SELECT events.*,
           coalesce(events.prompt_id::UUID, resolved.p, answers.p) AS p,
           coalesce(events.completion_id::UUID, resolved.c, answers.c) AS c
    FROM numbered AS events LEFT JOIN resolved USING (arrival)
         LEFT JOIN answers USING (namespace, generation_id)
),
classified AS (
    SELECT events.*, identity(events.p) AS about_prompt,
           identity(coalesce(counted.c, events.c)) AS about_text,
           counted.origin AS origin,
           latest_again.arrival AS latest_vote,
           CASE
               WHEN events.c IS NULL AND NOT (
                   events.is_vote AND events.score IS NULL AND updated_at IS NOT NULL) THEN 'parked'
               WHEN replaced.is_vote THEN 'superseded'
               WHEN replaced.arrival IS NOT NULL THEN 'retold'
               WHEN counted.place = 1 THEN 'vote'
               WHEN counted.place = 2 THEN 'correction'
               WHEN latest_again.arrival <> events.arrival THEN 'superseded'
               WHEN events.is_vote AND events.score IS NULL THEN 'withdrawn'
               WHEN quarantined.r IS NOT NULL THEN 'quarantined'
               WHEN events.is_vote THEN 'over_budget'
               WHEN trim(events.correction) <> '' AND corrections.arrival IS NULL THEN 'superseded'
               WHEN events.completion_id IS NOT NULL THEN 'answer'
               ELSE 'comment'
           END AS state
    FROM spoken AS events
    LEFT JOIN replaced ON replaced.arrival = events.arrival
    LEFT JOIN counted ON counted.arrival = events.arrival
    LEFT JOIN latest_again ON events.is_vote AND latest_again.generation_id = events.generation_id
        AND latest_again.r = events.r AND latest_again.c IS NOT DISTINCT FROM events.c
        AND latest_again.comparison_id IS NOT DISTINCT FROM events.comparison_id
    LEFT JOIN quarantined ON quarantined.r = events.r
        AND (events.is_vote OR trim(events.correction) <> '')
    LEFT JOIN corrections ON corrections.arrival = events.arrival
)
"""

# A model's vote counts only where it decides a comparison; elsewhere its text is not rated. A rater
# who puts each of two texts in the place of the other decides nothing either.
_COUNTS = f"""
{_CLASSIFIED}
SELECT CASE WHEN fate IS NULL AND (state = 'correction' OR (state = 'vote' AND origin = 'ai'))
            THEN 'uncompared' ELSE state END AS state,
       fate, detail, count(*)
FROM classified LEFT JOIN fates
    ON state IN ('vote', 'correction', 'answer') AND fates.completion_id = about_text
GROUP BY ALL ORDER BY ALL
"""  # noqa: S608 - no user text: the query is put together from the constant above

_STATE = f"""
{_CLASSIFIED}
SELECT namespace, state, source, received_at AT TIME ZONE 'UTC', occurred_at AT TIME ZONE 'UTC',
       generation_id, rater_id, about_prompt, about_text,
       CASE WHEN state = 'superseded' AND is_vote
            THEN (SELECT event_id FROM events WHERE arrival = latest_vote) END
FROM classified WHERE event_id = ?
ORDER BY updated_at NULLS FIRST, arrival
"""  # noqa: S608

# The text of bytes that is compared shows each byte that is not plain ASCII by its number.
_LETTER = """
SELECT source, received_at AT TIME ZONE 'UTC', position || ': ' || reason FROM dead_letters
WHERE contains(raw::VARCHAR, $needle::BLOB::VARCHAR) ORDER BY id DESC LIMIT 1
"""


def take_stock(weighed: WeighedVotes, fates: pa.Table) -> Accounts:
    """Count everything that was received, each event once.

    Args:
        weighed: By the same policy as for the snapshot that the fates came from.
        fates: `FATES`.
    """
    weighed.connection.register("fates", fates)
    rows = weighed.connection.execute(_COUNTS).fetchall()
    return Accounts(balance(weighed.connection), [_state_count(*row) for row in rows])


def _state_count(state: str, fate: str | None, detail: str | None, n_events: int) -> StateCount:
    return StateCount(
        EventStatus(state), Fate(fate) if fate is not None else None, detail, n_events
    )


def event_state(connection: Connection, event_id: str, policy: VotePolicy) -> EventState | None:
    """Return where an event stands, or None when nothing is known of it.

    Args:
        connection: In a transaction.
        event_id: Its id.
        policy: Which votes count, and how much.
    """
    known = connection.execute("SELECT 1 FROM events WHERE event_id = ?", [event_id]).fetchall()
    if not known:
        return _never_stored(connection, event_id)
    weighed = WeighedVotes(connection, policy)
    quarantined = {(rater.namespace, rater.rater_id): rater for rater in weighed.quarantined}
    # Of a record that was changed, the latest; of two sources' records of one id, the one that came
    # last.
    *_, row = weighed.connection.execute(_STATE, [event_id]).fetchall()
    namespace, state, source, received_at, occurred_at, generation_id, rater_id, *about = row
    prompt_id, completion_id, superseded_by = about
    return EventState(
        event_id,
        EventStatus(state),
        source,
        _utc(received_at),
        _utc(occurred_at),
        generation_id,
        rater_id,
        prompt_id,
        completion_id,
        superseded_by,
        quarantined=(
            quarantined.get((namespace, rater_id)) if state == EventStatus.QUARANTINED else None
        ),
        notes=conflicts_of(connection, namespace, event_id, generation_id),
    )


def _never_stored(connection: Connection, event_id: str) -> EventState | None:
    for (source,) in connection.execute(
        "SELECT source FROM expired_events WHERE event_id = ?", [event_id]
    ).fetchall():
        return EventState(event_id, EventStatus.EXPIRED, source)
    for source, received_at, reason in connection.execute(
        _LETTER, {"needle": to_json(event_id)}
    ).fetchall():
        return EventState(
            event_id, EventStatus.DEAD_LETTER, source, _utc(received_at), reason=reason
        )
    return None


def _utc(time: datetime | None) -> datetime | None:
    return time.replace(tzinfo=UTC) if time is not None else None
