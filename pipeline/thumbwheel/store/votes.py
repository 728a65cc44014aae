"""Whose votes count, how much, and for which text: the policy of `config.VotesConfig` as SQL.

What is chosen here follows from the content of the events alone, so that any order of arrival and
any repetition give the same result. One choice cannot: of votes of one rater on one generation
that bear the same time, or none, the one that arrived last counts.
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pyarrow as pa

from thumbwheel.config import VotePolicy, VotesConfig
from thumbwheel.store.answers import resolve_answers
from thumbwheel.store.connection import Connection
from thumbwheel.store.judgements import find_judgements
from thumbwheel.store.units import SCORE_ONE, WEIGHT_ONE
from thumbwheel.store.values import Quarantined
from thumbwheel.types import VoteCounts
from thumbwheel.types.fates import Quarantine

__all__ = ["WeighedVotes", "count_votes"]

# Texts are named by their identities, as numbers of 128 bits (`p` a prompt, `c` a completion),
# raters by a number `r` (below zero without a rater's id: each such vote is its own rater, those of
# one comparison are one), and events by `arrival`: joins and groups of strings would be most of the
# work. Hardly any key occurs twice, so that rows are grouped by a hash of the key, and only those
# that share one are looked at as they are.

# `arrival` leads to the event whose texts stand for a completion: prompts of one identity may
# differ in outer whitespace and in how their letters are composed.
_TEXTS = """
CREATE TEMP TABLE texts AS
SELECT c, any_value(p) AS p, max(model_version) AS model_version,
       arg_min(arrival, (coalesce(answered_at, 'infinity'::TIMESTAMPTZ), event_id, namespace))
           AS arrival,
       NULL::VARCHAR AS written
FROM (FROM answers UNION ALL FROM versions) GROUP BY c;
"""

# A vote is the latest word of one rater on one generation's text within one comparison. A rater's
# id is of a namespace, as the ids of answers are.
_LATEST = """
CREATE TEMP TABLE numbered_raters AS
SELECT namespace, rater_id, row_number() OVER () AS r
FROM (SELECT DISTINCT namespace, rater_id FROM scoped_events WHERE rater_id IS NOT NULL);
CREATE TEMP TABLE unnamed_comparers AS
SELECT namespace, comparison_id, -1 - min(arrival) AS r FROM scoped_events
WHERE is_vote AND rater_id IS NULL AND comparison_id IS NOT NULL GROUP BY ALL;
CREATE TEMP TABLE said AS
SELECT * EXCLUDE (generation_id), hash(if(c IS NULL, hash(generation_id), hash(c)), r) AS key
FROM (
    SELECT events.arrival, generation_id,
           coalesce(events.completion_id::UUID, resolved.c, answers.c) AS c,
           coalesce(numbered_raters.r, unnamed_comparers.r, -1 - events.arrival) AS r, score,
           coalesce(updated_at, occurred_at) AS occurred_at,
           comparison_id, coalesce(origin, 'users') AS origin
    FROM scoped_events AS events ANTI JOIN replaced USING (arrival)
         LEFT JOIN resolved USING (arrival) LEFT JOIN answers USING (namespace, generation_id)
         LEFT JOIN numbered_raters USING (namespace, rater_id)
         LEFT JOIN unnamed_comparers USING (namespace, comparison_id)
         LEFT JOIN origins USING (source)
    WHERE events.is_vote
);
CREATE TEMP TABLE said_again AS SELECT key FROM said GROUP BY key HAVING count(*) > 1;
CREATE TEMP TABLE latest_again AS
SELECT generation_id, r, comparison_id, key, c, count(*) AS n_events,
       unnest(arg_max(
           struct_pack(arrival, score, occurred_at := said.occurred_at, origin),
           (coalesce(said.occurred_at, '-infinity'::TIMESTAMPTZ), arrival)))
FROM (FROM said SEMI JOIN said_again USING (key)) AS said
     JOIN (SELECT arrival, generation_id FROM events) USING (arrival)
GROUP BY generation_id, r, comparison_id, key, c;
CREATE TEMP VIEW latest AS
SELECT *, 1 AS n_events FROM said WHERE key NOT IN (FROM said_again)
UNION ALL BY NAME
SELECT * EXCLUDE (generation_id) FROM latest_again;
CREATE TEMP VIEW cast_votes AS
SELECT * EXCLUDE (n_events) FROM latest WHERE score IS NOT NULL AND c IS NOT NULL;
"""

_COUNTS = """
WITH earlier AS (SELECT count(*) AS n FROM replaced WHERE is_vote)
SELECT coalesce(sum(n_events), 0)::BIGINT + (SELECT n FROM earlier),
       coalesce(sum(n_events - 1), 0)::BIGINT + (SELECT n FROM earlier),
       count(*) FILTER (score IS NULL),
       count(*) FILTER (score IS NOT NULL AND c IS NULL),
       count(*) FILTER (score IS NOT NULL AND c IS NOT NULL)
FROM latest
"""

_RATERS = """
CREATE TEMP TABLE raters AS
SELECT r, count(*) AS n, count(*) FILTER (score > 0) AS up, count(*) FILTER (score < 0) AS down
FROM cast_votes WHERE origin = 'users' GROUP BY r;
"""

# A rater who always votes the same is suspicious when chance can hardly explain it: with q the
# share of that vote among all others' votes, q^n over all raters is below one in a hundred.
_CONSTANT = """
WITH everybody AS (
    SELECT sum(n) AS n, sum(up) AS up, sum(down) AS down, count(*) AS raters FROM raters
)
SELECT r, raters.n, CASE WHEN raters.up = raters.n THEN 'all_up' ELSE 'all_down' END AS why
FROM raters, everybody
WHERE (raters.up = raters.n OR raters.down = raters.n) AND r > 0
  AND raters.n * ln((1 + CASE WHEN raters.up = raters.n THEN everybody.up ELSE everybody.down END
                       - raters.n) / (2 + everybody.n - raters.n))
      + ln(everybody.raters) < ln(0.01)
"""

# Votes at one and the same moment are the mark of an import, so moments are counted, not votes.
#
# Of so many moments within a span, one half at least fall into the same span of the clock.
_BURSTS = """
WITH dense AS (
    SELECT r FROM cast_votes
    WHERE origin = 'users' AND r > 0 AND r IN (SELECT r FROM raters WHERE n >= $votes)
    GROUP BY r, (epoch(occurred_at) / $seconds)::BIGINT HAVING count(*) >= $votes / 2
),
moments AS (
    SELECT DISTINCT r, occurred_at FROM cast_votes SEMI JOIN dense USING (r)
    WHERE occurred_at IS NOT NULL
),
spans AS (
    SELECT r, occurred_at - lag(occurred_at, $votes - 1) OVER (
        PARTITION BY r ORDER BY occurred_at) AS span
    FROM moments
)
SELECT r, any_value(n)
FROM spans JOIN raters USING (r)
WHERE span <= to_milliseconds((1000 * $seconds)::BIGINT)
GROUP BY r
"""

_BUDGET = "ceil(greatest($share, 1.5 / greatest(count(*), 1)) * sum(n))"

# So many votes are hardly one person's: even the few that the budget leaves would move pairs.
_FLOODS = f"""
SELECT r, n FROM raters
WHERE r > 0 AND n > 5 * (SELECT {_BUDGET} FROM raters)
"""  # noqa: S608 - no user text: the queries are put together from the constants above

_BUSY = f"""
CREATE TEMP TABLE busy AS
WITH kept AS (FROM raters ANTI JOIN quarantined USING (r)),
budget AS (SELECT {_BUDGET} AS most FROM kept)
SELECT r, most FROM kept, budget WHERE n > most
"""  # noqa: S608

_WITHIN = """
CREATE TEMP VIEW within AS
WITH kept AS (FROM cast_votes ANTI JOIN quarantined USING (r))
SELECT * FROM kept ANTI JOIN busy USING (r)
UNION ALL
SELECT kept.* FROM kept SEMI JOIN busy USING (r)
     JOIN (SELECT arrival, event_id FROM events) USING (arrival)
WHERE origin = 'users'
QUALIFY count(*) OVER (PARTITION BY r ORDER BY md5(coalesce(comparison_id, event_id)))
    <= (SELECT max(most) FROM busy)
UNION ALL
SELECT * FROM kept SEMI JOIN busy USING (r) WHERE origin <> 'users';
"""

_WEIGHED = f"""
CREATE TEMP TABLE votes AS
WITH newest AS (SELECT date_trunc('day', max(occurred_at)) + INTERVAL 1 DAY AS day FROM within)
SELECT * EXCLUDE (score), round(score * {SCORE_ONE})::BIGINT AS score,
       greatest(1, coalesce(round({WEIGHT_ONE} * pow(2,
           -date_diff('second', occurred_at, (SELECT day FROM newest)) / (86400.0 * $half_life)
       )), {WEIGHT_ONE}))::BIGINT AS weight
FROM within;
"""  # noqa: S608

_NAMES = "SELECT r, rater_id, namespace FROM numbered_raters SEMI JOIN quarantined USING (r)"

_LEFT_OUT = """
SELECT (SELECT count(*) FROM cast_votes SEMI JOIN quarantined USING (r)),
       (SELECT count(*) FROM cast_votes) - (SELECT count(*) FROM votes)
"""


def count_votes(connection: Connection) -> VoteCounts:
    """Return what became of the stored votes, before any is left out by policy."""
    _find_latest(connection, {})
    (row,) = connection.execute(_COUNTS).fetchall()
    return VoteCounts(*row)


class WeighedVotes:
    """The votes that count, as temporary tables of a transaction; there is one in each.

    `p` and `c` are the identities of a prompt and of a completion as numbers, which the macro
    `identity` writes out; `r` is a rater's number, below zero where the vote bears no rater's id;
    `arrival` leads to the event. Scores are in billionths (`SCORE_ONE`), weights in millionths
    (`WEIGHT_ONE`) of a vote. These tables are for others to read:

    - Those of `answers.resolve_answers`: what each id names, and what an event speaks about.
    - `texts` (c, p, model_version, arrival, written): every completion; `written` is the text of a
      correction that nobody answered, and `arrival` leads to its prompt then.
    - `numbered_raters` (namespace, rater_id, r), and `unnamed_comparers` (namespace, comparison_id,
      r) of votes without a rater.
    - `quarantined` (r): the raters whose votes are left out.
    - `latest_again` (generation_id, r, comparison_id, c, arrival, ...): the latest word of raters
      who have several votes on a text; `said_again` (key) tells which of the votes are such.
    - `votes` (arrival, c, r, score, weight, occurred_at, comparison_id, origin, key): what counts.
    - `corrections` (arrival, c, corrected, r, ...): the latest correction of each rater, and
      `corrected` (arrival, c, corrected, r, occurred_at, comparison_id, weight): those that put
      another text, `c`, in the place of the answer's, `corrected`.
    - `judged` (c, other, origin, n_first, n_second): every two texts that somebody compared or
      graded, and how many votes, as fractions, are for the first and the second.

    Args:
        connection: In a transaction.
        policy: Which votes count, and how much.

    Attributes:
        connection: Sees the tables.
        quarantined: The raters whose votes were left out, and why.
    """

    def __init__(self, connection: Connection, policy: VotePolicy) -> None:
        self.connection = connection
        _find_latest(connection, policy.origins)
        connection.execute(_TEXTS)
        connection.execute(_RATERS)
        found = _quarantined(connection, policy.votes)
        connection.register("quarantined", pa.table({"r": pa.array(list(found), pa.int64())}))
        connection.execute(_BUSY, {"share": policy.votes.max_rater_share})
        connection.execute(_WITHIN)
        connection.execute(_WEIGHED, {"half_life": policy.votes.half_life_days})
        find_judgements(connection)
        self.quarantined = sorted(
            (
                replace(Quarantined(name, *found[r]), namespace=namespace)
                for r, name, namespace in connection.sql(_NAMES).fetchall()
            ),
            key=lambda rater: (rater.rater_id, rater.namespace),
        )

    def counts(self) -> VoteCounts:
        """Return what became of the stored votes."""
        (row,) = self.connection.execute(_COUNTS).fetchall()
        ((quarantined, left_out),) = self.connection.execute(_LEFT_OUT).fetchall()
        counts = VoteCounts(*row)
        return replace(
            counts,
            counted=counts.counted - left_out,
            quarantined=quarantined,
            over_budget=left_out - quarantined,
        )


def _find_latest(connection: Connection, origins: Mapping[str, str]) -> None:
    connection.register(
        "origins",
        pa.table(
            {"source": list(origins), "origin": list(origins.values())},
            schema=pa.schema([("source", pa.string()), ("origin", pa.string())]),
        ),
    )
    resolve_answers(connection)
    connection.execute(_LATEST)


def _quarantined(connection: Connection, limits: VotesConfig) -> dict[int, tuple[Any, ...]]:
    """Return what `Quarantined` says besides the name, by the numbers of raters."""
    found: dict[int, tuple[Any, ...]] = {}
    share = {"share": limits.max_rater_share}
    for rater, n_votes in connection.execute(_FLOODS, share).fetchall():
        found[rater] = n_votes, Quarantine.FLOOD
    if limits.burst_votes is not None:
        most, seconds = limits.burst_votes, limits.burst_seconds
        numbers = {"votes": most, "seconds": seconds}
        for rater, n_votes in connection.execute(_BURSTS, numbers).fetchall():
            found[rater] = n_votes, Quarantine.BURST, most, seconds
    if limits.quarantine_constant:
        for rater, n_votes, why in connection.execute(_CONSTANT).fetchall():
            found[rater] = n_votes, Quarantine(why)
    return found
