"""`where`: which records of a source count, whatever mapping reads them."""

import json
import pickle
from typing import Any

import pytest
from pydantic import ValidationError

from thumbwheel.config import SourceConfig
from thumbwheel.errors import ConfigError
from thumbwheel.events import EventParser
from thumbwheel.events.mapping import KeyMapping
from thumbwheel.events.rules import ReadingRules
from thumbwheel.ingest import parser_for

RECORD = {"key": "User_Score ", "n": 1, "flag": True, "source": {"type": "api"}, "tags": ["a", "b"]}


@pytest.mark.parametrize(
    ("where", "holds"),
    [
        ({}, True),
        ({"key": "user_score"}, True),
        ({"key": ["toxicity", "user_score"]}, True),
        ({"key": "toxicity"}, False),
        ({"source.type": "api", "n": 1}, True),
        ({"source.type": "api", "n": 2}, False),
        ({"n": 1.0}, True),
        ({"n": True}, False),
        ({"flag": True}, True),
        ({"flag": 1}, False),
        ({"tags": "b"}, True),
        ({"tags": "c"}, False),
        ({"key": {"is_not": ["toxicity"]}}, True),
        ({"key": {"is_not": "USER_SCORE"}}, False),
        ({"none": {"is_not": "x"}}, True),
        ({"n": {"present": True}}, True),
        ({"none": {"present": False}}, True),
        ({"none": {"present": True}}, False),
        ({"none": {"present": True, "is_not": "x"}}, False),
        ({"none": "x"}, False),
    ],
)
def test_conditions(where: dict[str, Any], holds: bool) -> None:
    """Values are compared as ratings are; of a list, one element is enough."""
    assert ReadingRules(where=where).take(RECORD, RECORD) is holds


@pytest.mark.parametrize(("text", "value"), [("1", 1), ("1.0", 1), ("TRUE", True), ("0", 0)])
def test_what_csv_spells(text: str, value: Any) -> None:
    """A table's text counts as the number or truth value that it spells."""
    assert ReadingRules(where={"a": value}).take({"a": text}, {})


@pytest.mark.parametrize("where", [{"a": []}, {"a": {"is": 1}}, {"a": None}, {"a": {"present": 3}}])
def test_conditions_that_cannot_hold_are_refused(where: dict[str, Any]) -> None:
    """A mistake is told when the configuration is read."""
    with pytest.raises(ValidationError):
        ReadingRules(where=where)


@pytest.mark.parametrize("mapping", [None, KeyMapping(rating="score", up=(1,), down=(0,))])
def test_what_does_not_match_is_left_out_and_counted(mapping: KeyMapping | None) -> None:
    """It is no dead letter, even where it could not be read; the reason is counted."""
    rules = ReadingRules(where={"key": "user_score"})
    records = [
        {"key": key, "prompt": "q", "completion": "a", "score": score}
        for key, score in (("user_score", 1), ("toxicity", 7), (None, 0))
    ]
    parser = pickle.loads(pickle.dumps(EventParser(mapping, rules)))  # noqa: S301
    parsed = parser.parse_batch([json.dumps(record).encode() for record in records])
    assert (len(parsed.events), parsed.malformed, parsed.ignored) == (1, [], 2)
    assert parsed.notes == {"left out: `where` does not hold": 2}
    assert parsed.received == 3


@pytest.mark.parametrize("use", ["keys", "events", "langfuse", "openai_chat", "open_webui"])
def test_every_mapping_has_the_options(use: str, tmp_path: Any) -> None:
    """Whoever wrote the mapping; and an unknown option is answered with all of them."""
    options = {"use": use, "where": {"a": 1}, "prefilled": True, "roles": {"x": "user"}}
    parser_for(SourceConfig(name="s", connector="file", mapping=options), tmp_path)
    with pytest.raises(ConfigError, match=r"unknown option 'wher' \(did you mean 'where'\?\)"):
        parser_for(
            SourceConfig(name="s", connector="file", mapping={"use": use, "wher": 1}), tmp_path
        )


@pytest.mark.parametrize(
    ("options", "given", "expected"),
    [
        ({"time_unit": "s"}, 86400, "1970-01-02T00:00:00+00:00"),
        ({"time_unit": "ms"}, "86400000", "1970-01-02T00:00:00+00:00"),
        ({"time_unit": "us"}, 1772366400123456, "2026-03-01T12:00:00.123456+00:00"),
        ({"time_unit": "ns"}, 1772366400123456789, "2026-03-01T12:00:00.123456+00:00"),
        ({"time_unit": "days"}, 46082.5, "2026-03-01T12:00:00+00:00"),
        ({"time_unit": "s"}, "2026-03-01", "2026-03-01T00:00:00+00:00"),
        ({"time_format": "%Y%m%d"}, 20260301, "2026-03-01T00:00:00+00:00"),
        ({"time_format": ["%d.%m.%Y", "%m/%d/%Y %H:%M"]}, "03/01/2026 12:00",
         "2026-03-01T12:00:00+00:00"),
        ({"time_format": "%d/%m/%Y %H:%M %z"}, "01/03/2026 12:00 +0200",
         "2026-03-01T10:00:00+00:00"),
    ],
)  # fmt: skip
def test_times_as_they_are_declared(options, given, expected):
    """A unit or a format that is declared reads what would be a guess without it."""
    parser = EventParser(KeyMapping(occurred_at="ts"), ReadingRules(**options))
    record = {"prompt": "p", "completion": "c", "rating": "up", "ts": given}
    mapped = parser.parse(json.dumps(record).encode())
    assert mapped is not None
    assert mapped["occurred_at"].isoformat() == expected
    event = {"prompt": "p", "completion": "c", "occurred_at": given}
    own = EventParser(None, ReadingRules(**options)).parse(json.dumps(event).encode())
    assert own is not None
    assert own["occurred_at"].isoformat() == expected


@pytest.mark.parametrize(
    "options",
    [
        {"time_unit": "minutes"},
        {"time_format": "%H:%M"},
        {"time_format": "%m/%d"},
        {"time_format": ["%Y-%m-%d", ""]},
    ],
)
def test_a_format_that_tells_no_day_is_refused(options):
    """What could read no time at all is an error of the configuration."""
    with pytest.raises(ValidationError):
        ReadingRules(**options)
