"""Samples are reproducible, each of random numbers of its own, and follow the softmax."""

from pathlib import Path

import pytest
from adapted_models import PROMPTS, SETTINGS, adapted, user

from thumbwheel.language_model import AdaptedModel, LoadedBase

pytestmark = pytest.mark.usefixtures("one_thread")


def test_samples_are_reproducible(base: LoadedBase, adapter_dir: Path) -> None:
    """The same model gives the same texts, whatever the batch and torch's own generator."""
    import torch

    first = adapted(base, adapter_dir, batch_size=6).generate(PROMPTS)
    torch.manual_seed(1234)
    assert adapted(base, adapter_dir, batch_size=2).generate(PROMPTS) == first
    assert adapted(base, adapter_dir).generate(PROMPTS[2:3]) == first[2:3]
    assert adapted(base).generate(PROMPTS) != first


def test_sampling_leaves_the_global_generator_alone(base: LoadedBase) -> None:
    """Generating moves no random number that anyone else would draw from torch."""
    import torch

    model = adapted(base)
    before = torch.get_rng_state()
    model.generate(PROMPTS)
    assert torch.equal(torch.get_rng_state(), before)


def test_seeds_and_repetitions_give_other_samples(base: LoadedBase) -> None:
    """Another seed, or a prompt asked twice in one call, draws other random numbers."""
    first = adapted(base).generate(PROMPTS)
    assert first[0] != first[5]
    other = AdaptedModel(
        base, "base", settings=SETTINGS.model_copy(update={"seed": 1}), max_length=500
    )
    assert all(a != b for a, b in zip(other.generate(PROMPTS), first, strict=True))


def test_answers_are_the_draws_of_each_prompt(base: LoadedBase) -> None:
    """Draws are numbered, whatever was asked before, beside it and in one batch with it."""
    prompts = PROMPTS[:5]
    model = adapted(base)
    answers = model.answers(prompts, 3)
    assert [len(draws) for draws in answers] == [3] * 5
    assert all(len({answer.text for answer in draws}) == 3 for draws in answers)
    assert [draws[0].text for draws in answers] == adapted(base).generate(prompts)
    again = adapted(base).generate([*prompts[::-1], *prompts])[5:]
    assert again == [draws[1].text for draws in answers]
    later = adapted(base, batch_size=2).answers(prompts[::-1], 2, first=1)[::-1]
    assert [list(draws) for draws in later] == [draws[1:] for draws in answers]
    assert model.answers([], 3) == []


def test_no_draw_is_generated_twice(base: LoadedBase) -> None:
    """What `generate` drew is what `answers` gives, without another pass; a repeated prompt too."""
    model = adapted(base)
    texts = model.generate([PROMPTS[0], PROMPTS[1], PROMPTS[0]])
    calls: list[object] = []
    hook = base.model.register_forward_hook(lambda *call: calls.append(call))
    first, second, third = model.answers([PROMPTS[0], PROMPTS[1], PROMPTS[0]], 1)
    assert not calls
    assert [first[0].text, second[0].text] == texts[:2]
    assert third == first
    assert model.answers([PROMPTS[0]], 1, first=1)[0][0].text == texts[2]
    hook.remove()
    assert not calls


@pytest.mark.parametrize("pad_is_a_stop", [False, True])
def test_an_answer_is_finished_when_a_stop_token_came(
    base: LoadedBase, pad_is_a_stop: bool
) -> None:
    """Any of the stop tokens ends an answer, the last place included; padding behind is none."""
    import torch

    letter = base.tokenizer.convert_tokens_to_ids("a")
    base.stop_ids = [*base.stop_ids, letter]
    if pad_is_a_stop:
        base.tokenizer.pad_token = base.tokenizer.eos_token
    # What each row says next, by how many tokens it has said: each row finishes elsewhere.
    say = base.tokenizer.convert_tokens_to_ids
    scripts = ["bbba", "bbbbb", "b" * 11 + "a", "b" * 12, "a"]
    said = 0

    def script(module: object, inputs: object, logits: torch.Tensor) -> torch.Tensor:
        nonlocal said
        logits = torch.full_like(logits, -1e4)
        for row, text in enumerate(scripts):
            token = say(text[said]) if said < len(text) else base.tokenizer.eos_token_id
            logits[row, -1, token] = 1e4
        said += 1
        return logits

    hook = base.model.lm_head.register_forward_hook(script)
    model = adapted(base, batch_size=5)
    prompts = [user(sign * 3) for sign in "vwxyz"]
    answers = [draws[0] for draws in model.answers(prompts, 1)]
    hook.remove()
    assert [answer.finished for answer in answers] == [True, True, True, False, True]
    assert [answer.text for answer in answers] == scripts


def test_samples_hold_no_special_tokens_and_stop(base: LoadedBase) -> None:
    """A text ends at the end-of-turn token or at the longest length, without template marks."""
    import torch

    prompts = [user(str(number)) for number in range(8)]
    for text in adapted(base).generate(prompts):
        assert "<|" not in text
    with torch.no_grad():
        # Now the end of the turn is nearly certain after any token.
        ends = torch.tensor(base.stop_ids, device=base.device)
        base.model.lm_head.register_forward_hook(
            lambda module, inputs, logits: logits.index_fill(-1, ends, 1e4)
        )
    assert adapted(base).generate(prompts) == [""] * 8


def test_a_prompt_longer_than_the_context_is_answered(base: LoadedBase) -> None:
    """Of a prompt without room for an answer the end is kept."""
    (text,) = adapted(base).generate([user("z" * 2 * base.context_length)])
    assert text


def test_gumbel_sampling_follows_the_softmax() -> None:
    """Over 20,000 streams each token comes up as often as its probability says."""
    import torch

    from thumbwheel.language_model.sampling import GumbelSampler

    logits = torch.tensor([1.0, *[0.0] * 7])
    n = 20_000
    batch = logits.expand(n, -1)
    picked = GumbelSampler(range(n), 0.5, 1.0)(torch.empty(n, 0), batch).argmax(-1)
    shares = torch.bincount(picked, minlength=8) / n
    expected = (logits / 0.5).softmax(-1)
    four_sigma = 4 * (0.25 / n) ** 0.5
    assert shares.numpy() == pytest.approx(expected.numpy(), abs=four_sigma)
    nucleus = GumbelSampler(range(n), 0.5, 0.5)(torch.empty(n, 0), batch).argmax(-1)
    assert set(nucleus.tolist()) == {0}
