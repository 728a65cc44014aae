"""How much work a LoRA DPO step is: stock TRL, stock TRL tuned, and Thumbwheel's trainer.

    python benchmarks/training.py
    python benchmarks/training.py --model DIR --events FILE.jsonl

Trains nothing: each way goes forward and back on the same pairs with the same weights. The pairs
are made up: prompts and answers of one length, prompts four times as long, and all pairs of 2 liked
and 3 disliked answers to a prompt. With `--events` they are those of a file of votes (JSONL with
`prompt`, `response` and a `rating` of `up` or `down`): liked against disliked answers.

The ways:

- `TRL`: its defaults, which recompute activations and score the reference in every step.
- `TRL tuned`: activations are kept, and the reference is known.
- `ours, first run`: the reference's log-probabilities are computed too.
- `ours`: they are known from an earlier run or an evaluation.

Operations are counted by torch's FlopCounterMode; attention's as full squares, causal ones as half.
Seconds are the shortest of several rounds over all ways; without a GPU they are the processor's, of
all cores together. Memory is what is held at most beyond what was held before: of the GPU where
there is one, else resident. On a GPU all ways run in bfloat16.
"""

import argparse
import copy
import ctypes
import gc
import json
import random
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import datasets
import torch
from rich.console import Console
from rich.table import Table
from torch.utils.flop_counter import FlopCounterMode
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast
from trl import DPOConfig, DPOTrainer

from thumbwheel.config import TrainingConfig
from thumbwheel.language_model import LoadedBase, load_base, without_migration_warnings
from thumbwheel.training.trainer import Trainer, lora_config, trainer_arguments

BARS = {"1:1": 2.4, "4:1": 3.0, "2 up x 3 down": 5.0}
"""How many times less compute than TRL's defaults is promised."""

Pairs = list[dict[str, Any]]


@dataclass
class Way:
    """One way to do a step.

    Attributes:
        name: What the table calls it.
        trainer: Holds the model.
        batches: What `training_step` is given, one after the other.
        before: What has to be done first in each step.
    """

    name: str
    trainer: Any
    batches: list[dict[str, Any]]
    before: Callable[[], object] = lambda: None

    def go(self) -> None:
        """Do the work of one step, without the optimizer's."""
        self.before()
        # Set by the loop that is not run here.
        self.trainer.current_gradient_accumulation_steps = 1
        for batch in self.batches:
            self.trainer.training_step(self.trainer.model, copy.copy(batch))
        self.trainer.model.zero_grad()


@dataclass
class Cost:
    """What a step took: tokens through the layers, operations, seconds and bytes."""

    tokens: int
    padding: float
    flops: int
    seconds: float
    memory: int


def make_model(folder: Path, options: argparse.Namespace) -> Path:
    """Write a Llama with random weights and a tokenizer of bytes."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers

    alphabet = ["<pad>", "<end>", *sorted(pre_tokenizers.ByteLevel.alphabet())]
    spelling = Tokenizer(models.BPE(vocab={it: n for n, it in enumerate(alphabet)}, merges=[]))
    spelling.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    spelling.decoder = decoders.ByteLevel()
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=spelling,
        pad_token="<pad>",  # noqa: S106
        eos_token="<end>",  # noqa: S106
    )
    tokenizer.chat_template = "{% for m in messages %}{{ m.content }}<end>{% endfor %}"
    config = LlamaConfig(
        vocab_size=options.vocabulary,
        hidden_size=options.width,
        intermediate_size=8 * options.width // 3,
        num_hidden_layers=options.layers,
        num_attention_heads=options.width // 64,
        num_key_value_heads=max(1, options.width // 192),
        max_position_embeddings=8192,
        pad_token_id=0,
        eos_token_id=1,
        tie_word_embeddings=True,
    )
    LlamaForCausalLM(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def make_pairs(n_prompt: int, n_answer: int, n_pairs: int, ups: int, downs: int) -> Pairs:
    """Make up pairs of texts of about so many characters."""
    rng = random.Random(0)  # noqa: S311 - made up

    def text(n: int) -> str:
        return "".join(rng.choices("abcdefghijklmnopqrstuvwxyz ", k=n))

    pairs: Pairs = []
    while len(pairs) < n_pairs:
        prompt = text(n_prompt)
        liked, others = ([text(n_answer) for _ in range(n)] for n in (ups, downs))
        pairs += [pair(prompt, up, down) for up in liked for down in others]
    return pairs


def pair(prompt: str, chosen: str, rejected: str) -> dict[str, Any]:
    """Return a pair in TRL's conversational form."""
    return {
        "prompt": [{"role": "user", "content": prompt}],
        "chosen": [{"role": "assistant", "content": chosen}],
        "rejected": [{"role": "assistant", "content": rejected}],
    }


def read_events(file: Path, n_pairs: int, most_of_a_prompt: int = 6) -> Pairs:
    """Return pairs of the file's first prompts with both sides."""
    votes: dict[str, dict[str, list[str]]] = {}
    with file.open(encoding="utf-8") as lines:
        for event in map(json.loads, lines):
            sides = votes.setdefault(event["prompt"], {"up": [], "down": []})
            if event["rating"] in sides and event["response"] not in sides[event["rating"]]:
                sides[event["rating"]].append(event["response"])
    pairs: Pairs = []
    for prompt, sides in votes.items():
        both = [(up, down) for up in sides["up"] for down in sides["down"] if up != down]
        pairs += [pair(prompt, up, down) for up, down in both[:most_of_a_prompt]]
        if len(pairs) >= n_pairs:
            break
    return pairs


def stock(base: LoadedBase, pairs: Pairs, folder: Path, max_length: int, *, tuned: bool) -> Way:
    """Make TRL's own trainer; its batches are of 2 pairs, as in our configuration."""
    on_gpu = torch.cuda.is_available()
    trainer: Any = DPOTrainer(
        model=copy.deepcopy(base.model),
        args=DPOConfig(
            output_dir=str(folder),
            max_length=max_length,
            per_device_train_batch_size=2,
            bf16=on_gpu,
            use_cpu=not on_gpu,
            report_to="none",
            disable_tqdm=True,
            activation_checkpointing=not tuned,
        ),
        train_dataset=datasets.Dataset.from_list(pairs),
        processing_class=base.tokenizer,
        peft_config=lora_config(TrainingConfig()),
    )
    if tuned:
        # What its own `precompute_ref_log_probs` ends in.
        n = len(trainer.train_dataset)
        for name in ("ref_chosen_logps", "ref_rejected_logps"):
            trainer.train_dataset = trainer.train_dataset.add_column(name, [0.0] * n)
        trainer.precompute_ref_logps = True
    else:
        # As `train` does, which is not called here.
        trainer.model.activation_checkpointing_enable()
    rows = list(trainer.train_dataset)
    starts = range(0, len(rows), 2)
    batches = [trainer.data_collator(rows[start : start + 2]) for start in starts]
    return Way("TRL tuned" if tuned else "TRL", trainer, batches)


def ours(base: LoadedBase, pairs: Pairs, folder: Path, max_length: int, *, known: bool) -> Way:
    """Make Thumbwheel's trainer."""
    trainer: Any = Trainer(
        progress=lambda step, total, loss: None,
        warn=lambda line: print(line, file=sys.stderr),
        model=copy.deepcopy(base.model),
        args=trainer_arguments(TrainingConfig(), folder, max_length=max_length),
        train_dataset=datasets.Dataset.from_list(pairs),
        processing_class=base.tokenizer,
        peft_config=lora_config(TrainingConfig()),
    )
    rows = list(trainer.train_dataset)
    trainer.know_reference(*([0.0] * len(rows) for _ in range(2)))
    steps = range(0, len(rows), 16)
    known_rows = list(trainer.train_dataset)
    batches = [trainer.collator.step(known_rows[start : start + 16]) for start in steps]

    def score() -> None:
        for part in trainer.collator.parts(rows):
            trainer.reference_of(part)

    if known:
        return Way("ours", trainer, batches)
    return Way("ours, first run", trainer, batches, score)


def measure(ways: Sequence[Way], rounds: int) -> dict[str, Cost]:
    """Count each way's work once, then time all in turn."""
    counted = {}
    for way in ways:
        layers = way.trainer.accelerator.unwrap_model(way.trainer.model).get_base_model().base_model
        read: list[int] = []
        handle = layers.register_forward_pre_hook(
            lambda module, args, kwargs, read=read: read.append(kwargs["input_ids"].numel()),
            with_kwargs=True,
        )
        with FlopCounterMode(display=False, custom_mapping=ATTENTION_ON_CPU) as counter:
            way.go()
        handle.remove()
        counted[way.name] = (sum(read), counter.get_total_flops())
    seconds: dict[str, list[float]] = {way.name: [] for way in ways}
    memory: dict[str, list[int]] = {way.name: [] for way in ways}
    for _ in range(rounds):
        for way in ways:
            with peak() as held:
                start = clock()
                way.go()
                seconds[way.name].append(clock() - start)
            memory[way.name].append(held[0])
    return {
        way.name: Cost(
            tokens=counted[way.name][0],
            padding=padding(way.batches),
            flops=counted[way.name][1],
            seconds=min(seconds[way.name]),
            memory=max(memory[way.name]),
        )
        for way in ways
    }


def clock() -> float:
    """Return the seconds on the wall, or without a GPU those of the processor."""
    if not torch.cuda.is_available():
        return time.process_time()
    torch.cuda.synchronize()
    return time.perf_counter()


def padding(batches: list[dict[str, Any]]) -> float:
    """Return the share of the tokens in batches that is padding."""
    parts = [part for batch in batches for part in batch.get("parts", [batch])]
    given = [
        part["packed"]["piece"] if "packed" in part else part["attention_mask"] for part in parts
    ]
    return 1 - sum(int((it > 0).sum()) for it in given) / sum(it.numel() for it in given)


def _attention(
    query: Sequence[int],
    key: Sequence[int],
    value: Sequence[int],
    dropout: float = 0.0,
    is_causal: bool = False,
    *args: Any,
    **kwargs: Any,
) -> int:
    batch, heads, n, width = query
    return 4 * batch * heads * n * key[2] * width // (2 if is_causal else 1)


def _attention_back(
    gradient: Sequence[int],
    query: Sequence[int],
    key: Sequence[int],
    value: Sequence[int],
    out: Sequence[int],
    log_sums: Sequence[int],
    dropout: float,
    is_causal: bool,
    *args: Any,
    **kwargs: Any,
) -> int:
    # The scores once more, and a gradient for each of scores, query, key and value.
    return 5 * _attention(query, key, value, dropout, is_causal) // 2


_ops = torch.ops.aten
ATTENTION_ON_CPU: dict[Any, Any] = {
    _ops._scaled_dot_product_flash_attention_for_cpu: _attention,  # noqa: SLF001
    _ops._scaled_dot_product_flash_attention_for_cpu_backward: _attention_back,  # noqa: SLF001
}
"""What torch's counter knows on a GPU only."""


@contextmanager
def peak() -> Iterator[list[int]]:
    """Yield a list that holds the most bytes held inside, beyond those before, once it is left."""
    held = [0]
    if torch.cuda.is_available():
        torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_allocated()
        yield held
        held[0] = torch.cuda.max_memory_allocated() - before
        return
    gc.collect()
    # What is free would hide what is taken.
    ctypes.CDLL(None).malloc_trim(0)
    before, most, is_over = _resident(), [0], threading.Event()

    def watch() -> None:
        while not is_over.wait(0.005):
            most[0] = max(most[0], _resident())

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        yield held
    finally:
        is_over.set()
        watcher.join()
        held[0] = max(0, most[0] - before)


def _resident() -> int:
    pages = Path("/proc/self/statm").read_text().split()[1]
    return int(pages) * 4096


def show(console: Console, title: str, n_pairs: int, costs: dict[str, Cost]) -> None:
    """Print what each way took, for a pair, and against TRL's defaults."""
    table = Table(title=f"{title}: {n_pairs} pairs", title_justify="left")
    for column in ("", "tokens", "padding", "GFLOP", "seconds", "GB more", "FLOP", "time"):
        table.add_column(column, justify="left" if not column else "right")
    first = costs["TRL"]
    for name, cost in costs.items():
        table.add_row(
            name,
            f"{cost.tokens / n_pairs:,.0f}",
            f"{cost.padding:.1%}",
            f"{cost.flops / n_pairs / 1e9:,.1f}",
            f"{cost.seconds / n_pairs:.4f}",
            f"{cost.memory / 1e9:.2f}",
            f"{first.flops / cost.flops:.2f}x less",
            f"{first.seconds / cost.seconds:.2f}x less",
        )
    console.print(table)


def main() -> int:
    """Return 1 where a bar is missed."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--model", type=Path, help="a model directory; one is made up without it")
    parser.add_argument("--events", type=Path, help="votes to make pairs of, beside made-up ones")
    parser.add_argument("--pairs", type=int, default=4, help="pairs of each kind")
    parser.add_argument("--answer", type=int, default=64, help="tokens of an answer, made up")
    parser.add_argument("--max-length", type=int, default=1024)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--width", type=int, default=512, help="of the model that is made up")
    parser.add_argument("--layers", type=int, default=2, help="of the model that is made up")
    parser.add_argument("--vocabulary", type=int, default=2048, help="of the model made up")
    parser.add_argument("--json", type=Path, help="where the numbers are written to as well")
    options = parser.parse_args()
    datasets.disable_progress_bars()
    console = Console(width=110)
    is_met = True
    results = {}
    with tempfile.TemporaryDirectory() as name, without_migration_warnings():
        folder = Path(name)
        base = load_base(options.model or make_model(folder / "model", options))
        device = torch.cuda.get_device_name() if torch.cuda.is_available() else "CPU"
        n_weights = sum(p.numel() for p in base.model.parameters())
        console.print(f"{n_weights / 1e6:,.1f} million weights, {base.model.dtype}, {device}\n")
        n, n_pairs = options.answer, options.pairs
        kinds = {
            "1:1": make_pairs(n, n, n_pairs, 1, 1),
            "4:1": make_pairs(4 * n, n, n_pairs, 1, 1),
            "2 up x 3 down": make_pairs(n, n, n_pairs, 2, 3),
        }
        if options.events is not None:
            kinds = {options.events.name: read_events(options.events, n_pairs)}
        for kind, pairs in kinds.items():
            make = (base, pairs, folder / "run", options.max_length)
            ways = [
                stock(*make, tuned=False),
                stock(*make, tuned=True),
                ours(*make, known=False),
                ours(*make, known=True),
            ]
            costs = measure(ways, options.rounds)
            n_used = len(ways[0].trainer.train_dataset)
            show(console, kind, n_used, costs)
            results[kind] = {name: vars(cost) | {"pairs": n_used} for name, cost in costs.items()}
            less = costs["TRL"].flops / costs["ours"].flops
            if kind in BARS:
                is_met &= less >= BARS[kind]
                verdict = "met" if less >= BARS[kind] else "MISSED"
                console.print(f"promised {BARS[kind]}x less compute: {verdict}")
            faster = costs["TRL"].seconds / costs["ours"].seconds
            console.print(f"the clock says {faster / less:.0%} of what the FLOPs promise\n")
    if options.json is not None:
        options.json.write_text(json.dumps(results, indent=2) + "\n", encoding="utf-8")
    return 0 if is_met else 1


if __name__ == "__main__":
    sys.exit(main())
