"""Base models and adapters in memory: loading refuses what is unsafe, and says nothing.

The model is a tiny Llama with random weights; see `tiny`.
"""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from tiny import CHAT_TEMPLATE, build_tiny_model

from thumbwheel.errors import ModelError
from thumbwheel.language_model import LoadedBase, load_base, model_digest

pytestmark = pytest.mark.usefixtures("one_thread")


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


ENDLESS = "{% for i in range(99999) %}{% for j in range(99999) %}{% endfor %}{% endfor %}"

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
    "an endless chat template": (
        lambda d: (d / "chat_template.jinja").write_text(ENDLESS),
        "took more than 3 s",
    ),
    "a huge chat template": (
        lambda d: (d / "chat_template.jinja").write_text("{{ 'x' * 10**11 }}"),
        "made more than 1,000,000 characters",
    ),
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
