"""Whose votes count, how much, and for which text: the policy of `config.VotesConfig` as SQL.

What is chosen here follows from the content of the events alone, so that any order of arrival and
any repetition give the same result. One choice cannot: of votes of one rater on one generation
that bear the same time, or none, the one that arrived last counts.
"""

from collections.abc import Mapping
from dataclasses import replace

import pyarrow as pa

from thumbwheel.config import VotesConfig
from thumbwheel.events import completion_id
from thumbwheel.store.database import Connection
from thumbwheel.store.values import Quarantined, VoteCounts

__all__ = ["count_votes", "count_weighed", "weigh_votes"]

_WEIGHT_ONE = 1_000_000
"""A whole vote: weights are summed as integers, because sums of floats depend on their order."""

_SCORE_ONE = 1_000_000_000

# Hardly any key occurs twice, and grouping by texts is most of the work: rows are grouped by a hash
# of the key, and only those that share one are looked at as they are.

# A generation is what one generation_id answered, as it was told at the earliest time.
_ANSWERS = """
CREATE TEMP TABLE told AS
SELECT generation_id, prompt_id, completion_id, model_version, occurred_at, event_id, arrival,
       hash(generation_id) AS key
FROM events WHERE completion_id IS NOT NULL;
CREATE TEMP TABLE told_again AS SELECT key FROM told GROUP BY key HAVING count(*) > 1;
CREATE TEMP TABLE answers AS
SELECT * FROM told ANTI JOIN told_again USING (key)
UNION ALL
SELECT * FROM told SEMI JOIN told_again USING (key)
QUALIFY row_number() OVER (
    PARTITION BY generation_id ORDER BY occurred_at NULLS LAST, event_id) = 1;
"""

# A vote is the latest word of one rater on one generation within one comparison; votes without a
# rater are each their own rater.
_KEY = "hash(generation_id, coalesce(rater_id, event_id), comparison_id)"
_RATER = "coalesce('rater:' || rater_id, 'event:' || event_id) AS rater"
_LATEST = f"""
CREATE TEMP TABLE said_again AS
SELECT {_KEY} AS key FROM events WHERE is_vote GROUP BY key HAVING count(*) > 1;
CREATE TEMP TABLE latest AS
SELECT generation_id, {_RATER}, comparison_id, event_id, score, occurred_at, source, 1 AS n_events
FROM events WHERE is_vote AND {_KEY} NOT IN (FROM said_again)
UNION ALL
SELECT generation_id, {_RATER}, comparison_id,
       unnest(arg_max(
           struct_pack(event_id, score, occurred_at, source),
           (coalesce(occurred_at, '-infinity'::TIMESTAMPTZ), arrival))),
       count(*)
FROM events WHERE is_vote AND {_KEY} IN (FROM said_again)
GROUP BY generation_id, rater, comparison_id;
"""  # noqa: S608 - no user text: the queries are put together from the constants above

_COUNTS = """
SELECT coalesce(sum(n_events), 0)::BIGINT,
       coalesce(sum(n_events - 1), 0)::BIGINT,
       count(*) FILTER (score IS NULL),
       count(*) FILTER (score IS NOT NULL AND answers.generation_id IS NULL),
       count(*) FILTER (score IS NOT NULL AND answers.generation_id IS NOT NULL)
FROM latest LEFT JOIN answers USING (generation_id)
"""

# `c` numbers the texts, for joins without strings. `arrival` leads to the event whose texts stand
# for a completion: prompts of one identity may differ in outer whitespace and in how their letters
# are composed.
_TEXTS = """
CREATE TEMP TABLE texts AS
SELECT completion_id, min(prompt_id) AS prompt_id,
       arg_min(arrival, (coalesce(occurred_at, 'infinity'::TIMESTAMPTZ), event_id)) AS arrival,
       NULL::VARCHAR AS written, row_number() OVER () AS c
FROM answers GROUP BY completion_id;
"""

_VOTES = """
CREATE TEMP TABLE cast_votes AS
WITH numbered AS (
    SELECT generation_id, c, model_version FROM answers JOIN texts USING (completion_id)
)
SELECT c, rater, event_id, score, occurred_at, comparison_id, model_version,
       coalesce(origin, 'users') AS origin
FROM latest JOIN numbered USING (generation_id) LEFT JOIN origins USING (source)
WHERE score IS NOT NULL;
CREATE TEMP TABLE raters AS
SELECT rater, count(*) AS n, count(*) FILTER (score > 0) AS up, count(*) FILTER (score < 0) AS down
FROM cast_votes WHERE origin = 'users' GROUP BY rater;
"""

# A rater who always votes the same is suspicious when chance can hardly explain it: with q the
# share of that vote among all others' votes, q^n over all raters is below one in a hundred.
_CONSTANT = """
WITH everybody AS (
    SELECT sum(n) AS n, sum(up) AS up, sum(down) AS down, count(*) AS raters FROM raters
)
SELECT rater, raters.n, CASE WHEN raters.up = raters.n THEN 'up' ELSE 'down' END AS vote
FROM raters, everybody
WHERE (raters.up = raters.n OR raters.down = raters.n) AND starts_with(rater, 'rater:')
  AND raters.n * ln((1 + CASE WHEN raters.up = raters.n THEN everybody.up ELSE everybody.down END
                       - raters.n) / (2 + everybody.n - raters.n))
      + ln(everybody.raters) < ln(0.01)
"""

# Votes at one and the same moment are the mark of an import, so moments are counted, not votes.
#
# Of so many moments within a span, one half at least fall into the same span of the clock.
_BURSTS = """
WITH dense AS (
    SELECT rater FROM cast_votes
    WHERE origin = 'users' AND starts_with(rater, 'rater:')
      AND rater IN (SELECT rater FROM raters WHERE n >= $votes)
    GROUP BY rater, (epoch(occurred_at) / $seconds)::BIGINT HAVING count(*) >= $votes / 2
),
moments AS (
    SELECT DISTINCT rater, occurred_at FROM cast_votes SEMI JOIN dense USING (rater)
    WHERE occurred_at IS NOT NULL
),
spans AS (
    SELECT rater, occurred_at - lag(occurred_at, $votes - 1) OVER (
        PARTITION BY rater ORDER BY occurred_at) AS span
    FROM moments
)
SELECT rater, any_value(n)
FROM spans JOIN raters USING (rater)
WHERE span <= to_milliseconds((1000 * $seconds)::BIGINT)
GROUP BY rater
"""

_BUDGET = "ceil(greatest($share, 1.5 / greatest(count(*), 1)) * sum(n))"

# So many votes are hardly one person's: even the few that the budget leaves would move pairs.
_FLOODS = f"""
SELECT rater, n FROM raters
WHERE starts_with(rater, 'rater:') AND n > 5 * (SELECT {_BUDGET} FROM raters)
"""  # noqa: S608

_WEIGHED = f"""
CREATE TEMP TABLE votes AS
WITH kept AS (SELECT * FROM cast_votes ANTI JOIN quarantined USING (rater)),
budget AS (SELECT {_BUDGET} AS most FROM raters ANTI JOIN quarantined USING (rater)),
busy AS (SELECT rater FROM raters, budget WHERE n > most),
within AS (
    SELECT * FROM kept ANTI JOIN busy USING (rater)
    UNION ALL
    SELECT * FROM kept SEMI JOIN busy USING (rater)
    WHERE origin = 'users'
    QUALIFY count(*) OVER (
        PARTITION BY rater ORDER BY md5(coalesce(comparison_id, event_id))
    ) <= (SELECT most FROM budget)
    UNION ALL
    SELECT * FROM kept SEMI JOIN busy USING (rater) WHERE origin <> 'users'
),
newest AS (SELECT date_trunc('day', max(occurred_at)) + INTERVAL 1 DAY AS day FROM within)
SELECT * EXCLUDE (score), round(score * {_SCORE_ONE})::BIGINT AS score,
       greatest(1, coalesce(round({_WEIGHT_ONE} * pow(2,
           -date_diff('second', occurred_at, (SELECT day FROM newest)) / (86400.0 * $half_life)
       )), {_WEIGHT_ONE}))::BIGINT AS weight
FROM within;
"""  # noqa: S608

# A correction is a text of its own, by the rater who wrote it.
_CORRECTIONS = """
SELECT answers.prompt_id, texts.c AS corrected, texts.arrival, rater, told.event_id, correction,
       told.occurred_at
FROM (
    SELECT generation_id, coalesce('rater:' || rater_id, 'event:' || event_id) AS rater,
           unnest(arg_max(
               struct_pack(event_id, correction, occurred_at),
               (coalesce(occurred_at, '-infinity'::TIMESTAMPTZ), arrival)))
    FROM events WHERE trim(correction) <> '' GROUP BY generation_id, rater
) AS told JOIN answers USING (generation_id) JOIN texts USING (completion_id)
ANTI JOIN quarantined USING (rater)
ORDER BY told.event_id
"""

_WRITTEN = f"""
INSERT INTO texts
SELECT completion_id, any_value(prompt_id), any_value(arrival), any_value(correction),
       row_number() OVER () + (SELECT count(*) FROM texts)
FROM corrections ANTI JOIN texts USING (completion_id) GROUP BY completion_id;
CREATE TEMP TABLE corrected AS
SELECT texts.c AS c, corrections.corrected, corrections.rater, corrections.event_id,
       corrections.occurred_at, 'correction:' || corrections.event_id AS comparison_id,
       {_WEIGHT_ONE} AS weight
FROM corrections JOIN texts USING (completion_id) WHERE texts.c <> corrections.corrected;
"""  # noqa: S608

_LEFT_OUT = """
SELECT (SELECT count(*) FROM cast_votes SEMI JOIN quarantined USING (rater)),
       (SELECT count(*) FROM cast_votes) - (SELECT count(*) FROM votes)
"""

# One rater has one voice about two texts, however often they compared them.
_JUDGED = f"""
CREATE TEMP TABLE judged AS
WITH opinions AS (
    SELECT comparison_id, rater, c, avg(score) AS score, max(weight) AS weight,
           max(origin) AS origin
    FROM votes WHERE comparison_id IS NOT NULL GROUP BY comparison_id, rater, c
),
judgements AS (
    SELECT a.rater, a.c, b.c AS other, sign(a.score - b.score) AS preferred,
           least(a.weight, b.weight) AS weight,
           CASE a.origin WHEN 'users' THEN 'comparison' WHEN 'annotators' THEN 'annotation'
                         ELSE a.origin END AS origin
    FROM opinions AS a JOIN opinions AS b USING (comparison_id, rater) WHERE a.c < b.c
    UNION ALL
    SELECT rater, least(c, corrected), greatest(c, corrected), sign(corrected - c), weight,
           'correction'
    FROM corrected
),
per_rater AS (
    SELECT rater, c, other, origin, avg(preferred) AS preferred, max(weight) AS weight
    FROM judgements GROUP BY rater, c, other, origin
)
SELECT c, other, min(origin) AS origin,
       sum(round(weight * (1 + preferred))::BIGINT) / {2 * _WEIGHT_ONE} AS n_first,
       sum(round(weight * (1 - preferred))::BIGINT) / {2 * _WEIGHT_ONE} AS n_second
FROM per_rater GROUP BY c, other HAVING bool_or(preferred <> 0);
"""  # noqa: S608


def count_votes(connection: Connection) -> VoteCounts:
    """Return what became of the stored votes, before any is left out by policy."""
    connection.execute(_ANSWERS)
    connection.execute(_LATEST)
    (row,) = connection.execute(_COUNTS).fetchall()
    return VoteCounts(*row)


def count_weighed(connection: Connection) -> VoteCounts:
    """Return what became of the votes that `weigh_votes` has weighed."""
    (row,) = connection.execute(_COUNTS).fetchall()
    ((quarantined, left_out),) = connection.execute(_LEFT_OUT).fetchall()
    counts = VoteCounts(*row)
    return replace(
        counts,
        counted=counts.counted - left_out,
        quarantined=quarantined,
        over_budget=left_out - quarantined,
    )


def weigh_votes(
    connection: Connection, policy: VotesConfig, origins: Mapping[str, str]
) -> list[Quarantined]:
    """Make the temporary tables that a snapshot is written from.

    - `texts`: every completion, numbered by `c`; `written` is the text of a correction.
    - `votes`: the votes that count, with `score` in billionths and `weight` in millionths.
    - `corrected`: which text a rater put in the place of which.
    - `judged`: every two texts of a prompt that somebody compared, and how many for which.

    Args:
        connection: In a transaction.
        policy: Decay, budget and quarantine.
        origins: The origin of each source that is not of users.

    Returns:
        The raters whose votes were left out.
    """
    connection.register(
        "origins",
        pa.table(
            {"source": list(origins), "origin": list(origins.values())},
            schema=pa.schema([("source", pa.string()), ("origin", pa.string())]),
        ),
    )
    for script in (_ANSWERS, _LATEST, _TEXTS, _VOTES):
        connection.execute(script)
    quarantined = _quarantined(connection, policy)
    connection.register(
        "quarantined",
        pa.table(
            {"rater": pa.array(["rater:" + who.rater_id for who in quarantined], pa.string())}
        ),
    )
    connection.execute(
        _WEIGHED, {"share": policy.max_rater_share, "half_life": policy.half_life_days}
    )
    corrections = connection.sql(_CORRECTIONS).to_arrow_table()
    identities = [
        completion_id(prompt, text)
        for prompt, text in zip(
            corrections["prompt_id"].to_pylist(), corrections["correction"].to_pylist(), strict=True
        )
    ]
    connection.register(
        "corrections", corrections.append_column("completion_id", pa.array(identities, pa.string()))
    )
    connection.execute(_WRITTEN)
    connection.execute(_JUDGED)
    return quarantined


def _quarantined(connection: Connection, policy: VotesConfig) -> list[Quarantined]:
    found = {}
    share = {"share": policy.max_rater_share}
    for rater, n_votes in connection.execute(_FLOODS, share).fetchall():
        found[rater] = (n_votes, f"{n_votes:,} votes, more than five times a rater's budget")
    if policy.burst_votes is not None:
        limits = {"votes": policy.burst_votes, "seconds": policy.burst_seconds}
        reason = f"{policy.burst_votes} votes within {policy.burst_seconds:g} seconds"
        for rater, n_votes in connection.execute(_BURSTS, limits).fetchall():
            found[rater] = (n_votes, reason)
    if policy.quarantine_constant:
        for rater, n_votes, vote in connection.execute(_CONSTANT).fetchall():
            found[rater] = (n_votes, f"all {n_votes:,} votes are {vote}")
    return [Quarantined(rater.removeprefix("rater:"), *why) for rater, why in sorted(found.items())]
