"""What a sample of records looks like: a known format, or keys by their names and values."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from thumbwheel.events.formats import FORMATS, KnownFormat
from thumbwheel.events.paths import KeyPath
from thumbwheel.ingest.guessed_values import rating_options, time_options

__all__ = ["Guess", "guess"]

Record = Mapping[str, Any]

_NAMED = {
    "langfuse": (("traceId", "dataType"), ("trace_id", "data_type"), ("traceId", "startTime")),
    "open_webui": (("snapshot", "meta", "data"),),
    "openai_chat": (("request", "response"), ("messages", "choices"), ("messages",)),
}

_KEYS = {
    "prompt": "prompt question query user_query input instruction user_message messages "
    "conversation conversations request text",
    "system": "system system_prompt system_message",
    "history": "history chat_history",
    "completion": "completion response answer output reply ai_response bot_response generation "
    "generated_text assistant result",
    "rating": "rating feedback score thumb thumbs vote stars reaction sentiment liked label",
    "rater": "rater_id rater user_id userid user annotator annotator_id username customer_id "
    "reviewer session_id",
    "event_id": "event_id feedback_id",
    "generation_id": "generation_id message_id answer_id response_id completion_id trace_id run_id",
    "model_version": "model_version model model_name",
    "comment": "comment comments feedback_comment feedback_text remark",
    "correction": "correction corrected_answer better_answer edited_response",
    "comparison_id": "comparison_id battle_id",
    "occurred_at": "occurred_at timestamp created_at createdat voted_at feedback_date ts datetime "
    "date time",
}
_FLAGS = (("thumbs_up", "thumbs_down"), ("upvote", "downvote"), ("like", "dislike"))
_GUESTS = ("guest", "anonymous", "anon", "unknown", "none", "n/a", "0", "-", "null", "nobody")
_DEPTH = 3
_ANSWERED = "$survey_response_"


@dataclass
class Guess:
    """What a configuration would say to read a sample, and why.

    Attributes:
        mapping: The mapping's name, its table, or None for Thumbwheel's own format.
        recognised: What was recognised, a line each.
        questions: What has to be decided by somebody who knows the data.
    """

    mapping: str | dict[str, Any] | None
    recognised: list[str] = field(default_factory=list)
    questions: list[str] = field(default_factory=list)


def guess(records: Sequence[Record]) -> Guess:
    """Return what reads a sample of records best, as far as keys and values tell."""
    n = len(records)
    if sum({"prompt", "completion", "score"}.issubset(record) for record in records) > n / 2:
        return _own_format(records)
    for known in FORMATS.values():
        if sum(map(known.fits, records)) > n / 2:
            return _known(known, records)
    for name, kinds in _NAMED.items():
        if sum(any(set(keys).issubset(r) for keys in kinds) for r in records) > n / 2:
            return _named(name, records)
    return _keys(records)


def _own_format(records: Sequence[Record]) -> Guess:
    scores = [record.get("score") for record in records if record.get("score") is not None]
    found = Guess(None, ["Thumbwheel's own format"])
    if scores and 0 in scores and all(score in (0, 1) for score in scores):
        found.mapping = {"use": "events", "up": [1], "down": [0]}
        found.recognised.append("scores are 0 and 1: 0 is read as down")
    return found


def _known(known: KnownFormat, records: Sequence[Record]) -> Guess:
    found = Guess(known.name, [known.about])
    options: dict[str, Any] = {}
    for word in known.needs:
        names = _names_for(known.name, records)
        options[word] = names[0] if names else "?"
        found.questions.append(
            f"`{word}` is {options[word]!r}; the sample has {', '.join(names) or 'none'}"
        )
    if options:
        found.mapping = {"use": known.name, **options}
    if known.name == "posthog" and (thumb := _thumb_question(records)):
        found.mapping = {"use": known.name, "question": thumb}
        found.recognised.append(
            f"the question {thumb} of a survey is answered with 1 and 2: the thumb"
        )
    if known.name == "argilla" and isinstance(found.mapping, dict):
        question = found.mapping["question"]
        found.mapping |= rating_options(
            [*_argilla_values(records, question)], found.recognised, found.questions
        )
    return found


def _names_for(name: str, records: Sequence[Record]) -> list[str]:
    """Return what the votes may be called, the most frequent first."""
    if name == "langsmith":
        people = (r for r in records if KeyPath.of("feedback_source.type").find(r, r) != "model")
        counted = Counter(str(r["key"]) for r in people if r.get("key"))
    elif name == "phoenix":
        people = (r for r in records if r.get("annotator_kind") == "HUMAN")
        counted = Counter(str(r["name"]) for r in people if r.get("name"))
    else:
        counted = Counter(question for r in records for question in _questions(r))
    return [called for called, _ in counted.most_common(5)]


def _questions(record: Record) -> Iterator[str]:
    responses = record.get("responses")
    if isinstance(responses, Mapping):
        yield from responses
    elif isinstance(responses, list):
        for response in responses:
            values = response.get("values") if isinstance(response, Mapping) else None
            yield from values or ()
    for key in record:
        for ending in (".responses", "-suggestion"):
            if key.endswith(ending):
                yield key.removesuffix(ending)


def _thumb_question(records: Sequence[Record]) -> str | None:
    """Return the id of the one question of surveys that has no answers but 1 and 2."""
    answers: dict[str, set[str]] = {}
    for record in records:
        properties = record.get("properties")
        if record.get("event") == "survey sent" and isinstance(properties, Mapping):
            for key, value in properties.items():
                if key.startswith(_ANSWERED):
                    answers.setdefault(key.removeprefix(_ANSWERED), set()).add(str(value))
    thumbs = [question for question, said in answers.items() if said <= {"1", "2"}]
    return thumbs[0] if len(thumbs) == 1 else None


def _argilla_values(records: Sequence[Record], question: str) -> Iterator[Any]:
    for record in records:
        places = (f"responses.{question}", f"{question}.responses", f"{question}.value", question)
        for place in (*places, "responses"):
            listed = KeyPath.of(place).find(record, record)
            for item in listed if isinstance(listed, list) else ():
                paths = ("value", f"values.{question}.value")
                yield KeyPath.of(paths).find(item, item) if isinstance(item, Mapping) else item


def _named(name: str, records: Sequence[Record]) -> Guess:
    found = Guess(name, [f"the form of `{name}`"])
    if name == "openai_chat":
        inside = [
            message
            for record in records
            for message in _list(KeyPath.of(("request.messages", "messages")).find(record, record))
            if isinstance(message, Mapping) and message.get("role") == "assistant"
        ]
        for key in ("feedback.rating", "feedback", "rating", "vote", "thumb", "reaction"):
            values = [KeyPath.of(key).find(m, m) for m in inside]
            said = [value for value in values if isinstance(value, str | int | float)]
            if said:
                found.recognised.append(f"messages hold votes under `{key}`")
                found.mapping = {
                    "use": name,
                    "rating": key,
                    **rating_options(said, found.recognised, found.questions),
                }
                return found
        named = _keys(records).mapping
        if isinstance(named, dict):
            kept = {
                k: v for k, v in named.items() if k in ("rating", "up", "down", "scale", "rater")
            }
            found.mapping = {"use": name, **kept} if kept else name
    return found


def _keys(records: Sequence[Record]) -> Guess:
    """Return keys by their names, and what their values mean."""
    paths = _paths(records)
    found = Guess({}, [])
    mapping: dict[str, Any] = {}
    for option, names in _KEYS.items():
        key = _by_name(names.split(), paths)
        if key is not None and key not in mapping.values():
            mapping[option] = key
    flags = next((pair for pair in _FLAGS if set(pair) <= paths.keys()), None)
    if flags is not None:
        mapping.pop("rating", None)
        mapping |= {"up": flags[0], "down": flags[1]}
    elif "rating" in mapping:
        mapping |= rating_options(paths[mapping["rating"]], found.recognised, found.questions)
    else:
        found.questions.append("no key looks like a rating: set `rating`")
    for option in ("prompt", "completion"):
        if option not in mapping:
            found.questions.append(f"no key looks like the {option}: set `{option}`")
    event_id = mapping.get("event_id")
    if event_id is not None and len(set(map(str, paths[event_id]))) < len(paths[event_id]):
        del mapping["event_id"]
        found.recognised.append(f"`{event_id}` comes more than once, so it names no event")
    if "rater" in mapping:
        words = {str(v).strip().casefold() for v in paths[mapping["rater"]] if v is not None}
        guests = [word for word in _GUESTS if word in words]
        if guests:
            mapping["anonymous"] = guests
            found.recognised.append(f"raters called {', '.join(guests)} are taken for unknown")
    if "occurred_at" in mapping:
        mapping |= time_options(paths[mapping["occurred_at"]], found.recognised, found.questions)
    found.mapping = mapping
    return found


def _paths(records: Sequence[Record]) -> dict[str, list[Any]]:
    """Return the values of every key, those within objects by their path."""
    paths: dict[str, list[Any]] = {}

    def walk(value: Record, before: str, depth: int) -> None:
        for key, inner in value.items():
            path = f"{before}{key}"
            paths.setdefault(path, []).append(inner)
            if isinstance(inner, Mapping) and depth < _DEPTH:
                walk(inner, f"{path}.", depth + 1)

    for record in records:
        walk(record, "", 1)
    return {
        key: values for key, values in paths.items() if any(v not in (None, "") for v in values)
    }


def _by_name(names: Sequence[str], paths: Mapping[str, Sequence[Any]]) -> str | None:
    """Return the key that is called like one of the names, the outermost first."""
    for name in names:
        plain = name.replace("_", "")
        calling = [
            path
            for path, values in paths.items()
            if path.rpartition(".")[2].casefold().replace("_", "") == plain
            and not all(isinstance(value, Mapping) for value in values if value is not None)
        ]
        if calling:
            return min(calling, key=lambda path: path.count("."))
    return None


def _list(value: object) -> list[Any]:
    return value if isinstance(value, list) else []
