"""Ids that name what they should not: kept, and reported.

Ids are a namespace's own, which is a source's unless the configuration joins sources. So a claim of
another source changes nothing; but whoever reads `status` should know that it was made.
"""

from thumbwheel.store.connection import Connection
from thumbwheel.store.values import ConflictingIds
from thumbwheel.types.fates import IdConflict

__all__ = ["conflicting_ids", "conflicts_of"]

# Hardly any id is in conflict: rows are grouped by a hash, and the few that share one looked at.
_RETOLD = """
CREATE TEMP TABLE ambiguous_ids AS
WITH several AS (
    SELECT hash(namespace, generation_id) AS key FROM scoped_events WHERE completion_id IS NOT NULL
    GROUP BY key HAVING min(hash(completion_id)) <> max(hash(completion_id))
)
SELECT namespace, generation_id, min(prompt_id) <> max(prompt_id) AS has_prompts,
       count(DISTINCT completion_id) FILTER (coalesce(updated_at, occurred_at) IS NULL) > 1
           AS is_untimed
FROM scoped_events SEMI JOIN several ON hash(namespace, generation_id) = several.key
WHERE completion_id IS NOT NULL
GROUP BY namespace, generation_id HAVING min(completion_id) <> max(completion_id);
"""

_PROMPTS = """
SELECT namespace, 'prompts', count(*), min(generation_id), NULL FROM ambiguous_ids
WHERE has_prompts GROUP BY namespace
"""

# A vote without a time comes in order of arrival where nothing about the id bears one.
_UNTIMED = """
SELECT namespace, 'untimed', count(DISTINCT generation_id), min(generation_id), NULL
FROM (FROM ambiguous_ids WHERE is_untimed) JOIN scoped_events USING (namespace, generation_id)
WHERE is_vote AND completion_id IS NULL AND coalesce(updated_at, occurred_at) IS NOT NULL
GROUP BY namespace
"""

_OTHER_ANSWERS = """
WITH several AS (
    SELECT hash(generation_id) AS key FROM scoped_events WHERE completion_id IS NOT NULL
    GROUP BY key HAVING min(namespace) <> max(namespace)
),
answered AS (
    SELECT DISTINCT namespace, generation_id, completion_id
    FROM scoped_events SEMI JOIN several ON hash(generation_id) = several.key
    WHERE completion_id IS NOT NULL
)
SELECT one.namespace, 'other_answers', count(DISTINCT generation_id), min(generation_id),
       two.namespace
FROM answered AS one JOIN answered AS two USING (generation_id)
WHERE one.namespace < two.namespace AND one.completion_id <> two.completion_id
GROUP BY one.namespace, two.namespace
"""

_OTHER_EVENTS = """
WITH several AS (
    SELECT hash(event_id) AS key FROM scoped_events
    GROUP BY key HAVING min(namespace) <> max(namespace)
),
known AS (
    SELECT DISTINCT namespace, event_id
    FROM scoped_events SEMI JOIN several ON hash(event_id) = several.key
)
SELECT one.namespace, 'other_events', count(*), min(event_id), two.namespace
FROM known AS one JOIN known AS two USING (event_id) WHERE one.namespace < two.namespace
GROUP BY one.namespace, two.namespace
"""

_ELSEWHERE = """
WITH waiting AS (
    SELECT DISTINCT namespace, generation_id FROM scoped_events ANTI JOIN (
        SELECT namespace, generation_id FROM scoped_events WHERE completion_id IS NOT NULL
    ) AS answered USING (namespace, generation_id)
    WHERE completion_id IS NULL
)
SELECT waiting.namespace, 'elsewhere', count(DISTINCT generation_id), min(generation_id),
       answered.namespace
FROM waiting JOIN scoped_events AS answered USING (generation_id) WHERE completion_id IS NOT NULL
GROUP BY waiting.namespace, answered.namespace
"""


def conflicting_ids(connection: Connection) -> list[ConflictingIds]:
    """Return the ids that name several answers, or that two sources claim.

    Args:
        connection: In a transaction.
    """
    connection.execute(_RETOLD)
    queries = [_PROMPTS, _UNTIMED]
    ((several,),) = connection.execute(
        "SELECT count(DISTINCT namespace) > 1 FROM sources"
    ).fetchall()
    if several:
        queries += [_OTHER_ANSWERS, _OTHER_EVENTS, _ELSEWHERE]
    rows = connection.execute(
        " UNION ALL ".join(f"({query})" for query in queries) + " ORDER BY ALL"
    )
    return [
        ConflictingIds(_shown(source), IdConflict(kind), n, example, other and _shown(other))
        for source, kind, n, example, other in rows.fetchall()
    ]


def conflicts_of(
    connection: Connection, namespace: str, event_id: str, generation_id: str
) -> list[str]:
    """Return what is to be known of the ids that an event bears, in words.

    Args:
        connection: In a transaction.
        namespace: Whose ids they are.
        event_id: Its own.
        generation_id: That of the answer it is or speaks about.
    """
    found = []
    ((n_prompts,),) = connection.execute(
        "SELECT count(DISTINCT prompt_id) FROM scoped_events "
        "WHERE namespace = ? AND generation_id = ?",
        [namespace, generation_id],
    ).fetchall()
    if n_prompts > 1:
        found.append(f"the id {generation_id} names answers to {n_prompts} prompts")
    others = connection.execute(
        "SELECT DISTINCT source FROM scoped_events WHERE generation_id = ? AND namespace <> ? "
        "AND completion_id IS NOT NULL ORDER BY 1",
        [generation_id, namespace],
    ).fetchall()
    if others:
        names = ", ".join(name for (name,) in others)
        found.append(f"the answer {generation_id} of {names} is another one")
    twins = connection.execute(
        "SELECT DISTINCT source FROM scoped_events "
        "WHERE event_id = ? AND namespace <> ? ORDER BY 1",
        [event_id, namespace],
    ).fetchall()
    if twins:
        names = ", ".join(name for (name,) in twins)
        found.append(f"the event {event_id} of {names} is another one")
    return found


def _shown(namespace: str) -> str:
    return "shared ids" if namespace == "*" else namespace
