"""An evaluated candidate, and how it is written down for MLflow."""

import json
import math
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from thumbwheel.types import Decision, Estimate, EvalReport

__all__ = ["Candidate"]


@dataclass(frozen=True, slots=True)
class Candidate:
    """An evaluated adapter and all that should be known about it.

    `candidate_id` is its identity: the same id is registered once. `params` say what it was
    trained on and how; `artifacts` are texts by file name, kept beside the evaluation and the
    decision; `description` is markdown.
    """

    candidate_id: str
    cycle_id: str
    adapter: Path
    evaluation: EvalReport
    decision: Decision
    params: Mapping[str, object]
    artifacts: Mapping[str, str]
    description: str

    def tags(self) -> dict[str, str]:
        """Return the tags of its model version."""
        tags = {
            "gate": "passed" if self.decision.promote else "failed",
            "candidate_id": self.candidate_id,
            "baseline_version": self.evaluation.champion,
            "cycle": self.cycle_id,
        }
        if self.decision.verdict is not None:
            tags["verdict"] = self.decision.verdict
        return tags

    def param_texts(self) -> dict[str, str]:
        """Return its parameters under names that MLflow admits."""
        return {_safe_name(key): str(value) for key, value in self.params.items()}

    def metric_values(self) -> dict[str, float]:
        """Return every number: `METRIC/candidate`, `METRIC/difference_low` and so on."""
        values = {
            "held_out/prompts": float(self.evaluation.n_prompts),
            "held_out/pairs": float(self.evaluation.n_pairs),
        }
        if self.decision.verdict is not None:
            values[f"verdict/{_safe_name(self.decision.verdict)}"] = 1.0
        for licence in self.evaluation.licences:
            values[f"judge/{_safe_name(licence.judge)}/accuracy"] = licence.accuracy.value
            values[f"judge/{_safe_name(licence.judge)}/accuracy_low"] = licence.accuracy.low
        for metric in self.evaluation.metrics.values():
            estimates: dict[str, Estimate | None] = {
                "candidate": metric.candidate,
                "champion": metric.champion,
                "base": metric.base,
                "difference": metric.difference,
            }
            for side, estimate in estimates.items():
                if estimate is not None:
                    name = f"{_safe_name(metric.name)}/{side}"
                    values[name] = estimate.value
                    values[f"{name}_low"] = estimate.low
                    values[f"{name}_high"] = estimate.high
        return values

    def artifact_texts(self) -> dict[str, str]:
        """Return the texts kept with its run, by file name."""
        return {
            **self.artifacts,
            "evaluation.json": _json(asdict(self.evaluation)),
            "decision.json": _json(asdict(_told(self.decision))),
        }


def _told(decision: Decision) -> Decision:
    """Return a decision without what nobody is to climb on by trying."""
    if decision.test is None:
        return decision
    return replace(decision, test=replace(decision.test, p_value=None))


def _safe_name(name: str) -> str:
    """Return the name with what MLflow does not admit in one replaced."""
    return re.sub(r"[^\w.\- ]", "_", name)


def _json(value: object) -> str:
    return json.dumps(_finite(value), indent=2, ensure_ascii=False) + "\n"


def _finite(value: object) -> object:
    """Replace NaN and infinity, which JSON does not have, by null."""
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, Mapping):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(item) for item in value]
    return value
