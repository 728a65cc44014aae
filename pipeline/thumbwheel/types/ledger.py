"""What is entered into a project's ledger, and never taken out again."""

from dataclasses import dataclass

from pydantic import AwareDatetime

from thumbwheel.types.evidence import Verdict

__all__ = ["Look", "Promotion"]


@dataclass(frozen=True, slots=True)
class Look:
    """One test of a candidate on the held-out prompts, which spent its level of the error budget.

    Attributes:
        candidate: The candidate's id; a candidate is looked at once.
        when: When the look was taken.
        level: The share of the error budget that it spent.
        p_value: What the test said. It is kept for audits and shown nowhere: whoever tunes settings
            by it would learn the held-out prompts.
        verdict: What is shown.
        n_prompts: Held-out prompts that were looked at.
        n_clusters: Clusters of near-duplicates among them.
        number: Its number in the ledger; 0 before it is entered.
    """

    candidate: str
    when: AwareDatetime
    level: float
    p_value: float | None
    verdict: Verdict
    n_prompts: int
    n_clusters: int
    number: int = 0


@dataclass(frozen=True, slots=True)
class Promotion:
    """A version that became the champion.

    Attributes:
        candidate: The candidate's id.
        when: When it was promoted.
        version: Its model version.
        champion_before: The version that was champion, or None where the base was.
        number: Its number in the ledger; 0 before it is entered.
    """

    candidate: str
    when: AwareDatetime
    version: str
    champion_before: str | None
    number: int = 0
