"""Rules that say which candidate of a year is promoted, and `Looks`, which they read."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import cache, cached_property
from importlib import import_module
from importlib.util import find_spec

import numpy as np
import numpy.typing as npt
from scipy.special import ndtr

from gate_worlds import Prompts
from thumbwheel.config import EvaluationConfig, GateConfig
from thumbwheel.evidence.budget import level_of_next_look
from thumbwheel.evidence.gate import JUDGED
from thumbwheel.evidence.sealed import plan_test, verdict_without_a_look
from thumbwheel.measures.statistics import cluster_estimate, sign_flip_test
from thumbwheel.types import Estimate, Look, MetricReport, SealedValues, Verdict

__all__ = ["Budget", "Looks", "Rule", "has_online_fdr", "rules_of_error", "rules_of_power"]

Array = npt.NDArray[np.floating]

GATE = GateConfig()
CONFIDENCE = EvaluationConfig().confidence
ERROR = GATE.false_promotions
"""Share of years that may see a false promotion."""
FIRST_DAY = datetime(2026, 1, 5, tzinfo=UTC)
SURE = 4
"""Where a normal p-value differs from a level by this factor, the exact one is on the same side."""
MANY = 1000
"""With so many prompts the two hardly differ at all."""


@dataclass(frozen=True)
class Looks:
    """A year of candidates, one after the other, all against one champion.

    Attributes:
        days: When each is looked at, shape (looks,).
        values: The win share on each held-out prompt, shape (looks, n).
        prompts: Those prompts.
        seen: The same candidates on the open prompts, which are shown.
    """

    days: npt.NDArray[np.int64]
    values: Array
    prompts: Prompts
    seen: "Looks | None" = None
    _exact: dict[int, float] = field(default_factory=dict, repr=False)

    @cached_property
    def means(self) -> Array:
        """What each cluster gains, shape (looks, m); NaN beyond the last cluster of a look."""
        looks = len(self.days)
        cluster = self.prompts.cluster - self.prompts.cluster[:, :1]
        most = int(cluster.max()) + 1
        rows = (cluster + most * np.arange(looks)[:, None]).ravel()
        sums = np.bincount(rows, (self.values - 0.5).ravel(), minlength=looks * most)
        sizes = np.bincount(rows, minlength=looks * most)
        with np.errstate(invalid="ignore"):
            return (sums / sizes).reshape(looks, most)

    @cached_property
    def gain(self) -> Array:
        """Win rate less one half, shape (looks,); each cluster counts once."""
        return np.nanmean(self.means, axis=1)

    @cached_property
    def n_clusters(self) -> npt.NDArray[np.int64]:
        """Clusters of a look, shape (looks,)."""
        return np.isfinite(self.means).sum(axis=1)

    @cached_property
    def sd(self) -> Array:
        """Standard deviation between clusters, shape (looks,)."""
        return np.maximum(np.nanstd(self.means, axis=1, ddof=1), 1e-9)

    @cached_property
    def error(self) -> Array:
        """Standard error of the gain, shape (looks,)."""
        return self.sd / np.sqrt(self.n_clusters)

    @cached_property
    def rough_p(self) -> Array:
        """One-sided p-values by the normal approximation of the sign-flip test, shape (looks,)."""
        length = np.sqrt(np.nansum(self.means**2, axis=1))
        return ndtr(-np.nansum(self.means, axis=1) / np.maximum(length, 1e-12))

    @cached_property
    def rough_p_by_prompt(self) -> Array:
        """The same as if prompts were independent of each other."""
        error = self.values.std(axis=1, ddof=1) / np.sqrt(self.prompts.n)
        return ndtr((0.5 - self.values.mean(axis=1)) / np.maximum(error, 1e-12))

    def of(self, look: int) -> tuple[Array, npt.NDArray[np.int64]]:
        """Return one look's values and clusters, shape (n,) both."""
        return self.values[look], self.prompts.cluster[look if len(self.prompts.cluster) > 1 else 0]

    def report(self, look: int) -> MetricReport:
        """Return what is shown of a candidate whose looks are at open prompts."""
        values, clusters = self.of(look)
        gain = cluster_estimate(values - 0.5, clusters, confidence=CONFIDENCE)
        half = Estimate(0.5, 0.5, 0.5, len(values))
        return MetricReport(JUDGED, half, half, gain)

    def p(self, look: int) -> float:
        """Return the exact p-value."""
        if look not in self._exact:
            values, cluster = self.of(look)
            self._exact[look] = sign_flip_test(values - 0.5, cluster)
        return self._exact[look]

    def passes(self, look: int, level: float) -> bool:
        """Return whether the exact p-value is at most the level."""
        rough = self.rough_p[look]
        sure = SURE if self.prompts.n < MANY else 1.1
        if not level / sure < rough < level * sure:
            return bool(rough <= level)
        return self.p(look) <= level

    def first(self, levels: Array | float) -> int | None:
        """Return the first look that passes its level."""
        level = np.broadcast_to(levels, self.days.shape)
        for look in np.flatnonzero(self.rough_p < level * SURE).tolist():
            if self.passes(look, float(level[look])):
                return int(look)
        return None


Rule = Callable[[Looks], int | None]
"""Takes a year of looks and returns the one whose candidate is promoted first, if any is."""


def rules_of_error(looks: int) -> Mapping[str, Rule]:
    """Return the rules whose errors over a year of so many looks are compared."""
    turn = np.arange(1, looks + 1)
    rules: dict[str, Rule] = {
        "ours": lambda year: ours(year, looks),
        "always looks": lambda year: ours(year, looks, always=True),
        "each at 2.5%, by prompt": _by_prompt,
        "equal shares": lambda year: year.first(ERROR / looks),
        "decreasing shares": lambda year: year.first(ERROR * 6 / np.pi**2 / turn**2),
        "e-process": lambda year: _bet(year, looks / ERROR),
    }
    if has_online_fdr():
        rules["LORD++"] = lambda year: year.first(_lord(looks))
        rules["SAFFRON"] = _saffron
    return rules


def rules_of_power() -> Mapping[str, Rule]:
    """Return the rules whose power over 52 weeks is compared."""
    weeks = np.arange(1, 53)
    monthly = np.where(np.isin(weeks, np.linspace(52 / 12, 52, 12).round()), ERROR / 12, 0.0)
    rules: dict[str, Rule] = {
        "ours": ours,
        "always looks": lambda year: ours(year, always=True),
        "equal shares": lambda year: year.first(ERROR / 52),
        "12 looks, 5% / 12": lambda year: year.first(monthly),
    }
    if has_online_fdr():
        rules["LORD++"] = lambda year: year.first(_lord(52))
    rules["higher"] = lambda year: next(iter(np.flatnonzero(year.gain > 0).tolist()), None)
    rules["each at 5%"] = lambda year: year.first(ERROR)
    return rules


def ours(
    year: Looks, tests_per_year: int = GATE.tests_per_year, *, always: bool = False
) -> int | None:
    """Look as the gate does; `always` also where it would not."""
    assert year.seen is not None
    budget = Budget(tests_per_year, always)
    for look, day in enumerate(year.days.tolist()):
        if budget.promotes(day, year.seen, year, look):
            return look
    return None


@dataclass(frozen=True)
class Budget:
    """The gate's error budget, and its rules of when to look and whom to promote.

    Attributes:
        tests_per_year: As the project states it.
        always: Whether it looks as long as there is a budget.
    """

    tests_per_year: int = GATE.tests_per_year
    always: bool = False
    _looks: list[Look] = field(default_factory=list)

    def promotes(self, day: int, seen: Looks, sealed: Looks, look: int) -> bool:
        """Return whether a candidate is promoted, and enter the look if one was taken.

        Args:
            day: Since the budget began.
            seen: Candidates on the open prompts.
            sealed: The same candidates on the held-out prompts.
            look: Which of them.
        """
        when = FIRST_DAY + timedelta(days=day)
        level = level_of_next_look(
            self._looks, when, tests_per_year=self.tests_per_year, false_promotions=ERROR
        )
        if level <= 0 or not (self.always or self._looks_at(level, seen, sealed, look)):
            return False
        number, verdict = len(self._looks), Verdict.NOT_BETTER
        self._looks.append(Look(str(number), when, level, None, verdict, 0, 0))
        return sealed.passes(look, level)

    def _looks_at(self, level: float, seen: Looks, sealed: Looks, look: int) -> bool:
        shown = [seen.report(look)]
        values, clusters = sealed.of(look)
        names = clusters.tolist()
        differences = [SealedValues(names, names, (values - 0.5).tolist(), float(seen.sd[look]))]
        test = plan_test(shown, differences, gain=GATE.gain, level=level)
        return verdict_without_a_look(shown, test, GATE.gain) is None


def has_online_fdr() -> bool:
    """Return whether the library that LORD++ and SAFFRON come from is installed."""
    return find_spec("online_fdr") is not None


def _by_prompt(year: Looks) -> int | None:
    """Promote as if prompts were independent, and each look the only one."""
    return next(iter(np.flatnonzero(year.rough_p_by_prompt <= 0.025).tolist()), None)


@cache
def _lord(looks: int) -> Array:
    """Return LORD++'s levels as long as nothing is promoted."""
    rule = import_module("online_fdr.p_values").LordPlusPlus(alpha=ERROR, wealth=ERROR / 2)
    levels = []
    for _ in range(looks):
        rule.test_one(1.0)
        levels.append(rule.alpha)
    return np.array(levels)


def _saffron(year: Looks) -> int | None:
    rule = import_module("online_fdr.p_values").Saffron(alpha=ERROR, wealth=ERROR / 2, lambda_=0.5)
    for look, rough in enumerate(year.rough_p):
        # Its levels are below 1%; of a larger value it asks only whether it is above 50%.
        if rule.test_one(year.p(look) if rough < 0.02 else float(rough)):
            return look
    return None


def _bet(year: Looks, needed: float) -> int | None:
    """Promote who multiplies a stake by `needed`.

    A stake is put on each cluster in turn, a share of it that the candidate wins there: with x the
    win rate scaled to [-1, 1], it is multiplied by 1 + share x. Its mean over shares is an e-value
    (Waudby-Smith and Ramdas, "Estimating means of bounded random variables by betting", 2024,
    section 4): if the candidate is no better it reaches 1 / level with a chance of `level` at most.
    """
    shares = np.linspace(0.05, 0.95, 19)
    # By Markov's inequality no candidate with a larger p-value can get there.
    for look in np.flatnonzero(year.rough_p < SURE / needed):
        values, cluster = year.of(int(look))
        cluster = cluster - cluster[0]
        x = 2 * (np.bincount(cluster, values) / np.bincount(cluster)) - 1
        if np.exp(np.log1p(shares[:, None] * x).sum(axis=1)).mean() >= needed:
            return int(look)
    return None
