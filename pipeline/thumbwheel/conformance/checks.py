"""What a plugin that makes or screens pairs is held to, one function a promise.

Each tries the plugin on feedback that nobody gave and raises `BrokenPromiseError` with the smallest
example it has. They are run by pytest (`plugins.PluginContract`) and by `thumbwheel plugins check`.
"""

import dataclasses
import math
import typing
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import pyarrow as pa
from pydantic import TypeAdapter, ValidationError

from thumbwheel.config import PluginConfig, describe_errors
from thumbwheel.conformance.made_up import Feedback, many_prompts, odd_prompts, ordinary_prompts
from thumbwheel.errors import PluginError
from thumbwheel.plugin import PluginManager
from thumbwheel.plugin.host import IsolatedPlugins, Plugins

__all__ = ["BrokenPromiseError", "Check", "Subject", "checks_of"]

N_MANY = 10_000

_MAX_REASONS = 20
_SHOWN = 40
_TOLERANCE = 1e-9

_NAMED = ["pair_id", "prompt_id", "chosen_id", "rejected_id"]

# (prompt_id, chosen_id, rejected_id) -> the confidence, or the reason it was dropped for.
_Answers = Mapping[tuple[str, str, str], Any]

_Ask = Callable[[Plugins, Feedback], _Answers]


class BrokenPromiseError(AssertionError):
    """A plugin does not keep what every plugin promises."""


@dataclasses.dataclass(frozen=True, slots=True)
class Subject:
    """The plugin under test.

    Attributes:
        config: How it is named and configured.
        base_dir: What its path is relative to.
        plugins: The plugin, loaded: in this process or in one of its own.
        seconds: How long it may take over 10,000 prompts.
        memory_mb: How much memory its process may hold over them, in MiB.
    """

    config: PluginConfig
    base_dir: Path
    plugins: Plugins
    seconds: float
    memory_mb: int

    def isolated(self) -> IsolatedPlugins:
        """Load the plugin in another process, within these limits."""
        return IsolatedPlugins(
            [self.config], self.base_dir, seconds=self.seconds, memory_mb=self.memory_mb
        )


@dataclasses.dataclass(frozen=True, slots=True)
class Check:
    """A promise.

    Attributes:
        name: A word or two.
        promise: What is promised, as a sentence.
        mend: What usually mends it when it is broken.
        run: Raises `BrokenPromiseError` or `PluginError`; returns what was seen, in a few words.
    """

    name: str
    promise: str
    mend: str
    run: Callable[[Subject], str]


@dataclasses.dataclass(frozen=True, slots=True)
class _Law:
    """A promise of both hooks: `hold` gets what asks one of them."""

    name: str
    promise: str
    mend: str
    hold: Callable[[_Ask, Subject], str]


def checks_of(hooks: Sequence[str]) -> list[Check]:
    """Return what a plugin with these hooks is checked for."""
    asks: dict[str, _Ask] = {"make_pairs": _proposals, "screen_pairs": _reasons}
    return [_OPTIONS] + [
        Check(f"{hook}: {law.name}", law.promise, law.mend, partial(law.hold, ask))
        for hook, ask in asks.items()
        if hook in hooks
        for law in _LAWS
    ]


# --- asking ---------------------------------------------------------------------------------------


def _proposals(plugins: Plugins, feedback: Feedback) -> _Answers:
    proposed = plugins.make_pairs(feedback.rated, feedback.comparisons).to_pylist()
    return {_key(row): row["confidence"] for row in proposed}


def _reasons(plugins: Plugins, feedback: Feedback) -> _Answers:
    pairs = feedback.pairs()
    given = {row["pair_id"]: row for row in pairs.select(_NAMED).to_pylist()}
    answers: dict[tuple[str, str, str], Any] = {}
    for row in plugins.screen_pairs(pairs).to_pylist():
        key = _key(given[row["pair_id"]])
        if key in answers:
            raise BrokenPromiseError(f"it named the pair {row['pair_id']} twice; once is enough")
        if not (row["reason"] or "").strip():
            raise BrokenPromiseError(f"it dropped the pair {row['pair_id']} without a reason")
        answers[key] = row["reason"]
    if len(reasons := set(answers.values())) > _MAX_REASONS:
        raise BrokenPromiseError(
            f"it gave {len(reasons)} different reasons, such as {min(reasons)!r:.80}; pairs are "
            "counted by reason, so leave out what differs from pair to pair"
        )
    return answers


def _key(row: Mapping[str, str]) -> tuple[str, str, str]:
    return row["prompt_id"], row["chosen_id"], row["rejected_id"]


# --- the promises ---------------------------------------------------------------------------------


class _Opened(PluginManager):
    """Gives access to the plugin itself."""

    def the_plugin(self) -> Any:
        (instance,) = self._instances.values()
        return instance


def _options(subject: Subject) -> str:
    plugin = _Opened([subject.config], subject.base_dir).the_plugin()
    cls = type(plugin)
    if not cls.__dataclass_params__.frozen:
        raise BrokenPromiseError(f"{cls.__name__} can be changed: write @dataclass(frozen=True)")
    fields = [field.name for field in dataclasses.fields(cls) if field.init]
    types = typing.get_type_hints(cls)
    for name in fields:
        if types[name] in (Any, object):
            raise BrokenPromiseError(f"the option {name!r} takes anything: give it a type")
    adapter = TypeAdapter(cls)
    try:
        adapter.validate_python({name: getattr(plugin, name) for name in fields})
    except ValidationError as error:
        raise BrokenPromiseError(f"a default is not allowed: {describe_errors(error)}") from error
    return ", ".join(fields) or "it has none"


def _valid(ask: _Ask, subject: Subject) -> str:
    feedback = _feedback()
    answers = ask(subject.plugins, feedback)
    prompts = len(feedback.prompt_ids)
    if not answers:
        return f"nothing came of {prompts} made-up prompts, so the rest shows little"
    return f"{len(answers):,} pairs of {prompts} prompts"


def _odd(ask: _Ask, subject: Subject) -> str:
    for name, feedback in odd_prompts().items():
        try:
            ask(subject.plugins, feedback)
        except (PluginError, BrokenPromiseError) as error:
            raise BrokenPromiseError(f"given {name}: {error}") from error
    return f"{len(odd_prompts())} oddities"


def _deterministic(ask: _Ask, subject: Subject) -> str:
    feedback = _feedback()
    first = ask(subject.plugins, feedback)
    with subject.isolated() as others:
        for plugins, again in ((subject.plugins, "asked twice"), (others, "in another process")):
            _compare(feedback, first, ask(plugins, feedback), again)
    return "twice, and in another process"


def _order_independent(ask: _Ask, subject: Subject) -> str:
    feedback = _feedback()
    sorted_ = ask(subject.plugins, feedback)
    for seed in range(3):
        shuffled = ask(subject.plugins, feedback.shuffled(seed))
        _compare(feedback, sorted_, shuffled, "with the rows in another order")
    return "3 orders"


def _chunk_independent(ask: _Ask, subject: Subject) -> str:
    feedback = _feedback()
    whole = ask(subject.plugins, feedback)
    prompts = feedback.prompt_ids
    for n_chunks in (2, 5, 20):
        parts: dict[tuple[str, str, str], Any] = {}
        for chunk in range(n_chunks):
            parts |= ask(subject.plugins, feedback.of(prompts[chunk::n_chunks]))
        _compare(feedback, whole, parts, f"with the prompts in {n_chunks} chunks")
    return "2, 5 and 20 chunks"


def _no_leak(ask: _Ask, subject: Subject) -> str:
    feedback = _feedback()
    prompts = feedback.prompt_ids
    before = ask(subject.plugins, feedback)
    for kept, changed, liked in (
        (prompts[::2], prompts[1::2], True),
        (prompts[1::2], prompts[::2], False),
    ):
        others = feedback.of(changed).overwhelmed(liked=liked) + ordinary_prompts(20, seed=99)
        after = ask(subject.plugins, feedback.of(kept) + others)
        _compare(
            feedback,
            {key: value for key, value in before.items() if key[0] in set(kept)},
            {key: value for key, value in after.items() if key[0] in set(kept)},
            "with other votes on other prompts",
        )
    return "each half, while the other was changed"


def _many(ask: _Ask, subject: Subject) -> str:
    feedback = many_prompts(N_MANY)
    if isinstance(subject.plugins, IsolatedPlugins):
        answers = ask(subject.plugins, feedback)
    else:
        with subject.isolated() as plugins:
            answers = ask(plugins, feedback)
    return f"{len(answers):,} pairs within {subject.seconds:g} s and {subject.memory_mb:,} MB"


def _feedback() -> Feedback:
    return ordinary_prompts(60, seed=0)


def _compare(feedback: Feedback, before: _Answers, after: _Answers, when: str) -> None:
    """Raise if two answers differ, with one pair as the example."""
    differing = [
        key
        for key in sorted(before.keys() | after.keys())
        if key not in before or key not in after or not _same(before[key], after[key])
    ]
    if not differing:
        return
    key = differing[0]
    if key not in after:
        how = "is missing"
    elif key not in before:
        how = "is new"
    else:
        how = f"has {after[key]!r:.80} instead of {before[key]!r:.80}"
    chosen, rejected = (_text(feedback, completion) for completion in key[1:])
    raise BrokenPromiseError(
        f"{when}, {len(differing)} pairs differ: {chosen} over {rejected} {how}"
    )


def _same(one: Any, other: Any) -> bool:
    if isinstance(one, float):
        return math.isclose(one, other, abs_tol=_TOLERANCE)
    return bool(one == other)


def _text(feedback: Feedback, completion: str) -> str:
    rated = feedback.rated
    where = rated["completion_id"].index(pa.scalar(completion)).as_py()
    text = str(rated["completion"][where].as_py())
    return repr(text if len(text) <= _SHOWN else f"{text[:_SHOWN]}…")


_OPTIONS = Check(
    "options",
    "they are typed, their defaults are allowed, and they cannot be changed",
    "see how the built-in plugins declare theirs",
    _options,
)

_LAWS = (
    _Law(
        "valid",
        "what it names exists: two answers to one prompt and a confidence, or a pair and a reason",
        "take ids from the rows it is given, and keep the rows of different prompts apart",
        _valid,
    ),
    _Law(
        "odd prompts",
        "it takes whatever users and raters do",
        "think of prompts with one answer, ties, no votes, empty tables, and signs of all kinds",
        _odd,
    ),
    _Law(
        "deterministic",
        "the same rows give the same result, in any process",
        "use no clock, no unseeded random numbers, and no order of a set or of hash()",
        _deterministic,
    ),
    _Law(
        "order-independent",
        "the order of the rows changes nothing",
        "sort by what is in the rows, such as completion_id, before taking the first of equals",
        _order_independent,
    ),
    _Law(
        "chunk-independent",
        "prompts that come in other chunks give the same result",
        "decide about each prompt from its own rows; keep nothing between two calls",
        _chunk_independent,
    ),
    _Law(
        "no leak",
        "what other prompts hold changes nothing: no held-out prompt shapes one that is trained on",
        "compute no mean, rank or quota over the whole table; group by prompt_id first",
        _no_leak,
    ),
    _Law(
        f"{N_MANY:,} prompts",
        "it stays within its time and memory",
        "work on columns instead of row by row, and never compare all rows with all others",
        _many,
    ),
)
