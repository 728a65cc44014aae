"""The audit: everything that is measured about pairs, before and after."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from thumbwheel.config import AuditConfig, Config
from thumbwheel.errors import ConfigError
from thumbwheel.evidence.audit.agreement import measure_agreement
from thumbwheel.evidence.audit.composition import (
    length_audit,
    model_mix,
    near_duplicates,
    rater_mix,
)
from thumbwheel.evidence.audit.confounds import (
    AUDITED,
    feature_audits,
    style_auc,
    style_differences,
)
from thumbwheel.evidence.audit.report import AuditReport, PairsAudit, WrongPairs
from thumbwheel.evidence.audit.verdict import find, hold_against
from thumbwheel.evidence.audit.wrong_pairs import (
    RatedAnswers,
    estimate_wrong_pairs,
    rated_answers,
)
from thumbwheel.store import VOTES_FILE

__all__ = ["MAX_MEASURED", "SEED", "audit_pairs", "audit_wrong_pairs"]

SEED = 0
"""The same pairs get the same audit."""

MAX_MEASURED = 3000
"""Pairs whose style is measured. An AUC of that many is known within 0.02."""


def audit_pairs(
    before: pa.Table,
    after: pa.Table,
    rated: pa.Table,
    answers: RatedAnswers,
    votes: pa.Table,
    config: AuditConfig,
    seed: int,
    balanced: Sequence[str] = (),
) -> AuditReport:
    """Audit pairs for what tells chosen from rejected, but should not.

    Args:
        before: All pairs that plugins proposed, `tables.PAIRS`; near-duplicates are counted where
            there is a `cluster_id`.
        after: Those that are left after screening and selection, likewise.
        rated: The completions' `completion_id` and `model_version`.
        answers: Some of them with their texts, see `rated_answers`.
        votes: `tables.VOTES`.
        config: Limits, and the features that are meant to differ.
        seed: Of the sample, the folds and the resampling.
        balanced: Features of style that are no merit: those that `[pairs]` balances.

    Raises:
        ConfigError: `intended` names no feature of style.
    """
    for name in config.intended:
        if name not in AUDITED:
            raise ConfigError(
                f"[audit] intended: there is no style feature {name!r}; there are "
                f"{', '.join(AUDITED)}"
            )
    no_merit = _no_merit(balanced, config)
    wrong = [
        estimate_wrong_pairs(pairs, answers, votes, no_merit, seed) for pairs in (before, after)
    ]
    audited = [
        _audit(pairs, rated, votes, config, seed, share)
        for pairs, share in zip((before, after), wrong, strict=True)
    ]
    agreement = measure_agreement(votes)
    return AuditReport(
        before=audited[0],
        after=audited[1],
        agreement=agreement,
        limits=hold_against(audited[1], config),
        findings=find(audited[0], audited[1], agreement),
        seed=seed,
    )


def audit_wrong_pairs(snapshot: Path, pairs: pa.Table, config: Config) -> WrongPairs:
    """Return how many pairs are the wrong way round, as the audit of them has it.

    Args:
        snapshot: The directory of `store.Snapshot` that they were made of.
        pairs: The final ones, `tables.PAIRS`.
        config: What is balanced, and what is meant to differ.
    """
    answers = rated_answers(snapshot, pairs, SEED)
    votes = pq.read_table(snapshot / VOTES_FILE)
    no_merit = _no_merit(config.pairs.balance, config.audit)
    return estimate_wrong_pairs(pairs, answers, votes, no_merit, SEED)


def _no_merit(balanced: Sequence[str], config: AuditConfig) -> list[str]:
    return [name for name in balanced if name not in config.intended]


def _audit(
    pairs: pa.Table,
    rated: pa.Table,
    votes: pa.Table,
    config: AuditConfig,
    seed: int,
    wrong: WrongPairs,
) -> PairsAudit:
    measured = pairs
    if len(pairs) > MAX_MEASURED:
        drawn = np.random.default_rng(seed).choice(len(pairs), MAX_MEASURED, replace=False)
        measured = pairs.take(np.sort(drawn))
    differences = style_differences(measured)
    n_raters, raters, unnamed = rater_mix(pairs, votes)
    models, same_model = model_mix(pairs, rated)
    return PairsAudit(
        n_pairs=len(pairs),
        n_prompts=len(pairs["prompt_id"].unique()),
        n_measured=len(measured),
        length=length_audit(pairs),
        features=feature_audits(differences, config.intended),
        style_auc=style_auc(differences, measured["prompt_id"], config.intended, seed),
        wrong=wrong,
        n_raters=n_raters,
        raters=raters,
        unnamed=unnamed,
        models=models,
        same_model=same_model,
        near_duplicates=near_duplicates(pairs),
    )
