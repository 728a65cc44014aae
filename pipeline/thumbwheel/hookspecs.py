"""The hooks: everything a plugin can do.

A plugin is a frozen pydantic dataclass; its fields are its options, its methods marked with
`@hookimpl` are its hooks. Every hook takes a whole table (see `tables`), so that work of SQL size
stays SQL-sized; `authoring.PairEachPrompt` turns a plain per-prompt method into the table form.
"""

import pluggy
import pyarrow as pa

from thumbwheel.types import CycleReport, LanguageModel

__all__ = ["HookSpecs", "hookimpl", "hookspec"]

hookspec = pluggy.HookspecMarker("thumbwheel")
hookimpl = pluggy.HookimplMarker("thumbwheel")


class HookSpecs:
    """The specifications that pluggy checks every plugin against."""

    @hookspec
    def process_events(self, events: pa.Table) -> pa.Table:
        """Change events before they are stored: redact, canonicalise, drop.

        Called once per ingested batch. Plugins are chained in the order the config lists them.
        Fails closed: when one raises, nothing of the batch is stored and ingestion stops.

        Args:
            events: `tables.EVENTS`.

        Returns:
            The events to store, `tables.EVENTS`. A row left out is counted as dropped. What
            `thumbwheel status` should count may stand in the schema's metadata (`COUNTS_KEY`).
        """

    @hookspec
    def process_dead_letters(self, letters: pa.Table) -> pa.Table:
        """Change raw records before they are kept: redact.

        Called once per ingested batch that has records which could not be read, and by the HTTP
        receiver for each request, before it is in the log: there ids are hidden, and the reason is
        empty. Chained and failing closed like `process_events`.

        Args:
            letters: `tables.DEAD_LETTERS`.

        Returns:
            As many rows in the same order, `tables.DEAD_LETTERS`.
        """

    @hookspec
    def make_pairs(self, rated: pa.Table, comparisons: pa.Table) -> pa.Table:
        """Propose preference pairs.

        Called once per chunk of whole prompts. Must be deterministic: the same rows in any order
        give the same pairs. The results of all listed plugins are joined; the first to name a pair
        owns it.

        Args:
            rated: `tables.RATED`, every completion of each prompt in it.
            comparisons: `tables.COMPARISONS` of these prompts. A rule that does not need it leaves
                the parameter out.

        Returns:
            `tables.PROPOSED`.
        """

    @hookspec
    def screen_pairs(self, pairs: pa.Table) -> pa.Table:
        """Drop pairs, each with a reason that the report shows.

        Called once per chunk of whole prompts, after every plugin's `make_pairs`; each plugin sees
        only what the ones listed before it have left.

        Args:
            pairs: `tables.PAIRS`.

        Returns:
            `tables.REASONS`, one row per pair to drop.
        """

    @hookspec
    def evaluate_model(self, model: LanguageModel, pairs: pa.Table, answers: pa.Table) -> pa.Table:
        """Measure a model on prompts that no training run has seen.

        Called alike for candidate, champion and base. The gate's rules may name the metrics. The
        plugin's class says what they are, as `metrics = (types.Metric(...), ...)`.

        Args:
            model: The model; see `types.LanguageModel`. What it was asked before costs nothing.
            pairs: What people preferred, on these prompts, `tables.PAIRS`. A rule that does not
                need it leaves the parameter out.
            answers: What the model answered to them, `tables.ANSWERS`. Likewise.

        Returns:
            `tables.METRICS`: one value per metric and prompt, the same metrics and prompts for
            every model.
        """

    @hookspec
    def judge_answers(self, compared: pa.Table) -> pa.Table:
        """Say which of two answers to a prompt is better.

        Called where `[[judges]]` names the plugin, with at most 1,000 comparisons at a time: sides
        of pairs that people judged, which show how far the plugin may be trusted, and answers of
        candidate and champion. Nothing says which is which, and two equal texts never come. Must
        be deterministic: the same two answers get the same preference.

        Args:
            compared: `tables.COMPARED`.

        Returns:
            `tables.PREFERENCES`, one row per comparison, in any order.
        """

    @hookspec
    def cycle_finished(self, report: CycleReport) -> None:
        """Observe a finished cycle: notify someone, hot-load the adapter.

        Called once, after the decision is registered. A failure is reported and changes nothing.
        """
