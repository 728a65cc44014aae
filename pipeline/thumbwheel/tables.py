"""The Arrow tables that flow between the stages and through the plugin hooks.

Each schema here is a contract: a hook gets tables of exactly these columns and gives back the
columns named for it. Identifiers are hashes of content (see `events`), so that the same events
give the same identifiers everywhere.
"""

import pyarrow as pa
from pydantic import NonNegativeInt, TypeAdapter, ValidationError

from thumbwheel.errors import PluginError

__all__ = [
    "ANSWERS",
    "COMPARED",
    "COMPARISONS",
    "COUNTS_KEY",
    "DEAD_LETTERS",
    "EVENTS",
    "MESSAGES",
    "METRICS",
    "PAIRS",
    "PREFERENCES",
    "PROPOSED",
    "RATED",
    "REASONS",
    "VOTES",
    "conform",
    "counts_of",
]

MESSAGES = pa.list_(
    pa.struct([("role", pa.string()), ("content", pa.string()), ("extra", pa.string())])
)
"""A prompt: its chat messages in order, see `types.Message`."""

EVENTS = pa.schema(
    [
        pa.field("event_id", pa.string(), nullable=False),
        pa.field("generation_id", pa.string(), nullable=False),
        ("prompt", MESSAGES),
        ("completion", pa.string()),
        ("model_version", pa.string()),
        pa.field("is_vote", pa.bool_(), nullable=False),
        ("rater_id", pa.string()),
        ("score", pa.float64()),
        ("comment", pa.string()),
        ("correction", pa.string()),
        ("comparison_id", pa.string()),
        ("occurred_at", pa.timestamp("us", tz="UTC")),
        ("metadata", pa.string()),
        ("updated_at", pa.timestamp("us", tz="UTC")),
    ]
)
"""`process_events`: one row an event. It carries a generation (`prompt` and `completion`), a vote
(`is_vote`; `score` in [-1, 1], null withdraws an earlier vote), or both. `metadata` is JSON. Of
several rows with one `event_id`, that of the latest `updated_at` replaces the others."""

DEAD_LETTERS = pa.schema(
    [pa.field("raw", pa.binary(), nullable=False), pa.field("reason", pa.string(), nullable=False)]
)
"""`process_dead_letters`: one row a record that could not be read."""

COUNTS_KEY = b"thumbwheel.counts"
"""A key of a table's schema metadata: what a processor did, as a JSON object of name and count."""

RATED = pa.schema(
    [
        ("prompt_id", pa.string()),
        ("completion_id", pa.string()),
        ("prompt", MESSAGES),
        ("completion", pa.string()),
        ("n_up", pa.float64()),
        ("n_down", pa.float64()),
        ("score", pa.float64()),
        ("model_version", pa.string()),
    ]
)
"""`make_pairs` takes this: one row per rated completion, sorted by prompt_id and completion_id, all
completions of a prompt in the same table. See `types.RatedCompletion`. A text that nobody voted on,
but that somebody compared with another, has no votes for or against."""

COMPARISONS = pa.schema(
    [
        ("prompt_id", pa.string()),
        ("chosen_id", pa.string()),
        ("rejected_id", pa.string()),
        ("n_for", pa.float64()),
        ("n_against", pa.float64()),
        ("origin", pa.string()),
    ]
)
"""`make_pairs` may take this too: one row for every two completions of a prompt that somebody
judged side by side, or gave a grade or a rank each. `n_for` distinct raters preferred the chosen
one, `n_against` the other; never fewer for than against. Who found them equal counts half for each;
that alone makes a row only where it was an annotator. `origin` is `comparison` (a choice of users),
`correction` (a rater wrote a better answer), `annotation` (a ranking by annotators), `ai` (a model
wrote a side) or `grades` (raters who graded both; their grades count as votes, too)."""

VOTES = pa.schema(
    [
        ("completion_id", pa.string()),
        ("rater", pa.string()),
        ("event_id", pa.string()),
        ("score", pa.float64()),
        ("weight", pa.float64()),
        ("comparison_id", pa.string()),
        ("occurred_at", pa.timestamp("us", tz="UTC")),
    ]
)
"""The votes that count, one row each: the latest of a rater on a generation within a comparison.

`rater` tells raters apart: `rater:` and the rater's id, or `event:` and the event's id of a vote
without one. `score` is in [-1, 1]; `weight` in (0, 1] is what is left of the vote after decay and
after the rater's budget. A correction is a vote of score 1 on the text that the rater wrote."""

PROPOSED = pa.schema(
    [
        ("prompt_id", pa.string()),
        ("chosen_id", pa.string()),
        ("rejected_id", pa.string()),
        ("confidence", pa.float64()),
    ]
)
"""`make_pairs` gives this: completion ids of one prompt, and P(chosen is better) in (0.5, 1]."""

PAIRS = pa.schema(
    [
        ("pair_id", pa.string()),
        ("prompt_id", pa.string()),
        ("chosen_id", pa.string()),
        ("rejected_id", pa.string()),
        ("confidence", pa.float64()),
        ("plugin", pa.string()),
        ("origin", pa.string()),
        ("prompt", MESSAGES),
        ("chosen", pa.string()),
        ("rejected", pa.string()),
    ]
)
"""`screen_pairs` and `evaluate_model` take this: the pairs with their texts. `origin` is `votes`,
or that of a comparison of just these two, see `COMPARISONS`."""

REASONS = pa.schema([("pair_id", pa.string()), ("reason", pa.string())])
"""`screen_pairs` gives this: the pairs to drop, and why. A pair not named is kept."""

METRICS = pa.schema([("metric", pa.string()), ("prompt_id", pa.string()), ("value", pa.float64())])
"""`evaluate_model` gives this: one value per metric and prompt, a mean over the answers to it, say.
The engine turns the values into
paired estimates, so a plugin never computes an interval itself."""


ANSWERS = pa.schema(
    [
        ("prompt_id", pa.string()),
        ("prompt", MESSAGES),
        ("draw", pa.int64()),
        ("answer", pa.string()),
        ("finished", pa.bool_()),
    ]
)
"""What a model under evaluation answered: `draw` counts the answers to one prompt, from 0 up;
`finished` is false where an answer was cut off at the longest length."""

COMPARED = pa.schema(
    [
        ("comparison_id", pa.string()),
        ("prompt_id", pa.string()),
        ("prompt", MESSAGES),
        ("first", pa.string()),
        ("second", pa.string()),
    ]
)
"""`judge_answers` takes this: two answers to a prompt, in an order that tells nothing."""

PREFERENCES = pa.schema([("comparison_id", pa.string()), ("preference", pa.float64())])
"""`judge_answers` gives this: 1 where the first answer is better, 0 where the second is, 0.5 for a
tie, null where the judge cannot tell."""


def counts_of(table: pa.Table, who: str) -> dict[str, int]:
    """Return what a processor says under `COUNTS_KEY` that it did.

    Raises:
        PluginError: It is not a JSON object of names and counts.
    """
    try:
        return TypeAdapter(dict[str, NonNegativeInt]).validate_json(
            (table.schema.metadata or {}).get(COUNTS_KEY, b"{}")
        )
    except ValidationError as error:
        raise PluginError(
            f"{who} must give counts in the schema's metadata as a JSON object of names and whole "
            "numbers"
        ) from error


def conform(table: object, schema: pa.Schema, who: str) -> pa.Table:
    """Return `table` with exactly the columns of `schema`, cast to its types.

    Args:
        table: What a plugin returned.
        schema: One of the schemas above.
        who: The plugin and hook, for the message.

    Raises:
        PluginError: It is not an Arrow table, lacks a column, or a column has another type.
    """
    if not isinstance(table, pa.Table):
        raise PluginError(f"{who} must return a pyarrow.Table, got {type(table).__name__}")
    missing = [name for name in schema.names if name not in table.column_names]
    if missing:
        raise PluginError(
            f"{who} returned a table without the column{'s' * (len(missing) > 1)} "
            f"{', '.join(missing)}; it needs {', '.join(schema.names)}"
        )
    try:
        return table.select(schema.names).cast(schema)
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError, ValueError) as error:
        raise PluginError(f"{who} returned a column of the wrong type: {error}") from error
