"""The commands that make pairs other than from users' votes: annotation, and pairs by a model."""

import tempfile
from contextlib import ExitStack
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from thumbwheel.cli.current import stored
from thumbwheel.cli.options import DEFAULT_CONFIG, ConfigOption, load_config, make_console
from thumbwheel.errors import ConfigError, DataError, InputError

if TYPE_CHECKING:
    from thumbwheel.config import Config, EndpointConfig
    from thumbwheel.labelling.people import Writer

__all__ = ["annotate_commands"]

PANEL = "More pairs"

annotate_commands = typer.Typer()
annotation = typer.Typer(no_args_is_help=True)

DryRun = Annotated[bool, typer.Option("--dry-run", help="Show the estimate and do nothing.")]


@annotation.command()
def sample(
    out: Annotated[Path, typer.Option(help="A new folder for the tasks.")],
    config: ConfigOption = DEFAULT_CONFIG,
    n: Annotated[int, typer.Option("--n", "-n", min=1, max=2000, help="Prompts to draw.")] = 200,
    completions: Annotated[int, typer.Option(min=2, max=4, help="Answers to each.")] = 3,
    tool: Annotated[
        Literal["label-studio", "argilla", "csv"],
        typer.Option("--for", help="Where they are ranked."),
    ] = "csv",
    written_by: Annotated[
        Literal["model", "endpoint"],
        typer.Option(
            "--with",
            help="Who writes what is missing: the champion, or the endpoint of the configuration.",
        ),
    ] = "model",
    hourly_rate: Annotated[
        float, typer.Option(min=0, help="USD an hour of an annotator, for the estimate.")
    ] = 30.0,
    dry_run: DryRun = False,
) -> None:
    """Draw prompts that cover what users ask, and write tasks to rank their answers.

    Answers that production gave come first; what is missing to `--completions` is written anew.
    """
    from thumbwheel.cli.show.labelling import print_drawn, print_tasks
    from thumbwheel.cli.show.progress import StageDisplay
    from thumbwheel.labelling.people import (
        GeneratedLog,
        draw_prompts,
        estimate,
        make_tasks,
        write_for,
        write_tasks,
    )
    from thumbwheel.process.extras import require

    settings = load_config(config)
    endpoint = _endpoint_config(settings) if written_by == "endpoint" else None
    require("audit", "scikit-learn", by="drawing prompts")
    tasks_file = out / "tasks.jsonl"
    if tasks_file.exists():
        raise InputError(f"{tasks_file} is there already; give another folder")
    console = make_console()
    with StageDisplay(console) as display:
        display.stage("draw")
        with stored(settings) as store:
            drawn = draw_prompts(store, settings.vote_policy, n, completions)
        display.done(f"{len(drawn.prompts):,} prompts out of {drawn.n_pool:,}")
        print_drawn(console, drawn, estimate(drawn), endpoint, hourly_rate)
        if dry_run:
            return
        if drawn.n_missing and endpoint is None:
            require("train", "peft", "torch", "transformers", by="an answer of the model")
        out.mkdir(parents=True, exist_ok=True)
        log_file = out / "generated.jsonl"
        with ExitStack() as stack:
            writer = None
            if drawn.n_missing:
                display.stage("write completions")
                writer = GeneratedLog(log_file, _writer(settings, endpoint, stack))
            made = make_tasks(drawn, writer, display.progress)
            if writer is not None:
                display.done(f"by {writer.model_version}")
        written = write_for(tool, out, made.tasks)
        write_tasks(tasks_file, made.tasks)
        log_file.unlink(missing_ok=True)
    print_tasks(console, made, [*written, tasks_file])


@annotation.command()
def compare(
    out: Annotated[Path, typer.Option(help="A new folder for the tasks.")],
    cycle: Annotated[str, typer.Argument(help="A cycle's id, or its beginning.")] = "latest",
    config: ConfigOption = DEFAULT_CONFIG,
    n: Annotated[int, typer.Option("--n", "-n", min=1, help="Tasks at most.")] = 200,
    per_prompt: Annotated[int, typer.Option(min=1, help="Tasks of one prompt at most.")] = 1,
    seed: Annotated[int, typer.Option(help="Another seed draws other prompts.")] = 0,
    tool: Annotated[
        Literal["label-studio", "csv", "mlflow"],
        typer.Option("--for", help="Where they are compared."),
    ] = "csv",
    reviewer: Annotated[
        list[str] | None,
        typer.Option(help="A user of MLflow who compares there; may be repeated."),
    ] = None,
) -> None:
    """Write tasks that compare a candidate's answers with the champion's, blind.

    A task is two answers to one prompt. Which model wrote them stays in tasks.jsonl.
    """
    from thumbwheel.cli.show.labelling import print_compared, print_queue
    from thumbwheel.config import JudgeConfig
    from thumbwheel.cycle.journal import find_report
    from thumbwheel.labelling.people import (
        compare as draw,
    )
    from thumbwheel.labelling.people import (
        read_answers,
        send_to_review,
        write_pairs_for,
        write_tasks,
    )
    from thumbwheel.registry import open_registry

    settings = load_config(config)
    tasks_file = out / "tasks.jsonl"
    if tasks_file.exists():
        raise InputError(f"{tasks_file} is there already; give another folder")
    journal, report = find_report(settings.layout, cycle)
    candidate, champion = read_answers(journal.path / "answers")
    beaten = report.champion_before
    names = (
        f"{settings.project}@{report.model_version or report.cycle_id}",
        settings.model.path.name if beaten is None else f"{settings.project}@{beaten}",
    )
    compared = draw(candidate, champion, names, n=n, per_prompt=per_prompt, seed=seed)
    judges = [judge for judge in settings.judges if judge.use == "people"]
    rubric = (judges or [JudgeConfig(use="people")])[0].rubric
    out.mkdir(parents=True, exist_ok=True)
    console = make_console()
    if tool == "mlflow":
        with console.status("writing into MLflow"):
            reviews = open_registry(settings).reviews()
            page = send_to_review(reviews, compared.tasks, rubric, reviewer or [])
        written = []
        print_queue(console, settings, compared.tasks, page)
    else:
        written = write_pairs_for(tool, out, compared.tasks, rubric)
    write_tasks(tasks_file, compared.tasks)
    print_compared(console, compared, [*written, tasks_file])


@annotation.command("import")
def import_rankings(
    tasks: Annotated[Path, typer.Option(help="The tasks.jsonl that was written with the tasks.")],
    out: Annotated[Path, typer.Option(help="A new file of events for a source to read.")],
    file: Annotated[
        Path | None,
        typer.Argument(
            help="What the tool exported, or the filled table. Without it, MLflow's review queue "
            "of the tasks is read."
        ),
    ] = None,
    config: ConfigOption = DEFAULT_CONFIG,
    pairs: Annotated[
        Literal["all", "adjacent"], typer.Option(help="Which ranks are compared.")
    ] = "all",
    annotator: Annotated[
        str | None, typer.Option(help="Who ranked, where the file does not say.")
    ] = None,
) -> None:
    """Read rankings back as events; the same file gives the same events."""
    from thumbwheel.cli.show.labelling import print_imported, print_source
    from thumbwheel.labelling.people import (
        read_rankings,
        read_reviews,
        read_tasks,
        to_events,
        write_events,
    )
    from thumbwheel.registry import open_registry

    settings = load_config(config)
    known = read_tasks(tasks)
    rankings = (
        read_reviews(open_registry(settings).reviews(), known)
        if file is None
        else read_rankings(file)
    )
    imported = to_events(known, rankings, pairs, annotator)
    console = make_console()
    print_imported(console, imported)
    if not imported.events:
        raise DataError(
            f"{file or 'the review queue'} holds no ranking that can be used; {out} was not written"
        )
    new = write_events(out, imported.events)
    console.print(f"{'Wrote' if new else 'Nothing new for'} {out}", markup=False, soft_wrap=True)
    print_source(console, settings, out, "annotators")


@annotate_commands.command("write-pairs", rich_help_panel=PANEL)
def write_pairs(
    out: Annotated[Path, typer.Option(help="A file of events, for a source to read; it grows.")],
    config: ConfigOption = DEFAULT_CONFIG,
    prompts: Annotated[
        Path | None,
        typer.Option(help="Write both sides for the prompts in this file of JSON lines."),
    ] = None,
    both: Annotated[
        bool, typer.Option("--both", help="Write both sides, not only the missing one.")
    ] = False,
    mode: Annotated[
        list[str] | None,
        typer.Option(help="A failure mode of the rejected side; may be repeated."),
    ] = None,
    instruction: Annotated[
        list[str] | None,
        typer.Option(help="One in your own words: what is wrong with the rejected side."),
    ] = None,
    limit: Annotated[int, typer.Option(min=1, help="Pairs to write at most.")] = 100,
    dry_run: DryRun = False,
) -> None:
    """Let an endpoint write the missing side where users only liked or only disliked answers.

    What it writes has one fault that has a name; everything else is held equal. What `--out` holds
    already is not asked again.
    """
    from thumbwheel.cli.show.labelling import print_jobs, print_source, print_written
    from thumbwheel.cli.show.progress import StageDisplay
    from thumbwheel.endpoint import Endpoint
    from thumbwheel.labelling.model import find_modes, one_sided_jobs, prompts_of_file, read_written
    from thumbwheel.labelling.model import write_pairs as run

    settings = load_config(config)
    endpoint_config = _endpoint_config(settings)
    modes = find_modes(mode or [], instruction or [])
    written = read_written(out)
    console = make_console()
    with ExitStack() as stack:
        if prompts is not None:
            found = iter(prompts_of_file(prompts, modes))
        else:
            scratch = Path(stack.enter_context(tempfile.TemporaryDirectory()))
            with stored(settings) as store, console.status("looking for one-sided prompts"):
                snapshot = store.snapshot(scratch / "snapshot", settings.vote_policy)
            found = one_sided_jobs(snapshot.path, modes, both=both)
        jobs = list(islice((job for job in found if job.key not in written), limit))
    print_jobs(console, jobs, len(written), endpoint_config)
    if dry_run or not jobs:
        return
    with Endpoint(endpoint_config) as endpoint, StageDisplay(console) as display:
        display.stage("write pairs")
        report = run(endpoint, jobs, out, display.progress)
        display.done(f"{report.n_written:,} pairs")
        print_written(console, report, endpoint.usage)
    if not report.n_written:
        raise DataError("the endpoint wrote no pair that can be used; the reasons are above")
    print_source(console, settings, out, "ai")


def _endpoint_config(settings: "Config") -> "EndpointConfig":
    if settings.endpoint is None:
        raise ConfigError(
            "the configuration has no [endpoint]; add one with `url` and `model`, see "
            "docs/ai-pairs.md"
        )
    return settings.endpoint


def _writer(settings: "Config", endpoint: "EndpointConfig | None", stack: ExitStack) -> "Writer":
    from thumbwheel.endpoint import Endpoint
    from thumbwheel.labelling.people import EndpointWriter, ModelWriter

    if endpoint is not None:
        return EndpointWriter(stack.enter_context(Endpoint(endpoint)))
    return ModelWriter(settings)


annotate_commands.add_typer(
    annotation,
    name="annotate",
    help="Let people rank or compare answers: write tasks, import what they say.",
    rich_help_panel=PANEL,
)
