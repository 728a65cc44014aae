"""The commands around cycles.

Each is a few lines over the engine; heavy imports wait until they are needed.
"""

import sys
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from thumbwheel.cli.options import DEFAULT_CONFIG, ConfigOption, load_config, make_console
from thumbwheel.errors import DataError, InputError

__all__ = ["cycle_commands"]

cycle_commands = typer.Typer()


@cycle_commands.command()
def init(
    path: Annotated[Path, typer.Argument(help="Where to write it.")] = DEFAULT_CONFIG,
    force: Annotated[bool, typer.Option(help="Replace a file that is there.")] = False,
    sample: Annotated[
        Path | None,
        typer.Option(
            "--from", help="Look at this file of feedback, and propose how to read it.", exists=True
        ),
    ] = None,
) -> None:
    """Write a commented configuration to start from."""
    from thumbwheel.cli.templates.config import template

    if path.exists() and not force:
        raise InputError(f"{path} is there already; give another path, or --force to replace it")
    console = make_console()
    if sample is None:
        text = template()
    else:
        from thumbwheel.cli.propose import propose

        text = template(propose(sample, path.parent, console))
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    what = "where your feedback and your model are" if sample is None else "where your model is"
    console.print(
        f"Wrote {path}. Say in it {what}, then\n"
        f"  thumbwheel ingest -c {path} --dry-run    to see how it is read\n"
        f"  thumbwheel ingest -c {path}    to read the feedback\n"
        f"  thumbwheel pairs -c {path}     to see the pairs it makes\n"
        f"  thumbwheel cycle -c {path}     to train, evaluate and decide"
    )


@cycle_commands.command()
def pairs(
    config: ConfigOption = DEFAULT_CONFIG,
    limit: Annotated[int, typer.Option(min=0, help="Pairs to show.")] = 5,
    dropped: Annotated[bool, typer.Option(help="Show pairs that are not in the set.")] = False,
    plugin: Annotated[
        list[str] | None,
        typer.Option(help="Use this plugin instead of the configured ones; may be repeated."),
    ] = None,
) -> None:
    """Preview the preference pairs, and why the other answers are in none. Changes nothing."""
    from thumbwheel.cli.current import current_pairs
    from thumbwheel.cli.show.pairs import print_pairing
    from thumbwheel.cli.show.progress import StageDisplay
    from thumbwheel.cli.templates.plugin_files import plugin_use
    from thumbwheel.config import PluginConfig

    settings = load_config(config)
    console = make_console()
    chosen = [PluginConfig(use=plugin_use(use)) for use in plugin or ()]
    with (
        StageDisplay(console) as display,
        current_pairs(settings, display, chosen or None) as (snapshot, pairing),
    ):
        print_pairing(console, snapshot, pairing, limit=limit, show_dropped=dropped)


@cycle_commands.command()
def cycle(
    config: ConfigOption = DEFAULT_CONFIG,
    train_anyway: Annotated[
        bool,
        typer.Option(
            "--train-anyway", help="Train what cannot be promoted, or on pairs that seem wrong."
        ),
    ] = False,
) -> None:
    """Turn the wheel once: ingest, pair, train, evaluate, decide, register.

    A cycle that was interrupted goes on where it stopped. When nothing changed since the last one,
    nothing is done. Nothing is trained where too few prompts are held out to promote a candidate,
    or where too many pairs are surely the wrong way round.
    """
    _turn(config, train_anyway=train_anyway)


def _turn(config: Path, again: str | None = None, train_anyway: bool = False) -> None:
    from thumbwheel.cli.show.cycle import print_nothing_new, print_report
    from thumbwheel.cli.show.progress import StageDisplay
    from thumbwheel.cycle.run import NothingNew, run_cycle
    from thumbwheel.plugin.host import isolated_plugins

    settings = load_config(config)
    console = make_console()
    with StageDisplay(console) as display, isolated_plugins(settings) as plugins:
        outcome = run_cycle(settings, plugins, display, again=again, train_anyway=train_anyway)
    if isinstance(outcome, NothingNew):
        print_nothing_new(console, outcome.cycle_id, f"-c {config}")
    else:
        print_report(console, outcome, f"-c {config}")


@cycle_commands.command()
def decide(
    cycle: Annotated[str, typer.Argument(help="A cycle's id, or its beginning.")] = "latest",
    config: ConfigOption = DEFAULT_CONFIG,
) -> None:
    """Decide again on a candidate that was refused, by what people have said since.

    Nothing is trained, and the models are not asked again. It costs another look.
    """
    _turn(config, again=cycle)


@cycle_commands.command()
def power(config: ConfigOption = DEFAULT_CONFIG) -> None:
    """Say what can be shown about a candidate with the feedback at hand. Trains nothing.

    Who may judge, how small a gain would stand out, how many more votes it takes.
    """
    from thumbwheel.cli.current import current_pairs
    from thumbwheel.cli.show.evidence import print_plan
    from thumbwheel.cli.show.progress import StageDisplay
    from thumbwheel.cycle.evidence import plan_now
    from thumbwheel.plugin.host import isolated_plugins
    from thumbwheel.process.extras import require

    require("train", by="asking the models")
    settings = load_config(config)
    console = make_console()
    with (
        StageDisplay(console) as display,
        current_pairs(settings, display) as (snapshot, pairing),
        isolated_plugins(settings) as plugins,
    ):
        plan = plan_now(settings, plugins, display, snapshot, pairing)
    print_plan(console, plan, settings.gate)


@cycle_commands.command()
def show(
    cycle: Annotated[str, typer.Argument(help="A cycle's id, or its beginning.")] = "latest",
    config: ConfigOption = DEFAULT_CONFIG,
) -> None:
    """Show a cycle's report: the data, every metric, every rule of the gate."""
    from thumbwheel.cli.show.cycle import print_report
    from thumbwheel.cycle.journal import find_report

    settings = load_config(config)
    journal, report = find_report(settings.layout, cycle)
    console = make_console()
    print_report(console, report, f"-c {config}")
    console.print(f"\nThe report as a file: {journal.path / 'report.json'}", soft_wrap=True)


@cycle_commands.command()
def history(
    config: ConfigOption = DEFAULT_CONFIG,
    as_json: Annotated[bool, typer.Option("--json", help="Write it as one JSON object.")] = False,
) -> None:
    """Show the looks at the held-out prompts: their verdicts, and the error budget they spent."""
    from pydantic_core import to_json

    from thumbwheel.cli.show.history import make_history, print_history
    from thumbwheel.cycle.journal import list_cycles
    from thumbwheel.registry import open_registry

    settings = load_config(config)
    console = make_console(stderr=as_json)
    ledger = open_registry(settings).ledger(console.print)
    versions = {
        journal.path.name: version
        for journal in list_cycles(settings.layout)
        if (version := journal.read("registered", str)) is not None
    }
    looks, promotions = ledger.looks(), ledger.promotions()
    made = make_history(looks, promotions, versions, settings.gate, datetime.now(UTC))
    if as_json:
        sys.stdout.buffer.write(to_json(made, indent=2) + b"\n")
    else:
        print_history(console, made)


@cycle_commands.command()
def ui(
    cycle: Annotated[str, typer.Argument(help="A cycle's id, or its beginning.")] = "latest",
    config: ConfigOption = DEFAULT_CONFIG,
    port: Annotated[int, typer.Option(help="Port on the loopback address.")] = 5000,
    browser: Annotated[bool, typer.Option(help="Open the page in a browser.")] = True,
) -> None:
    """Open MLflow on a cycle's page, until Ctrl-C."""
    from thumbwheel.cycle.journal import find_report
    from thumbwheel.process.extras import require
    from thumbwheel.registry import open_registry, serve

    require("mlflow")
    settings = load_config(config)
    _, report = find_report(settings.layout, cycle)
    if report.model_version is None:
        raise DataError(f"the cycle {report.cycle_id} has no model version in MLflow")
    registry = open_registry(settings)
    console = make_console()
    if not settings.tracking_uri.startswith("sqlite:"):
        page = registry.version_page(settings.tracking_uri, report.model_version)
        console.print(page, soft_wrap=True)
        if browser:
            typer.launch(page)
        return
    with ExitStack() as stack:
        with console.status("starting MLflow (about 15 s)"):
            server = stack.enter_context(
                serve(settings.tracking_uri, settings.layout.mlflow_artifacts, port)
            )
        page = registry.version_page(server.url, report.model_version)
        console.print(f"{page}\nCtrl-C stops the server.", soft_wrap=True)
        if browser:
            typer.launch(page)
        server.wait()


@cycle_commands.command()
def demo(
    seed: Annotated[int, typer.Option(help="Another seed is another world and model.")] = 0,
    noise: Annotated[float, typer.Option(min=0, max=1, help="Share of votes flipped.")] = 0.0,
    length_confound: Annotated[
        float, typer.Option(min=0, max=1, help="Share of answers long just when polite.")
    ] = 0.0,
    spam: Annotated[float, typer.Option(min=0, max=1, help="Share of always-up raters.")] = 0.0,
    missing_sides: Annotated[
        float, typer.Option(min=0, max=1, help="Share of prompts with one-sided votes.")
    ] = 0.0,
    directory: Annotated[Path, typer.Option(help="Where everything goes.")] = Path(
        "thumbwheel-demo"
    ),
) -> None:
    """Turn the whole wheel once on a planted world, offline: about a minute on two cores.

    Simulated users like polite answers and right ones. A tiny model learns that from their
    thumbs, and becomes @champion in MLflow if it shows so on prompts it never saw in training.
    """
    from thumbwheel.cli.show.cycle import print_demo_summary, print_nothing_new, print_report
    from thumbwheel.cli.show.progress import StageDisplay
    from thumbwheel.cycle.run import NothingNew, run_cycle
    from thumbwheel.demo.prepare import prepare_demo
    from thumbwheel.demo.world import WorldOptions
    from thumbwheel.plugin.host import isolated_plugins
    from thumbwheel.process.extras import require

    require("train", by="the demo")
    options = WorldOptions(
        seed=seed,
        noise=noise,
        length_confound=length_confound,
        spam_raters=spam,
        missing_sides=missing_sides,
    )
    console = make_console()
    with StageDisplay(console) as display:
        config = prepare_demo(directory, options, display)
        settings = load_config(config)
        with isolated_plugins(settings) as plugins:
            outcome = run_cycle(settings, plugins, display)
    if isinstance(outcome, NothingNew):
        print_nothing_new(console, outcome.cycle_id, f"-c {config}")
    else:
        print_report(console, outcome, f"-c {config}")
        print_demo_summary(console, outcome)
