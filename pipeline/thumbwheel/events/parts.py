"""One record, many events: the elements of a list, the messages of a conversation, a comparison."""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import zip_longest
from typing import TYPE_CHECKING, Any, NamedTuple

import pydantic_core

from thumbwheel.events.chat import to_json
from thumbwheel.events.comparisons import compared
from thumbwheel.events.messages import as_messages, role_of, text_of
from thumbwheel.events.paths import KeyPath
from thumbwheel.events.rules import ReadingRules
from thumbwheel.events.wire import MalformedRecordError
from thumbwheel.events.withdrawal import taken_back

if TYPE_CHECKING:
    from thumbwheel.events.mapping import KeyMapping

__all__ = ["NOT_TAKEN", "UNRATED", "LeftOut", "Outcome", "outcomes"]

NOT_TAKEN = "left out: `where` does not hold"
UNRATED = "left out: an answer that nobody rated, without an id to be rated by"


class LeftOut(NamedTuple):
    """A part of a record that is no feedback, and why where it is worth to be told."""

    why: str | None = None


# How tools call what names a record: `id`, `conversation_id`, `conversationId`, `uuid`.
_ID = re.compile(r"(?:^|_|u)id$|Id$", re.ASCII)

Outcome = dict[str, Any] | LeftOut | MalformedRecordError
"""What becomes of a part of a record."""

_Part = tuple[Mapping[str, Any], object]


def outcomes(mapping: "KeyMapping", record: object, rules: ReadingRules) -> Iterator[Outcome]:
    """Yield what becomes of each part of a record; see `KeyMapping.events`.

    An event of a part has `whose`: what names it together with what it says. A conversation that
    has grown has the same name as before, and another one has not, though it says the same.
    """
    whose = _whose(mapping, record)
    for outcome in _outcomes(mapping, record, rules):
        yield outcome | {"whose": whose} if whose and isinstance(outcome, dict) else outcome


def _whose(mapping: "KeyMapping", record: object) -> str | None:
    """Return the ids of the whole record, else what else it says at its top."""
    if isinstance(record, list):
        return _key(mapping.thread, record[0], record[0]) if record else None
    if mapping.each is None or not isinstance(record, Mapping):
        return None
    said = {key: value for key, value in record.items() if isinstance(value, str | int | float)}
    ids = {key: value for key, value in said.items() if _ID.search(key)}
    return to_json(ids or said)


def _outcomes(mapping: "KeyMapping", record: object, rules: ReadingRules) -> Iterator[Outcome]:
    if isinstance(record, list):
        parts: list[_Part] = [(item, item) for item in record if isinstance(item, Mapping)]
    elif mapping.each is not None:
        parts = [(item, record) for item in _elements(mapping, record)]
        if not parts:
            yield LeftOut(f"left out: nothing is listed under `{_shown(mapping.each)}`")
            return
    else:
        parts = [(record, record)] if isinstance(record, Mapping) else []
    if mapping.role is not None:
        yield from _conversation(mapping, parts, rules)
        return
    for part, whole in parts:
        if not rules.take(part, whole):
            yield LeftOut(NOT_TAKEN)
            continue
        try:
            if mapping.chosen is not None or mapping.answers:
                yield from compared(mapping, part, whole)
            else:
                event = mapping.event_of(part, whole)
                yield taken_back(event) if rules.withdraws(part) else event
        except MalformedRecordError as error:
            yield error


def _elements(mapping: "KeyMapping", record: object) -> list[Mapping[str, Any]]:
    """Return the elements of a list, or of lists that run side by side, as objects."""
    each: Any = mapping.each
    if isinstance(each, dict):
        columns = [_list(KeyPath.of(key).find(record, record)) for key in each.values()]
        return [dict(zip(each, row, strict=True)) for row in zip_longest(*columns)]
    items = _list(KeyPath.of(each).find(record, record))
    if mapping.children is not None:
        items = _unfolded(items, KeyPath.of(mapping.children))
    return [item if isinstance(item, Mapping) else {"value": item} for item in items]


def _unfolded(items: Sequence[Any], children: KeyPath) -> list[Any]:
    """Return messages and those that they hold, each before what follows it."""
    unfolded: list[Any] = []
    pending = list(reversed(items))
    while pending:
        item = pending.pop()
        unfolded.append(item)
        pending += reversed(_list(children.find(item, item)))
    return unfolded


def _list(value: object) -> Sequence[Any]:
    if isinstance(value, str) and value.lstrip()[:1] in ("[", "{"):
        try:
            value = pydantic_core.from_json(value)
        except ValueError:
            return []
    if isinstance(value, Mapping):
        return list(value.values())
    return value if isinstance(value, list) else []


def _shown(each: Any) -> str:
    keys = each.values() if isinstance(each, dict) else [each] if isinstance(each, str) else each
    return " ".join(keys)


@dataclass(slots=True)
class _Turn:
    """A message of a conversation, where it stands, and what it says in OpenAI's form."""

    part: Mapping[str, Any]
    whole: object
    key: str | None
    parent: str | None
    role: str
    message: dict[str, Any] | None


def _conversation(
    mapping: "KeyMapping", parts: Sequence[_Part], rules: ReadingRules
) -> Iterator[Outcome]:
    turns = [_turn(mapping, part, whole, rules) for part, whole in _in_order(mapping, parts)]
    by_key = {turn.key: turn for turn in turns if turn.key is not None}
    n_answers = 0
    for place, turn in enumerate(turns):
        if turn.message is None:
            continue
        try:
            event = mapping.event_of(turn.part, turn.whole)
            is_rated = "score" in event or "withdrawn" in event
            says_something = is_rated or event.get("comment") or event.get("correction")
            if turn.role != "assistant":
                if is_rated:
                    raise MalformedRecordError("a vote on a message that is not the assistant's")
                continue
            n_answers += 1
            if not (says_something or event.get("generation_id")):
                yield LeftOut(UNRATED)
                continue
            before = _branch(turn, by_key) if mapping.parent is not None else turns[:place]
            yield event | _answer_of(mapping, turn, before, event)
        except MalformedRecordError as error:
            n_answers += 1
            yield error
    if not n_answers:
        yield LeftOut("left out: a conversation without an answer")


def _answer_of(
    mapping: "KeyMapping", turn: _Turn, before: Sequence[_Turn], event: Mapping[str, Any]
) -> dict[str, Any]:
    """Return the prompt and the completion of an answer within its conversation."""
    completion = text_of((turn.message or {}).get("content"))
    if not completion:
        raise MalformedRecordError("the rated answer has no text")
    prompt = [earlier.message for earlier in before if earlier.message is not None]
    # An answer given anew, or in several pieces: none of them was asked for by those before.
    while prompt and prompt[-1]["role"] == "assistant":
        prompt.pop()
    if not any(message["role"] == "user" for message in prompt):
        raise MalformedRecordError("no message of the user comes before the answer")
    if mapping.system is not None:
        text = KeyPath.of(mapping.system).find(turn.part, turn.whole)
        if text is not None:
            prompt = [{"role": "system", "content": text}, *prompt]
    answer: dict[str, Any] = {"prompt": prompt, "completion": completion}
    if mapping.parent is not None and event.get("comparison_id") is None:
        # Answers that were given anew to one message are compared.
        answer["comparison_id"] = turn.parent
    return answer


def _turn(mapping: "KeyMapping", part: Mapping[str, Any], whole: object, rules: Any) -> _Turn:
    role_path, content_path = KeyPath.of(mapping.role or ""), KeyPath.of(mapping.content)
    named = role_path.find(part, whole)
    role = role_of(named, rules.known_roles) or str(named)
    key = _key(mapping.generation_id, part, whole)
    turn = _Turn(part, whole, key, _key(mapping.parent, part, whole), role, None)
    if named is None or named == "" or not rules.take(part, whole):
        return turn
    content = content_path.find(part, whole)
    # A `name` beside is what people call the assistant, and no part of what was said.
    kept = {key: part[key] for key in ("tool_calls", "tool_call_id") if part.get(key)}
    said = as_messages([{"role": role, "content": content, **kept}])
    if said and (content or said[0].get("tool_calls")):
        turn.message = said[0]
    return turn


def _key(path: Any, part: object, whole: object) -> str | None:
    value = KeyPath.of(path).find(part, whole) if path is not None else None
    return None if value is None or value == "" else str(value)


def _branch(turn: _Turn, by_key: Mapping[str, _Turn]) -> list[_Turn]:
    """Return the messages that lead to one, the first of the conversation first."""
    branch: list[_Turn] = []
    step = turn
    while step.parent is not None and step.parent in by_key:
        step = by_key[step.parent]
        branch.append(step)
        if len(branch) > len(by_key):
            raise MalformedRecordError("the messages of the conversation form a circle")
    return branch[::-1]


def _in_order(mapping: "KeyMapping", parts: Sequence[_Part]) -> Sequence[_Part]:
    """Return messages that are records of their own by their time, where all of them have one."""
    if mapping.thread is None or mapping.occurred_at is None:
        return parts
    path = KeyPath.of(mapping.occurred_at)
    times = [path.find(part, whole) for part, whole in parts]
    if not (
        all(isinstance(t, str) for t in times) or all(isinstance(t, int | float) for t in times)
    ):
        return parts
    order = sorted(range(len(parts)), key=times.__getitem__)
    return [parts[place] for place in order]
