"""From production to tasks: draw prompts, count what is missing and what it costs, write it."""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from thumbwheel.config import VotePolicy
from thumbwheel.endpoint import estimate_tokens
from thumbwheel.errors import DataError
from thumbwheel.events import normal_completion, text_identity
from thumbwheel.labelling.people.coverage import cover
from thumbwheel.labelling.people.tasks import Answer, Task, make_task, shown_prompt
from thumbwheel.labelling.people.writers import Draw, Writer
from thumbwheel.store import OpenedStore, ProductionPrompt
from thumbwheel.types import Prompt

__all__ = ["Drawn", "Estimated", "Made", "draw_prompts", "estimate", "make_tasks"]

_POOL = 5_000
_MAX_ROUNDS = 3
_WORDS_PER_TOKEN = 0.75
_WORDS_PER_MINUTE = 238
"""Silent reading of English (Brysbaert, "How many words do we read per minute?", 2019)."""

Progress = Callable[[float, str], None]
"""Called with the share done, in [0, 1], and a note."""


@dataclass(frozen=True, slots=True)
class Drawn:
    """The prompts of the tasks to be, each with those answers of production that differ."""

    prompts: Sequence[tuple[ProductionPrompt, Sequence[Answer]]]
    n_completions: int
    n_pool: int

    @property
    def n_missing(self) -> int:
        """How many completions are to be written."""
        return sum(self.n_completions - len(answers) for _, answers in self.prompts)


@dataclass(frozen=True, slots=True)
class Estimated:
    """About what the tasks take: tokens to write what is missing, minutes to read everything."""

    input_tokens: int
    output_tokens: int
    reading_minutes: float


@dataclass(frozen=True, slots=True)
class Made:
    """Tasks, and why some prompts became none or got fewer completions than asked for."""

    tasks: Sequence[Task]
    problems: Mapping[str, int]


def draw_prompts(store: OpenedStore, policy: VotePolicy, n: int, n_completions: int) -> Drawn:
    """Draw up to `n` prompts that cover what users ask, see `coverage.cover`.

    Raises:
        DataError: The store holds no answer of production that is not annotated already.
    """
    pool = store.prompt_pool(policy, max(_POOL, 2 * n))
    if not pool:
        raise DataError(
            "the store holds no prompts to annotate; run `thumbwheel ingest`, or everything that "
            "it holds has been annotated already"
        )
    ids = list(pool)
    picked = [ids[index] for index in cover(list(pool.values()), n)]
    prompts = [
        (prompt, _distinct(prompt, n_completions))
        for prompt in store.production_prompts(policy, picked)
    ]
    if not prompts:
        raise DataError("all answers in the store are empty, or too long for anybody to read")
    return Drawn(prompts, n_completions, len(pool))


def _distinct(prompt: ProductionPrompt, n: int) -> list[Answer]:
    different = {
        normal_completion(answer.completion): answer for answer in reversed(prompt.answers)
    }
    kept = sorted(different.values(), key=lambda answer: answer.completion_id)[:n]
    return [Answer(a.completion_id, a.completion, a.model_version, generated=False) for a in kept]


def estimate(drawn: Drawn) -> Estimated:
    """Return about what the tasks take; what is not written yet counts as long as the others."""
    lengths = [estimate_tokens(a.completion) for _, answers in drawn.prompts for a in answers]
    typical = round(sum(lengths) / max(1, len(lengths)))
    asked = {prompt.prompt_id: _prompt_tokens(prompt.prompt) for prompt, _ in drawn.prompts}
    n_input = sum(
        asked[prompt.prompt_id] * (drawn.n_completions - len(answers))
        for prompt, answers in drawn.prompts
    )
    n_output = typical * drawn.n_missing
    words = (sum(asked.values()) + sum(lengths) + n_output) * _WORDS_PER_TOKEN
    return Estimated(n_input, n_output, words / _WORDS_PER_MINUTE)


def _prompt_tokens(prompt: Prompt) -> int:
    return estimate_tokens(shown_prompt(prompt))


def make_tasks(drawn: Drawn, writer: Writer | None, progress: Progress) -> Made:
    """Write what is missing and return the tasks, each of at least two distinct completions.

    Args:
        drawn: The prompts.
        writer: Who writes; None when nothing is missing.
        progress: Told after each completion.

    Raises:
        ThumbwheelError: The writer cannot go on.
    """
    problems: Counter[str] = Counter()
    answers = {prompt.prompt_id: list(known) for prompt, known in drawn.prompts}
    prompts = {prompt.prompt_id: prompt.prompt for prompt, _ in drawn.prompts}
    asked: Counter[str] = Counter()
    for _ in range(_MAX_ROUNDS if writer is not None else 0):
        draws = [
            Draw(prompt_id, prompts[prompt_id], asked[prompt_id] + n)
            for prompt_id, known in answers.items()
            for n in range(drawn.n_completions - len(known))
        ]
        if not draws or writer is None:
            break
        asked.update(draw.prompt_id for draw in draws)
        for done, written in enumerate(writer.write(draws), start=1):
            progress(done / len(draws), f"{done:,} of {len(draws):,} completions")
            known = answers[written.draw.prompt_id]
            if written.completion is None:
                problems[written.reason or "nothing was written"] += 1
            elif _is_new(written.completion, known):
                known.append(_answer(written.draw.prompt, written.completion, writer))
    tasks = [make_task(prompts[key], known) for key, known in answers.items() if len(known) > 1]
    short = sum(1 < len(known) < drawn.n_completions for known in answers.values())
    if short:
        problems["tasks with fewer completions than asked for: the model repeats itself"] += short
    if len(tasks) < len(answers):
        problems["prompts without two different completions"] += len(answers) - len(tasks)
    if not tasks:
        raise DataError("no prompt has two different completions; " + "; ".join(problems))
    return Made(tasks, dict(problems))


def _is_new(completion: str, known: Sequence[Answer]) -> bool:
    text = normal_completion(completion)
    return bool(text) and all(text != normal_completion(answer.completion) for answer in known)


def _answer(prompt: Prompt, completion: str, writer: Writer) -> Answer:
    _, completion_id = text_identity(prompt, completion)
    return Answer(completion_id, completion, writer.model_version, generated=True)
