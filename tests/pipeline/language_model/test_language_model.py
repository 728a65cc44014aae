"""Base models and adapters in memory: loading refuses what is unsafe, scores and samples are right.

The model is a tiny Llama with random weights; see `tiny`.
"""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from adapted_models import COMPLETIONS, PROMPTS, SETTINGS, adapted, user
from numpy.typing import NDArray
from tiny import CHAT_TEMPLATE, build_tiny_adapter, build_tiny_model

from thumbwheel.errors import DataError, ModelError
from thumbwheel.language_model import AdaptedModel, LoadedBase, load_base, model_digest
from thumbwheel.language_model.encoding import encode
from thumbwheel.types import Prompt

pytestmark = pytest.mark.usefixtures("one_thread")


def close(expected: float | list[float]) -> object:
    """Return what equals these sums of log-probabilities, but for rounding."""
    # The relative one is for a GPU, where the model computes in bfloat16.
    return pytest.approx(expected, abs=1e-4, rel=2e-5)


# --- loading -------------------------------------------------------------------------------------


def edit_json(path: Path, **values: object) -> None:
    path.write_text(json.dumps(json.loads(path.read_text()) | values))


def drop_a_tensor(path: Path) -> None:
    from safetensors.torch import load_file, save_file

    tensors = load_file(path / "model.safetensors")
    del tensors["model.layers.1.mlp.up_proj.weight"]
    save_file(tensors, path / "model.safetensors", metadata={"format": "pt"})


def put_a_file_there(path: Path) -> None:
    shutil.rmtree(path)
    path.write_text("")


UNREADABLE: dict[str, tuple[Callable[[Path], object], str]] = {
    "missing": (lambda d: shutil.rmtree(d), "does not exist"),
    "a file": (put_a_file_there, "is not a directory"),
    "no config": (lambda d: (d / "config.json").unlink(), "no config.json"),
    "config not JSON": (lambda d: (d / "config.json").write_text("{"), "cannot read"),
    "config not an object": (lambda d: (d / "config.json").write_text("[]"), "JSON object"),
    "unknown architecture": (
        lambda d: edit_json(d / "config.json", model_type="nonesuch"),
        "nonesuch",
    ),
    "no weights": (lambda d: (d / "model.safetensors").unlink(), "no weights"),
    "pickled weights": (
        lambda d: (d / "model.safetensors").rename(d / "pytorch_model.bin"),
        "only pickled weights (pytorch_model.bin)",
    ),
    "torn weights": (
        lambda d: (d / "model.safetensors").write_bytes(
            (d / "model.safetensors").read_bytes()[:5000]
        ),
        "cannot load the model",
    ),
    "a tensor missing": (drop_a_tensor, "lack 1 tensors, such as model.layers.1.mlp.up_proj"),
    "other shapes": (lambda d: edit_json(d / "config.json", hidden_size=48), "cannot load"),
    "no tokenizer": (lambda d: (d / "tokenizer.json").unlink(), "no tokenizer"),
    "torn tokenizer": (
        lambda d: (d / "tokenizer.json").write_text('{"version":'),
        "cannot load the tokenizer",
    ),
    "no chat template": (lambda d: (d / "chat_template.jinja").unlink(), "no chat template"),
    "code of its own": (
        lambda d: edit_json(d / "config.json", auto_map={"AutoModel": "evil.Evil"}),
        "auto_map",
    ),
    "tokenizer with code": (
        lambda d: edit_json(d / "tokenizer_config.json", auto_map={"AutoTokenizer": ["e.E", None]}),
        "auto_map",
    ),
}


@pytest.mark.parametrize("case", UNREADABLE)
def test_an_unusable_directory_is_refused_in_one_line(
    case: str, tiny_model: Path, tmp_path: Path
) -> None:
    """Every way a model directory can be wrong or unsafe is named in a single line."""
    damage, message = UNREADABLE[case]
    directory = Path(shutil.copytree(tiny_model, tmp_path / "model"))
    damage(directory)
    with pytest.raises(ModelError) as caught:
        load_base(directory)
    assert message in str(caught.value)
    assert str(directory) in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda d: shutil.rmtree(d), "no adapter_config.json"),
        (
            lambda d: (d / "adapter_model.safetensors").rename(d / "adapter_model.bin"),
            "no adapter_model.safetensors",
        ),
        (lambda d: (d / "adapter_model.safetensors").write_bytes(b"torn"), "does not fit"),
        (lambda d: edit_json(d / "adapter_config.json", r=8), "does not fit"),
        (lambda d: edit_json(d / "adapter_config.json", target_modules=["query"]), "does not fit"),
        (
            lambda d: edit_json(d / "adapter_config.json", target_modules=["q_proj", "k_proj"]),
            "does not fit",
        ),
        (lambda d: edit_json(d / "adapter_config.json", peft_type="IA3"), "'IA3'"),
    ],
)
def test_an_unusable_adapter_is_refused_in_one_line(
    base: LoadedBase,
    adapter_dir: Path,
    tmp_path: Path,
    damage: Callable[[Path], object],
    message: str,
) -> None:
    """Pickled, torn or foreign adapters are refused, also where peft would only warn."""
    directory = Path(shutil.copytree(adapter_dir, tmp_path / "adapter"))
    damage(directory)
    with pytest.raises(ModelError) as caught:
        base.add_adapter(directory)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_loading_says_nothing(tiny_model: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """No progress bar and no warning reaches the terminal."""
    load_base(tiny_model)
    assert capfd.readouterr() == ("", "")


def test_the_digest_follows_content(tiny_model: Path, tmp_path: Path) -> None:
    """A copy and a README leave the digest as it is; other weights or another template do not."""
    copy = Path(shutil.copytree(tiny_model, tmp_path / "copy"))
    (copy / "README.md").write_text("About the model.")
    assert model_digest(copy) == model_digest(tiny_model)
    (copy / "chat_template.jinja").write_text(CHAT_TEMPLATE + " ")
    assert model_digest(copy) != model_digest(tiny_model)
    other = build_tiny_model(tmp_path / "other", seed=1)
    assert model_digest(other) != model_digest(tiny_model)
    with pytest.raises(ModelError, match="holds no model"):
        model_digest(tmp_path / "nothing")


# --- scoring -------------------------------------------------------------------------------------


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


# --- embedding -----------------------------------------------------------------------------------


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


# --- sampling ------------------------------------------------------------------------------------


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
