"""The judges of a project, and who of them may decide."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from thumbwheel.config import JudgeConfig
from thumbwheel.evidence.asked import Asked
from thumbwheel.evidence.judges import Judge, PeopleJudge, grant, people_licence
from thumbwheel.types import Licence

__all__ = ["Bench", "appoint"]


@dataclass(frozen=True, slots=True)
class Bench:
    """The judges, and their licences in the same order."""

    judges: Sequence[Judge]
    licences: Sequence[Licence]

    @property
    def judge(self) -> Judge | None:
        """The judge that decides: the first with a licence; None where none has one."""
        for judge, licence in zip(self.judges, self.licences, strict=True):
            if licence.granted:
                return judge
        return None


def appoint(
    judges: Sequence[Judge],
    configs: Sequence[JudgeConfig],
    asked: Asked,
    snapshot: Path,
    *,
    confidence: float,
) -> Bench:
    """Examine the judges on what people said, and give licences to those that agree with it.

    Args:
        judges: In the order configured.
        configs: Their configurations.
        asked: Holds people's pairs.
        snapshot: What raters hold, by which people are judged; see `people_licence`.
        confidence: Coverage of the interval of a judge's accuracy.
    """
    licences = [
        people_licence(snapshot, asked.clusters, threshold=config.licence, confidence=confidence)
        if isinstance(judge, PeopleJudge)
        else grant(
            judge,
            asked.open_pairs,
            asked.sealed_pairs,
            asked.clusters,
            threshold=config.licence,
            confidence=confidence,
        )
        for judge, config in zip(judges, configs, strict=True)
    ]
    return Bench(judges, licences)
