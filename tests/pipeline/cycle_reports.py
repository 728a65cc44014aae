"""Parts of a cycle's report, for tests that need one but no cycle."""

from thumbwheel.types import DataReport, TrainingReport, VoteCounts

__all__ = ["data_report", "training_report"]


def data_report(digest: str, votes: int = 0, parked: int = 0) -> DataReport:
    """Return the feedback of a cycle: some votes, of which some are parked."""
    counts = VoteCounts(
        votes=votes, superseded=0, withdrawn=0, parked=parked, counted=votes - parked
    )
    return DataReport(digest=digest, n_events=votes, n_prompts=0, n_completions=0, votes=counts)


def training_report(steps: int = 0) -> TrainingReport:
    """Return what a run of so many steps did."""
    return TrainingReport(
        steps=steps, seconds=0.0, n_pairs=0, n_dropped=0, n_truncated=0, peak_memory=0
    )
