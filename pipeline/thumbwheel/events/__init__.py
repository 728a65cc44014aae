"""Events: from the raw records of a source to a table of what they say.

Thumbwheel's own event format is a JSON object. A mapping puts any other JSON object
into that format first. What cannot be understood is malformed, with the reason; whoever reads the
source keeps the raw bytes as a dead letter.

- `wire`: the format, key by key, and what is wrong with an event that is not in it.
- `chat`: what a message holds beside role and content.
- `identity`: hashes of content that name prompts and completions.
- `rows`: from a validated event to a row, and from rows to a table.
- `parser`: all of these, for a batch of records.
- `parallel`: the parser in processes of its own.
- `mapping`: from other tools' records into the format, by their keys.
- `ratings`: which ratings are which votes.
- `paths`: where a value lies in a record.
- `rules`: which records count, and how their chats are read.
- `messages`, `reasoning`: chats as tools write them, and what a model thought before its answer.
- `asked`: the prompt of an event, from where a record keeps it.
- `exported`: what exporters do to texts.
- `parts`, `comparisons`: one record, many events.
- `readings`: several kinds of records in one source.
- `formats`, `tools/`: the exports of known tools, as tables of keys.
"""

from thumbwheel.events.chat import from_chat, readable, to_chat
from thumbwheel.events.identity import (
    ascii_words,
    cluster_id,
    completion_id,
    content_id,
    normal_completion,
    text_identity,
)
from thumbwheel.events.parser import RECEIVED_AS, EventParser, Malformed, ParsedBatch
from thumbwheel.events.rows import IDENTIFIED
from thumbwheel.events.wire import MalformedRecordError, invalid_field

__all__ = [
    "IDENTIFIED",
    "RECEIVED_AS",
    "EventParser",
    "Malformed",
    "MalformedRecordError",
    "ParsedBatch",
    "ascii_words",
    "cluster_id",
    "completion_id",
    "content_id",
    "from_chat",
    "invalid_field",
    "normal_completion",
    "readable",
    "text_identity",
    "to_chat",
]
