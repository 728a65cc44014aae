"""Identity is content: the hashes that name events, prompts, completions and clusters."""

import json
import re

from hypothesis import example, given
from hypothesis import strategies as st

from thumbwheel.events import EventParser, ascii_words, cluster_id, content_id


def parse(**record):
    return EventParser().parse(json.dumps(record).encode())


def test_identity_is_content():
    """The same texts get the same identities wherever they come from; other texts get others."""
    first = parse(prompt="Hi", completion="Hello!", score=1)
    same = parse(prompt=[{"role": "user", "content": "Hi "}], completion="Hello!", rater_id="x")
    other = parse(prompt="Hi", completion="Hello")
    assert first["prompt_id"] == same["prompt_id"] == other["prompt_id"]
    assert first["completion_id"] == same["completion_id"] != other["completion_id"]
    assert first["generation_id"] == same["generation_id"]


def test_identities_never_change():
    """These hashes are in stores and datasets: pairs and splits of old data rest on them."""
    event = parse(
        prompt=[
            {"role": "system", "content": "Be brief."},
            {"role": "user", "content": " Cafe\u0301? ", "name": None, "tool_calls": []},
        ],
        completion="Oui.",
        model_version="v1",
    )
    assert event["generation_id"] == "38d280b7f18d5294e3425608dc9354b0"
    assert event["prompt_id"] == "d7f6f661ae7cf4e15c2c4a2715173e59"
    assert event["completion_id"] == "febd0a253545c71851b55eafebd07293"
    assert cluster_id(event["prompt"]) == "791ba1862555f6270c6c232fd9307add"
    raw = b'{"prompt":"Hi","completion":"Hello!","score":1}'
    event = EventParser().parse(raw)
    assert event is not None
    assert event["event_id"] == "13574fa74046ce8022ebf81b0a04b304"
    assert event["prompt_id"] == "b61f17d1408c40c20e935b68659dcff8"
    assert event["completion_id"] == "b05b3de272304aede5ba9788c1ce95b0"


def test_clusters_ignore_case_and_punctuation_only():
    """Prompts that differ in case and punctuation share a cluster; other words do not."""

    def cluster(text):
        return cluster_id([{"role": "user", "content": text}])

    assert cluster("What is  DPO?") == cluster("what is dpo")
    assert cluster("What is DPO?") != cluster("What is PPO?")


@given(st.text(st.characters(codec="ascii")))
@example("".join(map(chr, range(128))))
def test_words_of_ascii_are_those_of_any_text(text):
    """The short cut finds the words that the rule for all texts finds."""
    assert ascii_words(text) == re.findall(r"\w+", text.casefold())


def test_content_id_separates_its_parts():
    """Moving a character from one part to the next changes the identity."""
    assert content_id("ab", "c") != content_id("a", "bc")
