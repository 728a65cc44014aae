"""What the store holds of a rater or a generation, and the store's file written anew without it.

DuckDB keeps what was deleted: in free blocks of the file, and in its write-ahead log. So nothing is
deleted here. What is kept is copied into a new file, which then takes the place of the old one.
"""

import json
import re
from collections import Counter
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa

from thumbwheel.store.connection import Connection, quoted, stream, tune
from thumbwheel.store.forgotten import Subject, names_in
from thumbwheel.store.migrations import migrate
from thumbwheel.store.verify import verify

__all__ = ["Found", "find", "written_without"]

_ROWS = 10_000
_MOST_TEXTS = 10_000
_SHORTEST_TEXT = 16


@dataclass(frozen=True)
class Found:
    """What a store holds of a rater or a generation.

    Attributes:
        event_ids: Events that are theirs: those that bear the id, and the answers of `generations`.
        generations: Generations that nobody else spoke about; they are forgotten whole.
        completion_ids: Completions of which no event is left, texts of corrections included.
        prompt_ids: Prompts of which no event is left.
        texts: Questions, completions, comments and corrections that are gone, as far as they are
            long enough to be told from others'; of many, some.
        n_letters: Dead letters that name them.
        n_expired: Expired events whose ids name them.
        n_votes: Votes among the events.
        sources: How many events and dead letters came from each source.
    """

    event_ids: frozenset[str] = frozenset()
    generations: frozenset[str] = frozenset()
    completion_ids: frozenset[str] = frozenset()
    prompt_ids: frozenset[str] = frozenset()
    texts: frozenset[str] = frozenset()
    n_letters: int = 0
    n_expired: int = 0
    n_votes: int = 0
    sources: dict[str, int] = field(default_factory=dict)

    def __bool__(self) -> bool:
        return bool(self.event_ids or self.n_letters or self.n_expired)


# Whoever is named in an answer, or says something about it, takes part in the conversation.
_OF_RATER = """
CREATE TEMP TABLE going AS
WITH own AS (
    SELECT DISTINCT namespace, generation_id FROM scoped_events WHERE rater_id = $name
),
shared AS (
    SELECT DISTINCT namespace, generation_id
    FROM scoped_events SEMI JOIN own USING (namespace, generation_id)
    WHERE rater_id IS DISTINCT FROM $name AND (
        rater_id IS NOT NULL OR is_vote OR comment IS NOT NULL OR correction IS NOT NULL)
)
SELECT arrival, shared.generation_id IS NULL AS is_whole
FROM scoped_events LEFT JOIN shared USING (namespace, generation_id) WHERE rater_id = $name
UNION
SELECT arrival, true FROM scoped_events SEMI JOIN (FROM own EXCEPT FROM shared)
    USING (namespace, generation_id)
"""

_OF_GENERATION = """
CREATE TEMP TABLE going AS SELECT arrival, true AS is_whole FROM events WHERE generation_id = $name
"""

_EVENTS = """
SELECT event_id, CASE WHEN is_whole THEN generation_id END AS generation_id, is_vote, source,
       prompt_id, completion_id
FROM events JOIN going USING (arrival)
"""

# The text of a correction is a completion of the prompt that the corrected answer answers.
_CORRECTIONS = """
SELECT DISTINCT answers.prompt_id, written.correction
FROM (SELECT namespace, generation_id, correction FROM scoped_events JOIN going USING (arrival)
      WHERE trim(correction) <> '') AS written
JOIN scoped_events AS answers USING (namespace, generation_id) WHERE answers.prompt_id IS NOT NULL
"""

_GONE = """
SELECT id FROM candidates ANTI JOIN (
    SELECT {column} AS id FROM events ANTI JOIN going USING (arrival) WHERE {column} IS NOT NULL
) AS kept USING (id)
"""

_TEXTS = """
WITH own AS (FROM events SEMI JOIN going USING (arrival)),
texts AS (
    SELECT prompt[-1].content AS text FROM own SEMI JOIN prompts_gone USING (prompt_id)
    UNION SELECT completion FROM own SEMI JOIN completions_gone USING (completion_id)
    UNION SELECT comment FROM own
    UNION SELECT correction FROM own
)
SELECT text FROM texts WHERE length(text) >= ? LIMIT ?
"""

_COUNT_FORGOTTEN = """
UPDATE fresh.sources SET
    stored = stored - events,
    dead_letters = fresh.sources.dead_letters - letters,
    expired = fresh.sources.expired - expiries,
    forgotten = forgotten + events + letters + expiries
FROM (
    SELECT source, count(*) FILTER (what = 'event') AS events,
           count(*) FILTER (what = 'letter') AS letters,
           count(*) FILTER (what = 'expired') AS expiries
    FROM (
        SELECT source, 'event' AS what FROM events SEMI JOIN going USING (arrival)
        UNION ALL SELECT source, 'letter' FROM dead_letters SEMI JOIN letters_gone USING (id)
        UNION ALL
        SELECT source, 'expired' FROM expired_events SEMI JOIN expired_gone USING (event_id)
    ) GROUP BY source
) AS gone
WHERE fresh.sources.source = gone.source
"""

_COPY = """
INSERT INTO fresh.events BY NAME SELECT * FROM events ANTI JOIN going USING (arrival);
INSERT INTO fresh.dead_letters BY NAME
    SELECT * FROM dead_letters ANTI JOIN letters_gone USING (id);
INSERT INTO fresh.expired_events BY NAME
    SELECT * FROM expired_events ANTI JOIN expired_gone USING (event_id);
INSERT INTO fresh.sources BY NAME SELECT * FROM sources;
INSERT INTO fresh.plugin_counts BY NAME SELECT * FROM plugin_counts;
"""

_NEXT_LETTER = """
SELECT coalesce(last_value + 1, start_value) FROM duckdb_sequences()
WHERE database_name = 'old' AND sequence_name = 'dead_letter_ids'
"""


def find(connection: Connection, subject: Subject) -> Found:
    """Return what the store holds of a rater or a generation.

    It leaves temporary tables of what goes: `going` (arrival, is_whole: of a generation that goes
    whole), `letters_gone` (id) and `expired_gone` (event_id).

    Args:
        connection: In a transaction, or one of its own.
        subject: The rater or the generation.
    """
    from thumbwheel.events import completion_id

    connection.execute(
        _OF_RATER if subject.kind == "rater" else _OF_GENERATION, {"name": subject.name}
    )
    events, prompts, completions = set[str](), set[str | None](), set[str | None]()
    generations = {subject.name} if subject.kind == "generation" else set[str]()
    sources: Counter[str] = Counter()
    n_votes = 0
    for batch in stream(connection, _EVENTS, _ROWS):
        rows = batch.to_pydict()
        events.update(rows["event_id"])
        generations.update(name for name in rows["generation_id"] if name is not None)
        prompts.update(rows["prompt_id"])
        completions.update(rows["completion_id"])
        sources.update(rows["source"])
        n_votes += sum(rows["is_vote"])
    completions |= {
        completion_id(prompt, text) for prompt, text in connection.execute(_CORRECTIONS).fetchall()
    }
    completions_gone = _gone(connection, "completion_id", completions)
    prompts_gone = _gone(connection, "prompt_id", prompts)
    texts = connection.execute(_TEXTS, [_SHORTEST_TEXT, _MOST_TEXTS]).fetchall()
    is_named = _naming(subject, generations)
    letters = [
        (letter, source)
        for letter, source, raw in _rows(connection, "SELECT id, source, raw FROM dead_letters")
        if is_named(raw)
    ]
    sources.update(source for _, source in letters)
    expired = [
        event
        for (event,) in _rows(connection, "SELECT event_id FROM expired_events")
        if is_named(event.encode())
    ]
    _keep(connection, "letters_gone", "id", pa.array([id for id, _ in letters], pa.int64()))
    _keep(connection, "expired_gone", "event_id", pa.array(expired, pa.string()))
    return Found(
        frozenset(events),
        frozenset(generations),
        completions_gone,
        prompts_gone,
        frozenset(text for (text,) in texts),
        len(letters),
        len(expired),
        n_votes,
        dict(sources),
    )


@contextmanager
def written_without(old: Path, fresh: Path, subject: Subject) -> Iterator[None]:
    """Write a store without what is to be forgotten, which is then counted as forgotten.

    Inside the block the new file is whole and closed, and no other process can open the old one.

    Args:
        old: A store that nobody has open, with an empty write-ahead log.
        fresh: The file to make.
        subject: The rater or the generation.

    Raises:
        DamagedStoreError: The counts of the old store do not agree with its rows.
        duckdb.Error: The old store could not be read, or the new one not written.
    """
    with duckdb.connect() as connection:
        tune(connection)
        connection.execute(f"SET temp_directory = {quoted(fresh.with_name(fresh.name + '.tmp'))}")
        connection.execute(f"ATTACH {quoted(old)} AS old (READ_ONLY)")
        connection.execute(f"ATTACH {quoted(fresh)} AS fresh")
        connection.execute("USE fresh")
        migrate(connection, fresh)
        connection.execute("USE old")
        find(connection, subject)
        connection.execute(_COPY)
        connection.execute(_COUNT_FORGOTTEN)
        ((letter,),) = connection.execute(_NEXT_LETTER).fetchall()
        connection.execute(f"CREATE OR REPLACE SEQUENCE fresh.dead_letter_ids START {letter}")
        connection.execute("USE fresh")
        verify(connection, old)
        connection.execute("CHECKPOINT fresh; USE memory; DETACH fresh")
        yield


def _gone(
    connection: Connection, column: str, candidates: Collection[str | None]
) -> frozenset[str]:
    """Return the ids of which no kept event has one, and leave them in a temporary table."""
    ids = pa.array([name for name in candidates if name is not None], pa.string())
    connection.register("candidates", pa.table({"id": ids}))
    rows = connection.execute(_GONE.format(column=column)).fetchall()
    gone = frozenset(name for (name,) in rows)
    _keep(
        connection, f"{column.removesuffix('_id')}s_gone", column, pa.array(list(gone), pa.string())
    )
    return gone


def _keep(connection: Connection, table: str, column: str, ids: pa.Array) -> None:
    connection.register("ids", pa.table({column: ids}))
    connection.execute(f"CREATE TEMP TABLE {table} AS FROM ids")


def _naming(subject: Subject, generations: Collection[str]) -> Callable[[bytes], bool]:
    """Return what tells whether a record names the subject, or one of the generations."""
    # As it is, and as JSON writes it.
    spellings = {subject.name, json.dumps(subject.name)[1:-1]}
    token = re.compile(rf"(?<![\w-])(?:{'|'.join(map(re.escape, spellings))})(?![\w-])".encode())

    names = {subject.name, *generations}

    def is_named(raw: bytes) -> bool:
        return token.search(raw) is not None or any(name in names for name in names_in(raw))

    return is_named


def _rows(connection: Connection, query: str) -> Iterator[tuple[Any, ...]]:
    for batch in stream(connection, query, _ROWS):
        yield from zip(*(column.to_pylist() for column in batch.columns), strict=True)
