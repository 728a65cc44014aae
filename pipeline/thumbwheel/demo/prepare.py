"""Everything the demo needs: a planted world's feedback, a tiny model, a configuration."""

from dataclasses import fields
from pathlib import Path

from thumbwheel.demo.tiny_model import build_tiny_model
from thumbwheel.demo.traffic import write_events
from thumbwheel.demo.world import World, WorldOptions
from thumbwheel.types import Observer

__all__ = ["CONFIG", "prepare_demo"]

CONFIG = """\
# The demo's configuration: one like any other. `thumbwheel init` writes one for your own feedback.

project = "thumbwheel-demo"
home = "home"

[model]
path = "{model}"

[[sources]]
name = "app"                    # feedback in Thumbwheel's own event format (docs/events.md)
connector = "file"
options.path = "events.jsonl"

[[plugins]]
use = "all_pairs"

[[plugins]]
use = "length_match"
options.max_ratio = 1.25

[[plugins]]
use = "world_judge"             # the planted world can check answers, so the gate may ask it

[pairs]
max_per_prompt = 6
max_per_cluster = 6

[audit]                         # politeness is to be learnt, and it shows in these
intended = ["exclamations", "sentiment"]
max_wrong_pairs = 1             # noise is trained on too, to show what the gate says of it

[dataset]
held_out = 0.3
judge = 0.2

[training]                      # a model of a million parameters needs more than the defaults
target_modules = "all-linear"
learning_rate = 1e-3
beta = 0.3
loss_type = ["sigmoid", "sft"]
loss_weights = [1.0, 1.0]
max_steps = 120
per_device_train_batch_size = 8
gradient_accumulation_steps = 1
max_length = 128

[evaluation]
temperature = 0.7
max_new_tokens = 48
batch_size = 64
"""
"""With a place for the `model`'s path."""


def prepare_demo(directory: Path, options: WorldOptions, observer: Observer) -> Path:
    """Write the demo's feedback, model and configuration where they are not there yet.

    Args:
        directory: Holds all demos; each world has its own folder in it, and worlds of one seed
            share the base model.
        options: The world.
        observer: Told of the stages.

    Returns:
        The configuration's path.
    """
    changed = {
        knob.name.replace("_", "-"): getattr(options, knob.name)
        for knob in fields(options)
        if knob.name != "seed" and getattr(options, knob.name) != knob.default
    }
    world = "-".join(
        [f"seed-{options.seed}", *(f"{name}-{value:g}" for name, value in changed.items())]
    )
    home, model = directory / world, directory / "models" / f"seed-{options.seed}"
    home.mkdir(parents=True, exist_ok=True)
    if not model.exists():
        observer.stage("base model")
        model.parent.mkdir(parents=True, exist_ok=True)
        build_tiny_model(
            World(options),
            model,
            options.seed,
            lambda step, total: observer.progress(step / total, f"step {step} of {total}"),
        )
        observer.done("a Llama of about a million parameters, trained from scratch")
    config = home / "thumbwheel.toml"
    if not config.exists():
        observer.stage("planted world")
        n_events = write_events(home / "events.jsonl", World(options))
        # The configuration is written last: its presence says that the rest is whole.
        config.write_text(CONFIG.format(model=Path("..") / "models" / model.name))
        observer.done(f"{n_events:,} feedback events from {options.raters} simulated users")
    return config
