"""What cycles wrote into MLflow: the page with the evidence shows prompts and answers."""

from pathlib import Path

from thumbwheel.cycle.journal import CycleJournal, list_cycles
from thumbwheel.forgetting.record import Record
from thumbwheel.forgetting.traces import Traces
from thumbwheel.home import Layout
from thumbwheel.registry import Registry

__all__ = ["clear_pages"]

_PAGE = "evidence.html"

_INSTEAD = (
    "<!doctype html><meta charset=utf-8><title>Evidence</title>"
    "<p>This page showed what was since forgotten, and the cycle that it told of is no longer "
    "there. The metrics of the run are as they were.</p>\n"
)


def clear_pages(registry: Registry, layout: Layout, record: Record, traces: Traces) -> None:
    """Replace the pages of the cycles in the record, and take out what people copied elsewhere.

    Args:
        registry: The project's.
        layout: The project's files, where the cycles have been cleared.
        record: Which cycles' pages are stale.
        traces: What is to go.

    Raises:
        UnavailableError: MLflow does not answer, or another process works with its database.
    """
    if not registry.exists():
        return
    for cycle_id in sorted(record.stale):
        registry.replace_page(cycle_id, _PAGE, _page(layout.cycles / cycle_id))
    registry.erase_texts(
        traces.without,
        page=_PAGE,
        is_in_page=traces.is_in_page,
        instead=_INSTEAD,
        spared={journal.path.name for journal in list_cycles(layout)},
    )


def _page(cycle: Path) -> str:
    """Return the page anew, from what is left of the cycle."""
    from thumbwheel.evidence.evaluation import Evaluation
    from thumbwheel.evidence.review import evidence_page

    journal = CycleJournal(cycle)
    report, evaluation = journal.report, journal.read("evaluation", Evaluation)
    if report is None or evaluation is None:
        return _INSTEAD
    return evidence_page(report, evaluation.samples, evaluation.regressions)
