"""Scores and embeddings of completions are those of a plain computation, whatever the batch."""

import shutil
from pathlib import Path

import numpy as np
import pytest
from adapted_models import COMPLETIONS, PROMPTS, SETTINGS, adapted, user
from numpy.typing import NDArray
from tiny import CHAT_TEMPLATE, build_tiny_adapter

from thumbwheel.errors import DataError
from thumbwheel.language_model import AdaptedModel, LoadedBase, load_base
from thumbwheel.language_model.encoding import encode
from thumbwheel.types import Prompt

pytestmark = pytest.mark.usefixtures("one_thread")


def close(expected: float | list[float]) -> object:
    """Return what equals these sums of log-probabilities, but for rounding."""
    # The relative one is for a GPU, where the model computes in bfloat16.
    return pytest.approx(expected, abs=1e-4, rel=2e-5)


def reference_score(base: LoadedBase, prompt: Prompt, completion: str) -> tuple[float, int]:
    """Score one completion the plain way: one sequence, no padding, all logits."""
    import torch

    def render(messages: list[object], *, generation: bool) -> list[int]:
        text = base.tokenizer.apply_chat_template(
            messages, tokenize=False, add_generation_prompt=generation
        )
        ids: list[int] = base.tokenizer(text, add_special_tokens=False)["input_ids"]
        return ids

    answer = {"role": "assistant", "content": completion}
    before = render(list(prompt), generation=True)
    ids = render([*prompt, answer], generation=False)
    assert ids[: len(before)] == before
    with torch.no_grad():
        logits = base.model(torch.tensor([ids], device=base.device)).logits[0].double()
    scores = logits.log_softmax(-1)
    picked = [scores[at - 1, ids[at]].item() for at in range(len(before), len(ids))]
    return sum(picked), len(picked)


def test_scores_equal_a_plain_computation(base: LoadedBase) -> None:
    """Batching, padding and leaving out the prompts' logits change no score."""
    scores = adapted(base).log_probs(PROMPTS, COMPLETIONS)
    for prompt, completion, score in zip(PROMPTS, COMPLETIONS, scores, strict=True):
        total, n_tokens = reference_score(base, prompt, completion)
        assert score.total == close(total)
        assert score.n_tokens == n_tokens


def test_an_empty_completion_is_its_end_of_turn(base: LoadedBase) -> None:
    """An empty answer still has tokens to score: the end of the turn and what the template adds."""
    (score,) = adapted(base).log_probs([user("Hi")], [""])
    assert score.n_tokens == len(["<|im_end|>", "\n"])


def test_scores_do_not_depend_on_the_batch(base: LoadedBase) -> None:
    """One at a time, all at once, and logits of only a row at once give the same scores."""
    together = adapted(base, batch_size=6).log_probs(PROMPTS, COMPLETIONS)
    alone = adapted(base, batch_size=1).log_probs(PROMPTS, COMPLETIONS)
    assert [s.total for s in together] == close([s.total for s in alone])


def test_the_logits_in_memory_are_bounded(
    base: LoadedBase, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Batches shrink until their logits fit into the budget."""
    sizes: list[int] = []
    hook = base.model.lm_head.register_forward_hook(lambda *a: sizes.append(a[2].numel()))
    budget = 150 * base.model.config.vocab_size
    monkeypatch.setattr("thumbwheel.language_model.forward._MAX_NUMBERS", budget)
    adapted(base, batch_size=6).log_probs(PROMPTS, COMPLETIONS)
    hook.remove()
    assert len(sizes) > 1
    assert max(sizes) <= budget


def test_the_base_scores_the_same_beside_adapters(base: LoadedBase, adapter_dir: Path) -> None:
    """An adapter on the shared base changes its own scores and not a bit of the base's."""
    before = adapted(base).log_probs(PROMPTS, COMPLETIONS)
    candidate = adapted(base, adapter_dir)
    assert adapted(base).log_probs(PROMPTS, COMPLETIONS) == before
    changed = candidate.log_probs(PROMPTS, COMPLETIONS)
    assert all(abs(a.total - b.total) > 0.01 for a, b in zip(before, changed, strict=True))
    assert adapted(base).log_probs(PROMPTS, COMPLETIONS) == before


def test_adapters_on_one_base_keep_apart(
    tiny_model: Path, adapter_dir: Path, tmp_path: Path
) -> None:
    """Champion and candidate on one base score as each does on a base of its own."""
    other_dir = build_tiny_adapter(tmp_path / "other", tiny_model, seed=2)
    shared = load_base(tiny_model)
    champion, candidate = adapted(shared, adapter_dir), adapted(shared, other_dir)
    for model, directory in ((candidate, other_dir), (champion, adapter_dir)):
        alone = adapted(load_base(tiny_model), directory)
        expected = alone.log_probs(PROMPTS, COMPLETIONS)
        assert model.log_probs(PROMPTS, COMPLETIONS) == expected


def test_long_texts_are_cut_as_in_training(base: LoadedBase) -> None:
    """The end of a completion is cut; before a prompt that fills everything, its beginning is."""
    model = adapted(base, max_length=64)
    long_answer, long_prompt = model.log_probs([user("Hi"), user("y" * 100)], ["z" * 100, "Yes."])
    n_prompt = len(
        adapted(base)._base.tokenizer.apply_chat_template(
            list(user("Hi")), add_generation_prompt=True, return_dict=False
        )
    )
    assert long_answer.n_tokens == 64 - n_prompt
    assert long_prompt.n_tokens == len("Yes.") + 2
    assert model.n_truncated == 2


def test_a_template_that_refuses_a_prompt_is_an_input_error(
    tiny_model: Path, tmp_path: Path
) -> None:
    """A conversation that the chat template does not take is named in one line."""
    directory = Path(shutil.copytree(tiny_model, tmp_path / "model"))
    (directory / "chat_template.jinja").write_text("{{ raise_exception('no system role') }}")
    with pytest.raises(DataError, match=r"refuses a conversation: no system role"):
        adapted(load_base(directory)).log_probs([user("Hi")], ["Yes."])


TOOL_PROMPT: Prompt = [
    *user("Weather?"),
    {
        "role": "assistant",
        "content": "",
        "extra": '{"tool_calls": [{"function": {"name": "sky", "arguments": {"at": "Rome"}}}]}',
    },
    {"role": "tool", "content": "Sun", "extra": '{"tool_call_id": "c1"}'},
]
SHOW_CALLS = (
    "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}"
    "{% if 'tool_calls' in m %}{% for call in m.tool_calls %}{{ call.function.name }}: "
    "{{ call.function.arguments['at'] }}{% endfor %}{% endif %}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)


def with_template(tiny_model: Path, directory: Path, template: str) -> LoadedBase:
    shutil.copytree(tiny_model, directory)
    (directory / "chat_template.jinja").write_text(template)
    return load_base(directory)


def test_the_template_sees_tool_calls(tiny_model: Path, tmp_path: Path) -> None:
    """Calls are objects in the message that made them, and absent from the others."""
    base = with_template(tiny_model, tmp_path / "model", SHOW_CALLS)
    ((prompt, completion),) = encode(base, [TOOL_PROMPT], ["Yes."])
    assert base.tokenizer.decode(prompt) == (
        "<|im_start|>user\nWeather?<|im_end|>\n<|im_start|>assistant\nsky: Rome<|im_end|>\n"
        "<|im_start|>tool\nSun<|im_end|>\n<|im_start|>assistant\n"
    )
    assert base.tokenizer.decode(completion) == "Yes.<|im_end|>\n"


@pytest.mark.parametrize(
    ("template", "reason"),
    [
        (CHAT_TEMPLATE, "a prompt has tool calls, which the chat template in .* does not show"),
        ("{{ messages[1].tool_calls + 1 }}", "refuses a conversation: .*can only concatenate"),
        ("{{ messages[1].tool_calls | items | list }}", "refuses a conversation: Can only get"),
    ],
)
def test_a_template_that_cannot_take_tool_calls_is_an_input_error(
    tiny_model: Path, tmp_path: Path, template: str, reason: str
) -> None:
    """Whatever the template does about them, one line says so."""
    base = with_template(tiny_model, tmp_path / "model", template)
    with pytest.raises(DataError, match=reason) as caught:
        adapted(base).log_probs([TOOL_PROMPT], ["Yes."])
    assert "\n" not in str(caught.value)


def test_progress_counts_up_to_the_whole(base: LoadedBase) -> None:
    """The callback ends at n of n, and texts scored before are not counted again."""
    seen: list[tuple[int, int]] = []
    model = AdaptedModel(
        base,
        "base",
        settings=SETTINGS,
        max_length=500,
        progress=lambda done, total: seen.append((done, total)),
    )
    model.log_probs(PROMPTS, COMPLETIONS)
    assert [total for _, total in seen] == [6, 6]
    assert seen[-1] == (6, 6)
    model.log_probs(PROMPTS, COMPLETIONS)
    assert len(seen) == 2


def reference_embedding(base: LoadedBase, prompt: Prompt, completion: str) -> NDArray[np.float32]:
    """Embed one completion the plain way: one sequence, layer by layer, no padding."""
    import torch

    ((before, ids),) = encode(base, [prompt], [completion])
    layers: list[torch.Tensor] = []
    model = base.model.model
    hooks = [
        module.register_forward_hook(
            lambda *call: layers.append(call[2][0] if isinstance(call[2], tuple) else call[2])
        )
        for module in (model.layers[-2], model.norm)
    ]
    with torch.no_grad():
        base.model(torch.tensor([before + ids], device=base.device))
    for hook in hooks:
        hook.remove()
    earlier, last = (
        layer.reshape(len(before + ids), -1)[len(before) :].float() for layer in layers
    )
    embedding: NDArray[np.float32] = (
        torch.cat([earlier.mean(0), last.mean(0), last[-1]]).cpu().numpy()
    )
    return embedding


def test_embeddings_equal_a_plain_computation(base: LoadedBase, adapter_dir: Path) -> None:
    """Means over the completion alone, and its last token, whatever the batch; adapters count."""
    together = adapted(base, batch_size=6).embed(PROMPTS, COMPLETIONS)
    assert together.shape == (6, 3 * base.model.config.hidden_size)
    assert together.dtype == np.float32
    expected = [reference_embedding(base, *text) for text in zip(PROMPTS, COMPLETIONS, strict=True)]
    assert together == pytest.approx(np.stack(expected), abs=1e-4)
    alone = adapted(base, batch_size=1).embed(PROMPTS, COMPLETIONS)
    assert together == pytest.approx(alone, abs=1e-4)
    other = adapted(base, adapter_dir).embed(PROMPTS, COMPLETIONS)
    assert np.abs(other - together).max(1).min() > 0.01


def test_no_texts_have_no_embeddings(base: LoadedBase) -> None:
    """The shape is that of any other number of texts."""
    assert adapted(base).embed([], []).shape == (0, 3 * base.model.config.hidden_size)


def test_what_is_embedded_is_scored(base: LoadedBase) -> None:
    """Embedding gives the scores on the way, and one that was told before does not change."""
    model = adapted(base)
    before = model.log_probs(PROMPTS[:2], COMPLETIONS[:2])
    model.embed(PROMPTS, COMPLETIONS)
    calls: list[object] = []
    hook = base.model.register_forward_hook(lambda *call: calls.append(call))
    scores = model.log_probs(PROMPTS, COMPLETIONS)
    hook.remove()
    assert not calls
    assert scores[:2] == before
    fresh = adapted(base).log_probs(PROMPTS, COMPLETIONS)
    assert [s.total for s in scores] == close([s.total for s in fresh])
