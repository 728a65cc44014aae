"""Which text an event speaks about, as temporary tables of a transaction.

An event that carries its prompt and completion speaks about these, always. One that names only the
id of an answer speaks about the text that came last under this id before it; where none did, about
the first that came after it. Ids are compared within a namespace.

Nearly every id names one text. The few that name several (fragments of a stream, answers that were
regenerated, ids that count the messages of each conversation) are looked at one by one.
"""

from thumbwheel.store.connection import Connection

__all__ = ["resolve_answers"]

# A record that was changed replaces what it said before. Its answer stays known: somebody may have
# voted on it meanwhile.
_REPLACED = """
CREATE TEMP TABLE replaced AS
WITH changed AS (
    SELECT DISTINCT hash(namespace, event_id) AS key FROM scoped_events WHERE updated_at IS NOT NULL
)
SELECT arrival, is_vote
FROM scoped_events SEMI JOIN changed ON hash(namespace, event_id) = changed.key
QUALIFY row_number() OVER (
    PARTITION BY namespace, event_id ORDER BY updated_at DESC NULLS LAST) > 1;
"""

# Joins and groups of strings would be most of the work. Hardly any key occurs twice, so that rows
# are grouped by a hash of the key, and only those that share one are looked at as they are.
_ANSWERS = """
CREATE TEMP MACRO identity(number) AS replace(number::VARCHAR, '-', '');
CREATE TEMP TABLE reused_ids AS
SELECT hash(namespace, generation_id) AS key FROM scoped_events WHERE completion_id IS NOT NULL
GROUP BY key HAVING count(*) > 1;
CREATE TEMP TABLE answers AS
WITH answered AS (
    SELECT namespace, generation_id, prompt_id::UUID AS p, completion_id::UUID AS c, model_version,
           coalesce(updated_at, occurred_at) AS answered_at, event_id, arrival,
           hash(namespace, generation_id) AS key
    FROM scoped_events WHERE completion_id IS NOT NULL
)
SELECT * EXCLUDE (key) FROM answered ANTI JOIN reused_ids USING (key)
UNION ALL
SELECT * EXCLUDE (key) FROM answered SEMI JOIN reused_ids USING (key)
QUALIFY row_number() OVER (
    PARTITION BY namespace, generation_id ORDER BY answered_at NULLS LAST, event_id) = 1;
CREATE TEMP TABLE versions AS
WITH answered AS (
    SELECT namespace, generation_id, prompt_id::UUID AS p, completion_id::UUID AS c, model_version,
           coalesce(updated_at, occurred_at) AS answered_at, event_id, arrival
    FROM scoped_events SEMI JOIN reused_ids ON hash(namespace, generation_id) = reused_ids.key
    WHERE completion_id IS NOT NULL
)
FROM answered SEMI JOIN (
    SELECT namespace, generation_id FROM answered GROUP BY ALL HAVING min(c) <> max(c)
) USING (namespace, generation_id);
"""

# What bears no time came before all that does, and a vote without one speaks of what came last. Of
# answers of one moment the longest came last: fragments grow. Where nothing about an id bears a
# time, the order of arrival is all that is known.
_RESOLVED = """
CREATE TEMP TABLE resolved AS
WITH ids AS (
    SELECT namespace, generation_id, count(answered_at) > 0 AS is_timed FROM versions GROUP BY ALL
),
spoken AS (
    SELECT namespace, generation_id, coalesce(answered_at, '-infinity') AS moment,
           false AS by_arrival, NULL::BIGINT AS speaker, length AS rank, event_id,
           struct_pack(p, c) AS text
    FROM versions JOIN (
        SELECT arrival, length(completion) AS length FROM events
        WHERE arrival IN (SELECT arrival FROM versions)
    ) AS measured USING (arrival)
    UNION ALL
    SELECT namespace, generation_id, '-infinity', true, NULL, arrival, event_id, struct_pack(p, c)
    FROM versions JOIN ids USING (namespace, generation_id) WHERE NOT is_timed
    UNION ALL
    SELECT namespace, generation_id,
           if(is_timed OR said_at IS NOT NULL, coalesce(said_at, 'infinity'), '-infinity'),
           NOT is_timed AND said_at IS NULL AS by_arrival, arrival,
           if(NOT is_timed AND said_at IS NULL, arrival, 9223372036854775807), event_id, NULL
    FROM (SELECT *, coalesce(updated_at, occurred_at) AS said_at FROM scoped_events) AS said
         JOIN ids USING (namespace, generation_id) WHERE completion_id IS NULL
)
SELECT speaker AS arrival, unnest(coalesce(
    last_value(text IGNORE NULLS) OVER (spoken_in_order ROWS UNBOUNDED PRECEDING),
    first_value(text IGNORE NULLS) OVER (
        spoken_in_order ROWS BETWEEN CURRENT ROW AND UNBOUNDED FOLLOWING)))
FROM spoken
WINDOW spoken_in_order AS (
    PARTITION BY namespace, generation_id, by_arrival
    ORDER BY moment, rank, event_id)
QUALIFY speaker IS NOT NULL;
"""

# Who takes a vote back means their latest, though another text may have come since.
_TAKEN_BACK = """
CREATE TEMP TABLE taken_back AS
WITH votes AS (
    SELECT arrival, namespace, generation_id, rater_id, comparison_id,
           coalesce(updated_at, occurred_at, '-infinity') AS moment, score,
           completion_id IS NULL AND score IS NULL AS is_taken_back, struct_pack(p, c) AS text
    FROM scoped_events JOIN (
        SELECT arrival, p, c FROM resolved UNION ALL SELECT arrival, p, c FROM versions
    ) AS about USING (arrival)
    WHERE is_vote AND rater_id IS NOT NULL
)
SELECT arrival, unnest(last_value(CASE WHEN score IS NOT NULL THEN text END IGNORE NULLS) OVER (
    PARTITION BY namespace, generation_id, rater_id, comparison_id ORDER BY moment, arrival
    ROWS UNBOUNDED PRECEDING))
FROM votes QUALIFY is_taken_back;
UPDATE resolved SET p = taken_back.p, c = taken_back.c FROM taken_back
WHERE resolved.arrival = taken_back.arrival AND taken_back.c IS NOT NULL;
"""


def resolve_answers(connection: Connection) -> None:
    """Leave these tables, of which `p` and `c` are a prompt and a completion as numbers.

    - `replaced` (arrival, is_vote): events that a later version of their record replaced.
    - `answers` (namespace, generation_id, p, c, model_version, answered_at, event_id, arrival):
      the first answer of each id.
    - `versions`, the same columns: every answer of the ids that name several texts.
    - `resolved` (arrival, p, c): what those events speak about that name such an id and no text.

    The macro `identity` writes out a number as the id that it stands for.

    Args:
        connection: In a transaction.
    """
    connection.execute(_REPLACED)
    connection.execute(_ANSWERS)
    ((is_ambiguous,),) = connection.execute("SELECT count(*) > 0 FROM versions").fetchall()
    if is_ambiguous:
        connection.execute(_RESOLVED)
        connection.execute(_TAKEN_BACK)
    else:
        connection.execute("CREATE TEMP TABLE resolved (arrival BIGINT, p UUID, c UUID)")
