"""The command line: every command under one roof."""

from typing import Annotated

import typer

from thumbwheel.cli.commands.audit import audit_commands
from thumbwheel.cli.commands.cycles import cycle_commands
from thumbwheel.cli.commands.labelling import annotate_commands
from thumbwheel.cli.commands.pairs import yield_commands
from thumbwheel.cli.commands.plugins import plugin_commands
from thumbwheel.cli.commands.privacy import privacy_commands
from thumbwheel.cli.commands.store import store_commands

__all__ = ["app"]

app = typer.Typer(
    help="Turn users' thumbs into a better model: feedback, preference pairs, LoRA DPO, a gated "
    "promotion in MLflow.",
    epilog="Exit codes: 0 done (a refused candidate included), 1 a bug, 2 wrong input, 3 another "
    "process is at work, 4 a service does not answer, 5 training failed, 6 the champion moved "
    "meanwhile, 7 a limit of the audit does not hold, 130 interrupted, 143 stopped by SIGTERM.",
    no_args_is_help=True,
    rich_markup_mode="rich",
    add_completion=False,
)


def _show_version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        typer.echo(f"thumbwheel {version('thumbwheel')}")
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool,
        typer.Option("--version", callback=_show_version, is_eager=True, help="Print the version."),
    ] = False,
) -> None:
    pass


app.add_typer(cycle_commands)
app.add_typer(plugin_commands, name="plugins")
app.add_typer(audit_commands)
app.add_typer(yield_commands)
app.add_typer(annotate_commands)
app.add_typer(store_commands)
app.add_typer(privacy_commands)
