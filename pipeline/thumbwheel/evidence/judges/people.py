"""People as a judge: what they said when they compared the answers themselves.

`thumbwheel annotate compare` shows them a candidate's answers and the champion's, and what they say
comes back as comparisons, like any other feedback. An answer is found again by its text.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from thumbwheel.events import completion_id, normal_completion
from thumbwheel.evidence.judges.judge import Pairings
from thumbwheel.measures.confidence import probability_better
from thumbwheel.measures.statistics import cluster_estimate
from thumbwheel.store import COMPARISONS_FILE, VOTES_FILE
from thumbwheel.types import Licence

__all__ = ["PeopleJudge", "people_licence", "read_people"]

_ANNOTATORS = "annotation"
_PEOPLE = (_ANNOTATORS, "comparison")

Array = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class PeopleJudge:
    """A judge that knows what people chose; implements `Judge`.

    Attributes:
        chosen: Which of two completions most people preferred: 1 for the first, 0.5 where as many
            preferred the other; by both completion ids. There is one entry for each two.
    """

    chosen: Mapping[tuple[str, str], float] = field(repr=False)
    name: str = "people"
    pairings: Pairings = "same_draw"

    def prefer(self, compared: pa.Table) -> Array:
        """Return what the majority preferred, see `Judge.prefer`; NaN where nobody compared.

        Answers that differ in case and spacing at most are a tie: nobody is asked about them.
        """
        columns = (compared[name].to_pylist() for name in ("prompt_id", "first", "second"))
        said = [self._prefer(*row) for row in zip(*columns, strict=True)]
        return np.array(said, dtype=np.float64)

    def _prefer(self, prompt_id: str, first: str, second: str) -> float:
        if normal_completion(first) == normal_completion(second):
            return 0.5
        one, other = completion_id(prompt_id, first), completion_id(prompt_id, second)
        if (one, other) in self.chosen:
            return self.chosen[one, other]
        return 1 - self.chosen.get((other, one), math.nan)


def read_people(snapshot: Path) -> PeopleJudge:
    """Return the judge that knows the comparisons of a snapshot: annotators' and users' own.

    Args:
        snapshot: The directory, see `store.Snapshot`.
    """
    return PeopleJudge({pair: share for pair, (_, share) in _chosen(snapshot, *_PEOPLE).items()})


def people_licence(
    snapshot: Path, clusters: Mapping[str, str], *, threshold: float, confidence: float
) -> Licence:
    """Measure how well annotators agree with users, and say whether people may decide.

    A model has to earn its licence. People are what it is measured by, so that they have theirs,
    and lose it only where they are seen to have another taste than the users: where both judged
    the same two answers, and the whole interval of how often annotators choose what users voted
    for is below the threshold. Pairs that people chose are no measure of people, since they are the
    same choices; so the users are asked by their votes on single answers, which the annotators did
    not see. Each pair weighs 2c - 1, where c is the chance that the answer with the better votes is
    better.

    Args:
        snapshot: The directory, see `store.Snapshot`.
        clusters: The cluster of each prompt, by prompt id; without one, a prompt is its own.
        threshold: The interval's upper end must reach it.
        confidence: Coverage of the interval, such as 0.95.
    """
    annotated = _chosen(snapshot, _ANNOTATORS)
    votes = _single_votes(snapshot)
    voted = [pair for pair in annotated if votes.keys() >= set(pair)]
    counts = np.array([votes[one] + votes[other] for one, other in voted]).reshape(-1, 4)
    better = probability_better(*counts.T)
    sure = np.maximum(better, 1 - better)
    shares = np.array([annotated[pair][1] for pair in voted])
    agrees = np.where(better > 0.5, shares, 1 - shares)
    weights = 2 * sure - 1
    prompts = [annotated[pair][0] for pair in voted]
    of_cluster = [clusters.get(prompt_id, prompt_id) for prompt_id in prompts]
    accuracy = replace(
        cluster_estimate(agrees, of_cluster, confidence=confidence, weights=weights, bounds=(0, 1)),
        n=len(set(of_cluster)),
    )
    measured = not math.isnan(accuracy.value)
    granted, reason = True, ""
    if not _chosen(snapshot, *_PEOPLE):
        granted = False
        reason = (
            "nobody has compared answers yet; `thumbwheel annotate compare` writes the tasks, and "
            "`thumbwheel decide` decides when they are done"
        )
    elif not measured:
        reason = "they are people, and no users' votes on the same answers say otherwise"
    elif accuracy.high < threshold:
        granted = False
        reason = "annotators are seen to choose other answers than users do"
    return Licence(
        judge="people",
        accuracy=accuracy,
        threshold=threshold,
        ceiling=float(np.average(sure, weights=weights)) if measured else math.nan,
        granted=granted,
        reason=reason or None,
    )


def _chosen(snapshot: Path, *origins: str) -> dict[tuple[str, str], tuple[str, float]]:
    """Return the prompt, and 1 for the chosen side or 0.5 for a tie, of each two completions."""
    rows = pq.read_table(snapshot / COMPARISONS_FILE)
    rows = rows.filter(pc.is_in(rows["origin"], pa.array(origins)))
    names = ("chosen_id", "rejected_id", "prompt_id", "n_for", "n_against")
    columns = (rows[name].to_pylist() for name in names)
    return {
        (chosen, rejected): (prompt_id, 1.0 if n_for > n_against else 0.5)
        for chosen, rejected, prompt_id, n_for, n_against in zip(*columns, strict=True)
    }


def _single_votes(snapshot: Path) -> dict[str, tuple[float, float]]:
    """Return the votes for and against each completion that were given outside of comparisons."""
    votes = pq.read_table(snapshot / VOTES_FILE)
    votes = votes.filter(pc.is_null(votes["comparison_id"]))
    score, weight = votes["score"].to_numpy(), votes["weight"].to_numpy()
    counted = pa.table(
        {
            "completion_id": votes["completion_id"],
            "up": weight * (1 + score) / 2,
            "down": weight * (1 - score) / 2,
        }
    )
    sums = counted.group_by("completion_id").aggregate([("up", "sum"), ("down", "sum")])
    columns = (sums[name].to_pylist() for name in ("completion_id", "up_sum", "down_sum"))
    return {name: (up, down) for name, up, down in zip(*columns, strict=True)}
