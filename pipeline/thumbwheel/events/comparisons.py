"""Records of answers that were compared side by side: each answer is a vote of its own."""

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from pydantic.dataclasses import dataclass

from thumbwheel.events.chat import to_json
from thumbwheel.events.identity import content_id
from thumbwheel.events.messages import Role, as_messages, exchanges, listed, split_turns, text_of
from thumbwheel.events.paths import Key, KeyPath
from thumbwheel.events.ratings import flag_of
from thumbwheel.events.rules import rating_key
from thumbwheel.events.wire import MalformedRecordError
from thumbwheel.types.fates import Fault

if TYPE_CHECKING:
    from thumbwheel.events.mapping import KeyMapping

__all__ = ["Answer", "compared"]

_DRAWS = {"tie": 0.0, "draw": 0.0, "equal": 0.0, "same": 0.0, "both_good": 1.0, "both": 1.0}
_DRAWS |= dict.fromkeys(("tie (bothbad)", "tie (both bad)", "bothbad", "both_bad", "neither"), -1.0)
_HUMAN: dict[str, Role] = {"Human:": "user", "Assistant:": "assistant"}


@dataclass(frozen=True, config={"extra": "forbid"})
class Answer:
    """The keys of one answer among those compared."""

    completion: Key
    model_version: Key | None = None
    generation_id: Key | None = None


def compared(mapping: "KeyMapping", part: object, record: object) -> Iterator[dict[str, Any]]:
    """Yield an event for each answer of a comparison, all with one `comparison_id`.

    Raises:
        MalformedRecordError: An answer is missing, they answer different prompts, or the winner is
            none of them.
    """
    shared = mapping.event_of(part, record)
    asked = shared["prompt"]
    answers = [
        (name, answer if isinstance(answer, Answer) else Answer(answer))
        for name, answer in _answers(mapping).items()
    ]
    said = []
    for name, answer in answers:
        before, text = _said(KeyPath.of(answer.completion).find(part, record), mapping, asked)
        if text is None:
            raise MalformedRecordError(f"the answer `{name}` has no text")
        said.append((before, text))
    prompts = [before for before, _ in said if before]
    if prompts and (len(prompts) < len(said) or any(prompt != prompts[0] for prompt in prompts)):
        raise MalformedRecordError("the answers that were compared are to different prompts")
    versions = [_at(answer.model_version, part, record) for _, answer in answers]
    scores = _scores(mapping, [name for name, _ in answers], versions, part, record)
    event_id = shared.get("event_id")
    comparison = shared.get("comparison_id") or event_id or content_id("comparison", _text(part))
    for (name, answer), version, (_, text), score in zip(
        answers, versions, said, scores, strict=True
    ):
        yield {
            **shared,
            "event_id": f"{event_id}:{name}" if event_id is not None else None,
            "generation_id": _at(answer.generation_id, part, record),
            "model_version": version or shared.get("model_version"),
            "comparison_id": comparison,
            "prompt": prompts[0] if prompts else asked,
            "completion": text,
            "score": score,
        }


def _answers(mapping: "KeyMapping") -> Mapping[str, Any]:
    if mapping.chosen is not None and mapping.rejected is not None:
        return {"chosen": Answer(mapping.chosen), "rejected": Answer(mapping.rejected)}
    return mapping.answers


def _scores(
    mapping: "KeyMapping", names: list[str], versions: list[Any], part: object, record: object
) -> list[float]:
    if mapping.winner is None:
        return [1.0, -1.0]
    if isinstance(mapping.winner, dict):
        winner: object = _flagged(mapping.winner, part, record)
    else:
        winner = KeyPath.of(mapping.winner).find(part, record)
    won = str(winner).strip().casefold()
    for called in (names, versions):
        matching = [str(name).strip().casefold() == won for name in called]
        if sum(matching) == 1:
            return [1.0 if is_winner else -1.0 for is_winner in matching]
    if won in _DRAWS:
        return [_DRAWS[won]] * len(names)
    for ratings, score in ((mapping.up, 1.0), (mapping.down, -1.0)):
        if isinstance(ratings, tuple) and rating_key(winner) in map(rating_key, ratings):
            return [score] * len(names)
    raise MalformedRecordError(
        "the winner is none of `answers`, and no tie; call them as `winner` does",
        Fault.UNKNOWN_RATING,
    )


def _flagged(flags: Mapping[str, Key], part: object, record: object) -> str | None:
    """Return what the one flag that is set stands for."""
    found = [name for name, key in flags.items() if flag_of(KeyPath.of(key).find(part, record))]
    if len(found) > 1:
        raise MalformedRecordError("more than one flag of `winner` is set", Fault.UNKNOWN_RATING)
    return found[0] if found else None


def _said(
    value: object, mapping: "KeyMapping", asked: object
) -> tuple[list[dict[str, Any]] | None, str | None]:
    """Return what was said before an answer, where the value is a whole conversation, and it."""
    questions = listed(asked)
    if (
        isinstance(questions, list)
        and questions
        and all(isinstance(text, str) for text in questions)
    ):
        # What was asked turn by turn, and the answers to it.
        answers = listed(value)
        if not isinstance(answers, list) or len(answers) != len(questions) or None in answers:
            return None, None
        value, asked = exchanges(list(zip(questions, answers, strict=True))), None
    messages = as_messages([value] if isinstance(value, Mapping) else value)
    if messages is None and isinstance(value, str) and (mapping.turns or asked is None):
        messages = split_turns(value, mapping.turns or _HUMAN)
        if len(messages) == 1:
            messages = None
    if messages is None:
        return None, text_of(value) or None
    *before, last = messages
    if last["role"] != "assistant":
        return None, None
    if asked is not None and before == [{"role": "user", "content": asked}]:
        before = []
    return before or None, text_of(last["content"]) or None


def _at(key: Key | None, part: object, record: object) -> Any:
    value = KeyPath.of(key).find(part, record) if key is not None else None
    return None if value == "" else value


def _text(part: object) -> str:
    return to_json(part) if isinstance(part, Mapping) else str(part)
