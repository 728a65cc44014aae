"""Prompts that can be right: messages in texts, system texts, roles, answers in them, thoughts."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from thumbwheel.events import EventParser, MalformedRecordError
from thumbwheel.events.mapping import KeyMapping
from thumbwheel.events.messages import as_messages, ends_with
from thumbwheel.events.reasoning import without_reasoning
from thumbwheel.events.rules import ReadingRules


def said(*turns: tuple[str, str]) -> list[dict[str, str]]:
    return [{"role": role, "content": content} for role, content in turns]


def read(record: dict[str, Any], rules: ReadingRules | None = None, **options: Any) -> Any:
    mapping = KeyMapping(**options) if options else None
    event = EventParser(mapping, rules).parse(json.dumps(record).encode())
    assert event is not None
    event["prompt"] = [(m["role"], m["content"]) for m in event["prompt"]]
    return event


CHAT = said(("system", "Be brief."), ("user", "Who are you?"))
TURNS = [("system", "Be brief."), ("user", "Who are you?")]


@pytest.mark.parametrize(
    "prompt",
    [
        CHAT,
        json.dumps(CHAT),
        "\n " + json.dumps(CHAT, indent=1),
        repr(CHAT),
        [{"from": "system", "value": "Be brief."}, {"from": "human", "value": "Who are you?"}],
        [{"type": "system", "content": "Be brief."}, {"type": "human", "content": "Who are you?"}],
        [
            [
                {"id": ["langchain", "SystemMessage"], "kwargs": {"content": "Be brief."}},
                {"id": ["langchain", "HumanMessage"], "kwargs": {"content": "Who are you?"}},
            ]
        ],
        [
            {"role": "developer", "content": [{"type": "input_text", "text": "Be brief."}]},
            {"role": " Prompter ", "content": [{"text": "Who "}, {"text": "are you?"}]},
        ],
    ],
)
def test_the_same_chat_in_every_notation(prompt: Any) -> None:
    """A list, JSON or Python in a text, and the messages of three libraries are one prompt."""
    event = read({"prompt": prompt, "completion": "A bot.", "rating": 1}, rating="rating")
    assert event["prompt"] == TURNS
    assert event["prompt_id"] == read({"prompt": CHAT, "completion": "-"})["prompt_id"]


@pytest.mark.parametrize("text", ["[1] is a footnote", "[", "[]", '["a"]', "[{'a': 1}]", "[{" * 9])
def test_text_that_only_looks_like_a_list_is_text(text: str) -> None:
    """What holds no messages is what the user wrote."""
    assert read({"prompt": text, "completion": "-"})["prompt"] == [("user", text)]


def test_messages_in_a_text_need_no_mapping() -> None:
    """Events in Thumbwheel's own format are read alike."""
    assert read({"prompt": json.dumps(CHAT), "completion": "-"})["prompt"] == TURNS


@pytest.mark.parametrize(
    "history",
    [
        said(("user", "Hi"), ("assistant", "Hello")),
        [["Hi", "Hello"]],
        json.dumps([["Hi", "Hello"]]),
        [{"human": "Hi", "ai": "Hello"}],
    ],
)
def test_system_and_history_come_before_the_prompt(history: Any) -> None:
    """Their keys make one chat of three columns; an empty one adds nothing."""
    options: dict[str, Any] = {"system": "s", "history": "h"}
    record = {"s": "Be kind.", "h": history, "prompt": "And you?", "completion": "Fine."}
    before = [("user", "Hi"), ("assistant", "Hello")]
    assert read(record, **options)["prompt"] == [
        ("system", "Be kind."),
        *before,
        ("user", "And you?"),
    ]
    assert read(record | {"s": ""}, **options)["prompt"][:2] == before
    assert read(record | {"s": None, "h": []}, **options)["prompt"] == [("user", "And you?")]
    messages = said(("user", "And you?"))
    assert len(read(record | {"prompt": messages}, **options)["prompt"]) == 4


def test_a_system_text_is_not_said_twice() -> None:
    """A column that repeats what the messages begin with changes nothing."""
    record = {"s": "Be brief.", "prompt": CHAT, "completion": "-"}
    assert read(record, system="s")["prompt"] == TURNS


def test_a_history_of_something_else_is_malformed() -> None:
    """What is neither messages nor pairs is not guessed at."""
    with pytest.raises(MalformedRecordError, match="`history` holds neither"):
        read({"h": ["a", "b", "c"], "prompt": "q", "completion": "a"}, history="h")


def test_roles_are_known_named_or_malformed() -> None:
    """`roles` says who a source's own words stand for; nobody is guessed, no text is quoted."""
    record = {
        "prompt": said(("Client", "Hi"), ("gpt", "Yes?"), ("CLIENT ", "?")),
        "completion": "a",
    }
    rules = ReadingRules(roles={"client": "user"})
    assert [role for role, _ in read(record, rules)["prompt"]] == ["user", "assistant", "user"]
    with pytest.raises(MalformedRecordError, match=r"prompt.0.role` 'Client' is neither .*`roles`"):
        read(record)
    with pytest.raises(MalformedRecordError) as raised:
        read({"prompt": said(("mail maria@example.org", "x")), "completion": "a"})
    assert "maria" not in str(raised.value)


@pytest.mark.parametrize(
    ("prompt", "is_answered"),
    [
        (said(("user", "Capital?"), ("assistant", "Lima.")), True),
        (said(("user", "Capital?"), ("assistant", "It is")), True),
        (said(("user", "Capital?\n\nLima.")), True),
        ("Capital?\nLima. ", True),
        ("User: Capital?\nAssistant: Lima.", True),
        ("Lima.", True),
        ("Say it.\nAnswer: Lima.", True),
        ("Say it.\nUser: Lima.", False),
        ("Repeat after me: Lima.", False),
        ("Capital? Lima.", False),
        ("Is Lima. the capital?", False),
    ],
)
def test_a_prompt_that_holds_its_answer(prompt: Any, is_answered: bool) -> None:
    """It is a dead letter, unless beginnings of answers are allowed."""
    record = {"prompt": prompt, "completion": "Lima."}
    assert read(record, ReadingRules(prefilled=True))["completion"] == "Lima."
    if is_answered:
        with pytest.raises(MalformedRecordError, match=r"the prompt ends with .*`prefilled"):
            read(record)
    else:
        assert read(record)["completion"] == "Lima."


@given(st.text(max_size=20), st.text(max_size=5))
def test_an_answer_on_a_line_of_its_own_is_found(asked: str, answer: str) -> None:
    """Whatever comes before it; and only an answer that is there is found."""
    answer = answer.strip()
    assert ends_with(f"{asked}\n{answer}", answer) == bool(answer)
    assert not ends_with(asked, answer + "$" + asked)


@pytest.mark.parametrize(
    ("completion", "reasoning"),
    [
        ("<think>\n7*13\n</think>\n\nNo.", "7*13"),
        ("\n<THINK>7*13</THINK>No.", "7*13"),
        ("7*13\n</think>\nNo.", "7*13"),
        ("[THINK]7*13[/THINK] No.", "7*13"),
        ("<reasoning>7</reasoning><think>13</think> No.", "7\n13"),
        (
            "<|channel|>analysis<|message|>7*13<|end|><|start|>assistant"
            "<|channel|>final<|message|>No.<|return|>",
            "7*13",
        ),
    ],
)
def test_hidden_reasoning_is_kept_apart(completion: str, reasoning: str) -> None:
    """Answers that look alike to their readers are one answer; the thoughts are in the metadata."""
    event = read({"prompt": "Is 91 prime?", "completion": completion})
    assert event["completion"] == "No."
    assert json.loads(event["metadata"]) == {"reasoning": reasoning}
    kept = read({"prompt": "q", "completion": completion}, ReadingRules(reasoning="keep"))
    assert kept["completion"] == completion


@pytest.mark.parametrize(
    "answer", ["Close it with </think> then.", "<b>No</b>", "Use <think>x</think>.", "[1] No", ""]
)
def test_text_about_marks_is_left_alone(answer: str) -> None:
    """Only what an answer begins with is hidden."""
    assert without_reasoning(answer) == (answer, None)


def test_thoughts_of_earlier_turns_and_of_parts() -> None:
    """Chats lose theirs too, and so do contents whose parts say what they are."""
    chat = said(("user", "Hi"), ("assistant", "<think>x</think>Hello"), ("user", "?"))
    assert read({"prompt": chat, "completion": "a"})["prompt"][1] == ("assistant", "Hello")
    parts = [{"type": "thinking", "thinking": "x"}, {"type": "text", "text": "Hello"}]
    (message,) = as_messages([{"role": "assistant", "content": parts}]) or []
    assert message["content"] == [{"type": "text", "text": "Hello"}]


def test_an_answer_of_thoughts_alone_is_malformed() -> None:
    """It broke off before it began: there is nothing that anybody voted on."""
    with pytest.raises(MalformedRecordError, match="nothing but hidden reasoning"):
        read({"prompt": "q", "completion": "<think>still at it", "score": 1})
