"""Does a model still do what nobody trained it on? Prompts and passages unlike any app's.

The project's own are short and general, since a small app's model is to answer them too; a user
adds those that matter to them.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

import pyarrow as pa
from pydantic import Field, StringConstraints, TypeAdapter, ValidationError
from typing_extensions import TypedDict

from thumbwheel.errors import DataError
from thumbwheel.events.identity import content_id, prompt_id
from thumbwheel.evidence.answers.likelihood import mean_log_probs
from thumbwheel.evidence.answers.measure import Values, measure_answers
from thumbwheel.types import LanguageModel, Prompt

__all__ = [
    "PASSAGES",
    "PROMPTS",
    "measure_out_of_distribution",
    "out_of_distribution_prompts",
    "plain_text_log_perplexity",
]

PROMPTS = (
    "What is the capital of Australia?",
    "Who wrote Romeo and Juliet?",
    "Why is the sky blue?",
    "How many days are in a leap year?",
    "Name three animals that can fly.",
    "What does a thermometer measure?",
    "Why do ships float?",
    "What is the difference between a fruit and a vegetable?",
    "What is 17 plus 25?",
    "What is 9 times 12?",
    "I have ten apples and give away three. How many are left?",
    "What is half of 250?",
    "Is 91 a prime number?",
    "Sort these numbers from small to large: 42, 7, 19, 3.",
    "Write a Python function that returns the sum of a list of numbers.",
    "What does this do? print([x * x for x in range(5)])",
    "Write an SQL query that counts the rows of a table called orders.",
    "How do I list the files of a folder on the command line?",
    "Write a regular expression that matches a year of four digits.",
    "Translate into French: Good morning, how are you?",
    "Translate into Spanish: The book is on the table.",
    "Translate into German: I would like a cup of tea.",
    "Wie viele Tage hat eine Woche?",
    "Quelle est la couleur de la neige ?",
    "¿Cuántas patas tiene una araña?",
    "Qual è la capitale d'Italia?",
    "一年有几个月?",
    "Hello!",
    "How are you today?",
    "Thank you, that was helpful.",
    "Tell me a short joke.",
    "What can you help me with?",
    "I feel a bit tired today. What could I do?",
    "Suggest a name for a small grey cat.",
    "Write two sentences about the sea.",
    "Summarise in one sentence: The meeting was moved from Monday to Thursday because the room was "
    "being painted, and everybody was told by mail.",
    "Rewrite politely: Send me the file now.",
    "Correct the spelling: Ther are to many peple hear.",
    "Give me a simple recipe for pancakes.",
    "What should I pack for a weekend in the mountains?",
)
"""Prompts of the project: facts, arithmetic, code, translation, other languages, chat, tasks."""

PASSAGES = (
    "The river rises in the hills to the north and runs for sixty miles before it reaches the sea. "
    "In spring the snow melts, and the meadows along its banks stand under water for weeks.",
    "To change a wheel, loosen the nuts before you lift the car. Put the jack on firm ground, "
    "raise the car until the wheel turns freely, and tighten the nuts crosswise once the new one "
    "is on.",
    "She closed the door behind her and listened. The house was quiet, but for the clock in the "
    "hall and the rain that had begun to fall on the roof.",
    "A library lends books for four weeks. A loan can be renewed twice, unless another reader has "
    "asked for the book in the meantime. For each day after that there is a small fee.",
    "Water boils at one hundred degrees Celsius at sea level. The higher one climbs, the lower the "
    "pressure of the air, and the lower the temperature at which water boils.",
    "The council met on Tuesday to discuss the new bridge. Most members were in favour, although "
    "some asked who would pay for its upkeep. A decision is expected before the end of the year.",
    "Bread needs only four things: flour, water, salt and yeast. Mix them, let the dough rest "
    "until it has doubled in size, shape it, let it rise again, and bake it in a hot oven.",
    "def mean(numbers):\n    total = 0\n    for number in numbers:\n        total += number\n"
    "    return total / len(numbers)\n",
    "Dear Ms Miller, thank you for your letter of the third of May. We are sorry that the parcel "
    "arrived late, and have sent you a voucher. Yours sincerely, the customer service team.",
    "Bees tell each other by a dance where flowers are to be found. The angle of the dance shows "
    "the direction from the sun, and its length shows how far away they are.",
    "Der Zug nach Hamburg fährt heute von Gleis sieben ab und hat etwa zehn Minuten Verspätung. "
    "Reisende nach Bremen steigen bitte in Hannover um.",
    "In 1969 two people walked on the Moon for the first time. They stayed outside for two and a "
    "half hours, gathered stones and dust, and set up instruments that they left behind.",
)
"""Plain text of the project, that a language model should find neither easy nor odd."""

_MEASURED = (
    "answer_log_prob",
    "relevance",
    "repetition",
    "refusals",
    "length",
    "kl_from_base",
)


class _Message(TypedDict):
    role: Annotated[str, StringConstraints(strict=True, min_length=1)]
    content: Annotated[str, StringConstraints(strict=True)]


class _Line(TypedDict):
    prompt: (
        Annotated[str, StringConstraints(strict=True, strip_whitespace=True, min_length=1)]
        | Annotated[list[_Message], Field(min_length=1)]
    )


_LINE = TypeAdapter(_Line)


def out_of_distribution_prompts(path: Path | None) -> dict[str, Prompt]:
    """Return the project's prompts and those of the user's file, by ids that begin with `ood:`.

    Args:
        path: A JSONL file of objects with `prompt`, a text or chat messages. Blank lines and other
            keys are skipped.

    Raises:
        DataError: The file cannot be read, or a line is none of that.
    """
    prompts: list[Prompt] = [[{"role": "user", "content": text}] for text in PROMPTS]
    if path is not None:
        prompts += _read(path)
    return {f"ood:{prompt_id(prompt)}": prompt for prompt in prompts}


def _read(path: Path) -> list[Prompt]:
    try:
        lines = path.read_text(encoding="utf-8-sig").split("\n")
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(
            f"cannot read the out-of-distribution prompts {path}: {error}; it must be a file of "
            'UTF-8 with one {"prompt": ...} a line'
        ) from error
    prompts: list[Prompt] = []
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            prompt = _LINE.validate_json(line)["prompt"]
        except ValidationError as error:
            raise DataError(
                f"line {number} of {path} is {line.strip()!r:.80}; each line must be a JSON object "
                "whose `prompt` is a text or a list of messages with `role` and `content`"
            ) from error
        if isinstance(prompt, str):
            prompt = [{"role": "user", "content": prompt}]
        prompts.append([{"role": m["role"], "content": m["content"]} for m in prompt])
    return prompts


def measure_out_of_distribution(
    answers: pa.Table, base: LanguageModel, model: LanguageModel, *, seed: int
) -> Values:
    """Measure answers to out-of-distribution prompts, and plain text.

    Args:
        answers: `tables.ANSWERS` of that model to `out_of_distribution_prompts`.
        base: The frozen base model.
        model: The model itself.
        seed: See `measure_answers`.

    Returns:
        Some of the metrics of `measure_answers`, prefixed with `ood_`, by prompt, and
        `plain_text_log_perplexity` by passage.
    """
    measured = measure_answers(answers, base, model, seed=seed)
    values = {f"ood_{metric}": measured[metric] for metric in _MEASURED}
    values["plain_text_log_perplexity"] = plain_text_log_perplexity(model)
    return values


def plain_text_log_perplexity(
    model: LanguageModel, passages: Mapping[str, str] | None = None
) -> dict[str, float]:
    """Return how badly a model predicts plain text: minus the mean log-probability of its tokens.

    A passage is scored as the answer to an empty message of a user.

    Args:
        model: Any model.
        passages: Texts by an id of theirs; the project's own if None.

    Returns:
        Nats per token for each passage; ids of the project's own begin with `text:`.
    """
    if passages is None:
        passages = {f"text:{content_id(text)}": text for text in PASSAGES}
    nothing: Prompt = [{"role": "user", "content": ""}]
    scored = mean_log_probs(model, [nothing] * len(passages), [*passages.values()])
    return {name: -float(score) for name, score in zip(passages, scored, strict=True)}
