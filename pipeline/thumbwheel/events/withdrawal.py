"""What takes back what a record said that was deleted."""

from collections.abc import Mapping
from typing import Any

__all__ = ["taken_back"]


def taken_back(event: Mapping[str, Any]) -> dict[str, Any]:
    """Return the event that takes a deleted record back.

    It replaces what the record said by its `event_id`, where it has one, so that a deletion that
    knows nothing but that id is enough. It needs a time to be a later version of the record.
    """
    identity = event.get("event_id")
    changed = event.get("updated_at")
    if changed is None:
        changed = event.get("occurred_at")
    withdrawal = {
        **event,
        "score": None,
        "withdrawn": True,
        "comment": None,
        "correction": None,
        "updated_at": changed,
    }
    if identity is not None and changed is None:
        # Without a time it is no later version: it is a withdrawal of its own.
        withdrawal["event_id"] = f"{identity}:withdrawn"
    elif identity is not None and event.get("generation_id") is None:
        withdrawal["generation_id"] = f"{identity}:withdrawn"
    return withdrawal
