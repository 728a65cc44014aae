"""The commands that look back: what became of events and pairs; and datasets for others."""

import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from thumbwheel.cli.current import current_pairs, stored
from thumbwheel.cli.options import DEFAULT_CONFIG, ConfigOption, load_config, make_console
from thumbwheel.errors import DataError

if TYPE_CHECKING:
    from rich.console import Console

    from thumbwheel.config import Config
    from thumbwheel.store import EventState
    from thumbwheel.types.fates import Fate

__all__ = ["yield_commands"]

PANEL = "Pairs"

yield_commands = typer.Typer()


@yield_commands.command("yield", rich_help_panel=PANEL)
def show_yield(
    config: ConfigOption = DEFAULT_CONFIG,
    as_json: Annotated[bool, typer.Option("--json", help="Write it as one JSON object.")] = False,
) -> None:
    """Account for every event: how many became pairs, and why the others did not."""
    from pydantic_core import to_json

    from thumbwheel.cli.show.pairs import print_yield
    from thumbwheel.cli.show.progress import StageDisplay
    from thumbwheel.cli.show.store import print_quarantined
    from thumbwheel.pairs.yields import yield_report

    settings = load_config(config)
    console = make_console(stderr=as_json)
    with (
        StageDisplay(console) as display,
        current_pairs(settings, display) as (snapshot, pairing),
        stored(settings) as store,
    ):
        accounts = store.accounts(pairing.fates, settings.vote_policy)
        report = yield_report(accounts, pairing.judgements)
    if as_json:
        sys.stdout.buffer.write(to_json(report, indent=2) + b"\n")
    else:
        print_yield(console, report)
    print_quarantined(console, snapshot.quarantined)


@yield_commands.command(rich_help_panel=PANEL)
def explain(
    name: Annotated[
        str, typer.Argument(help="The id of an event or a pair, or a dataset's digest.")
    ],
    config: ConfigOption = DEFAULT_CONFIG,
) -> None:
    """Say what became of an event, what a pair rests on, or what a dataset was made from."""
    from thumbwheel.cli.show.pairs import print_sentence, print_trace
    from thumbwheel.cycle.trace import find_traces
    from thumbwheel.pairs.yields import describe_event

    settings = load_config(config)
    console = make_console()
    with stored(settings) as store, console.status("looking"):
        state = store.event_state(name, settings.vote_policy)
    traces = find_traces(settings.layout, name)
    if state is not None:
        print_sentence(console, describe_event(state, *_fate(settings, state)))
    elif not traces:
        _explain_current_pair(settings, console, name)
    for trace in traces:
        print_trace(console, trace, name)


def _fate(settings: "Config", event: "EventState") -> "tuple[Fate | None, str | None]":
    """Return what becomes of the completion that an event speaks about, where that matters."""
    import pyarrow.compute as pc

    from thumbwheel.cli.show.progress import StageDisplay
    from thumbwheel.types.fates import EventStatus, Fate

    if event.state not in (EventStatus.VOTE, EventStatus.CORRECTION, EventStatus.ANSWER):
        return None, None
    with (
        StageDisplay(make_console(stderr=True)) as display,
        current_pairs(settings, display) as (_, pairing),
    ):
        fates = pairing.fates
    for row in fates.filter(pc.equal(fates["completion_id"], event.completion_id)).to_pylist():
        return Fate(row["fate"]), row["detail"]
    return None, None


def _explain_current_pair(settings: "Config", console: "Console", name: str) -> None:
    """Explain a pair that is in no dataset yet."""
    import pyarrow.compute as pc

    from thumbwheel.cli.show.pairs import print_pair
    from thumbwheel.cli.show.progress import StageDisplay
    from thumbwheel.pairs import votes_on
    from thumbwheel.pairs.lineage import lineage_table

    with (
        StageDisplay(make_console(stderr=True)) as display,
        current_pairs(settings, display) as (snapshot, pairing),
    ):
        for table in (pairing.pairs, pairing.dropped):
            found = table.filter(pc.equal(table["pair_id"], name))
            if len(found):
                lineage = lineage_table(found, votes_on(snapshot.path, found))
                print_pair(console, found.to_pylist()[0], lineage)
                return
    raise DataError(
        f"nothing is known of {name!r}: it is no event that was received, no pair and no dataset; "
        "`thumbwheel query` finds the ids of events"
    )


@dataclass(frozen=True, slots=True)
class _Source:
    """Where a dataset lies, the snapshot that it was made from, and the pairs beyond its caps."""

    dataset: Path
    snapshot: Path
    n_left_out: int = 0


@yield_commands.command(rich_help_panel=PANEL)
def export(
    *,
    source: Annotated[
        str,
        typer.Argument(
            help="A cycle's id or its beginning, `latest`, a dataset's directory, or `current`: "
            "the pairs that the next cycle would make."
        ),
    ] = "latest",
    out: Annotated[Path, typer.Option(help="The directory to make.")],
    file_format: Annotated[
        Literal["parquet", "jsonl", "datasets"],
        typer.Option("--format", help="`datasets` is what Hugging Face's load_from_disk reads."),
    ] = "parquet",
    kind: Annotated[
        Literal["preference", "unpaired"],
        typer.Option(help="Pairs for DPO, or single answers with a label for KTO."),
    ] = "preference",
    certainty: Annotated[
        float, typer.Option(min=0.5, max=0.999, help="How sure the label of a single answer is.")
    ] = 0.5,
    config: ConfigOption = DEFAULT_CONFIG,
) -> None:
    """Write a dataset in TRL's formats for other programs."""
    from thumbwheel.pairs import exports
    from thumbwheel.pairs.split import SplitMemory
    from thumbwheel.process.extras import require

    settings = load_config(config)
    console = make_console()
    exports.refuse_existing(out)
    if file_format == "datasets":
        require("train", "datasets", by="--format datasets")
    with _opened(settings, source, console) as found:
        if kind == "preference":
            splits = exports.preference_splits(found.dataset)
        else:
            rated = exports.training_side(
                exports.read_rated(found.snapshot),
                SplitMemory(settings.layout.split),
                held_out=settings.dataset.held_out,
                judge=settings.dataset.judge,
                near_duplicate=settings.pairs.near_duplicate,
            )
            splits = {"train": exports.unpaired_votes(rated, certainty)}
    exports.export(splits, out, file_format)
    counts = ", ".join(f"{len(table):,} in {split}" for split, table in splits.items())
    console.print(f"Wrote {out}: {counts}.", markup=False, soft_wrap=True)
    if kind == "preference" and found.n_left_out:
        console.print(
            f"{found.n_left_out:,} pairs are left out, beyond `max_train_pairs` or "
            "`max_eval_pairs` in [dataset].",
            style="yellow",
            markup=False,
            soft_wrap=True,
        )


@contextmanager
def _opened(settings: "Config", source: str, console: "Console") -> Iterator[_Source]:
    from thumbwheel.cli.show.progress import StageDisplay
    from thumbwheel.cycle.trace import find_dataset
    from thumbwheel.pairs import votes_on
    from thumbwheel.pairs.dataset import write_dataset
    from thumbwheel.types import Provenance

    if source == "current":
        with (
            StageDisplay(console) as display,
            current_pairs(settings, display) as (snapshot, pairing),
            tempfile.TemporaryDirectory() as scratch,
        ):
            dataset = Path(scratch) / "dataset"
            votes = votes_on(snapshot.path, pairing.pairs)
            made = write_dataset(pairing.pairs, votes, dataset, settings.dataset, Provenance())
            kept = made.n_train + made.n_judge + made.n_eval
            yield _Source(dataset, snapshot.path, len(pairing.pairs) - kept)
    elif (Path(source) / "manifest.json").exists():
        yield _Source(Path(source), Path(source).parent / "snapshot")
    else:
        cycle = find_dataset(settings.layout, source)
        yield _Source(cycle / "dataset", cycle / "snapshot")
