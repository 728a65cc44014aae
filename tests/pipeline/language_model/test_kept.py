"""What a model said is kept by content: found again by others, and by nobody whom it is not of."""

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from adapted_models import COMPLETIONS, PROMPTS, SETTINGS, adapted
from tiny import CHAT_TEMPLATE, build_tiny_adapter, build_tiny_model

from thumbwheel.language_model import AdaptedModel, LoadedBase, ModelCache, load_base

pytestmark = pytest.mark.usefixtures("one_thread")

N_ASKED = 2 * 5 + 6 + 6
"""Two draws of five different prompts, six scores and six embeddings."""


def no_warning(message: str) -> None:
    raise AssertionError(message)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "home" / "model_cache.db"


def opened(path: Path) -> ModelCache:
    return ModelCache(path, warn=no_warning)


def ask(model: AdaptedModel) -> list[object]:
    """Ask for everything that is kept."""
    return [
        model.answers(PROMPTS[:5], 2),
        model.log_probs(PROMPTS, COMPLETIONS),
        model.embed(PROMPTS, COMPLETIONS).tolist(),
    ]


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory, tiny_model: Path, adapter_dir: Path) -> Path:
    """A cache with all that a candidate said."""
    path = tmp_path_factory.mktemp("filled") / "model_cache.db"
    with opened(path) as cache:
        ask(adapted(load_base(tiny_model), adapter_dir, cache=cache))
    return path


def test_another_model_of_the_same_files_computes_nothing(
    tiny_model: Path, adapter_dir: Path, filled: Path, tmp_path: Path
) -> None:
    """Copies elsewhere, other batches and a longer longest length find every bit again."""
    base = load_base(Path(shutil.copytree(tiny_model, tmp_path / "copy")))
    adapter = Path(shutil.copytree(adapter_dir, tmp_path / "adapter"))
    calls: list[object] = []
    base.model.register_forward_hook(lambda *call: calls.append(call))
    with opened(filled) as cache:
        model = adapted(base, adapter, cache=cache, batch_size=1, max_length=510)
        found = ask(model)
    assert not calls
    assert (model.n_computed, model.n_kept) == (0, N_ASKED)
    computed = ask(adapted(base, adapter))
    assert found[0] == computed[0]
    assert found[2] == pytest.approx(np.array(computed[2]), abs=1e-4)


def test_another_process_computes_nothing(
    base: LoadedBase, tiny_model: Path, adapter_dir: Path, filled: Path
) -> None:
    """A later cycle that asks the same champion the same is given what an earlier one was."""
    script = (
        "import json, sys; from dataclasses import asdict; from pathlib import Path\n"
        "from adapted_models import PROMPTS, adapted\n"
        "from thumbwheel.language_model import ModelCache, load_base\n"
        "model, adapter, path = map(Path, sys.argv[1:])\n"
        "with ModelCache(path, warn=print) as cache:\n"
        "    champion = adapted(load_base(model), adapter, cache=cache)\n"
        "    answers = champion.answers(PROMPTS[:5], 2)\n"
        "told = [[asdict(answer) for answer in draws] for draws in answers]\n"
        "print(json.dumps([champion.n_computed, champion.n_kept, told]))"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, str(tiny_model), str(adapter_dir), str(filled)],
        check=True,
        capture_output=True,
        env={"PYTHONPATH": ":".join(sys.path), "OMP_NUM_THREADS": "1"},
    )
    answers = adapted(base, adapter_dir).answers(PROMPTS[:5], 2)
    told = [[asdict(answer) for answer in draws] for draws in answers]
    assert json.loads(done.stdout) == [0, 10, told]


def other_weights(base: Path) -> LoadedBase:
    shutil.rmtree(base)
    return load_base(build_tiny_model(base, seed=9))


def other_template(base: Path) -> LoadedBase:
    (base / "chat_template.jinja").write_text(CHAT_TEMPLATE.replace("'\n'", "' '", 1))
    return load_base(base)


def other_precision(base: Path) -> LoadedBase:
    import torch

    loaded = load_base(base)
    loaded.model.to(torch.bfloat16 if loaded.model.dtype == torch.float32 else torch.float32)
    return loaded


@pytest.mark.parametrize("change", [other_weights, other_template, other_precision])
def test_another_base_is_asked_anew(
    change: Callable[[Path], LoadedBase],
    tiny_model: Path,
    adapter_dir: Path,
    filled: Path,
    tmp_path: Path,
) -> None:
    """Weights, chat template and precision are part of what an output depends on."""
    base = change(Path(shutil.copytree(tiny_model, tmp_path / "copy")))
    with opened(filled) as cache:
        model = adapted(base, adapter_dir, cache=cache)
        ask(model)
    assert (model.n_computed, model.n_kept) == (N_ASKED, 0)


def test_another_adapter_is_asked_anew(
    base: LoadedBase, tiny_model: Path, adapter_dir: Path, filled: Path, tmp_path: Path
) -> None:
    """The bare base, other weights and another configuration find nothing of the candidate's."""
    scaled = Path(shutil.copytree(adapter_dir, tmp_path / "scaled"))
    config = json.loads((scaled / "adapter_config.json").read_text())
    (scaled / "adapter_config.json").write_text(json.dumps(config | {"lora_alpha": 1}))
    others = [None, build_tiny_adapter(tmp_path / "other", tiny_model, seed=2), scaled]
    with opened(filled) as cache:
        for adapter in others:
            model = adapted(base, adapter, cache=cache)
            model.log_probs(PROMPTS[:1], COMPLETIONS[:1])
            assert (model.n_computed, model.n_kept) == (1, 0)


@pytest.mark.parametrize(
    "setting", [{"seed": 1}, {"temperature": 0.7}, {"top_p": 0.9}, {"max_new_tokens": 11}]
)
def test_other_settings_give_other_answers(
    setting: dict[str, Any], base: LoadedBase, adapter_dir: Path, filled: Path
) -> None:
    """What decides a sample is part of its key, and of no score's."""
    with opened(filled) as cache:
        model = adapted(base, adapter_dir, cache=cache, **setting)
        assert model.answers(PROMPTS[:2], 2) == adapted(base, adapter_dir, **setting).answers(
            PROMPTS[:2], 2
        )
        assert (model.n_computed, model.n_kept) == (4, 0)
        model.log_probs(PROMPTS, COMPLETIONS)
        assert (model.n_computed, model.n_kept) == (4, 6)


def test_texts_and_draws_have_keys_of_their_own(
    base: LoadedBase, adapter_dir: Path, filled: Path
) -> None:
    """Another draw, another completion, and one that is cut elsewhere are computed."""
    with opened(filled) as cache:
        model = adapted(base, adapter_dir, cache=cache)
        model.answers(PROMPTS[:5], 1, first=2)
        model.log_probs(PROMPTS[:1], ["Yes!"])
        assert (model.n_computed, model.n_kept) == (6, 0)
        short = adapted(base, adapter_dir, cache=cache, max_length=60)
        short.log_probs(PROMPTS, COMPLETIONS)
        assert short.n_truncated == short.n_computed > 0


def test_what_was_embedded_was_scored(base: LoadedBase, path: Path) -> None:
    """Scores come with embeddings, in the cache too; an embedding does not come with a score."""
    with opened(path) as cache:
        adapted(base, cache=cache).embed(PROMPTS[:3], COMPLETIONS[:3])
        later = adapted(base, cache=cache)
        later.log_probs(PROMPTS, COMPLETIONS)
        assert (later.n_computed, later.n_kept) == (3, 3)
        later.embed(PROMPTS, COMPLETIONS)
        assert (later.n_computed, later.n_kept) == (6, 6)


def test_a_killed_evaluation_goes_on_where_it_was(base: LoadedBase, path: Path) -> None:
    """Every batch is kept when it is done; progress counts what was found as done."""

    class KilledError(Exception):
        pass

    def kill(done: int, total: int) -> None:
        raise KilledError

    def asked_with(cache: ModelCache, progress: Callable[[int, int], None]) -> AdaptedModel:
        return AdaptedModel(
            base,
            "base",
            settings=SETTINGS,
            max_length=500,
            cache=cache,
            progress=progress,
        )

    seen: list[tuple[int, int]] = []
    with opened(path) as cache:
        with pytest.raises(KilledError):
            asked_with(cache, kill).answers(PROMPTS[:5], 2)
        model = asked_with(cache, lambda *counts: seen.append(counts))
        model.answers(PROMPTS[:5], 2)
    assert (model.n_computed, model.n_kept) == (6, 4)
    assert seen == [(4, 10), (8, 10), (10, 10)]
