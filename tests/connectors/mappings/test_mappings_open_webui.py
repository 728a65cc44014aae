"""Open WebUI's feedback history becomes rated completions."""

import json
from pathlib import Path
from typing import Any

import pytest
from exports import SAMPLES, event_of, parse, store_export

from thumbwheel.events import MalformedRecordError

SAMPLE = SAMPLES / "open_webui_feedback.json"


def test_open_webui_export(tmp_path: Path) -> None:
    """The branch of each rated message is its prompt; a record without a thumb is no feedback."""
    stored = store_export(tmp_path, SAMPLE, "open_webui")
    assert stored.rated == [
        ("In one line?", "-log sigmoid of the margin.", 1, 0),
        ("In one line?", "It is complicated.", 0, 1),
        ("Which loss is DPO's?", "A logistic one.", 1, 0),
    ]
    assert (stored.counts.received, stored.counts.stored, stored.counts.dropped) == (4, 3, 1)
    up, down, first = stored.events
    assert [(m["role"], m["content"]) for m in up["prompt"]] == [
        ("system", "Be brief."),
        ("user", "Which loss is DPO's?"),
        ("assistant", "A logistic one."),
        ("user", "In one line?"),
    ]
    assert (up["rater_id"], up["model_version"], up["generation_id"]) == ("7d1c", "llama", "a2")
    assert up["comment"] == "Short and right"
    assert json.loads(up["metadata"])["detailed_rating"] == 9
    assert up["comparison_id"] == down["comparison_id"] == "u2" != first["comparison_id"]
    assert down["correction"] == "Minus log sigmoid of the scaled margin."


def open_webui(**changes: Any) -> dict[str, Any]:
    record = json.loads(SAMPLE.read_text())[0]
    for path, value in changes.items():
        *way, key = path.split("__")
        holder = record
        for step in way:
            holder = holder[step]
        holder[key] = value
    return dict(record)


def test_open_webui_changed_vote(tmp_path: Path) -> None:
    """A later export in which the user has changed the thumb replaces the vote."""
    later = open_webui(data__rating=-1, updated_at=1764009999)
    stored = store_export(tmp_path, [open_webui(), later], "open_webui")
    assert stored.counts.stored == 2
    assert stored.rated == [("In one line?", "-log sigmoid of the margin.", 0, 1)]


HISTORY = "snapshot__chat__chat__history__messages"


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"snapshot": None}, "no chat in `snapshot`"),
        ({"meta__message_id": None}, "does not name the rated message"),
        ({"meta__message_id": "gone"}, "a message of the branch is not in the snapshot"),
        ({f"{HISTORY}__u1__parentId": "a2"}, "form a circle"),
        ({"meta__message_id": "u2"}, "answers no message"),
        ({"data__rating": 3}, "rating 3 is neither in `up`"),
        ({HISTORY: "all lost"}, "holds no messages"),
    ],
)
def test_open_webui_broken_records(changes: dict[str, Any], reason: str) -> None:
    """A rating whose chat cannot be found is malformed, and the reason says what is missing."""
    with pytest.raises(MalformedRecordError, match=reason):
        parse("open_webui", open_webui(**changes))


def test_open_webui_shown_blocks() -> None:
    """Folded blocks for display are no part of an answer; other `<details>` of the model are."""
    answer = (
        'Before.\n<details type="tool_calls" done="true" name="f">\n<summary>x</summary>\n'
        "</details>\nAfter.\n<details><summary>More</summary>text</details>"
    )
    event = event_of("open_webui", open_webui(**{f"{HISTORY}__a2__content": answer}))
    assert event["completion"] == (
        "Before.\n\nAfter.\n<details><summary>More</summary>text</details>"
    )
    unclosed = '<details type="reasoning">' * 3
    event = event_of("open_webui", open_webui(**{f"{HISTORY}__a2__content": unclosed}))
    assert event["completion"] == unclosed
