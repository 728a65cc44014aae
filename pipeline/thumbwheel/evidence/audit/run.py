"""The audit: everything that is measured about pairs, before and after."""

import numpy as np
import pyarrow as pa

from thumbwheel.config import AuditConfig
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
from thumbwheel.evidence.audit.report import AuditReport, PairsAudit
from thumbwheel.evidence.audit.verdict import find, hold_against

__all__ = ["MAX_MEASURED", "audit_pairs"]

MAX_MEASURED = 3000
"""Pairs whose style is measured. An AUC of that many is known within 0.02."""


def audit_pairs(
    before: pa.Table,
    after: pa.Table,
    rated: pa.Table,
    votes: pa.Table,
    config: AuditConfig,
    seed: int,
) -> AuditReport:
    """Audit pairs for what tells chosen from rejected, but should not.

    Args:
        before: All pairs that plugins proposed, `tables.PAIRS`; near-duplicates are counted where
            there is a `cluster_id`.
        after: Those that are left after screening and selection, likewise.
        rated: The completions' `completion_id` and `model_version`.
        votes: `tables.VOTES`.
        config: Limits, and the features that are meant to differ.
        seed: Of the sample, the folds and the resampling.

    Raises:
        ConfigError: `intended` names no feature of style.
    """
    for name in config.intended:
        if name not in AUDITED:
            raise ConfigError(
                f"[audit] intended: there is no style feature {name!r}; there are "
                f"{', '.join(AUDITED)}"
            )
    audited = [_audit(pairs, rated, votes, config, seed) for pairs in (before, after)]
    agreement = measure_agreement(votes)
    return AuditReport(
        before=audited[0],
        after=audited[1],
        agreement=agreement,
        limits=hold_against(audited[1], config),
        findings=find(audited[1], agreement),
        seed=seed,
    )


def _audit(
    pairs: pa.Table, rated: pa.Table, votes: pa.Table, config: AuditConfig, seed: int
) -> PairsAudit:
    measured = pairs
    if len(pairs) > MAX_MEASURED:
        drawn = np.random.default_rng(seed).choice(len(pairs), MAX_MEASURED, replace=False)
        measured = pairs.take(np.sort(drawn))
    differences = style_differences(measured)
    n_raters, raters = rater_mix(pairs, votes)
    models, same_model = model_mix(pairs, rated)
    return PairsAudit(
        n_pairs=len(pairs),
        n_prompts=len(pairs["prompt_id"].unique()),
        n_measured=len(measured),
        length=length_audit(pairs),
        features=feature_audits(differences, config.intended),
        style_auc=style_auc(differences, measured["prompt_id"], config.intended, seed),
        n_raters=n_raters,
        raters=raters,
        models=models,
        same_model=same_model,
        near_duplicates=near_duplicates(pairs),
    )
