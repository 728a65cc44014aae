"""The command that forgets a rater or a generation."""

import sys
from typing import Annotated

import typer

from thumbwheel.cli.options import DEFAULT_CONFIG, ConfigOption, load_config, make_console
from thumbwheel.errors import InputError

__all__ = ["privacy_commands"]

privacy_commands = typer.Typer()


@privacy_commands.command(rich_help_panel="Events")
def forget(
    rater: Annotated[str | None, typer.Argument(help="The rater's id, as it is stored.")] = None,
    generation: Annotated[
        str | None, typer.Option(help="Forget one generation, by its id, instead of a rater.")
    ] = None,
    config: ConfigOption = DEFAULT_CONFIG,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
) -> None:
    """Remove all that a rater said, from the store and from everything made of it, for good.

    Only a keyed hash of the id is kept, so that a replay does not bring it back. Shows first what
    goes, and at the end what had been trained on it.
    """
    from thumbwheel.cli.show.privacy import print_outcome, print_plan
    from thumbwheel.cli.show.progress import StageDisplay
    from thumbwheel.forgetting import Forgetting
    from thumbwheel.plugin.host import isolated_plugins
    from thumbwheel.store import Subject

    if rater is not None and generation is None:
        subject = Subject("rater", rater)
    elif generation is not None and rater is None:
        subject = Subject("generation", generation)
    else:
        raise InputError("give the id of a rater, or `--generation ID`: one of the two")
    if not subject.name:
        raise InputError("the id is empty; give that of a rater, or `--generation ID`")
    settings = load_config(config)
    console = make_console()
    with (
        StageDisplay(console) as display,
        isolated_plugins(settings) as plugins,
        Forgetting(settings, plugins, subject, display) as forgetting,
    ):
        print_plan(console, subject, forgetting.plan(), settings.project)
        if not yes:
            if not sys.stdin.isatty():
                raise InputError("this cannot be undone, and nobody is there to ask; say --yes")
            if not typer.confirm("This cannot be undone. Go on?"):
                console.print("Nothing was removed.")
                return
        outcome = forgetting.run()
    print_outcome(console, subject, outcome)
