"""The plugins of a configuration: checked, ordered and called.

Nothing loads by itself: the config lists plugins by entry-point name or as `path/to/file.py:Class`,
and they are called in that order. Whatever a plugin does wrong is a `PluginError` that names it.
"""

import json
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pluggy
import pyarrow as pa
import pyarrow.compute as pc
from pydantic import TypeAdapter

from thumbwheel.config import PluginConfig
from thumbwheel.errors import PluginError, ThumbwheelError
from thumbwheel.hookspecs import HookSpecs
from thumbwheel.plugin.loading import configure, find_plugin
from thumbwheel.tables import (
    COUNTS_KEY,
    DEAD_LETTERS,
    EVENTS,
    METRICS,
    PREFERENCES,
    PROPOSED,
    REASONS,
    conform,
    counts_of,
)
from thumbwheel.types import CycleReport, LanguageModel, Metric, PluginInfo

__all__ = ["HOOKS", "PluginManager"]

HOOKS = tuple(name for name in vars(HookSpecs) if not name.startswith("_"))


class PluginManager:
    """The plugins of one configuration, in their order.

    Args:
        plugins: As the config lists them.
        base_dir: What relative paths are relative to.

    Attributes:
        infos: The plugins, in their order.
        failed: Empty: here, a plugin that fails raises (see `plugin_host` for those left out).

    Raises:
        PluginError: A plugin is unknown, misspelt, badly configured or has no hook.
    """

    def __init__(self, plugins: Sequence[PluginConfig], base_dir: Path) -> None:
        self._pluggy = pluggy.PluginManager("thumbwheel")
        self._pluggy.add_hookspecs(HookSpecs)
        self.infos: list[PluginInfo] = []
        self.failed: dict[str, str] = {}
        self._instances: dict[str, Any] = {}
        for config in plugins:
            cls, name, origin, version = find_plugin(config.use, base_dir)
            if name in self._instances:
                raise PluginError(f"the plugin {name!r} is listed twice; list it once")
            instance = configure(cls, config.options, f"plugin {name!r}", base_dir, PluginError)
            self._register(instance, name, origin)
            hooks = [hook for hook in HOOKS if self._implements(name, hook)]
            if not hooks:
                raise PluginError(
                    f"the plugin {name!r} ({origin}) implements no hook; mark at least one of "
                    f"{', '.join(HOOKS)} with @hookimpl"
                )
            options = TypeAdapter(cls).dump_python(instance, mode="json")
            self.infos.append(PluginInfo(name, origin, version, hooks, options))

    def has(self, hook: str) -> bool:
        """Tell whether any plugin implements the hook."""
        return any(hook in info.hooks for info in self.infos)

    @property
    def metrics(self) -> Sequence[Metric]:
        """The metrics that the plugins measure."""
        return [metric for plugin in self._instances.values() for metric in _metrics_of(plugin)]

    def process_events(self, events: pa.Table) -> pa.Table:
        """Chain the plugins' `process_events` over a batch; the schema's metadata holds counts."""
        counts = {}
        for name, call in self._calls("process_events"):
            who = f"{name}.process_events"
            processed = call(events=events)
            events = conform(processed, EVENTS, who)
            counts[name] = counts_of(processed, who)
        return events.replace_schema_metadata({COUNTS_KEY: json.dumps(counts)})

    def process_dead_letters(self, letters: pa.Table) -> pa.Table:
        """Chain the plugins' `process_dead_letters` over a batch."""
        for name, call in self._calls("process_dead_letters"):
            who = f"{name}.process_dead_letters"
            processed = conform(call(letters=letters), DEAD_LETTERS, who)
            if len(processed) != len(letters):
                raise PluginError(f"{who} must return as many rows as it was given")
            letters = processed
        return letters

    def make_pairs(self, rated: pa.Table, comparisons: pa.Table) -> pa.Table:
        """Join the plugins' proposals; the first to name a pair owns it.

        Returns:
            `tables.PROPOSED` with the column `plugin`, sorted by prompt and completions.
        """
        proposals = []
        for name, call in self._calls("make_pairs"):
            who = f"{name}.make_pairs"
            proposed = conform(call(rated=rated, comparisons=comparisons), PROPOSED, who)
            _check_proposals(proposed, rated, who)
            owner = pa.array([name] * len(proposed), pa.string())
            proposals.append(proposed.append_column("plugin", owner))
        schema = PROPOSED.append(pa.field("plugin", pa.string()))
        joined = pa.concat_tables(proposals) if proposals else schema.empty_table()
        return _first_of_each_pair(joined)

    def screen_pairs(self, pairs: pa.Table) -> pa.Table:
        """Let each plugin screen what the ones before it have left.

        Returns:
            `tables.REASONS` with the column `plugin`.
        """
        dropped = []
        for name, call in self._calls("screen_pairs"):
            reasons = conform(call(pairs=pairs), REASONS, f"{name}.screen_pairs")
            unknown = reasons.filter(pc.invert(pc.is_in(reasons["pair_id"], pairs["pair_id"])))
            if len(unknown):
                raise PluginError(
                    f"{name}.screen_pairs named the pair {unknown['pair_id'][0].as_py()!r}, "
                    "which it was not given"
                )
            owner = pa.array([name] * len(reasons), pa.string())
            dropped.append(reasons.append_column("plugin", owner))
            pairs = pairs.filter(pc.invert(pc.is_in(pairs["pair_id"], reasons["pair_id"])))
        schema = REASONS.append(pa.field("plugin", pa.string()))
        return pa.concat_tables(dropped) if dropped else schema.empty_table()

    def evaluate_model(self, model: LanguageModel, pairs: pa.Table, answers: pa.Table) -> pa.Table:
        """Join the metrics that the plugins measure, `tables.METRICS`."""
        measured = []
        for name, call in self._calls("evaluate_model"):
            who = f"{name}.evaluate_model"
            table = conform(call(model=model, pairs=pairs, answers=answers), METRICS, who)
            declared = {metric.name for metric in _metrics_of(self._instances[name])}
            if strange := set(table["metric"].unique().to_pylist()) - declared:
                raise PluginError(
                    f"{who} measured {min(strange)!r}, which its class does not declare; say what "
                    f"it is: metrics = (Metric({min(strange)!r}, meaning, better, unit),)"
                )
            measured.append(table)
        return pa.concat_tables(measured) if measured else METRICS.empty_table()

    def judge_answers(self, compared: pa.Table, plugin: str | None = None) -> pa.Table:
        """Ask one plugin which answers are better.

        Args:
            compared: `tables.COMPARED`.
            plugin: Its name; None asks the first that judges.

        Returns:
            `tables.PREFERENCES`, in the order of `compared`.
        """
        for name, call in self._calls("judge_answers"):
            if plugin in (None, name):
                who = f"{name}.judge_answers"
                judged = conform(call(compared=compared), PREFERENCES, who)
                return _in_order(judged, compared, who)
        raise PluginError(f"no plugin {plugin or ''} that implements judge_answers is loaded")

    def cycle_finished(self, report: CycleReport) -> list[str]:
        """Tell every observer; return what went wrong in them."""
        failures = []
        for _, call in self._calls("cycle_finished"):
            try:
                call(report=report)
            except PluginError as error:
                failures.append(str(error))
        return failures

    def _register(self, instance: Any, name: str, origin: str) -> None:
        for hook in HOOKS:
            method = getattr(type(instance), hook, None)
            if method is not None and not hasattr(method, "thumbwheel_impl"):
                raise PluginError(
                    f"{name}.{hook} ({origin}) is not marked; write @hookimpl above it"
                )
        try:
            self._pluggy.register(instance, name)
            self._pluggy.check_pending()
        except pluggy.PluginValidationError as error:
            message = " ".join(str(error).split())
            raise PluginError(
                f"the plugin {name!r} ({origin}) does not fit the hooks: {message}; "
                f"the hooks are {', '.join(HOOKS)}"
            ) from error
        self._instances[name] = instance

    def _implements(self, name: str, hook: str) -> bool:
        implementations = getattr(self._pluggy.hook, hook).get_hookimpls()
        return any(impl.plugin_name == name for impl in implementations)

    def _calls(self, hook: str) -> Iterator[tuple[str, Callable[..., Any]]]:
        """Yield each implementing plugin's name and its guarded call, in the listed order."""
        for info in self.infos:
            if hook not in info.hooks:
                continue
            others = [other for name, other in self._instances.items() if name != info.name]
            caller = self._pluggy.subset_hook_caller(hook, remove_plugins=others)
            yield info.name, _guarded(caller, f"{info.name}.{hook} ({info.origin})")


def _metrics_of(plugin: object) -> Sequence[Metric]:
    return tuple(getattr(type(plugin), "metrics", ()))


def _guarded(caller: Callable[..., list[Any]], who: str) -> Callable[..., Any]:
    def call(**arguments: Any) -> Any:
        try:
            results = caller(**arguments)
        except ThumbwheelError:
            raise
        except Exception as error:
            raise PluginError(f"{who} raised {type(error).__name__}: {error}") from error
        # pluggy leaves out an implementation that returned None.
        return results[0] if results else None

    return call


def _check_proposals(proposed: pa.Table, rated: pa.Table, who: str) -> None:
    if not len(proposed):
        return
    if any(column.null_count for column in proposed.columns):
        raise PluginError(
            f"{who} returned a row with an empty cell; every pair needs all of "
            f"{', '.join(PROPOSED.names)}"
        )
    completions = rated["completion_id"].combine_chunks()
    for side in ("chosen_id", "rejected_id"):
        prompts = rated["prompt_id"].take(pc.index_in(proposed[side], completions))
        strange = pc.invert(pc.fill_null(pc.equal(prompts, proposed["prompt_id"]), False))
        if pc.any(strange).as_py():
            row = proposed.filter(strange).slice(0, 1).to_pylist()[0]
            raise PluginError(
                f"{who} proposed the {side} {row[side]!r}, which is no completion of the "
                f"prompt {row['prompt_id']!r}"
            )
    if pc.any(pc.equal(proposed["chosen_id"], proposed["rejected_id"])).as_py():
        raise PluginError(f"{who} paired a completion with itself")
    confidence = proposed["confidence"].to_numpy()
    if not np.all((confidence > 0.5) & (confidence <= 1)):
        raise PluginError(
            f"{who} gave a confidence outside (0.5, 1]: it is P(chosen is better), and a tie is "
            "no pair"
        )


def _in_order(judged: pa.Table, compared: pa.Table, who: str) -> pa.Table:
    """Check that a judge said one thing of each comparison, and sort it as they are."""
    ids = judged["comparison_id"].combine_chunks()
    rows = pc.index_in(compared["comparison_id"], ids)
    if rows.null_count:
        missing = compared["comparison_id"].filter(pc.is_null(rows))[0].as_py()
        raise PluginError(
            f"{who} said nothing of the comparison {missing!r}; give a row for each, with null "
            "where the plugin cannot tell"
        )
    if len(judged) != len(compared):
        raise PluginError(
            f"{who} returned {len(judged):,} rows for {len(compared):,} comparisons; give one for "
            "each that it was given"
        )
    preferences = judged["preference"].drop_null().to_numpy()
    if not np.all((preferences >= 0) & (preferences <= 1)):
        raise PluginError(
            f"{who} gave a preference outside [0, 1]: it is 1 where the first answer is better, 0 "
            "where the second is, 0.5 for a tie, null where the plugin cannot tell"
        )
    return judged.take(rows)


def _first_of_each_pair(proposals: pa.Table) -> pa.Table:
    """Keep the first proposal for each two completions, whichever of them it prefers."""
    sides = proposals["chosen_id"], proposals["rejected_id"]
    unordered = pc.binary_join_element_wise(
        pc.min_element_wise(*sides), pc.max_element_wise(*sides), ""
    )
    rows = pa.table({"pair": unordered, "row": np.arange(len(proposals))})
    first = rows.group_by("pair").aggregate([("row", "min")])["row_min"]
    order = [(name, "ascending") for name in ("prompt_id", "chosen_id", "rejected_id")]
    return proposals.take(np.sort(first.to_numpy())).sort_by(order)
