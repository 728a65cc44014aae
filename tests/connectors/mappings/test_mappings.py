"""Ready mappings: samples of each tool's documented format become rated completions."""

import json
import pickle
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from exports import SAMPLES, parse, parser, store_export
from hypothesis import given
from hypothesis import strategies as st

from thumbwheel.config import SourceConfig
from thumbwheel.errors import ConfigError
from thumbwheel.events import MalformedRecordError
from thumbwheel.plugin import load_mapping

MAPPINGS: dict[str, Any] = {
    "langfuse": "langfuse",
    "open_webui": "open_webui",
    "openai_chat": "openai_chat",
    "tensorzero": {"use": "tensorzero", "metric_name": "thumbs_up"},
}
SAMPLE = {
    "langfuse": "langfuse_export.jsonl",
    "open_webui": "open_webui_feedback.json",
    "openai_chat": "openai_chat.jsonl",
    "tensorzero": "tensorzero.jsonl",
}


def records(name: str) -> list[dict[str, Any]]:
    """Return the records of a sample."""
    text = (SAMPLES / SAMPLE[name]).read_text()
    return json.loads(text) if text.startswith("[") else [*map(json.loads, text.splitlines())]


def places(value: Any) -> Iterator[tuple[Any, Any]]:
    """Yield (container, key) of everything inside a JSON value."""
    for key in value if isinstance(value, dict) else range(len(value)):
        yield value, key
        if isinstance(value[key], dict | list):
            yield from places(value[key])


@pytest.mark.parametrize("name", MAPPINGS)
def test_reading_an_export_twice_changes_nothing(tmp_path: Path, name: str) -> None:
    """The same export under another name is all duplicates: ids come from the tool."""
    first = store_export(tmp_path, SAMPLES / SAMPLE[name], MAPPINGS[name])
    copy = tmp_path / f"again-{SAMPLE[name]}"
    copy.write_bytes((SAMPLES / SAMPLE[name]).read_bytes())
    again = store_export(tmp_path, copy, MAPPINGS[name])
    assert first.counts.stored > 0
    assert (again.counts.stored, again.counts.dead_letters) == (0, 0)
    assert again.rated == first.rated


@pytest.mark.parametrize("name", MAPPINGS)
def test_records_of_another_kind_are_no_feedback(name: str) -> None:
    """Objects that have nothing to do with the tool's feedback are ignored, not dead letters."""
    for record in ({}, {"hello": "world"}, {"type": "event", "id": 1}, {"messages": None}):
        assert parse(MAPPINGS[name], record) is None


@pytest.mark.parametrize("name", MAPPINGS)
def test_a_mapping_can_be_sent_to_another_process(name: str) -> None:
    """A pickled parser reads as the original does."""
    reader = parser(MAPPINGS[name])
    for record in records(name):
        raw = json.dumps(record).encode()
        assert pickle.loads(pickle.dumps(reader)).parse(raw) == reader.parse(raw)  # noqa: S301


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=6),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner),
    max_leaves=4,
)


@pytest.mark.parametrize("name", MAPPINGS)
@given(data=st.data())
def test_any_damage_is_an_event_ignored_or_malformed(name: str, data: Any) -> None:
    """Whatever stands in place of any value of a sample, the mapping itself never fails."""
    record = data.draw(st.sampled_from(records(name)))
    holder, key = data.draw(st.sampled_from([*places(record)]))
    holder[key] = data.draw(json_values)
    source = SourceConfig(name="s", connector="file", mapping=MAPPINGS[name])
    mapping = load_mapping(source, Path())
    assert mapping is not None
    with suppress(MalformedRecordError):
        mapping(record)


def test_wrong_names_and_options_are_told() -> None:
    """An unknown mapping, a missing and a misspelt option say what there is."""
    with pytest.raises(ConfigError, match="did you mean 'langfuse'"):
        parser("langfusse")
    with pytest.raises(ConfigError, match="`metric_name` is required"):
        parser("tensorzero")
    with pytest.raises(ConfigError, match="did you mean 'score_name'"):
        parser({"use": "langfuse", "scorename": "thumbs"})


def test_no_sample_names_a_tool_that_has_no_mapping() -> None:
    """Every sample file is read by a test of this module."""
    assert {path.name for path in SAMPLES.iterdir()} == set(SAMPLE.values())
