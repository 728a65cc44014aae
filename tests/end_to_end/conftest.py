"""A small project: a tiny model, feedback with a clear preference, and a configuration."""

import json
import os
import shutil
import subprocess
import sys

import pytest
from feedback import feedback

from projects import configuration

CONFIG = configuration(
    """
[dataset]
held_out = 0.4
[training]
lora_r = 4
learning_rate = 5e-3
per_device_train_batch_size = 2
gradient_accumulation_steps = 1
max_length = 128
save_steps = 5
[evaluation]
max_generations = 20
max_new_tokens = 12
[gate]
min_prompts = 10
default_guards = false
""",
    project="tiny",
    path="feedback.jsonl",
    keys="""
[sources.mapping]
completion = "answer"
rater = "user"
""",
    plugins=["all_pairs", "near_identical"],
)


@pytest.fixture
def project(tmp_path, tiny_model, fresh_database):
    """Make the project's directory."""
    (tmp_path / "home").mkdir()
    shutil.copy(fresh_database, tmp_path / "home" / "mlflow.db")
    (tmp_path / "model").symlink_to(tiny_model)
    (tmp_path / "thumbwheel.toml").write_text(CONFIG)
    with (tmp_path / "feedback.jsonl").open("w") as file:
        file.writelines(json.dumps(record) + "\n" for record in feedback(40))
    return tmp_path


@pytest.fixture
def thumbwheel():
    """Run the command line in a process of its own."""

    def start(*arguments, cwd, environment=None, **options):
        return subprocess.Popen(
            [sys.executable, "-m", "thumbwheel", *map(str, arguments)],
            cwd=cwd,
            env={**os.environ, "COLUMNS": "200", "OMP_NUM_THREADS": "1", **(environment or {})},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            **options,
        )

    def run(*arguments, cwd, **environment):
        process = start(*arguments, cwd=cwd, environment=environment)
        out, err = process.communicate(timeout=600)
        return process.returncode, out, err

    run.start = start
    return run
