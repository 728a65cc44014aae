"""Topics, and the collapse of one of them."""

from random import Random

import pytest

from thumbwheel.config import Guard
from thumbwheel.evidence.answers.topics import collapsed_topics, topics
from thumbwheel.types import Prompt

SUBJECTS = {
    "capital": "Tell me the capital city of the country number {}",
    "python": "How can I sort a python list by key, variant {}",
    "recipe": "Give me a recipe for baking bread with {} eggs",
    "weather": "Will it rain in the mountains, or is the weather dry on day {}",
}
GUARDS = [
    Guard(metric="relevance", max_drop=0.1),
    Guard(metric="length", max_drop=0.25, max_rise=0.25, relative=True),
    Guard(metric="win_rate", max_drop=0.1),
]


def asked(per_subject: int = 30) -> dict[str, Prompt]:
    return {
        f"{subject}-{number}": [{"role": "user", "content": text.format(number)}]
        for number in range(per_subject)
        for subject, text in SUBJECTS.items()
    }


def test_prompts_are_grouped_by_what_they_are_about():
    """Planted subjects come back as topics named by their words, in any order of the prompts."""
    prompts = asked()
    found = topics(prompts, seed=0)
    by_label: dict[str, set[str]] = {}
    for name, label in found.items():
        by_label.setdefault(label, set()).add(name.split("-")[0])
    assert len(by_label) == 4
    assert all(len(subjects) == 1 for subjects in by_label.values())
    assert any("python" in label or "sort" in label for label in by_label)
    shuffled = [*prompts.items()]
    Random(1).shuffle(shuffled)
    assert topics(dict(shuffled), seed=0) == found


@pytest.mark.parametrize("n", [0, 1, 40])
def test_few_or_wordless_prompts_are_one_topic(n):
    """Where topics cannot be told apart there is one, called `all`."""
    few = {str(number): prompt for number, prompt in enumerate(asked().values()) if number < n}
    assert topics(few, seed=0) == dict.fromkeys(few, "all")
    wordless: dict[str, Prompt] = {
        str(n): [{"role": "user", "content": str(n)}] for n in range(100)
    }
    assert {*topics(wordless, seed=0).values()} == {"all"}


def test_no_topic_is_small():
    """A handful of odd prompts joins the next topic."""
    prompts = asked(40)
    for number in range(4):
        prompts[f"odd-{number}"] = [{"role": "user", "content": "quasar pulsar nebula galaxy"}]
    labels = [*topics(prompts, seed=0).values()]
    assert min(map(labels.count, labels)) >= 8


def values(seed: int, broken: str | None = None, worse: float = 0.0):
    """Return noise of the same kind for both models, and one topic that got worse."""
    rng = Random(seed)
    models: dict[str, dict[str, dict[str, float]]] = {}
    for model in ("champion", "candidate"):
        models[model] = {"relevance": {}, "length": {}, "win_rate": {}}
        for name in asked():
            loss = worse if model == "candidate" and name.startswith(broken or "-") else 0.0
            right = sum(rng.random() < 0.9 - loss for _ in range(4)) / 4
            models[model]["relevance"][name] = right
            models[model]["length"][name] = 100 * rng.lognormvariate(0, 0.4)
            won = sum(rng.random() < 0.5 for _ in range(4)) / 4
            models[model]["win_rate"][name] = 0.5 if model == "champion" else won
    return models


OF_PROMPT = {name: name.split("-")[0] for name in asked()}


def test_harmless_candidates_collapse_nowhere():
    """Of 200 candidates that are no worse, at most 2% are refused for a topic."""
    refused = sum(bool(collapsed_topics(values(seed), OF_PROMPT, GUARDS)) for seed in range(200))
    assert refused <= 4


def test_the_collapse_of_one_topic_is_seen_and_told():
    """It is found in nearly all cases, in that topic and metric only, with its numbers."""
    seen = 0
    for seed in range(50):
        found = collapsed_topics(values(seed, "recipe", 0.5), OF_PROMPT, GUARDS)
        assert all((one.topic, one.metric) == ("recipe", "relevance") for one in found)
        seen += len(found)
    assert seen >= 49
    (one,) = collapsed_topics(values(3, "recipe", 0.6), OF_PROMPT, GUARDS)
    assert one.n == 30
    assert one.margin == -0.1
    assert one.reason.startswith("relevance dropped from 0.")
    assert one.reason.endswith("on the 30 prompts about recipe, more than the 0.1 allowed")


def test_a_topic_where_every_prompt_changed_alike():
    """No spread at all is no reason to say nothing; exactly the margin is within it."""
    models = values(0)
    models["candidate"]["length"] = {n: v * 1.25 for n, v in models["champion"]["length"].items()}
    assert not collapsed_topics(models, OF_PROMPT, GUARDS[1:2])
    models["candidate"]["length"] = {n: v * 2 for n, v in models["champion"]["length"].items()}
    assert {one.topic for one in collapsed_topics(models, OF_PROMPT, GUARDS[1:2])} == {*SUBJECTS}
    models["champion"]["relevance"] = dict.fromkeys(OF_PROMPT, 0.9)
    models["candidate"]["relevance"] = dict.fromkeys(OF_PROMPT, 0.5)
    assert len(collapsed_topics(models, OF_PROMPT, GUARDS[:1])) == 4
