"""Judgements as events: what annotators and models say goes through the store like users' votes.

"A is better than B" is two votes of one rater with one `comparison_id`: +1 on A, -1 on B. A tie is
two votes of 0. Each side needs a generation in the same source, with a `generation_id` of its own.
"""

import json
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from thumbwheel.events import to_chat
from thumbwheel.types import Prompt

__all__ = ["event_line", "generation_event", "judgement_events"]


def generation_event(
    generation_id: str,
    prompt: Prompt,
    completion: str,
    *,
    model_version: str | None,
    metadata: Mapping[str, Any],
    occurred_at: datetime | None = None,
) -> dict[str, Any]:
    """Return the event that tells an answer; its id is that of the generation."""
    event: dict[str, Any] = {
        "event_id": generation_id,
        "generation_id": generation_id,
        "prompt": to_chat(prompt),
        "completion": completion,
    }
    if model_version is not None:
        event["model_version"] = model_version
    if occurred_at is not None:
        event["occurred_at"] = occurred_at.isoformat()
    return {**event, "metadata": dict(metadata)}


def judgement_events(
    comparison_id: str,
    rater_id: str,
    *,
    chosen: str,
    rejected: str,
    tied: bool = False,
    occurred_at: datetime | None = None,
) -> list[dict[str, Any]]:
    """Return the two votes of a judgement; the same judgement gives the same events.

    Args:
        comparison_id: One for each two generations that a rater compared.
        rater_id: Who judged.
        chosen: The generation that was found better.
        rejected: The other one.
        tied: Whether neither was found better.
        occurred_at: When.
    """
    time = {} if occurred_at is None else {"occurred_at": occurred_at.isoformat()}
    # A judgement that was changed is another event, and the later of the two counts.
    stamp = time.get("occurred_at", "")
    return [
        {
            "event_id": f"{comparison_id}:{generation_id}:{score:+d}:{stamp}",
            "generation_id": generation_id,
            "rater_id": rater_id,
            "score": score,
            "comparison_id": comparison_id,
            **time,
        }
        for generation_id, score in ((chosen, 1 - tied), (rejected, tied - 1))
    ]


def event_line(event: Mapping[str, Any]) -> bytes:
    """Return an event as a line of JSON, in ASCII: no text can break the line."""
    return json.dumps(event).encode("ascii") + b"\n"
