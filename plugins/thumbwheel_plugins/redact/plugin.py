"""The hook: which columns of an event hold texts, and how they are put back."""

import functools
import json
from collections.abc import Callable
from typing import Annotated, AnyStr, ClassVar, Literal, get_args

import pyarrow as pa
import pyarrow.compute as pc
from pydantic import Field
from pydantic.dataclasses import dataclass

from thumbwheel.authoring import COUNTS_KEY, DEAD_LETTERS, hookimpl
from thumbwheel.errors import PluginError
from thumbwheel.tables import MESSAGES
from thumbwheel_plugins.redact.contacts import find_emails, find_phones
from thumbwheel_plugins.redact.identifiers import IDENTIFIERS, identifier_finder
from thumbwheel_plugins.redact.json_text import redact_json
from thumbwheel_plugins.redact.names import NAMES, check_model, name_finder
from thumbwheel_plugins.redact.scanner import Finder, Scanner
from thumbwheel_plugins.redact.secrets import find_secrets

__all__ = ["Kind", "Redact"]

Kind = Literal[
    "CREDIT_CARD",
    "CRYPTO",
    "EMAIL_ADDRESS",
    "IBAN_CODE",
    "IP_ADDRESS",
    "LOCATION",
    "MAC_ADDRESS",
    "PERSON",
    "PHONE_NUMBER",
    "US_SSN",
]


@dataclass(frozen=True)
class Redact:
    """Replaces personal data and secrets in the texts of events by placeholders.

    It reads prompts with their tool calls, completions, comments, corrections and metadata, and
    leaves alone the ids that tie events together: who sends ids that say who somebody is, sends
    pseudonyms instead. Records that cannot be read are redacted too. `thumbwheel status` shows how
    often each kind was replaced.

    Attributes:
        entities: Kinds of personal data; by default all, PERSON and LOCATION only with a `model`.
        secrets: Whether well-known keys, tokens and passwords in URLs are replaced.
        min_score: What is found with less confidence, in [0, 1], stays. With checksum: 1; a phone
            number 0.8; an address of a machine 0.6; a US social security number 0.5, or 0.05
            where it is nine digits in a row.
        model: A spaCy model that finds names: an installed package, or the path of a pipeline.

    Raises:
        PluginError: The model is not installed, or names are asked for without a model.
    """

    needs_extra: ClassVar[str] = "redact"

    entities: tuple[Kind, ...] | None = None
    secrets: bool = True
    min_score: Annotated[float, Field(ge=0, le=1)] = 0.4
    model: str | None = None

    def __post_init__(self) -> None:
        if self.model is not None:
            check_model(self.model)
        elif names := [kind for kind in self.entities or () if kind in NAMES]:
            raise PluginError(
                f"redact: {' and '.join(names)} needs a spaCy model; name one as `model`, such as "
                '"en_core_web_sm"'
            )

    @hookimpl
    def process_events(self, events: pa.Table) -> pa.Table:
        """Redact every text of the events."""
        scanner = self._scanner()
        in_json = functools.partial(redact_json, redact=scanner.redact)
        changed = {
            "prompt": _redacted_prompts(events["prompt"], scanner.redact, in_json),
            "completion": _redacted(events["completion"], scanner.redact),
            "comment": _redacted(events["comment"], scanner.redact),
            "correction": _redacted(events["correction"], scanner.redact),
            "metadata": _redacted(events["metadata"], in_json),
        }
        for name, column in changed.items():
            index = events.schema.get_field_index(name)
            events = events.set_column(index, events.schema.field(index), column)
        return events.replace_schema_metadata({COUNTS_KEY: json.dumps(scanner.counts)})

    @hookimpl
    def process_dead_letters(self, letters: pa.Table) -> pa.Table:
        """Redact records that could not be read, and the reasons why."""
        columns = [
            pa.array(map(self.redact_text, letters[field.name].to_pylist()), field.type)
            for field in DEAD_LETTERS
        ]
        return pa.table(columns, schema=DEAD_LETTERS)

    def redact_text(self, text: AnyStr) -> AnyStr:
        """Redact one text that is no event, such as a record that cannot be read.

        JSON stays JSON; bytes that are no UTF-8 stay as they are.
        """
        if isinstance(text, str):
            return redact_json(text, self._scanner().redact)
        decoded = text.decode("utf-8", "surrogateescape")
        redacted = redact_json(decoded, self._scanner().redact)
        return text if redacted == decoded else redacted.encode("utf-8", "surrogateescape")

    def _scanner(self) -> Scanner:
        kinds = self.entities
        if kinds is None:
            kinds = tuple(kind for kind in get_args(Kind) if self.model or kind not in NAMES)
        finders: list[Finder] = [find_secrets] if self.secrets else []
        finders += [find_emails] if "EMAIL_ADDRESS" in kinds else []
        finders += [identifier_finder([kind for kind in kinds if kind in IDENTIFIERS])]
        finders += [find_phones] if "PHONE_NUMBER" in kinds else []
        names = [kind for kind in kinds if kind in NAMES]
        finders += [name_finder(self.model, names)] if self.model and names else []
        return Scanner(finders, self.min_score)


def _redacted(column: pa.ChunkedArray, redact: Callable[[str], str]) -> pa.ChunkedArray:
    return pa.chunked_array(
        [_redacted_texts(piece, redact) for piece in column.chunks], column.type
    )


def _redacted_texts(texts: pa.Array, redact: Callable[[str], str]) -> pa.Array:
    changed = [None if text is None else redact(text) for text in texts.to_pylist()]
    return pa.array(changed, texts.type)


def _redacted_prompts(
    column: pa.ChunkedArray, redact: Callable[[str], str], in_json: Callable[[str], str]
) -> pa.ChunkedArray:
    pieces = []
    for prompts in column.chunks:
        messages = prompts.flatten()
        changed = pa.StructArray.from_arrays(
            [
                _redacted_texts(messages.field("role"), redact),
                _redacted_texts(messages.field("content"), redact),
                _redacted_texts(messages.field("extra"), in_json),
            ],
            fields=list(MESSAGES.value_type),
        )
        ends = pc.cumulative_sum(pc.fill_null(prompts.value_lengths(), 0))
        offsets = pa.concat_arrays([pa.array([0], pa.int32()), ends])
        pieces.append(
            pa.ListArray.from_arrays(offsets, changed, type=MESSAGES, mask=prompts.is_null())
        )
    return pa.chunked_array(pieces, MESSAGES)
