"""Training: TRL's DPO on a tiny model moves the adapter and nothing else, and survives a kill."""

import json
import math
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from thumbwheel import tables
from thumbwheel.config import DatasetConfig, EvaluationConfig, TrainingConfig
from thumbwheel.errors import ConfigError, DataError, TrainingError
from thumbwheel.language_model import AdaptedModel, load_base, without_migration_warnings
from thumbwheel.language_model.encoding import encode
from thumbwheel.pairs.dataset import read_pairs, write_dataset
from thumbwheel.tables import MESSAGES
from thumbwheel.training import TrainJob, train
from thumbwheel.training.checkpoints import checkpoint_dir, last_checkpoint
from thumbwheel.types import Part, Prompt, Provenance

pytestmark = pytest.mark.usefixtures("one_thread")

CONFIG = TrainingConfig(
    lora_r=4,
    learning_rate=1e-2,
    per_device_train_batch_size=4,
    gradient_accumulation_steps=1,
    save_steps=2,
    max_length=128,
)


def write_pairs(path: Path, pairs: Sequence[tuple[str, str, str]]) -> Path:
    rows = [
        {
            "pair_id": str(number),
            "prompt": [{"role": "user", "content": prompt}],
            "chosen": [{"role": "assistant", "content": chosen}],
            "rejected": [{"role": "assistant", "content": rejected}],
        }
        for number, (prompt, chosen, rejected) in enumerate(pairs)
    ]
    names = ("prompt", "chosen", "rejected")
    schema = pa.schema([("pair_id", pa.string()), *((name, MESSAGES) for name in names)])
    pq.write_table(pa.Table.from_pylist(rows, schema=schema), path)
    return path


PAIRS = [(f"Question {n}?", f"Please, {n}.", f"No {n}!") for n in range(24)]


@pytest.fixture
def job(tiny_model: Path, tmp_path: Path) -> TrainJob:
    dataset = write_pairs(tmp_path / "train.parquet", PAIRS)
    return TrainJob(tiny_model, dataset, tmp_path / "run", CONFIG)


def reconfigured(job: TrainJob, **changes: object) -> TrainJob:
    return TrainJob(job.base, job.dataset, job.out_dir, job.config.model_copy(update=changes))


def test_only_the_adapter_moves(job: TrainJob) -> None:
    """Every LoRA tensor changes, and every tensor of the base keeps its bits."""
    import torch
    from datasets import Dataset

    from thumbwheel.training.trainer import Trainer, lora_config, trainer_arguments

    base = load_base(job.base)
    with without_migration_warnings():
        trainer = Trainer(
            progress=lambda step, total, loss: None,
            model=base.model,
            args=trainer_arguments(job.config, job.out_dir, max_length=128),
            train_dataset=Dataset(pq.read_table(job.dataset)),
            processing_class=base.tokenizer,
            peft_config=lora_config(job.config),
        )
        assert trainer.model is not None
        before = {name: p.detach().clone() for name, p in trainer.model.named_parameters()}
        trainer.train()
    assert trainer.model is not None
    after = dict(trainer.model.named_parameters())
    moved = {name for name, p in after.items() if not torch.equal(p, before[name])}
    assert moved == {name for name in before if "lora_" in name}
    assert len(moved) == 2 * 2 * 2  # A and B, of two projections, in two layers


def test_training_scores_the_tokens_that_evaluation_scores(job: TrainJob) -> None:
    """TRL's token ids of prompt and completions are those of `encode`."""
    from datasets import Dataset

    from thumbwheel.training.trainer import Trainer, lora_config, trainer_arguments

    base = load_base(job.base)
    pairs = [("Hi", "", "Yes.\n\nNo."), ("ünïcode ☃?", " leading", "trailing "), *PAIRS[:3]]
    table = pq.read_table(write_pairs(job.dataset, pairs))
    with without_migration_warnings():
        dataset = Trainer(
            progress=lambda step, total, loss: None,
            model=base.model,
            args=trainer_arguments(job.config, job.out_dir, max_length=128),
            train_dataset=Dataset(table),
            processing_class=base.tokenizer,
            peft_config=lora_config(job.config),
        ).train_dataset
    prompts: list[Prompt] = [[{"role": "user", "content": prompt}] for prompt, _, _ in pairs]
    for side, texts in (
        ("chosen_ids", [c for _, c, _ in pairs]),
        ("rejected_ids", [r for *_, r in pairs]),
    ):
        ours = encode(base, prompts, texts)
        assert ours == list(zip(dataset["prompt_ids"], dataset[side], strict=True))


def test_the_adapter_is_whole_portable_and_preferred(
    job: TrainJob, capfd: pytest.CaptureFixture[str]
) -> None:
    """Two files, no path of this machine, nothing printed; the adapter prefers what was chosen."""
    seen: list[tuple[int, int]] = []
    result = train(job, lambda step, total, loss: seen.append((step, total)))
    assert capfd.readouterr() == ("", "")
    assert seen == [(step, 6) for step in range(1, 7)]
    assert (result.steps, result.n_pairs, result.n_dropped, result.n_truncated) == (6, 24, 0, 0)
    assert result.peak_memory > 0
    assert result.metrics["rewards/margins"] > 0

    assert [path.name for path in job.out_dir.iterdir()] == ["adapter"]
    files = sorted(path.name for path in result.adapter.iterdir())
    assert files == ["adapter_config.json", "adapter_model.safetensors"]
    text = (result.adapter / "adapter_config.json").read_text()
    assert json.loads(text)["base_model_name_or_path"] == job.base.name
    assert str(job.base.parent) not in text

    base = load_base(job.base)
    prompts: list[Prompt] = [[{"role": "user", "content": prompt}] for prompt, _, _ in PAIRS]
    margins = []
    for adapter in (None, result.adapter):
        model = AdaptedModel(base, "m", adapter, settings=EvaluationConfig(), max_length=128)
        chosen = model.log_probs(prompts, [c for _, c, _ in PAIRS])
        rejected = model.log_probs(prompts, [r for _, _, r in PAIRS])
        margins.append(sum(c.total - r.total for c, r in zip(chosen, rejected, strict=True)))
    assert margins[1] > margins[0] + len(PAIRS)


def test_the_first_loss_is_ln_2(job: TrainJob) -> None:
    """A fresh adapter is the reference itself, so that plain DPO starts at ln 2."""
    losses: list[float] = []
    plain = reconfigured(job, loss_type=["sigmoid"], loss_weights=[1.0], max_steps=1)
    train(plain, lambda step, total, loss: losses.append(loss))
    assert losses == [pytest.approx(math.log(2), abs=1e-6)]


KILLED_RUN = """
import os, signal, sys
from pathlib import Path
from thumbwheel.config import TrainingConfig
from thumbwheel.training import TrainJob, train

def progress(step, total, loss):
    if step == int(sys.argv[5]):
        os.kill(os.getpid(), signal.SIGKILL)

config = TrainingConfig.model_validate_json(sys.argv[4])
train(TrainJob(*map(Path, sys.argv[1:4]), config), progress)
"""


def test_a_killed_run_goes_on_where_it_was(job: TrainJob, tmp_path: Path) -> None:
    """After SIGKILL only the steps behind the last checkpoint run again; the result is the same."""
    whole = train(TrainJob(job.base, job.dataset, tmp_path / "whole", job.config))
    arguments = [str(job.base), str(job.dataset), str(job.out_dir), job.config.model_dump_json()]
    # Step 5 is logged before anything of it is saved: the last checkpoint is that of step 4.
    killed = subprocess.run(
        [sys.executable, "-c", KILLED_RUN, *arguments, "5"],
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        check=False,
        capture_output=True,
    )
    assert killed.returncode == -signal.SIGKILL, killed.stderr.decode()
    assert not (job.out_dir / "adapter").exists()

    steps: list[int] = []
    resumed = train(job, lambda step, total, loss: steps.append(step))
    assert steps == [5, 6]
    assert resumed.steps == 6
    for name in ("adapter_config.json", "adapter_model.safetensors"):
        assert (resumed.adapter / name).read_bytes() == (whole.adapter / name).read_bytes()
    assert resumed.metrics["loss"] == whole.metrics["loss"]


def test_a_run_killed_before_its_adapter_was_in_place_trains_no_more(
    job: TrainJob, monkeypatch: pytest.MonkeyPatch
) -> None:
    """When only the last rename is missing, the last checkpoint is all that is needed."""

    def fail(path: Path, target: Path) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(Path, "replace", fail)
        with pytest.raises(KeyboardInterrupt):
            train(job)
    steps: list[int] = []
    result = train(job, lambda step, total, loss: steps.append(step))
    assert steps == []
    assert result.steps == 6
    assert (result.adapter / "adapter_model.safetensors").is_file()


def test_torn_checkpoints_are_not_trusted(tmp_path: Path) -> None:
    """The last checkpoint is the last whose state file, written last, is whole."""
    for step, state in ((2, '{"global_step": 2}'), (10, '{"global_step": 10}'), (12, '{"glob')):
        (tmp_path / f"checkpoint-{step}").mkdir()
        (tmp_path / f"checkpoint-{step}" / "trainer_state.json").write_text(state)
    (tmp_path / "checkpoint-14").mkdir()
    assert last_checkpoint(tmp_path) == tmp_path / "checkpoint-10"
    assert not (tmp_path / "checkpoint-12").exists()
    assert last_checkpoint(tmp_path / "nothing") is None


def test_another_job_starts_afresh(job: TrainJob) -> None:
    """Checkpoints of another configuration or dataset are removed, those of the same job kept."""
    own = checkpoint_dir(job, "base")
    own.mkdir(parents=True)
    assert checkpoint_dir(job, "base") == own
    assert checkpoint_dir(reconfigured(job, beta=0.2), "base") != own
    assert not own.exists()
    write_pairs(job.dataset, PAIRS[1:])
    assert checkpoint_dir(job, "base") != own


def test_divergence_leaves_nothing(job: TrainJob) -> None:
    """A NaN stops the run at the step after it arose; no adapter and no checkpoint is left."""
    steps: list[int] = []
    wild = reconfigured(job, learning_rate=1e38, save_steps=1)
    with pytest.raises(TrainingError, match=r"the loss became nan at step 2; lower") as caught:
        train(wild, lambda step, total, loss: steps.append(step))
    assert steps == [1]
    assert "\n" not in str(caught.value)
    assert list(job.out_dir.iterdir()) == []


def test_divergence_in_the_last_step_is_seen(job: TrainJob) -> None:
    """No loss follows the last step, so that the adapter itself is looked at."""
    with pytest.raises(TrainingError, match="the last step made"):
        train(reconfigured(job, learning_rate=1e39, max_steps=1))
    assert list(job.out_dir.iterdir()) == []


def test_a_base_with_an_infinite_weight_is_not_trained(
    job: TrainJob, tiny_model: Path, tmp_path: Path
) -> None:
    """A broken base shows at the first step."""
    from safetensors.torch import load_file, save_file

    broken = Path(shutil.copytree(tiny_model, tmp_path / "broken"))
    tensors = load_file(broken / "model.safetensors")
    tensors["model.norm.weight"][0] = math.inf
    save_file(tensors, broken / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(TrainingError, match="at step 1"):
        train(TrainJob(broken, job.dataset, job.out_dir, job.config))


def test_long_pairs_are_counted(job: TrainJob) -> None:
    """Pairs cut at `max_length`, and those whose prompt alone fills it, are counted apart."""
    write_pairs(job.dataset, [*PAIRS[:4], ("Hi", "long " * 40, "x"), ("long " * 40, "a", "b")])
    result = train(job)
    assert (result.n_pairs, result.n_truncated, result.n_dropped) == (5, 1, 1)


def test_checkpointing_gives_the_same_adapter(job: TrainJob) -> None:
    """Recomputing activations instead of keeping them changes nothing but the memory."""
    from safetensors.torch import load_file

    kept = load_file(train(job).adapter / "adapter_model.safetensors")
    again = train(reconfigured(job, gradient_checkpointing=True))
    recomputed = load_file(again.adapter / "adapter_model.safetensors")
    for name, tensor in kept.items():
        assert tensor.numpy() == pytest.approx(recomputed[name].numpy(), abs=1e-5)


def write_tool_pairs(path: Path) -> Path:
    extra = '{"tool_calls":[{"function":{"arguments":{"at":"Rome"},"name":"sky"}}]}'
    chats = [[{"role": "user", "content": f"{n}?"}] for n in range(4)]
    chats[1:3] = [[*c, {"role": "assistant", "content": "", "extra": extra}] for c in chats[1:3]]
    rows = [
        dict.fromkeys(tables.PAIRS.names, f"{n}")
        | {"prompt": chat, "chosen": f"Yes {n}.", "rejected": "No.", "confidence": 0.9}
        for n, chat in enumerate(chats)
    ]
    pairs = pa.Table.from_pylist(rows, schema=tables.PAIRS)
    pairs = pairs.append_column("cluster_id", pairs["prompt_id"])
    pairs = pairs.append_column("part", pa.array([Part.TRAIN] * len(pairs), pa.string()))
    votes = tables.VOTES.empty_table()
    return write_dataset(pairs, votes, path, DatasetConfig(), Provenance()).path / "train.parquet"


def test_training_sees_the_tool_calls_that_evaluation_sees(
    tiny_model: Path, tmp_path: Path
) -> None:
    """From a dataset's file TRL makes the token ids that `encode` makes of the pairs."""
    from datasets import Dataset

    from thumbwheel.training.trainer import Trainer, lora_config, trainer_arguments

    directory = Path(shutil.copytree(tiny_model, tmp_path / "model"))
    (directory / "chat_template.jinja").write_text(
        "{% for m in messages %}{{ m.role }}: {{ m.content }}{% if 'tool_calls' in m %}"
        "{{ m.tool_calls[0].function.arguments['at'] }}{% endif %}<|im_end|>{% endfor %}"
        "{% if add_generation_prompt %}assistant: {% endif %}"
    )
    file = write_tool_pairs(tmp_path / "dataset")
    job = TrainJob(directory, file, tmp_path / "run", CONFIG)
    base = load_base(directory)
    pairs = read_pairs(file)
    with without_migration_warnings():
        dataset = Trainer(
            progress=lambda step, total, loss: None,
            model=base.model,
            args=trainer_arguments(CONFIG, job.out_dir, max_length=128),
            train_dataset=Dataset(pq.read_table(file)),
            processing_class=base.tokenizer,
            peft_config=lora_config(CONFIG),
        ).train_dataset
    prompts, chosen = pairs["prompt"].to_pylist(), pairs["chosen"].to_pylist()
    assert sum("Rome" in base.tokenizer.decode(ids) for ids in dataset["prompt_ids"]) == 2
    assert encode(base, prompts, chosen) == list(
        zip(dataset["prompt_ids"], dataset["chosen_ids"], strict=True)
    )
    assert train(job).n_pairs == 4


def test_a_template_that_does_not_show_tool_calls_is_an_input_error(
    job: TrainJob, tmp_path: Path
) -> None:
    """Rather than train on conversations with holes in them, it stops in one line."""
    file = write_tool_pairs(tmp_path / "dataset")
    with pytest.raises(DataError, match="has tool calls, which the chat template"):
        train(TrainJob(job.base, file, job.out_dir, job.config))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"target_modules": ["query"]}, "query"),
        ({"loss_type": ["sigmoid", "nonesuch"]}, "nonesuch"),
    ],
)
def test_a_configuration_that_does_not_fit_is_named(
    job: TrainJob, changes: dict[str, object], message: str
) -> None:
    """What peft or TRL refuses becomes one line."""
    with pytest.raises(ConfigError, match=message) as caught:
        train(reconfigured(job, **changes))
    assert "\n" not in str(caught.value)


def test_unusable_pairs_are_named(job: TrainJob) -> None:
    """A missing file, other columns, no rows, and prompts that are all too long: one line each."""
    write_pairs(job.dataset, [("long " * 100, "a", "b")])
    with pytest.raises(DataError, match="all 1 prompts fill `max_length`"):
        train(job)
    write_pairs(job.dataset, [])
    with pytest.raises(DataError, match="no pairs"):
        train(job)
    pq.write_table(pa.table({"prompt": ["Hi"]}), job.dataset)
    with pytest.raises(DataError, match="chosen"):
        train(job)
    job.dataset.write_text("not parquet")
    with pytest.raises(DataError, match="cannot read"):
        train(job)
    os.unlink(job.dataset)
    with pytest.raises(DataError, match="cannot read"):
        train(job)


def test_a_template_that_refuses_a_pair_is_an_input_error(
    job: TrainJob, tiny_model: Path, tmp_path: Path
) -> None:
    """A conversation that the chat template does not take is named in one line."""
    strict = Path(shutil.copytree(tiny_model, tmp_path / "strict"))
    (strict / "chat_template.jinja").write_text("{{ raise_exception('roles must alternate') }}")
    with pytest.raises(DataError, match="refuses a pair: roles must alternate"):
        train(TrainJob(strict, job.dataset, job.out_dir, job.config))
