"""A candidate with a tiny adapter, a look at it, and a registry to put both in."""

import socket
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import save_file

from thumbwheel.registry import Candidate, Registry
from thumbwheel.types import (
    Decision,
    Estimate,
    EvalReport,
    Look,
    MetricReport,
    RuleResult,
    SealedTest,
    Verdict,
)

PROJECT = "kitchen-helper"


def a_candidate(folder: Path, candidate_id: str, *, promote: bool = True) -> Candidate:
    """Write an adapter of a few floats and describe it."""
    adapter = folder / candidate_id
    adapter.mkdir(parents=True, exist_ok=True)
    weights = {"lora_A": np.full((2, 4), float(len(candidate_id)), dtype=np.float32)}
    save_file(weights, adapter / "adapter_model.safetensors")
    (adapter / "adapter_config.json").write_text('{"peft_type": "LORA", "r": 2}')
    (adapter / "training_args.bin").write_bytes(b"\x80\x04 a pickle that must stay behind")
    unknown = Estimate(float("nan"), 0.0, 1.0, 60)
    metrics = {
        name: MetricReport(
            name,
            champion=Estimate(0.5, 0.4, 0.6, 60),
            candidate=Estimate(0.7, 0.6, 0.8, 60),
            difference=Estimate(0.2, 0.1, 0.3, 60),
        )
        for name in ("preference_accuracy", "margin_gain", "odd @name")
    }
    metrics["broken"] = MetricReport("broken", unknown, unknown, unknown)
    return Candidate(
        candidate_id=candidate_id,
        cycle_id=f"cycle-{candidate_id}",
        adapter=adapter,
        evaluation=EvalReport("base", 0.95, 60, 90, metrics),
        decision=Decision(
            promote,
            [RuleResult("at least 50 prompts", promote, "60 prompts")],
            Verdict.BETTER if promote else Verdict.NOT_ENOUGH_EVIDENCE,
            SealedTest(60, 50, 0.05, 0.9, 0.001, 0.0001),
        ),
        params={"training.beta": 0.1, **{f"p{i}": i for i in range(150)}},
        artifacts={"evidence.html": "<!doctype html><title>Evidence</title>"},
        description="Better than the base model.",
    )


def a_look(candidate: str, *, p_value: float = 0.25, level: float = 0.001) -> Look:
    when = datetime(2026, 11, 28, 12, 30, tzinfo=UTC)
    return Look(candidate, when, level, p_value, Verdict.NOT_BETTER, 120, 100)


def a_registry(folder: Path, uri: str | None = None) -> Registry:
    return Registry(uri or f"sqlite:///{folder / 'mlflow.db'}", PROJECT, None, folder / "artifacts")


def open_client(registry: Registry) -> Any:
    with registry._connection.client() as client:
        return client


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
