"""What the measurements mean: limits of the configuration, and what stands out without any."""

from collections.abc import Iterator, Sequence

from thumbwheel.config import AuditConfig
from thumbwheel.evidence.audit.report import (
    FEWEST,
    Agreement,
    FeatureAudit,
    Finding,
    LimitResult,
    PairsAudit,
)

__all__ = ["find", "followed", "hold_against"]

# What is worth a reader's attention when the configuration sets no limit.
_TELLING_AUC = 0.05
_SPREAD_OF_AUC = 1.2
_STRONG_AUC = 0.1
_MANY_WRONG = 0.2
_LARGE_SHARE = 0.1
_MANY_DUPLICATES = 0.2
_POOR_ALPHA = 0.2
_FEW_PAIRS = 100


def hold_against(after: PairsAudit, config: AuditConfig) -> list[LimitResult]:
    """Hold every configured limit against the final pairs."""
    measured = {
        "max_auc": after.style_auc.value if after.style_auc else None,
        "max_rater_share": after.raters[0].share if after.raters else 0.0,
        "max_near_duplicates": after.near_duplicates,
    }
    # There is a limit by default, and little to tell by where few raters judge the same.
    if after.wrong.share is not None:
        measured["max_wrong_pairs"] = after.wrong.share.low
    limits = {name: getattr(config, name) for name in measured}
    return [
        LimitResult(name, limit, value, value is not None and value <= limit)
        for name, value in measured.items()
        if (limit := limits[name]) is not None
    ]


def find(before: PairsAudit, after: PairsAudit, agreement: Sequence[Agreement]) -> list[Finding]:
    """Return what stands out in the final pairs, the gravest first."""
    return [
        *_of_size(after),
        *_of_wrong(before, after),
        *_of_style(after),
        *_of_matching(before, after),
        *_of_makeup(after),
        *_of_raters(after, agreement),
    ]


def followed(before: PairsAudit, after: PairsAudit) -> list[FeatureAudit]:
    """Return the features that votes follow strongly, and that screens and selection took out."""
    if min(before.n_prompts, after.n_prompts) < FEWEST:
        return []
    return [
        was
        for was, now in zip(before.features, after.features, strict=True)
        if not was.intended
        and abs(was.auc - 0.5) >= _STRONG_AUC
        and abs(now.auc - 0.5) <= abs(was.auc - 0.5) / 2
    ]


def _of_size(after: PairsAudit) -> Iterator[Finding]:
    if after.n_pairs < _FEW_PAIRS:
        yield Finding(
            f"There are only {after.n_pairs:,} pairs.",
            "Little can be told from them, and less learned. `thumbwheel yield` shows where events "
            "are lost; annotation and AI-written pairs fill up prompts with one side.",
        )


def _of_wrong(before: PairsAudit, after: PairsAudit) -> Iterator[Finding]:
    share, was = after.wrong.share, before.wrong.share
    if share is None or share.low <= _MANY_WRONG:
        return
    more = (
        f" Of all proposed pairs it is {was.value:.0%}: what is left after screening and selection "
        "is told by fewer votes."
        if was is not None and was.value < share.low
        else ""
    )
    yield Finding(
        f"An estimated {share.value:.0%} of the pairs are the wrong way round ({share.low:.0%} to "
        f"{share.high:.0%}).{more}",
        "Raters who judged the same answers agree too little for so few votes on a pair. Ask for "
        "more (`min_confidence` of the plugin that makes the pairs, such as 0.9), gather several "
        "votes on an answer, or have answers compared (`thumbwheel annotate`).",
    )


def _of_matching(before: PairsAudit, after: PairsAudit) -> Iterator[Finding]:
    for feature in followed(before, after):
        more = "chosen" if feature.auc > 0.5 else "rejected"
        name = feature.name
        yield Finding(
            f"Votes follow {name}: before screening and selection the {more} side had more of it "
            f"(AUC {feature.auc:.2f}).",
            f"The final pairs are alike in {name}, and that is all that matching and balancing can "
            "see. They cannot see what takes its place: of two answers of equal length, one has "
            "more substance and the other more filler, and votes that went by length do not say "
            "which. Read some of these pairs (`thumbwheel pairs`), hold on to the estimated share "
            "of wrong pairs and not to the AUC, and have some judged side by side (`thumbwheel "
            "annotate`).",
        )


def _of_style(after: PairsAudit) -> Iterator[Finding]:
    least = max(_TELLING_AUC, _SPREAD_OF_AUC / max(after.n_measured, 1) ** 0.5)
    telling = [
        feature
        for feature in after.features
        if not feature.intended and abs(feature.auc - 0.5) >= least
    ]
    telling.sort(key=lambda feature: -abs(feature.auc - 0.5))
    auc = after.style_auc
    if auc and auc.low > 0.5 and auc.value >= 0.5 + _TELLING_AUC:
        yield Finding(
            f"Style alone tells chosen from rejected: AUC {auc.value:.2f} "
            f"({auc.low:.2f} to {auc.high:.2f}).",
            "A model can learn the style instead of what people meant. Balance the features below "
            "(`balance` in [pairs]), or name those that are meant to differ (`intended` in "
            "[audit]).",
        )
    for feature in telling:
        more = "chosen" if feature.auc > 0.5 else "rejected"
        yield Finding(
            f"The {more} side has more: {feature.name} (AUC {feature.auc:.2f}, the sides differ in "
            f"{feature.differs:.0%} of pairs).",
            _ADVICE.get(feature.name, _BALANCE).format(name=feature.name),
        )


_BALANCE = (
    'Add "{name}" to `balance` in [pairs], or to `intended` in [audit] if it is meant to differ.'
)
_ADVICE = {
    "language": "A screen of your own can drop answers in another language than their prompt; add "
    '"language" to `intended` in [audit] if it is meant to differ.',
    "sentiment": 'Read some of these pairs. If the tone is what people judged, add "sentiment" to '
    "`intended` in [audit]; if it is not, a screen of your own can drop them.",
}


def _of_makeup(after: PairsAudit) -> Iterator[Finding]:
    if after.raters and after.raters[0].share > _LARGE_SHARE:
        yield Finding(
            f"One rater stands behind {after.raters[0].share:.0%} of the pairs; there are "
            f"{after.n_raters:,} raters.",
            "The model learns that person's taste. Gather votes of more raters; `max_rater_share` "
            "in [votes] and [pairs] keeps one from outvoting many.",
        )
    for model in after.models:
        if abs(model.chosen - model.rejected) >= _LARGE_SHARE:
            yield Finding(
                f"The model version {model.version or 'that is not named'} wrote "
                f"{model.chosen:.0%} of the chosen answers and {model.rejected:.0%} of the "
                "rejected ones.",
                "Whatever sets the versions apart is learned as better. Pair within one version: "
                "`same_model_version = true` for the plugin that makes the pairs.",
            )
            break
    if after.near_duplicates is not None and after.near_duplicates >= _MANY_DUPLICATES:
        yield Finding(
            f"{after.near_duplicates:.0%} of the prompts have a near-duplicate.",
            "Some questions weigh more than others. Lower `max_per_cluster` in [pairs].",
        )


def _of_raters(after: PairsAudit, agreement: Sequence[Agreement]) -> Iterator[Finding]:
    if after.wrong.share is not None:
        return
    for judged in agreement:
        if judged.alpha is not None and judged.alpha < _POOR_ALPHA:
            yield Finding(
                f"Raters hardly agree in their {judged.what}: Krippendorff's alpha is "
                f"{judged.alpha:.2f}.",
                "Tell raters what to look at; pair only what several agree on (`min_confidence` of "
                "the plugin that makes the pairs, such as 0.9).",
            )
